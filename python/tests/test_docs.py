"""The examples of docs/python.md and the sample run as they are written."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(os.environ.get("SIGHTGLASS_ROOT", Path(__file__).parents[2]))
BLOCK = re.compile(r"^<!-- (\S+)(?: needs (\S+))? -->\n```python\n(.*?)^```", re.M | re.S)
EXAMPLES = {match[1]: (match[2], match[3]) for match in BLOCK.finditer((ROOT / "docs/python.md").read_text())}


@pytest.mark.parametrize("name", EXAMPLES)
def test_example(name, models, tmp_path, monkeypatch):
    needs, text = EXAMPLES[name]
    if needs:
        pytest.importorskip(needs, reason=f"{needs} is not installed")
    for model in models.iterdir():
        (tmp_path / model.name).symlink_to(model)
    monkeypatch.chdir(tmp_path)
    # In a process of its own: GStreamer and torch do not like to share one.
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr


def test_no_example_goes_untested():
    text = (ROOT / "docs/python.md").read_text()
    assert len(EXAMPLES) == text.count("```python") and len(EXAMPLES) >= 6


def test_detect_in_twenty_lines(data, tmp_path):
    script = ROOT / "samples/direct/detect.py"
    lines = [line for line in script.read_text().splitlines() if line.strip() and not line.startswith("#")]
    assert len(lines) <= 20
    video, out = data / "media/people.mp4", tmp_path / "out.mp4"
    short = tmp_path / "short.mp4"
    cut = ["gst-launch-1.0", "-q", "filesrc", f"location={video}", "!", "qtdemux", "!", "h264parse", "!"]
    cut += ["identity", "eos-after=24", "!", "mp4mux", "!", "filesink", f"location={short}"]
    subprocess.run(cut, check=True, capture_output=True)
    done = subprocess.run(
        [sys.executable, script, short, data / "models/yolox_nano.onnx", out, ROOT / "tests/accuracy/yolox_nano.yaml"],
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    if "sightglass._errors.Unavailable" in done.stderr:
        pytest.skip(done.stderr.strip().splitlines()[-1])
    assert done.returncode == 0, done.stderr
    counts = [int(line.split()[2]) for line in done.stdout.splitlines()]
    assert len(counts) >= 20 and min(counts) >= 5, done.stdout
    assert out.stat().st_size > 10000
