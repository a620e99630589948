#!/usr/bin/env python3
"""What modules cost, measured in this process; bench/run.py starts it and reads the JSON that it prints.

    module_runs.py CLIP_FOLDER FRAMES ROUNDS

CLIP_FOLDER has the access units of a video, one file each. There are no models: what is measured is the module.
"""

import json
import sys
import threading
import time
from pathlib import Path

import sightglass as sg

PATIENCE = 120


def describe(name, sinks=()):
    return {
        "name": name,
        "http": {"bind": "off"},
        "streams": {"idle_timeout": "never"},
        "pipeline": {"sinks": list(sinks)},
    }


class Results:
    def __init__(self, module):
        self.changed = threading.Condition()
        self.counts, self.times = {}, {}
        module.subscribe(self.take)

    def take(self, record):
        if record.kind != "frame":
            return
        with self.changed:
            self.times.setdefault(record.source_id, time.perf_counter())
            self.counts[record.source_id] = self.counts.get(record.source_id, 0) + 1
            self.changed.notify_all()

    def wait(self, source, count):
        with self.changed:
            if not self.changed.wait_for(lambda: self.counts.get(source, 0) >= count, PATIENCE):
                raise SystemExit(f"{source}: {self.counts.get(source, 0)} of {count} results")


def first_results(units, rounds):
    """ms from pushing the first keyframe of a new stream to its record, on an idle module."""
    times = []
    with sg.Module(describe("first")) as module:
        results = Results(module)
        for n in range(rounds + 1):
            source, begin = f"cam-{n}", time.perf_counter()
            for i, unit in enumerate(units[:3]):
                module.push(source, unit, codec="h264", pts=i * 40_000_000)
            results.wait(source, 1)
            times.append((results.times[source] - begin) * 1e3)
            module.end_stream(source)
    return times[1:]  # the first loads plug-ins


def push_all(module, sources, units, frames):
    """One thread per stream, as fast as the module takes them; seconds until the last result."""
    results = Results(module)

    def feed(source):
        for i in range(frames):
            module.push(source, units[i % len(units)], codec="h264", pts=i * 40_000_000)
        module.end_stream(source)

    begin = time.perf_counter()
    threads = [threading.Thread(target=feed, args=(source,)) for source in sources]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for source in sources:
        results.wait(source, frames)
    return time.perf_counter() - begin


def many_streams(units, frames, rounds):
    """Frames per second of one stream, and of 32 together."""
    one, many = [], []
    for _ in range(rounds):
        with sg.Module(describe("one")) as module:
            one.append(frames / push_all(module, ["cam"], units, frames))
        with sg.Module(describe("many")) as module:
            share = max(frames // 32, 10)
            many.append(32 * share / push_all(module, [f"cam-{n}" for n in range(32)], units, share))
    return one, many


def stalled_sink(units, frames, rounds):
    """Seconds for the same frames, beside a sink that nobody reads over one that stores; a ratio per round."""
    nobody = {"name": "next", "type": "zeromq", "url": "push+connect:ipc:///tmp/sightglass-bench-nobody",
              "queue": {"policy": "drop_oldest", "records": 64}}
    ratios = []
    for _ in range(rounds):
        seconds = {}
        for name, sinks in (("well", []), ("stalled", [nobody])):
            module = sg.Module(describe(name, sinks))
            module.start()
            seconds[name] = push_all(module, ["cam-0", "cam-1"], units, frames)
            module.shutdown(now=True)
        ratios.append(seconds["stalled"] / seconds["well"])
    return ratios


def main():
    folder, frames, rounds = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    units = [file.read_bytes() for file in sorted(folder.iterdir())]
    one, many = many_streams(units, frames, rounds)
    print(json.dumps({"first": first_results(units, max(rounds, 5)), "one": one, "many": many,
                      "stalled": stalled_sink(units, frames, rounds)}))


if __name__ == "__main__":
    main()
