#!/usr/bin/env python3
"""The benchmarks: a table on the screen, out/bench/NAME.json beside it.

    ./run bench [--quick] [--rounds N] [FILTER]

    FILTER    regular expression over the names below
    --quick   one round of few frames: whether everything runs, not how fast
    --rounds  5 if not said

What counts is a ratio of two things that ran one after the other in the same round (A B C, A B C, …), and of
the rounds the median; frames per second and milliseconds of one machine are shown for orientation only.
Start-up is taken out by running each pipeline twice, with few frames and with many.

    centernet, yolox   the whole path (decode, detect, track, publish; no overlay, no encoder) against the
                       engine alone with as many requests, against the loop that a Python user writes, and
                       against GStreamer's own onnxinference
    video_to_tensor    the fused pre-processing against OpenCV and against GStreamer's chain
    memory             peak memory of the demo
    map                finding a way between two forms of memory, and walking one that shares
    flow               what the flow runtime itself costs per element and frame
    ffmpeg             AVFrames as frames and back, decoding against a plain loop of libavcodec
    python             a view of a frame's pixels in numpy
    batching           four streams that share batches against one with as many frames, ten regions per frame
                       against the engine alone
    overhead           what is left with an engine that computes nothing, and of elements with nothing to do
    stream             a message of 100 kB over a hop of ipc: latency, and messages per second
    modules            frames through a module without models: the first result, one stream, many, a sink that
                       stands still
    live               64 live sources in one process, without decoding: memory and CPU
    json_sink          records of ten objects into a file of JSON lines, per second and core
    stores             CPU per record of the Elasticsearch and MongoDB sinks against libcurl and libmongoc used
                       directly by a program that makes the same documents of the same records, and against
                       the same with bytes that are there already; the server only acknowledges
    kafka              the same of the Kafka sink and librdkafka, with librdkafka's mock cluster
    outbox             what the queue on disk adds to a sink's CPU per record: by default, where it is used
                       once memory is full, and with `durable`, where every record goes through it
    file_source        a video file as fast as possible against reading its packets with FFmpeg alone
    runtimes           CPU per frame of the demo's elements in GStreamer, in the flow runtime, in Python

Needs the build with benchmarks (preset release), fetched models, and for YOLOX-Nano the test data. What is
missing is reported as such and left out.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "out" / "bench"
BUILD = ROOT / "build" / os.environ.get("SIGHTGLASS_PRESET", "release")
RIVALS = ROOT / "bench" / "rivals"
CORES = len(os.sched_getaffinity(0))


class Missing(Exception):
    """Something that a benchmark needs is not there."""


@dataclass
class Figure:
    name: str
    rounds: list
    unit: str = "×"
    at_least: float | None = None
    at_most: float | None = None

    @property
    def value(self):
        return statistics.median(self.rounds)

    @property
    def verdict(self):
        if self.at_least is None and self.at_most is None:
            return ""
        good = (self.at_least is None or self.value >= self.at_least) and (
            self.at_most is None or self.value <= self.at_most
        )
        return "ok" if good else "MISSED"

    def line(self):
        target = (
            f"≥ {self.at_least:g}"
            if self.at_least is not None
            else f"≤ {self.at_most:g}"
            if self.at_most is not None
            else ""
        )
        spread = f"{min(self.rounds):.3g}–{max(self.rounds):.3g}" if len(self.rounds) > 1 else ""
        return f"{self.name:<66} {self.value:>9.3g} {self.unit:<10} {target:<8} {self.verdict:<7} {spread}"

    def record(self):
        return {
            "name": self.name,
            "value": self.value,
            "unit": self.unit,
            "at_least": self.at_least,
            "at_most": self.at_most,
            "rounds": self.rounds,
        }


# ---- measuring


@dataclass
class Usage:
    wall: float
    cpu: float
    rss: int  # kB, of the largest process


def run(command, **options):
    import time

    with tempfile.TemporaryFile() as output:
        before = time.monotonic()
        process = subprocess.Popen(
            [str(c) for c in command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            **options,
        )
        _, status, used = os.wait4(process.pid, 0)
        wall = time.monotonic() - before
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            output.seek(0)
            last = output.read().decode("utf-8", "replace").strip().splitlines()[-5:]
            raise Missing(
                f"{' '.join(str(c) for c in command)[:300]}: exit code {process.returncode}: {' | '.join(last)}"
            )
    return Usage(wall, used.ru_utime + used.ru_stime, used.ru_maxrss)


@dataclass
class PerFrame:
    wall: float
    cpu: float

    @property
    def fps(self):
        return 1 / self.wall


def per_frame(command, frames, few=20):
    """`command(n)` runs on n frames; what one frame costs once it is running."""
    short, long = run(command(few)), run(command(few + frames))
    return PerFrame(max(long.wall - short.wall, 1e-9) / frames, max(long.cpu - short.cpu, 0) / frames)


def cache():
    return Path(
        os.environ.get("SIGHTGLASS_CACHE")
        or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sightglass"
    )


def existing(path, hint):
    if not Path(path).exists():
        raise Missing(f"{path} does not exist; {hint}")
    return Path(path)


def fetched(path):
    return existing(cache() / path, "sightglass models fetch")


def program(name):
    return existing(BUILD / "bench" / name, f"./run build {BUILD.name}")


def gst(text):
    return ["gst-launch-1.0", "-q", *text.split()]


# ---- the whole path


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


# ---- parts

# (picture, tensor) → least times as fast as OpenCV, as GStreamer
V2T_TARGETS = {
    ("I420", "768x576", "512x512-nhwc-float32"): (2, 2.5),
    ("I420", "1920x1080", "512x512-nhwc-float32"): (5, 6),
}


def cases_of(name, rounds, quick, *options):
    """Every run of every case of a Google Benchmark program."""
    command = [
        program(name),
        "--benchmark_format=json",
        f"--benchmark_min_time={0.02 if quick else 0.2}s",
        *options,
    ]
    # Its cases run in an order that is mixed anew, so that each repetition is a round.
    command += (
        [f"--benchmark_repetitions={rounds}", "--benchmark_enable_random_interleaving=true"]
        if rounds > 1
        else []
    )
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
    if done.returncode:
        raise Missing(f"{command[0]}: exit code {done.returncode}")
    for case in json.loads(done.stdout)["benchmarks"]:
        if case.get("error_occurred"):
            raise Missing(f"{case['name']}: {case['error_message']}")
        if case.get("run_type", "iteration") == "iteration":
            yield case


def nanoseconds(name, rounds, quick, *options):
    """Case → what one iteration takes, a value per round."""
    times = {}
    for case in cases_of(name, rounds, quick, *options):
        unit = {"ns": 1, "us": 1e3, "ms": 1e6, "s": 1e9}[case["time_unit"]]
        times.setdefault(case["name"].split("/repeats")[0], []).append(case["real_time"] * unit)
    return times


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


def stream(rounds, quick):
    """A message with 100 kB of picture from one end's send() to the other's next(), over ipc."""
    times = nanoseconds("zmq_hop", rounds, quick)
    figures = []
    for pair in ("push", "dealer"):
        hop, rate = times[f"hop/{pair}/real_time"], times[f"rate/{pair}/real_time"]
        figures += [
            Figure(f"hop over ipc, {pair}", [t / 1e6 for t in hop], "ms", at_most=1),
            Figure(f"messages over ipc, {pair}", [1e9 / t for t in rate], "/s"),
        ]
    return figures


def modules(rounds, quick):
    """Streams of a module without models: how soon, how many, and beside a sink that stands still."""
    clip = OUT / "clip"
    clip.mkdir(parents=True, exist_ok=True)
    if not any(clip.iterdir()):
        run(
            gst(
                f"{test_source(120)} ! x264enc tune=zerolatency key-int-max=30 bframes=0 "
                "! video/x-h264,stream-format=byte-stream,alignment=au,profile=main "
                f"! multifilesink location={clip}/%05d.h264"
            )
        )
    command = [sys.executable, ROOT / "bench/module_runs.py", clip, 600 if quick else 6000, rounds]
    done = subprocess.run([str(c) for c in command], stdout=subprocess.PIPE)
    if done.returncode:
        raise Missing("bench/module_runs.py has failed")
    figures = json.loads(done.stdout)
    return [
        Figure("modules: first result of a new stream", figures["first"], "ms", at_most=150),
        Figure("modules: frames of one stream", figures["one"], "/s"),
        Figure("modules: frames of 32 streams together", figures["many"], "/s"),
        Figure("modules: time beside a sink that stands still", figures["stalled"], at_most=1.02),
    ]


def live(rounds, quick):
    """Live sources in one process, without decoding: memory and CPU."""
    existing(BUILD / "tests/rtsp_server", f"./run build {BUILD.name}")
    cameras = 64
    figures = []
    for _ in range(rounds):
        command = [sys.executable, ROOT / "bench/live_sources.py", BUILD, "--json", "--cameras", cameras]
        command += ["--seconds", 5 if quick else 20]
        done = subprocess.run([str(c) for c in command], stdout=subprocess.PIPE)
        if done.returncode:
            raise Missing("bench/live_sources.py has failed")
        figures.append(json.loads(done.stdout))
    return [
        Figure(f"{cameras} live sources: memory", [f["megabytes"] for f in figures], "MB", at_most=300),
        Figure(f"{cameras} live sources: a core", [100 * f["cores"] for f in figures], "%"),
    ]


def counters(name, rounds, quick, *options):
    """Case → counter → a value per round, of a benchmark program whose counters are its result."""
    cases = {}
    for case in cases_of(name, rounds, quick, *options):
        values = cases.setdefault(case["name"].split("/")[0], {})
        for counter, value in case.items():
            if isinstance(value, (int, float)):
                values.setdefault(counter, []).append(value)
    return cases


def json_sink(rounds, quick):
    case = counters("stores", rounds, quick, "--benchmark_filter=json_file")["json_file"]
    return [
        Figure("json_file sink: records of ten objects, per core", case["items_per_second"], "/s", at_least=50_000)
    ]


def beside_client(sink, client, case):
    return [
        Figure(f"{sink} sink: CPU per record / {client}, same records", case["ratio"], at_most=1.25),
        Figure(f"{sink} sink: CPU per record / {client}, ready-made bytes", case["ratio_ready"]),
        Figure(f"{sink} sink: CPU per record", case["sink_us"], "µs"),
        Figure(f"{client}: CPU per record, same records", case["bare_us"], "µs"),
        Figure(f"{client}: CPU per record, ready-made bytes", case["ready_us"], "µs"),
    ]


def stores(rounds, quick):
    cases = counters("stores", rounds, quick, "--benchmark_filter=elasticsearch|mongodb")
    return [
        *beside_client("elasticsearch", "libcurl", cases["elasticsearch"]),
        *beside_client("mongodb", "libmongoc", cases["mongodb"]),
    ]


def kafka(rounds, quick):
    cases = cases_of("kafka_sink", rounds, quick)
    forms = {}
    for case in cases:
        values = forms.setdefault(case["name"].split("/")[1], {})
        for counter in ("ratio", "ratio_ready", "sink_us", "bare_us", "ready_us"):
            values.setdefault(counter, []).append(case[counter])
    return [
        figure
        for form, values in forms.items()
        for figure in beside_client(f"kafka ({form})", "librdkafka", values)
    ]


def outbox(rounds, quick):
    figures = []
    for sink, case in counters("outbox", rounds, quick).items():
        more = lambda ratios: [100 * (ratio - 1) for ratio in ratios]
        each = lambda counter: [a - b for a, b in zip(case[counter], case["memory_us"])]
        figures += [
            Figure(f"outbox: adds to {sink}, by default", more(case["ratio_default"]), "% CPU", at_most=20),
            Figure(f"outbox: adds to {sink}, durable", more(case["ratio"]), "% CPU", at_most=20),
            Figure(f"outbox: adds to {sink}, durable, per record", each("outbox_us"), "µs"),
            Figure(f"outbox: {sink}, durable / memory, records per second",
                   [a / b for a, b in zip(case["outbox_per_s"], case["memory_per_s"])]),
        ]
    return figures


def file_source(rounds, quick):
    """Videos of a high and a low rate of bits: with the first demuxing has something to do."""
    data = os.environ.get("SIGHTGLASS_TEST_DATA") or ROOT.parent / "shared/data"
    existing(data, "the test data")
    os.environ["SIGHTGLASS_TEST_DATA"] = str(data)
    figures = []
    for name, video in {"8 Mbit/s": high_rate_clip(), "a small file": None}.items():
        if video:
            os.environ["SIGHTGLASS_BENCH_VIDEO"] = str(video)
        else:
            os.environ.pop("SIGHTGLASS_BENCH_VIDEO", None)
        times = nanoseconds("file_source", rounds, quick)
        packets, source = times["packets_of_ffmpeg"], times["file_source"]
        figures.append(
            Figure(
                f"file source / demuxing alone, {name}",
                [a / b for a, b in zip(packets, source)],
                at_least=0.95,
            )
        )
    return figures


def high_rate_clip():
    """10 s of 1080p25 at 8 Mbit/s, as cameras record it."""
    clip = OUT / "8mbit.mp4"
    if not clip.exists():
        part = clip.with_suffix(".part")
        run(
            gst(
                "videotestsrc num-buffers=250 pattern=snow ! video/x-raw,width=1920,height=1080,framerate=25/1 "
                "! x264enc bitrate=8000 vbv-buf-capacity=1000 speed-preset=ultrafast key-int-max=50 bframes=0 "
                f"! h264parse ! mp4mux ! filesink location={part}"
            )
        )
        part.rename(clip)
    return clip


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


# ---- batches, and what is ours

NO_QUEUES = " ".join(
    f"{stage}-queue-size=-1" for stage in ("preprocess", "process", "postprocess", "aggregate", "postaggregate")
)


def null_models():
    """Models of the null engine: ten boxes in every picture, one of three classes."""
    OUT.mkdir(parents=True, exist_ok=True)
    ten, three = OUT / "ten.null", OUT / "three.null"
    ten.write_text("input data float32 ?x3x64x96\noutput boxes boxes 10\n")
    three.write_text("input data float32 ?x3x32x24\noutput prob classes 3 1\n")
    head = "sightglass_model: 1\nname: {}\ntask: {}\ninput:\n  - {{layer: data, size: [{}], color: bgr}}\noutput:\n"
    ten.with_suffix(".sightglass.yaml").write_text(
        head.format("ten", "detect", "96, 64")
        + "  - {decoder: detection, layer: boxes, labels: [person, car, bike], threshold: 0.5}\n"
    )
    three.with_suffix(".sightglass.yaml").write_text(
        head.format("three", "classify", "24, 32")
        + "  - {decoder: label, layer: prob, attribute: mood, method: max, labels: [glad, calm, sad]}\n"
    )
    return ten, three


def with_null_engine(text):
    return ["env", f"SIGHTGLASS_PLUGIN_PATH={program('libnull_engine.so')}", *gst(text)]


def test_source(frames, size="320x240"):
    width, height = size.split("x")
    return (
        f"videotestsrc pattern=solid-color num-buffers={frames} "
        f"! video/x-raw,width={width},height={height},format=I420"
    )


def in_turn(ways, rounds, frames, few=20):
    """Way → CPU microseconds per frame, a value per round."""
    cpu = {way: [] for way in ways}
    for _ in range(rounds):
        for way, command in ways.items():
            cpu[way].append(per_frame(command, frames, few).cpu * 1e6)
    return cpu


def batching(rounds, quick):
    data = os.environ.get("SIGHTGLASS_TEST_DATA") or ROOT.parent / "shared/data"
    model = existing(Path(data, "models/osnet_x0_25_msmt17.onnx"), "see SIGHTGLASS_TEST_DATA")
    ten, _ = null_models()
    frames = 80 if quick else 800
    infer = f"video_inference model={model} model-instance-id=a batch-size=4 attach-tensor-data=false"
    stream = lambda n: f"{test_source(n)} ! {infer} ! fakesink"
    regions = lambda n: (
        f"{test_source(n)} ! object_detect model={ten} ! video_inference model={model} "
        "inference-region=roi-list batch-size=10 attach-tensor-data=false ! fakesink"
    )
    alone = lambda n, batch: [program("engine_alone"), model, CORES, n, batch]
    shared = in_turn(
        {
            "four": lambda n: gst(" ".join(stream(n // 4) for _ in range(4))),
            "one": lambda n: gst(stream(n)),
        },
        rounds,
        frames,
    )
    by_region = {"regions": [], "engine": []}
    for _ in range(rounds):
        used = per_frame(lambda n: with_null_engine(regions(n)), frames // 10, 8).cpu
        done = subprocess.run([str(c) for c in alone(frames, 10)], stdout=subprocess.PIPE, check=True)
        by_region["regions"].append(used * 1e6)
        by_region["engine"].append(json.loads(done.stdout)["cpu_seconds"] * 1e7)
    ratio = lambda a, b: [x / y for x, y in zip(a, b)]
    return [
        Figure(
            "batching: CPU per frame, four streams / one", ratio(shared["four"], shared["one"]), at_most=1.05
        ),
        Figure(
            "batching: CPU per frame, ten regions / engine alone",
            ratio(by_region["regions"], by_region["engine"]),
            at_most=1.05,
        ),
        Figure("batching: CPU per frame, four streams", shared["four"], "µs"),
        Figure("batching: CPU per frame, ten regions", by_region["regions"], "µs"),
    ]


def overhead(rounds, quick):
    ten, three = null_models()
    frames = 100 if quick else 2000
    chain = lambda queues: (
        f"object_detect model={ten} {queues} ! object_track {queues} ! object_classify model={three} {queues} "
        "! gvametaconvert ! gvametapublish file-format=json-lines file-path=/dev/null"
    )
    null = in_turn(
        {
            "source": lambda n: gst(f"{test_source(n)} ! fakesink"),
            "queues": lambda n: with_null_engine(f"{test_source(n)} ! {chain('')} ! fakesink"),
            "none": lambda n: with_null_engine(f"{test_source(n)} ! {chain(NO_QUEUES)} ! fakesink"),
        },
        rounds,
        frames,
    )
    idle = ("rate_adjust", "object_track", "opencv_meta_overlay", "gvametaconvert")
    ten_of = lambda name: lambda n: gst(f"{test_source(n)} ! {f'{name} ! ' * 10} fakesink")
    alone = in_turn({name: ten_of(name) for name in ("identity", *idle)}, rounds, frames * 5)
    less = lambda a, b: [x - y for x, y in zip(a, b)]
    return [
        Figure("overhead: detect, track, classify, JSON", less(null["queues"], null["source"]), "µs", at_most=400),
        Figure("overhead: the same without queues", less(null["none"], null["source"]), "µs", at_most=150),
        *(
            Figure(
                f"overhead: {name} with nothing to do, over identity",
                [v / 10 for v in less(alone[name], alone["identity"])],
                "µs",
                at_most=1,
            )
            for name in idle
        ),
    ]


BENCHMARKS = {
    "centernet": lambda rounds, quick: whole_path(centernet(), rounds, quick),
    "yolox": lambda rounds, quick: whole_path(yolox(), rounds, quick),
    "video_to_tensor": video_to_tensor,
    "memory": memory,
    "map": map_,
    "ffmpeg": ffmpeg,
    "python": python,
    "flow": flow,
    "batching": batching,
    "overhead": overhead,
    "stream": stream,
    "modules": modules,
    "live": live,
    "json_sink": json_sink,
    "stores": stores,
    "kafka": kafka,
    "outbox": outbox,
    "file_source": file_source,
    "runtimes": runtimes,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("filter", nargs="?", default="")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    rounds, chosen = 1 if arguments.quick else arguments.rounds, [
        n for n in BENCHMARKS if re.search(arguments.filter, n)
    ]
    if not chosen:
        sys.exit(f"no benchmark matches '{arguments.filter}'; there are: {' '.join(BENCHMARKS)}")
    OUT.mkdir(parents=True, exist_ok=True)
    print(f"{'':<66} {'median':>9} {'':<10} {'target':<8} {'':<7} spread of {rounds}")
    missing = missed = 0
    for name in chosen:
        try:
            figures = BENCHMARKS[name](rounds, arguments.quick)
        except Missing as reason:
            print(f"{name}: not measured: {reason}")
            missing += 1
            continue
        for figure in figures:
            print(figure.line(), flush=True)
        missed += sum(f.verdict == "MISSED" for f in figures)
        (OUT / f"{name}.json").write_text(
            json.dumps(
                {
                    "cores": CORES,
                    "rounds": rounds,
                    "quick": arguments.quick,
                    "figures": [f.record() for f in figures],
                },
                indent=1,
                ensure_ascii=False,
            )
            + "\n"
        )
    if missed:
        print(f"{missed} target{'s' if missed > 1 else ''} missed")
    # A quick run says nothing about speed.
    sys.exit(1 if missing or missed and not arguments.quick else 0)


if __name__ == "__main__":
    main()
