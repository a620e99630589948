"""Streams: messages over sockets, modules, sources and sinks."""

import json
import os
import subprocess
import sys

from measure import (
    BUILD,
    OUT,
    ROOT,
    Figure,
    Missing,
    cases_of,
    counters,
    existing,
    gst,
    nanoseconds,
    run,
    test_source,
)


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
    """Videos of a high and a low rate of bits: with the first demuxing has something to do. Both sides read the
    same packets with the same demuxer from a file that is open already; demuxing alone makes a packet for each and
    frees it before the next, the source a message, which is let go of before the next. FFmpeg as it comes looks
    into each packet for what MP4 has said of it, which the source spares; the second figure is against packets
    that are read without that as well."""
    figures = []
    for kbit in (8000, 4000, 2000, 1000, 100):
        os.environ["SIGHTGLASS_BENCH_VIDEO"] = str(clip_of(kbit))
        times = nanoseconds("file_source", rounds, quick)
        ratios = lambda packets: [a / b for a, b in zip(times[packets], times["file_source"])]
        name = f"file source / demuxing alone, {kbit / 1000:g} Mbit/s"
        figures += [
            Figure(name, ratios("packets_of_ffmpeg"), at_least=0.95),
            Figure(f"{name}, unparsed", ratios("packets_unparsed")),
        ]
    return figures


def clip_of(kbit):
    """20 s of 25 pictures/s, as cameras record it: 1080p, or 240p below 1 Mbit/s. Noise, so that it has that rate."""
    clip = OUT / f"{kbit}kbit.mp4"
    if not clip.exists():
        part = clip.with_suffix(".part")
        size = "width=1920,height=1080" if kbit >= 1000 else "width=320,height=240"
        run(
            gst(
                f"videotestsrc num-buffers=500 pattern={'snow' if kbit >= 1000 else 'ball'} ! "
                f"video/x-raw,{size},framerate=25/1 "
                f"! x264enc bitrate={kbit} vbv-buf-capacity=1000 speed-preset=ultrafast key-int-max=50 bframes=0 "
                f"! h264parse ! mp4mux ! filesink location={part}"
            )
        )
        part.rename(clip)
    return clip
