"""The tests that need a GPU; see bench.py, which starts them."""

import json
import re
import shutil
import subprocess
from pathlib import Path

from bench import Bench, command_line, devices_here, enter


def run(bench: Bench, clips: list[str]) -> int:
    failed = 0
    if clips:
        clip, clip_444 = (Path(one) for one in clips)
        failed = agreement(bench, clip) + modules(bench, clip, clip_444) + program(bench, clip)
        failed += out_of_memory(bench, clip) + several_devices(bench, clip)
    for name, only in [
        ("cuda_memory_test", "*"),
        ("video_to_tensor_test", "*Cuda*:*KeepsToTheMemory*"),
        ("device_boxes_test", "*"),
        ("opencv_meta_overlay_cuda_test", "*OnCuda*"),
        ("engine_test", "OnnxCuda*"),
    ]:
        done = enter(bench, f"BUILD/tests/{name}", f"--gtest_filter={only}")
        # What is skipped has not passed; tests of death print such lines of their own.
        passed = re.findall(r"^\[  PASSED  \] (\d+) test", done.stdout, re.MULTILINE)[-1:] or ["0"]
        failed += done.returncode != 0 or passed == ["0"]
        print(f"== {name}: exit {done.returncode}, {passed[0]} passed")
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


def differs(what: str, found: list[list[dict]], reference: list[list[dict]]) -> bool:
    wanted = matched = 0
    for mine, theirs in zip(found, reference):
        boxes = [item["detection"]["bounding_box"] for item in mine]
        for item in theirs:
            if item["detection"]["confidence"] < 0.4:  # others come and go with the last digit
                continue
            wanted += 1
            matched += any(overlap(item["detection"]["bounding_box"], box) > 0.9 for box in boxes)
    good = len(found) == len(reference) > 0 and wanted > 0 and matched >= 0.98 * wanted
    print(f"== {what}: {len(found)} of {len(reference)} frames, {matched} of {wanted} objects: {'ok' if good else 'FAILED'}", flush=True)
    return not good


DETECTOR = "object_detect model=/opt/models/yolox_nano.onnx"
ON_DEVICE = "video/x-raw(memory:CUDAMemory)"


def agreement(bench: Bench, clip: Path) -> int:
    """The whole path on the GPU finds what the CPU finds in the same pictures; on the last of several as well."""
    bench.folders = str(clip.parent)
    downloaded = "nvh264dec ! cudadownload ! video/x-raw"
    reference = detections(bench, clip, downloaded, DETECTOR)
    failed = 0
    ways = [
        ("decoder and model on the GPU", f"nvh264dec ! {ON_DEVICE}", "CUDA:0"),
        ("frames in CUDA memory, model on the CPU", f"nvh264dec ! {ON_DEVICE}", "CPU"),
        ("frames in system memory, model on the GPU", downloaded, "CUDA:0"),
        ("device=AUTO", f"nvh264dec ! {ON_DEVICE}", "AUTO"),
    ]
    if (last := devices_here() - 1) > 0:
        ways += [
            ("decoder and model on the last GPU", f"nvh264device{last}dec ! {ON_DEVICE}", f"CUDA:{last}"),
            ("decoder on the last GPU, model on all", f"nvh264device{last}dec ! {ON_DEVICE}", "CUDA:*"),
            ("frames in system memory, model on the last GPU", downloaded, f"CUDA:{last}"),
        ]
    for what, decoder, device in ways:
        failed += differs(what, detections(bench, clip, decoder, f"{DETECTOR} device={device}"), reference)
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


HOLD = """
import ctypes, sys
cuda = ctypes.CDLL("libcuda.so.1")
context, free, total, address = ctypes.c_void_p(), ctypes.c_size_t(), ctypes.c_size_t(), ctypes.c_uint64()
def do(name, *arguments):
    code = getattr(cuda, name)(*arguments)
    if code != 0:
        sys.exit(f"{name}: {code}")
do("cuInit", 0)
do("cuDevicePrimaryCtxRetain", ctypes.byref(context), 0)
do("cuCtxSetCurrent", context)
do("cuMemGetInfo_v2", ctypes.byref(free), ctypes.byref(total))
do("cuMemAlloc_v2", ctypes.byref(address), ctypes.c_size_t(free.value - (int(sys.argv[1]) << 20)))
print("held", flush=True)
sys.stdin.read()
"""


def out_of_memory(bench: Bench, clip: Path) -> int:
    """With next to no memory of the device left a model fails in one line, and runs on the CPU with AUTO."""
    python = (bench.root / "opt/python").read_text().strip()
    reference = detections(bench, clip, "avdec_h264", f"{DETECTOR} device=CPU")
    text = f"filesrc location={clip} ! qtdemux ! h264parse ! identity eos-after=31 ! avdec_h264 ! {DETECTOR} device=CUDA:0 ! fakesink"
    failed = 0
    for left in (100, 1000):  # MiB: too little for a context; enough for one, but hardly for a model
        line, environment = command_line(bench, [python, "-c", HOLD, str(left)])
        with subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment) as holder:
            is_held = holder.stdout.readline().strip() == "held"
            done = enter(bench, "/usr/bin/gst-launch-1.0", "-q", *text.split(), timeout=120)
            auto = detections(bench, clip, "avdec_h264", f"{DETECTOR} device=AUTO")
            holder.stdin.close()
        errors = [one for one in done.stderr.splitlines() if one.startswith("ERROR: from element")]
        is_told = done.returncode in (1, 255) and len(errors) == 1 and "memory" in errors[0]  # of a crash it is another
        good = is_held and (is_told or (left > 100 and done.returncode == 0))
        print(f"== {left} MiB left: exit {done.returncode}, {errors}: {'ok' if good else 'FAILED'}", flush=True)
        if not good:
            print(done.stderr[-3000:], flush=True)
        failed += (not good) + differs(f"{left} MiB left, device=AUTO", auto, reference)
    return failed


def several_devices(bench: Bench, clip: Path) -> int:
    """Streams of a module are decoded and inferred on all devices; with the model on the last one, there."""
    count = devices_here()
    if count < 2:
        print("== several devices: skipped, there is one", flush=True)
        return 0
    tmp = bench.root / "tmp/several"
    shutil.rmtree(tmp, ignore_errors=True)
    tmp.mkdir(parents=True)
    streams = 2 * count
    for number in range(streams):
        (tmp / f"cam{number}.mp4").symlink_to(clip)
    inputs = [f"/tmp/several/cam{number}.mp4" for number in range(streams)]
    failed = 0
    for device in ("CUDA:*", f"CUDA:{count - 1}"):
        (tmp / "gpu.yml").write_text(MODULE.replace("DEVICE", device))
        done = enter(
            bench, "BUILD/bin/sightglass", "run", "/tmp/several/gpu.yml", "--output", "/tmp/several/out",
            "--input", *inputs, timeout=120,
        )  # fmt: skip
        try:
            summary = json.loads((tmp / "out/summary.json").read_text())
            frames = [one["frames"] for one in summary["sources"].values()]
            samples = summary["models"]["objects"].get("samples_by_device", {})
        except (OSError, ValueError, KeyError):
            frames, samples = [], {}
        good = len(frames) == streams and min(frames) >= 2400 and not re.search("avdec_h264|another CUDA", done.stderr)
        if device == "CUDA:*":
            share = sum(frames) / count
            good = good and len(samples) == count and all(abs(one - share) <= 0.01 * share for one in samples.values())
        failed += not good
        print(f"== module on {device}: {'ok' if good else 'FAILED'}, frames {frames}, samples {samples}", flush=True)
        if not good:
            print(f"exit {done.returncode}\n{(done.stdout + done.stderr)[-4000:]}", flush=True)
        shutil.rmtree(tmp / "out", ignore_errors=True)
    return failed


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
    done = enter(bench, (bench.root / "opt/python").read_text().strip(), "-c", text, timeout=120)
    found = [int(word) for word in done.stdout.split()[-2:] if word.isdigit()]
    good = done.returncode == 0 and len(found) == 2 and found[0] == 60 and found[1] >= 300
    print(f"== Python program: exit {done.returncode}, {done.stdout.strip()[-100:]}: {'ok' if good else 'FAILED'}", flush=True)
    if not good:
        print(done.stderr[-2000:])
    return int(not good)
