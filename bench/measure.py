"""What the benchmarks measure with: programs and their usage, pipelines, cases of Google Benchmark."""

import json
import os
import statistics
import subprocess
import tempfile
import time
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


@dataclass
class Usage:
    wall: float
    cpu: float
    rss: int  # kB, of the largest process


def run(command, **options):
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


def counters(name, rounds, quick, *options):
    """Case → counter → a value per round, of a benchmark program whose counters are its result."""
    cases = {}
    for case in cases_of(name, rounds, quick, *options):
        values = cases.setdefault(case["name"].split("/")[0], {})
        for counter, value in case.items():
            if isinstance(value, (int, float)):
                values.setdefault(counter, []).append(value)
    return cases


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
