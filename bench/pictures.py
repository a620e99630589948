"""Pictures: the whole path, its parts, and the elements in GStreamer, the flow runtime and Python."""

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from measure import (
    CORES,
    OUT,
    RIVALS,
    ROOT,
    Figure,
    Missing,
    PerFrame,
    cases_of,
    existing,
    fetched,
    gst,
    nanoseconds,
    per_frame,
    program,
    run,
)


@dataclass
class Model:
    name: str
    file: Path
    detect: str  # properties of object_detect
    upstream_caps: str
    upstream_layout: str
    frames: int
    over_rivals: float


def centernet():
    return Model(
        "centernet",
        fetched("models/centernet.onnx"),
        "threshold=0.4",
        "format=RGB,width=512,height=512",
        "hwc",
        200,
        1.7,
    )


def yolox():
    data = os.environ.get("SIGHTGLASS_TEST_DATA")
    if not data:
        raise Missing("SIGHTGLASS_TEST_DATA is not set to the test data")
    file = existing(Path(data, "models/yolox_nano.onnx"), "see SIGHTGLASS_TEST_DATA")
    return Model(
        "yolox",
        file,
        f"threshold=0.4 model-proc={ROOT / 'tests/accuracy/yolox_nano.yaml'}",
        "format=BGR,width=416,height=416",
        "chw",
        500,
        2.3,
    )


def whole_path(model, rounds, quick):
    video = fetched("media/vtest.avi")
    frames = 20 if quick else model.frames
    OUT.mkdir(parents=True, exist_ok=True)
    with_ids = OUT / f"{model.name}-with-ids.onnx"
    source = lambda n: f"filesrc location={video} ! avidemux ! avdec_msmpeg4 ! identity eos-after={n}"
    ours = lambda n: gst(
        f"{source(n)} ! object_detect model={model.file} {model.detect} ! object_track ! gvametaconvert "
        f"! gvametapublish file-format=json-lines file-path=/dev/null ! fakesink sync=false"
    )
    decode = lambda n: gst(f"{source(n)} ! fakesink sync=false")
    loop = lambda n: [sys.executable, RIVALS / "user_loop.py", model.name, model.file, video, n]
    upstream = lambda n: gst(
        f"{source(n)} ! videoscale add-borders=false ! videoconvert ! video/x-raw,{model.upstream_caps} "
        f"! onnxinference model-file={with_ids} optimization-level=enable-all "
        f"input-image-format={model.upstream_layout} ! fakesink sync=false"
    )
    run([sys.executable, RIVALS / "add_tensor_ids.py", model.file, with_ids])

    measured = {name: [] for name in ("ours", "engine", "loop", "upstream", "decode")}
    engine = {}
    for _ in range(rounds):
        measured["ours"].append(per_frame(ours, frames))
        done = subprocess.run(
            [program("engine_alone"), model.file, str(CORES), str(frames)],
            stdout=subprocess.PIPE,
            check=False,
        )
        if done.returncode:
            raise Missing(f"engine_alone {model.file}: exit code {done.returncode}")
        engine = json.loads(done.stdout)
        measured["engine"].append(PerFrame(1 / engine["fps"], engine["cpu_seconds"]))
        measured["loop"].append(per_frame(loop, frames // 2))
        measured["upstream"].append(per_frame(upstream, frames // 2))
        measured["decode"].append(per_frame(decode, 600))
    ours_, engine_, loop_, upstream_, decode_ = measured.values()
    each = lambda f, *lists: [f(*values) for values in zip(*lists)]
    fps = lambda values: [v.fps for v in values]
    figures = [
        Figure(
            f"{model.name}: whole path / engine alone, {CORES} requests",
            each(lambda a, b: a.fps / b.fps, ours_, engine_),
            at_least=0.95,
        ),
        Figure(
            f"{model.name}: CPU efficiency (decode + engine) / whole path",
            each(lambda a, b, d: (d.cpu + b.cpu) / a.cpu, ours_, engine_, decode_),
            at_least=0.92,
        ),
        Figure(
            f"{model.name}: whole path / better of Python loop and onnxinference",
            each(lambda a, l, u: a.fps / max(l.fps, u.fps), ours_, loop_, upstream_),
            at_least=model.over_rivals,
        ),
        Figure(f"{model.name}: whole path / Python loop", each(lambda a, l: a.fps / l.fps, ours_, loop_)),
        Figure(
            f"{model.name}: whole path / onnxinference", each(lambda a, u: a.fps / u.fps, ours_, upstream_)
        ),
        Figure(f"{model.name}: whole path", fps(ours_), "frames/s"),
        Figure(f"{model.name}: engine alone (ONNX Runtime {engine['version']})", fps(engine_), "frames/s"),
        Figure(f"{model.name}: Python loop", fps(loop_), "frames/s"),
        Figure(f"{model.name}: onnxinference", fps(upstream_), "frames/s"),
        Figure(f"{model.name}: CPU per frame, whole path", [v.cpu * 1000 for v in ours_], "ms"),
        Figure(f"{model.name}: CPU per frame, engine alone", [v.cpu * 1000 for v in engine_], "ms"),
        Figure(f"{model.name}: CPU per frame, decoding", [v.cpu * 1000 for v in decode_], "ms"),
    ]
    return figures


# (picture, tensor) → least times as fast as OpenCV, as GStreamer
V2T_TARGETS = {
    ("I420", "768x576", "512x512-nhwc-float32"): (2, 2.5),
    ("I420", "1920x1080", "512x512-nhwc-float32"): (5, 6),
}


def video_to_tensor(rounds, quick):
    cases = {}
    for case in cases_of("video_to_tensor", rounds, quick):
        _, picture, size, tensor, way = case["name"].split("/")[:5]
        ways = cases.setdefault((picture, size, tensor), {})
        # A counter that is an inverted rate is in seconds; the name says what it counts.
        ways.setdefault(way, []).append((case["real_time"], case.get("ns_per_pixel")))
    figures = []
    for key, ways in cases.items():
        name, (over_opencv, over_gstreamer) = f"v2t {key[0]} {key[1]} → {key[2]}", V2T_TARGETS.get(
            key, (None, None)
        )
        ratio = lambda a, b: [x[0] / y[0] for x, y in zip(ways[a], ways[b])]
        for rival, target in (("opencv", over_opencv), ("gstreamer", over_gstreamer)):
            if rival in ways and "fused" in ways:
                figures.append(Figure(f"{name}: as fast as {rival}", ratio(rival, "fused"), at_least=target))
        if "rotating" in ways:
            figures.append(
                Figure(
                    f"{name}: rotating outputs",
                    [n for _, n in ways["rotating"]],
                    "ns/pixel",
                    at_most=3 if over_opencv else None,
                )
            )
            if "memcpy-rotating" in ways:
                figures.append(
                    Figure(f"{name}: time / memcpy, rotating", ratio("rotating", "memcpy-rotating"))
                )
    return figures


def memory(rounds, quick):
    demo = existing(ROOT / "samples/demo/run.sh", "the demo")
    with tempfile.TemporaryDirectory(prefix="sightglass-bench-") as folder:
        used = run(
            [demo, *(["--limit", "60"] if quick else [])],
            cwd=folder,
            env={**os.environ, "SIGHTGLASS_DEMO_OUTPUT": folder},
        )
    return [Figure("demo: peak memory", [used.rss / 1000], "MB", at_most=400)]


def map_(rounds, quick):
    return [
        Figure(f"{case}", [t / 1000 for t in times], "µs", at_most=50 if case.startswith("plan") else 1)
        for case, times in nanoseconds("map", rounds, quick).items()
    ]


def flow(rounds, quick):
    times = nanoseconds("flow", rounds, quick)
    figures = []
    for kind in ("inplace", "transform"):
        one, nine = (
            next(t for case, t in times.items() if case.startswith(f"{kind}/elements:{n}/queues:0"))
            for n in (1, 9)
        )
        each = [(b - a) / 8000 for a, b in zip(one, nine)]
        figures.append(Figure(f"flow: per {kind} element and frame", each, "µs", at_most=2))
    return figures


def runtimes(rounds, quick):
    """The demo's elements, without the drawing: decode, detect, track, results as JSON."""
    video, model = fetched("media/vtest.avi"), fetched("models/centernet.onnx")
    frames = 20 if quick else 150
    elements = (
        f"object_detect model={model} threshold=0.4 ! object_track ! metaconvert "
        f"! metapublish file-format=json-lines file-path=/dev/null"
    )
    source = f"ffmpeg_multi_source inputs={video}"
    ways = {
        "GStreamer": lambda n: gst(
            f"filesrc location={video} ! avidemux ! avdec_msmpeg4 ! identity eos-after={n} ! {elements} "
            "! fakesink sync=false"
        ),
        "flow": lambda n: [program("flow_frames"), n, f"{source} ! {elements}"],
        "Python": lambda n: [sys.executable, ROOT / "bench/flow_frames.py", n, f"{source} ! {elements}"],
    }
    cpu = {way: [] for way in ways}
    for _ in range(rounds):
        for way, command in ways.items():
            cpu[way].append(per_frame(command, frames).cpu * 1000)
    ratio = lambda a, b: [x / y for x, y in zip(cpu[a], cpu[b])]
    return [
        Figure("CPU per frame, flow / GStreamer", ratio("flow", "GStreamer"), at_most=1.05),
        Figure("CPU per frame, Python / GStreamer", ratio("Python", "GStreamer"), at_most=1.05),
        *(Figure(f"CPU per frame, {way}", values, "ms") for way, values in cpu.items()),
    ]


def ffmpeg(rounds, quick):
    times = nanoseconds("ffmpeg", rounds, quick, "--benchmark_filter=system|take")
    names = {
        "take_av_frame": "AVFrame taken over",
        "av_frame_to_system": "AVFrame → system memory",
        "system_to_av_frame": "system memory → AVFrame",
    }
    figures = [Figure(names[n], [t / 1000 for t in times[n]], "µs", at_most=1) for n in names if n in times]
    data = os.environ.get("SIGHTGLASS_TEST_DATA") or ROOT.parent / "shared/data"
    existing(data, "the test data")
    os.environ["SIGHTGLASS_TEST_DATA"] = str(data)
    both = nanoseconds("ffmpeg_multi_source", rounds, quick)
    plain, source = (
        next(values for name, values in both.items() if name.startswith(way))
        for way in ("plain_libavcodec", "ffmpeg_multi_source")
    )
    ratios = [a / b for a, b in zip(plain, source)]
    return [*figures, Figure("decoding, frames: ffmpeg_multi_source / plain libavcodec", ratios, at_least=0.95)]


def python(rounds, quick):
    command = [sys.executable, ROOT / "python/bench/views.py", 1000 if quick else 20000]
    cases = {}
    for _ in range(rounds):
        done = subprocess.run([str(c) for c in command], stdout=subprocess.PIPE, check=False)
        if done.returncode:
            raise Missing(f"{command[1]}: exit code {done.returncode}")
        for name, nanoseconds_ in json.loads(done.stdout).items():
            cases.setdefault(name, []).append(nanoseconds_ / 1000)
    # What the target is set for: a view of a frame.
    views = ("frame.numpy()", "frame.numpy(writable=True)", "tensor.numpy()")
    return [
        Figure(f"python: {name}", times, "µs", at_most=5 if name in views else None)
        for name, times in cases.items()
    ]
