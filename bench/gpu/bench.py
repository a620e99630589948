#!/usr/bin/env python3
"""The GPU tests and the GPU benchmark, on a machine with an NVIDIA GPU and an unpacked runtime (see pack, enter, ort).

    bench.py test     ROOT [CLIP CLIP_444]         the tests that need a GPU; with clips also pipelines and programs
    bench.py bench    ROOT MODELS CLIPS [PART...]  one table; CLIPS: folder with clip.mp4 and clip_hevc.mp4
    bench.py stand-in BUILD MODELS CLIP [PART...]  the same programs on the CPU, small: that they work, not how fast

Parts, each with a time limit of its own, after which what is known is shown:

    speed    decoder alone, model alone and both, in turn in one process, medians of RUNS (5): of the slower part,
             and the processor's time beyond the decoder's own; also HEVC
    copies   bytes between device and host by the ledger, per frame
    latency  8 streams at 30 frames/s: p50 and p99 from when a frame is due; then the most streams without a drop
    cpu      32 streams at 30 frames/s: the processor's time beyond that of the decoder alone at the same rate
    devices  streams on all devices against those on one, where there are several
    churn    1,000 streams that come and go: memory of the device per stream
    memory   128 streams at once: the most memory of the device
    threads  the processor's time with and without the queues between the stages of the bin
    kernels  video_to_tensor: share of what a copy on the device reaches
    overlay  opencv_meta_overlay on frames in CUDA memory: time, and bytes that go to the device
    torch    PyTorch with CUDA graphs and channels-last against ONNX Runtime, where PyTorch has CUDA

Environment: RUNS; STREAMS (8); LIMIT, a factor for the time limits.
"""

import json
import os
import selectors
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

HERE = Path(__file__).resolve().parent
RUNS = int(os.environ.get("RUNS", "5"))
STREAMS = int(os.environ.get("STREAMS", "8"))
FACTOR = float(os.environ.get("LIMIT", "1"))
MIB = 1 << 20


@dataclass
class Bench:
    """Where programs, models and clips are, and how much of everything is done."""

    root: Path | None  # of the unpacked runtime; None: the programs run as they are
    build: str
    folders: str = ""
    clips: list[Path] = field(default_factory=list)
    plan: list[tuple[str, str, int]] = field(default_factory=list)  # element, model, batch
    options: list[str] = field(default_factory=list)  # of gpu_streams
    device: str = "CUDA:0"
    devices: int = 2  # of the stand-in
    streams: int = STREAMS
    runs: int = RUNS
    seconds: float = 4
    churn: tuple[int, int] = (1000, 32)
    peak: int = 128
    live_seconds: float = 10
    live_streams: int = 32
    most_live: int = 1024
    rows: list[tuple[str, str, str]] = field(default_factory=list)

    def row(self, part: str, what: str, found: str) -> None:
        self.rows.append((part, what, found))
        print(f"{part:<8} {what}: {found}", flush=True)

    def chain(self, element: str, model: str, batch: int, setting: str = "") -> str:
        tracker = " ! object_track" if element == "object_detect" else ""
        return f"{element} model={model} device={self.device} batch-size={batch} nireq=4 model-instance-id=bench{setting}{tracker}"


def command_line(bench: Bench, command: list[str]) -> tuple[list[str], dict[str, str]]:
    command = [part.replace("BUILD", bench.build) for part in command]
    if bench.root is None:
        return command, dict(os.environ)
    settings = [
        "ORT_DISABLE_TELEMETRY=1",
        "SIGHTGLASS_ONNXRUNTIME=" + os.environ.get("ORT_DIR", "/tmp/ort") + "/libonnxruntime.so.1",
        "SIGHTGLASS_TEST_MODELS=/opt/models",
        f"GST_PLUGIN_PATH={bench.build}/gstreamer-1.0:/usr/lib/x86_64-linux-gnu/gstreamer-1.0",
        "GST_REGISTRY=/tmp/gst-registry.bin",
        "HOME=/tmp",
    ]
    line = ["bash", str(HERE / "enter"), str(bench.root), "/usr/bin/env", *settings, *command]
    return line, {**os.environ, "HOST_DIRS": bench.folders}


def enter(bench: Bench, *command: str, timeout: float = 300) -> subprocess.CompletedProcess:
    line, environment = command_line(bench, list(command))
    try:
        return subprocess.run(line, capture_output=True, text=True, timeout=timeout, env=environment)
    except subprocess.TimeoutExpired as late:
        return subprocess.CompletedProcess(line, 124, str(late.stdout or ""), f"not done after {timeout} s")


def lines_of(bench: Bench, *command: str, limit: float):
    """The JSON objects that a program prints, as they come, until it ends or the time is over."""
    line, environment = command_line(bench, list(command))
    until = time.monotonic() + limit * FACTOR
    process = subprocess.Popen(line, stdout=subprocess.PIPE, env=environment)
    rest = b""
    try:
        with selectors.DefaultSelector() as ready:
            ready.register(process.stdout, selectors.EVENT_READ)
            while (left := until - time.monotonic()) > 0:
                if not ready.select(left):
                    break
                block = os.read(process.stdout.fileno(), 1 << 16)
                if not block:
                    process.wait(10)
                    if process.returncode:
                        print(f"exit code {process.returncode}: {' '.join(command)}", flush=True)
                    return
                *whole, rest = (rest + block).split(b"\n")
                for text in whole:
                    if text.startswith(b"{"):
                        yield json.loads(text)
        print(f"stopped after {limit * FACTOR:.0f} s: {' '.join(command)}", flush=True)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        process.stdout.close()


def streams_program(bench: Bench, verb: str, clip: Path, elements: str, limit: float, **options):
    words = [word for name, value in options.items() for word in ("--" + name.replace("_", "-"), str(value))]
    return lines_of(
        bench, "BUILD/bench/gpu_streams", verb, "--clip", str(clip), "--elements", elements, *words, *bench.options, limit=limit
    )


def devices_here() -> int:
    return len(list(Path("/dev").glob("nvidia[0-9]*")))


def median(values: list[float]) -> float:
    return statistics.median(values) if values else 0.0


# ---- the parts


def speed(bench: Bench) -> None:
    for number, clip in enumerate(bench.clips):
        for element, model, batch in bench.plan if number == 0 else bench.plan[:1]:
            name = f"{Path(model).stem}, batch {batch}, {clip.stem}"
            seen: dict[str, list[dict]] = {"decode": [], "model": [], "both": []}
            for found in streams_program(
                bench, "turn", clip, bench.chain(element, model, batch), 30 + bench.runs * 12 * bench.seconds,
                streams=bench.streams, rounds=bench.runs, seconds=bench.seconds,
            ):  # fmt: skip
                print("        ", json.dumps({k: v for k, v in found.items() if k != "copied"}), flush=True)
                if found["part"] in seen and found["failed"] == 0:
                    seen[found["part"]].append(found)
            fps = {part: median([one["fps"] for one in list_]) for part, list_ in seen.items()}
            cpu = {part: median([one["cpu_ms_per_100"] for one in list_]) for part, list_ in seen.items()}
            rounds = min(len(list_) for list_ in seen.values())
            for part in seen:
                bench.row("speed", f"{name}: {part}", f"{fps[part]:.0f} frames/s, {cpu[part]:.1f} ms of CPU per 100 frames")
            slower = min(fps["decode"], fps["model"])
            if slower > 0:
                bench.row("speed", f"{name}: of the slower part (≥ 0.95)", f"{fps['both'] / slower:.3f} in {rounds} rounds")
            bench.row("speed", f"{name}: CPU beyond the decoder (≤ 2)", f"{cpu['both'] - cpu['decode']:.1f} ms per 100 frames")


def direction(hop: str) -> str:
    if hop.endswith("to the device"):
        return "host→device"
    if hop.endswith("results to the CPU"):
        return "results to the host"
    if hop.endswith("on the device"):
        return "within the device"
    return "within the host" if hop.endswith(" input") else "device→host"


def copies(bench: Bench) -> None:
    element, model, batch = bench.plan[-1]
    for found in streams_program(
        bench, "peak", bench.clips[0], bench.chain(element, model, batch), 90, streams=bench.streams, seconds=bench.seconds
    ):
        sums = {"device→host": 0, "host→device": 0, "results to the host": 0, "within the device": 0, "within the host": 0}
        for hop, size in found["copied"].items():
            sums[direction(hop)] += size
            print("        ", hop, size, flush=True)
        for name, size in sums.items():
            bench.row("copies", f"{Path(model).stem}: {name}", f"{size / max(found['frames'], 1):.0f} bytes per frame")


def latency(bench: Bench) -> None:
    for element, model, batch in bench.plan:
        name = f"{Path(model).stem}, batch {batch}"
        first = best = None
        too_many = 0
        for found in streams_program(
            bench, "live", bench.clips[0], bench.chain(element, model, batch), 300,
            streams=bench.streams, seconds=bench.live_seconds, most=bench.most_live,
        ):  # fmt: skip
            print("        ", json.dumps(found), flush=True)
            first = first or found
            if not found["sustained"]:
                too_many = min(too_many or found["streams"], found["streams"])
            elif not best or found["streams"] > best["streams"]:
                best = found
        if not first or first["failed"]:
            bench.row("latency", name, "no answer")
            continue
        bench.row(
            "latency", f"{name}: {first['streams']} streams at 30 frames/s",
            f"p50 {first['p50_ms']:.1f} ms, p99 {first['p99_ms']:.1f} ms, {first['dropped']} dropped, {first['cores']:.2f} cores",
        )  # fmt: skip
        text = f"{best['streams']}, p50 {best['p50_ms']:.1f} ms, p99 {best['p99_ms']:.1f} ms" if best else "none"
        bench.row("latency", f"{name}: streams without a drop", text + (f"; {too_many} are too many" if too_many else "; more not tried"))


def cpu(bench: Bench) -> None:
    """At their full speed decoders wait for nothing, beside a model they do: so both at the same rate."""

    def at_rate(chain: str) -> float | None:
        for found in streams_program(
            bench, "live", bench.clips[0], chain, 60 + bench.live_seconds * 3,
            streams=bench.live_streams, seconds=bench.live_seconds,
        ):  # fmt: skip
            print("        ", json.dumps(found), flush=True)
            return found["cpu_ms_per_100"] if found["failed"] == 0 and found["dropped"] == 0 else None
        return None

    for element, model, batch in bench.plan:
        decoder, both = [], []
        for _ in range(min(bench.runs, 3)):
            decoder.append(at_rate(""))
            both.append(at_rate(bench.chain(element, model, batch)))
        text = "no answer: streams failed or dropped frames"
        if None not in decoder + both:
            text = (
                f"{median(both) - median(decoder):.1f} ms per 100 frames beyond the decoder's {median(decoder):.1f} (≤ 2)"
            )
        bench.row("cpu", f"{Path(model).stem}, batch {batch}, {bench.live_streams} streams at 30 frames/s", text)


def devices(bench: Bench) -> None:
    """Twice the streams on two devices, each decoded on the one that it is for."""
    there = devices_here() if bench.root else bench.devices
    if there < 2:
        bench.row("devices", "several", f"skipped: there is {there}")
        return
    element, model, batch = bench.plan[0]
    fps = {}
    for number in (1, there):
        on = replace(bench, device="CUDA:*") if bench.root and number > 1 else bench
        both, samples = [], {}
        for found in streams_program(
            bench, "turn", bench.clips[0], on.chain(element, model, batch), 60 + bench.runs * 12 * bench.seconds,
            streams=bench.streams * number, rounds=bench.runs, seconds=bench.seconds, devices=number,
        ):  # fmt: skip
            print("        ", json.dumps({k: v for k, v in found.items() if k != "copied"}), flush=True)
            if found["part"] == "both" and found["failed"] == 0:
                both.append(found["fps"])
            samples = found.get("by_device", samples)
        fps[number] = median(both)
        text = f"{fps[number]:.0f} frames/s in {len(both)} rounds"
        if samples:
            text += ", samples " + ", ".join(f"{device} {count}" for device, count in samples.items())
        bench.row("devices", f"{Path(model).stem}, batch {batch}, {bench.streams * number} streams on {number}", text)
    if fps[1] > 0:
        bench.row("devices", f"{there} against one", f"{fps[there] / fps[1]:.2f}")


def churn(bench: Bench) -> None:
    element, model, batch = bench.plan[-1]
    streams, at_once = bench.churn
    points, failed, seconds = [], 0, 0.0
    for found in streams_program(
        bench, "churn", bench.clips[0], bench.chain(element, model, batch), 300, streams=streams, at_once=at_once, frames=30
    ):
        failed, seconds = found["failed"], found["seconds"]
        if found["ended"] % (at_once * 5) == 0:
            print("        ", json.dumps(found), flush=True)
        if "at_rest" not in found:
            points.append((found["ended"], found["memory"]))
    # What the first ones leave behind is used again.
    late = [point for point in points if point[0] >= min(4 * at_once, streams // 4)]
    ended = points[-1][0] if points else 0
    slope = "not known"
    if len(late) >= 3:
        fit = statistics.linear_regression([x for x, _ in late], [y for _, y in late])
        slope = f"{fit.slope / 1024:+.1f} KiB per stream"
    bench.row("churn", f"{ended} of {streams} streams, {at_once} at once", f"{slope}, {failed} failed, {seconds:.0f} s")


def memory(bench: Bench) -> None:
    element, model, batch = bench.plan[-1]
    for found in streams_program(
        bench, "peak", bench.clips[0], bench.chain(element, model, batch), 180, streams=bench.peak, seconds=5, warm=10
    ):
        per_stream = (found["most"] - found["with_model"]) / bench.peak
        bench.row(
            "memory", f"{bench.peak} streams with {Path(model).stem}",
            f"{found['most'] / MIB:.0f} MiB at most: {found['before'] / MIB:.0f} before, {found['with_model'] / MIB:.0f} with the "
            f"model, {per_stream / MIB:.1f} per stream; {found['fps']:.0f} frames/s, {found['failed']} failed",
        )  # fmt: skip


def threads(bench: Bench) -> None:
    element, model, batch = bench.plan[-1]
    ways = {
        "as it is": "",
        "a queue in front of the bin": f" preprocess-queue-size={batch + 2}",
        "a queue in front of the model as well": f" preprocess-queue-size={batch + 2} process-queue-size={batch + 2}",
    }
    for name, setting in ways.items():
        for found in streams_program(
            bench, "peak", bench.clips[0], bench.chain(element, model, batch, setting), 60,
            streams=bench.streams, seconds=bench.seconds,
        ):  # fmt: skip
            bench.row("threads", f"{Path(model).stem}: {name}", f"{found['cpu_ms_per_100']:.1f} ms of CPU per 100 frames, {found['fps']:.0f} frames/s")


def micro(bench: Bench, program: str) -> dict[str, dict] | None:
    """What a program of benchmarks measured, by name and first argument; none: a row says why."""
    try:
        done = enter(bench, f"BUILD/bench/{program}", "--benchmark_format=json", timeout=120 * FACTOR)
    except FileNotFoundError:
        bench.row("kernels", program, "skipped: the benchmark is not built")
        return None
    try:
        return {"/".join(one["name"].split("/")[:-1]): one for one in json.loads(done.stdout)["benchmarks"]}
    except (ValueError, KeyError, IndexError):
        bench.row("kernels", program, f"not measured: {(done.stderr or done.stdout).strip()[-200:]}")
        return None


def kernels(bench: Bench) -> None:
    found = micro(bench, "video_to_tensor_cuda") or {}
    copy = next((one.get("GB_per_s", 0) for name, one in found.items() if name.startswith("copy_on_device")), 0)
    for name, one in found.items():
        if "us_per_launch" in one:
            share = f", {one['GB_per_s'] / copy:.2f} of a copy" if copy else ""
            bench.row("kernels", name, f"{one['us_per_launch'] * 1e6:.0f} µs, {one['GB_per_s']:.0f} GB/s{share}")
        elif "error_message" in one:
            bench.row("kernels", name, f"not measured: {one['error_message']}")
    for name, one in (micro(bench, "decoders_cuda") or {}).items():
        if "real_time" in one and "objects" in one:
            bench.row("kernels", name, f"{one['real_time']:.0f} µs per frame, {one['cpu_time']:.0f} µs of CPU")
        elif "error_message" in one:
            bench.row("kernels", name, f"not measured: {one['error_message']}")


def overlay(bench: Bench) -> None:
    try:
        done = enter(bench, "BUILD/bench/opencv_meta_overlay_cuda", "--benchmark_format=json", timeout=120 * FACTOR)
        found = json.loads(done.stdout)["benchmarks"]
    except FileNotFoundError:
        bench.row("overlay", "on the device", "skipped: the benchmark is not built")
        return
    except (ValueError, KeyError):
        bench.row("overlay", "on the device", f"not measured: {(done.stderr or done.stdout).strip()[-200:]}")
        return
    for one in found:
        objects = one["name"].split("/")[1]
        if "us_per_frame" in one:
            bench.row("overlay", f"{objects} objects, 1080p NV12", f"{one['us_per_frame'] * 1e6:.0f} µs and {one['bytes_per_frame'] / 1024:.1f} KiB per frame")
        else:
            bench.row("overlay", f"{objects} objects", f"not measured: {one.get('error_message', '')}")


def torch(bench: Bench) -> None:
    # By the machine's own Python: the runtime that is packed has none.
    for name in ["resnet50", "mobilenet_v3_large"]:
        done = subprocess.run(
            [sys.executable, str(HERE / "torch_model.py"), name, "8", str(bench.runs), str(bench.seconds)],
            capture_output=True, text=True, timeout=240 * FACTOR,
        )  # fmt: skip
        text = done.stdout.strip().splitlines()
        found = json.loads(text[-1]) if text and text[-1].startswith("{") else {"skipped": (done.stderr or "no answer").strip()[-200:]}
        if "skipped" in found:
            bench.row("torch", name, "skipped: " + found["skipped"])
            return
        mine = [row for row in bench.rows if row[1].startswith(f"{name}, batch 8") and row[1].endswith(": model")]
        other = f"; ONNX Runtime: {mine[0][2].split(',')[0]}" if mine else ""
        bench.row("torch", f"{name}, batch 8: PyTorch {found['version']}", f"{found['fps']:.0f} pictures/s{other}")


PARTS = {one.__name__: one for one in (speed, copies, latency, cpu, devices, churn, memory, threads, kernels, overlay, torch)}


def run_parts(bench: Bench, wanted: list[str]) -> int:
    unknown = [name for name in wanted if name not in PARTS]
    if unknown:
        print(f"unknown part {unknown[0]}; there are: {', '.join(PARTS)}", file=sys.stderr)
        return 2
    for name in wanted or PARTS:
        try:
            PARTS[name](bench)
        except (OSError, subprocess.SubprocessError, KeyError, ValueError) as error:
            bench.row(name, "failed", f"{type(error).__name__}: {str(error)[:300]}")
    print(f"\n{bench.streams} streams, {bench.device}\n\n| part | what | |\n|---|---|---|")
    for row in bench.rows:
        print("| " + " | ".join(row) + " |")
    return int(any(what == "failed" for _, what, _ in bench.rows))


def on_gpu(root: Path, models: Path, clips: Path, wanted: list[str]) -> int:
    bench = Bench(
        root=root,
        build=(root / "opt/build").read_text().strip(),
        folders=f"{models} {clips}",
        clips=[clip for clip in (clips / "clip.mp4", clips / "clip_hevc.mp4") if clip.exists()],
        plan=[
            ("video_inference", str(models / "resnet50.onnx"), 8),
            ("video_inference", str(models / "mobilenet_v3_large.onnx"), 8),
            ("object_detect", "/opt/models/yolox_nano.onnx", 1),
        ],
    )
    return run_parts(bench, wanted)


def stand_in(build: str, models: Path, clip: Path, wanted: list[str]) -> int:
    bench = Bench(
        root=None, build=build, clips=[clip], plan=[("video_inference", str(models / "mood_batch.onnx"), 8)],
        options=["--cpu", "--warm", "0.1", "--rate", "10"], device="CPU", streams=2, runs=2, seconds=0.3, churn=(12, 3), peak=4,
        live_seconds=1, most_live=4, live_streams=2,
    )  # fmt: skip
    code = run_parts(bench, wanted)
    found = {part for part, _, text in bench.rows if not text.startswith(("0 frames/s", "no answer", "not known"))}
    missing = [name for name in wanted or ["speed", "copies", "latency", "cpu", "devices", "churn", "memory", "threads"] if name not in found]
    for name in missing:
        print(f"nothing was measured by {name}", flush=True)
    empty = [what for _, what, text in bench.rows if text.startswith(("0 frames/s", "no answer", "not known"))]
    for what in empty:
        print(f"without a number: {what}", flush=True)
    return code or int(bool(missing or empty))


def main() -> int:
    match sys.argv[1:]:
        case ["test", root, *clip]:
            import gpu_tests

            return gpu_tests.run(Bench(Path(root), (Path(root) / "opt/build").read_text().strip()), clip)
        case ["bench", root, models, clips, *parts]:
            return on_gpu(Path(root), Path(models), Path(clips), parts)
        case ["stand-in", build, models, clip, *parts]:
            return stand_in(build, Path(models), Path(clip), parts)
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
