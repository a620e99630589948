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
    file_source        a video file as fast as possible against reading its packets with FFmpeg alone, both opened before;
                       and against packets that FFmpeg does not look into, as the source reads MP4
    runtimes           CPU per frame of the demo's elements in GStreamer, in the flow runtime, in Python

Needs the build with benchmarks (preset release), fetched models, and for YOLOX-Nano the test data. What is
missing is reported as such and left out.
"""

import argparse
import json
import re
import sys

import batches
import pictures
import streams
from measure import CORES, OUT, Missing

BENCHMARKS = {
    "centernet": lambda rounds, quick: pictures.whole_path(pictures.centernet(), rounds, quick),
    "yolox": lambda rounds, quick: pictures.whole_path(pictures.yolox(), rounds, quick),
    "video_to_tensor": pictures.video_to_tensor,
    "memory": pictures.memory,
    "map": pictures.map_,
    "ffmpeg": pictures.ffmpeg,
    "python": pictures.python,
    "flow": pictures.flow,
    "batching": batches.batching,
    "overhead": batches.overhead,
    "stream": streams.stream,
    "modules": streams.modules,
    "live": streams.live,
    "json_sink": streams.json_sink,
    "stores": streams.stores,
    "kafka": streams.kafka,
    "outbox": streams.outbox,
    "file_source": streams.file_source,
    "runtimes": pictures.runtimes,
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
