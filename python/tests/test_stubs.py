"""What type checkers see."""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import sightglass


def mypy(tmp_path, text):
    pytest.importorskip("mypy", reason="mypy is not installed")
    file = tmp_path / "example.py"
    file.write_text(textwrap.dedent(text))
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--cache-dir", str(tmp_path / "cache"), "--follow-imports=silent", str(file)],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + done.stderr


def test_the_package_is_typed():
    folder = Path(sightglass.__file__).parent
    assert (folder / "py.typed").exists()
    for module in ("_core", "_gst", "_module_runner", "_stream", "elements"):
        assert (folder / f"{module}.pyi").exists()


def test_a_typed_function_passes(tmp_path):
    found = mypy(
        tmp_path,
        """
        import sightglass as sg
        from sightglass.stream import Attribute, FrameSender, ResultReceiver

        class Report(sg.Function):
            pixels = False

            def __init__(self, line: float = 0.5) -> None:
                self.line = line

            def start(self, info: sg.StreamInfo) -> None:
                self.source: str = info.source_id

            def process(self, frame: sg.FunctionFrame) -> None:
                for obj in frame.objects:
                    if obj.box.bottom > self.line:
                        obj.add(sg.Attribute("zone", "front"))
                        frame.tags.add("crossing")

        def split(a: str, b: str) -> None:
            sender = FrameSender(b, name="middle")
            for result in ResultReceiver(a):
                labels: list[str] = [o.label for o in result.objects]
                uuid: str | None = sender.forward(result, attributes=[Attribute("a", "b", 1)])

        module = sg.Module({"name": "gate"})
        uuid: str = module.push("cam-1", b"")
        """,
    )
    assert "Success" in found, found


def test_a_typed_program_passes(tmp_path):
    found = mypy(
        tmp_path,
        """
        import numpy as np
        import sightglass as sg

        class Count(sg.TransformInplace):
            input = "BGR"
            seen: int = 0

            def process(self, frame: sg.Frame) -> None:
                self.seen += len(frame.regions)
                for region in frame.regions:
                    region.label = region.label.upper()
                    x: float = region.box.x

        frame = sg.Frame.from_numpy(np.zeros((4, 4, 3), np.uint8), "BGR", pts=None)
        element = sg.elements.video_to_tensor(width=8, height=8, resize="letterbox")
        tensors: list[sg.Frame] = element(frame)
        flow = sg.Flow("video_to_tensor")
        flow.add(Count())
        for made in flow:
            time: int | None = made.pts
        """,
    )
    assert "Success" in found, found


def test_mistakes_are_found(tmp_path):
    found = mypy(
        tmp_path,
        """
        import sightglass as sg

        sg.elements.video_to_tensor(widht=8)
        sg.elements.video_to_tensor(resize="shrink")
        sg.Region((0, 0, 1, 1), label=5)
        """,
    )
    assert "widht" in found and "shrink" in found and found.count("error:") >= 3, found
