#!/usr/bin/env python3
"""The GPU tests and the GPU benchmark, on a machine with an NVIDIA GPU and an unpacked runtime (see pack, enter, ort).

    bench.py test  ROOT [CLIP]                the tests that need a GPU; with a clip also whole pipelines
    bench.py bench ROOT MODELS CLIP [STREAMS] one table: decoder alone, model alone, both together
"""
import json
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent


def enter(root: Path, *command: str, folders: str = "", timeout: int = 300) -> subprocess.CompletedProcess:
    build = (root / "opt/build").read_text().strip()
    settings = [
        "ORT_DISABLE_TELEMETRY=1",
        "SIGHTGLASS_ONNXRUNTIME=" + os.environ.get("ORT_DIR", "/tmp/ort") + "/libonnxruntime.so.1",
        "SIGHTGLASS_TEST_MODELS=/opt/models",
        f"GST_PLUGIN_PATH={build}/gstreamer-1.0:/usr/lib/x86_64-linux-gnu/gstreamer-1.0",
        "GST_REGISTRY=/tmp/gst-registry.bin",
        "HOME=/tmp",
    ]
    line = ["bash", str(HERE / "enter"), str(root), "/usr/bin/env", *settings, *(part.replace("BUILD", build) for part in command)]
    environment = {**os.environ, "HOST_DIRS": folders}
    try:
        return subprocess.run(line, capture_output=True, text=True, timeout=timeout, env=environment)
    except subprocess.TimeoutExpired as late:
        return subprocess.CompletedProcess(line, 124, str(late.stdout or ""), f"not done after {timeout} s")


def test(root: Path, clip: Path | None) -> int:
    failed = agreement(root, clip) if clip else 0
    for name, only in [
        ("cuda_memory_test", "*"),
        ("video_to_tensor_test", "*Cuda*:*KeepsToTheMemory*"),
        ("device_boxes_test", "*"),
        ("engine_test", "OnnxCuda*"),
    ]:
        done = enter(root, f"BUILD/tests/{name}", f"--gtest_filter={only}")
        failed += done.returncode != 0
        print(f"== {name}: exit {done.returncode}")
        print((done.stdout + done.stderr)[-5000:], flush=True)
    return failed


def detections(root: Path, clip: Path, decoder: str, detector: str) -> list[list[dict]]:
    """What a detector finds in the first second of the clip, by frame."""
    out = root / "tmp/found.jsonl"
    out.unlink(missing_ok=True)
    text = (
        f"filesrc location={clip} ! qtdemux ! h264parse ! identity eos-after=31 ! {decoder} ! {detector} ! "
        "metaconvert ! metapublish file-path=/tmp/found.jsonl file-format=json-lines ! fakesink sync=false"
    )
    done = enter(root, "/usr/bin/gst-launch-1.0", "-q", *text.split(), folders=str(clip.parent))
    if not out.exists():
        print(text, done.stdout[-2000:], done.stderr[-2000:])
        return []
    return [json.loads(line).get("objects", []) for line in out.read_text().splitlines()]


def overlap(a: dict, b: dict) -> float:
    width = min(a["x_max"], b["x_max"]) - max(a["x_min"], b["x_min"])
    height = min(a["y_max"], b["y_max"]) - max(a["y_min"], b["y_min"])
    if width <= 0 or height <= 0:
        return 0
    area = lambda box: (box["x_max"] - box["x_min"]) * (box["y_max"] - box["y_min"])
    return width * height / (area(a) + area(b) - width * height)


def agreement(root: Path, clip: Path) -> int:
    """The whole path on the GPU finds what the CPU finds in the same pictures."""
    model = "object_detect model=/opt/models/yolox_nano.onnx"
    cuda = "nvh264dec ! video/x-raw(memory:CUDAMemory)"
    reference = detections(root, clip, "nvh264dec ! cudadownload ! video/x-raw", model)
    failed = 0
    for what, decoder, detector in [
        ("decoder and model on the GPU", cuda, f"{model} device=CUDA:0"),
        ("frames in CUDA memory, model on the CPU", cuda, f"{model} device=CPU"),
        ("frames in system memory, model on the GPU", "nvh264dec ! cudadownload ! video/x-raw", f"{model} device=CUDA:0"),
        ("device=AUTO", cuda, f"{model} device=AUTO"),
    ]:
        found = detections(root, clip, decoder, detector)
        wanted = matched = 0
        for mine, theirs in zip(found, reference):
            boxes = [item["detection"]["bounding_box"] for item in mine]
            for item in theirs:
                if item["detection"]["confidence"] < 0.4:  # others come and go with the last digit
                    continue
                wanted += 1
                matched += any(overlap(item["detection"]["bounding_box"], box) > 0.9 for box in boxes)
        good = len(found) == len(reference) > 0 and wanted > 0 and matched >= 0.98 * wanted
        failed += not good
        print(f"== {what}: {len(found)} of {len(reference)} frames, {matched} of {wanted} objects: {'ok' if good else 'FAILED'}", flush=True)
    return failed


def numbers(done: subprocess.CompletedProcess) -> dict:
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if done.stderr:
        print(done.stderr[-1500:], file=sys.stderr)
    return json.loads(lines[-1]) if lines else {"fps": 0, "failed": 1, "cpu_ms_per_100": 0, "copied": {}}


def bench(root: Path, models: Path, clip: Path, streams: str) -> None:
    folders = f"{models} {clip.parent}"
    runs = int(os.environ.get("RUNS", "3"))

    def median(*command: str) -> dict:
        found = sorted((numbers(enter(root, *command, folders=folders)) for _ in range(runs)), key=lambda n: n["fps"])
        return found[len(found) // 2]

    program = "BUILD/bench/gpu_streams"
    rows = []
    decode = median(program, "run", str(clip), streams)
    rows.append(("decode alone", "", decode, None))
    print(rows[-1], flush=True)
    plan = [(str(models / f"{name}.onnx"), "8", "video_inference") for name in ["resnet50", "mobilenet_v3_large"]]
    plan.append(("/opt/models/yolox_nano.onnx", "1", "object_detect"))
    for model, batch, element in plan:
        name = Path(model).stem
        alone = median(program, "model", model, batch, "4")
        rows.append((f"{name} alone", batch, alone, None))
        print(rows[-1], flush=True)
        text = f"{element} model={model} device=CUDA:0 batch-size={batch} nireq=4"
        whole = median(program, "run", str(clip), streams, text)
        limit = min(decode["fps"], alone["fps"]) or 1
        rows.append((f"decode + {name}", batch, whole, whole["fps"] / limit))
        print(rows[-1], flush=True)
    print(f"\n| what ({streams} streams, 1080p H.264) | batch | frames/s | of the slower part | CPU ms per 100 frames |")
    print("|---|---|---|---|---|")
    for what, batch, found, ratio in rows:
        part = f"{ratio:.2f}" if ratio is not None else ""
        print(f"| {what} | {batch} | {found['fps']:.0f} | {part} | {found['cpu_ms_per_100']:.1f} |")
    print("\nbytes copied, by the ledger, of the last: ", json.dumps(rows[-1][2]["copied"]))
    kernels = enter(root, "BUILD/bench/video_to_tensor_cuda", "--benchmark_counters_tabular=true")
    print("\n".join(line for line in kernels.stdout.splitlines() if "preprocess" in line or "GB_per_s" in line))
    decoders = enter(root, "BUILD/bench/decoders_cuda")
    print("\n".join(line for line in decoders.stdout.splitlines() if "yolo" in line or "CPU" in line))


def main() -> int:
    verb, root = sys.argv[1], Path(sys.argv[2])
    if verb == "test":
        return test(root, Path(sys.argv[3]) if len(sys.argv) > 3 else None)
    bench(root, Path(sys.argv[3]), Path(sys.argv[4]), sys.argv[5] if len(sys.argv) > 5 else "8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
