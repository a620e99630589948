"""The tests that need a GPU; see bench.py, which starts them."""

import json
import re
import shutil
from pathlib import Path

from bench import Bench, enter


def run(bench: Bench, clips: list[str]) -> int:
    failed = 0
    if clips:
        clip, clip_444 = (Path(one) for one in clips)
        failed = agreement(bench, clip) + modules(bench, clip, clip_444) + program(bench, clip)
    for name, only in [
        ("cuda_memory_test", "*"),
        ("video_to_tensor_test", "*Cuda*:*KeepsToTheMemory*"),
        ("device_boxes_test", "*"),
        ("opencv_meta_overlay_cuda_test", "*OnCuda*"),
        ("engine_test", "OnnxCuda*"),
    ]:
        done = enter(bench, f"BUILD/tests/{name}", f"--gtest_filter={only}")
        passed = re.search(r"^\[  PASSED  \] ([1-9]\d*) test", done.stdout, re.MULTILINE)  # what is skipped has not
        failed += done.returncode != 0 or not passed
        print(f"== {name}: exit {done.returncode}, {passed[1] if passed else 'nothing'} passed")
        print((done.stdout + done.stderr)[-5000:], flush=True)
    return failed


def detections(bench: Bench, clip: Path, decoder: str, detector: str) -> list[list[dict]]:
    """What a detector finds in the first second of the clip, by frame."""
    out = bench.root / "tmp/found.jsonl"
    out.unlink(missing_ok=True)
    text = (
        f"filesrc location={clip} ! qtdemux ! h264parse ! identity eos-after=31 ! {decoder} ! {detector} ! "
        "metaconvert ! metapublish file-path=/tmp/found.jsonl file-format=json-lines ! fakesink sync=false"
    )
    done = enter(bench, "/usr/bin/gst-launch-1.0", "-q", *text.split())
    lines = out.read_text().splitlines() if out.exists() else []
    if done.returncode != 0 or not lines:
        print(f"exit {done.returncode}: {text}\n", done.stdout[-2000:], done.stderr[-2000:])
    return [json.loads(line).get("objects", []) for line in lines]


def overlap(a: dict, b: dict) -> float:
    width = min(a["x_max"], b["x_max"]) - max(a["x_min"], b["x_min"])
    height = min(a["y_max"], b["y_max"]) - max(a["y_min"], b["y_min"])
    if width <= 0 or height <= 0:
        return 0
    area = lambda box: (box["x_max"] - box["x_min"]) * (box["y_max"] - box["y_min"])
    return width * height / (area(a) + area(b) - width * height)


def agreement(bench: Bench, clip: Path) -> int:
    """The whole path on the GPU finds what the CPU finds in the same pictures."""
    bench.folders = str(clip.parent)
    model = "object_detect model=/opt/models/yolox_nano.onnx"
    cuda = "nvh264dec ! video/x-raw(memory:CUDAMemory)"
    reference = detections(bench, clip, "nvh264dec ! cudadownload ! video/x-raw", model)
    failed = 0
    for what, decoder, detector in [
        ("decoder and model on the GPU", cuda, f"{model} device=CUDA:0"),
        ("frames in CUDA memory, model on the CPU", cuda, f"{model} device=CPU"),
        ("frames in system memory, model on the GPU", "nvh264dec ! cudadownload ! video/x-raw", f"{model} device=CUDA:0"),
        ("device=AUTO", cuda, f"{model} device=AUTO"),
    ]:
        found = detections(bench, clip, decoder, detector)
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


MODULE = """version: 1
name: gpu
models:
  objects: {path: /opt/models/yolox_nano.onnx, device: DEVICE}
pipeline:
  elements:
    - {name: objects, type: detector, model: objects}
    - {name: tracks, type: tracker}
"""


def modules(bench: Bench, clip: Path, clip_444: Path) -> int:
    """A module decodes on the device, in software what that cannot, and goes on beside a stream that is damaged."""
    tmp = bench.root / "tmp/module"
    shutil.rmtree(tmp, ignore_errors=True)
    tmp.mkdir(parents=True)
    (tmp / "gpu.yml").write_text(MODULE.replace("DEVICE", bench.device))
    start = clip.read_bytes()
    damaged = bytearray(start)
    for at in range(len(start) // 3, len(start) // 3 + 2_000_000, 50_000):  # within what is coded
        damaged[at : at + 500] = bytes(500)
    (tmp / "damaged.mp4").write_bytes(damaged)
    done = enter(
        bench, "BUILD/bin/sightglass", "run", "/tmp/module/gpu.yml", "--output", "/tmp/module/out",
        "--input", str(clip), str(clip_444), "/tmp/module/damaged.mp4", timeout=120,
    )  # fmt: skip
    text = done.stdout + done.stderr
    try:
        sources = json.loads((tmp / "out/summary.json").read_text())["sources"]
    except (OSError, ValueError, KeyError):
        sources = {}
    found = {name: sources.get(name, {}) for name in (clip.stem, clip_444.stem, "damaged")}
    frames = {name: one.get("frames", 0) for name, one in found.items()}
    on_device = not bench.device.startswith("CPU")
    fell_back = [line for line in text.splitlines() if "nvh264dec" in line and "avdec_h264" in line]
    good = {
        "a stream": frames[clip.stem] >= 2400 and found[clip.stem]["objects"] > 2400 and not found[clip.stem]["lost"],
        "4:4:4 in software": frames[clip_444.stem] >= 90 and bool(fell_back) == on_device,
        "a damaged stream alone": frames["damaged"] > 500,
    }
    for what, is_good in good.items():
        print(f"== module, {what}: {'ok' if is_good else 'FAILED'}, frames {frames}", flush=True)
    if not all(good.values()):
        print(f"exit {done.returncode}\n{text[-4000:]}", flush=True)
    return sum(not is_good for is_good in good.values())


PROGRAM = """
import sys
sys.path.insert(0, "BUILD/python")
import sightglass as sg
frames = objects = 0
for frame in sg.Flow("ffmpeg_multi_source inputs=CLIP ! object_detect model=/opt/models/yolox_nano.onnx device=DEVICE"):
    frames, objects = frames + 1, objects + len(frame.regions)
    if frames == 60:
        break
print(frames, objects)
"""


def program(bench: Bench, clip: Path) -> int:
    """A Python program, whose frames come from system memory."""
    text = PROGRAM.replace("BUILD", bench.build).replace("CLIP", str(clip)).replace("DEVICE", bench.device)
    done = enter(bench, "/usr/bin/python3.13", "-c", text, timeout=120)
    found = [int(word) for word in done.stdout.split()[-2:] if word.isdigit()]
    good = done.returncode == 0 and len(found) == 2 and found[0] == 60 and found[1] >= 300
    print(f"== Python program: exit {done.returncode}, {done.stdout.strip()[-100:]}: {'ok' if good else 'FAILED'}", flush=True)
    if not good:
        print(done.stderr[-2000:])
    return int(not good)
