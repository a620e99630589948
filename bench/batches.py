"""Batches, and what is ours: an engine that computes nothing, elements with nothing to do."""

import json
import os
import subprocess
from pathlib import Path

from measure import CORES, OUT, ROOT, Figure, existing, gst, in_turn, per_frame, program, test_source


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
