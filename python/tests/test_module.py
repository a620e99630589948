"""Modules in a Python program."""

import io
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

import sightglass as sg

Image = pytest.importorskip("PIL.Image", reason="PIL is not installed")


def jpeg(shade):
    picture = io.BytesIO()
    Image.new("RGB", (96, 64), (shade, shade, shade)).save(picture, "JPEG")
    return picture.getvalue()


class Records:
    def __init__(self, module):
        self.all = []
        self.changed = threading.Condition()
        module.subscribe(self.add)

    def add(self, record):
        with self.changed:
            self.all.append(record)
            self.changed.notify_all()

    def frames(self, count):
        """Waits for that many."""
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.now()) >= count, timeout=60), self.all
            return self.now()

    def now(self):
        return [r for r in self.all if r.kind == "frame"]


FUNCTION = """
import sightglass

class Shade(sightglass.Function):
    def __init__(self, follows=""):
        # It reads the parameter `limit`; naming it in `args` tells the module that it is used.
        pass

    def start(self, info):
        self.limit = info.parameters.get("limit", 0)
        self.source = info.source_id

    def apply(self, parameters):
        self.limit = parameters["limit"]

    def process(self, frame):
        if frame.image.mean() < self.limit:
            return False
        frame.objects.append(sightglass.Region((0.25, 0.25, 0.5, 0.5), "picture"))
        frame.add(sightglass.Attribute("source", self.source))
"""


def describe(tmp_path, **more):
    (tmp_path / "shade.py").write_text(FUNCTION)
    return {
        "name": "test",
        "http": {"bind": "off"},
        "storage": {"state": str(tmp_path / "state")},
        "parameters": {"limit": {"type": "float", "default": 0.0, "min": 0.0, "max": 255.0}},
        "pipeline": {
            "elements": [
                {
                    "name": "shade",
                    "type": "pyfunc",
                    "budget": "1s",
                    "function": {
                        "language": "python",
                        "path": str(tmp_path / "shade.py"),
                        "symbol": "Shade",
                        "args": {"follows": "${parameters.limit}"},
                    },
                }
            ],
            **more,
        },
    }


def test_importing_the_package_does_not_load_gstreamer():
    text = "import sightglass; print('libgstreamer' in open('/proc/self/maps').read())"
    assert subprocess.run([sys.executable, "-c", text], capture_output=True, text=True).stdout.strip() == "False"


def test_streams_come_and_go(tmp_path):
    module = sg.Module(describe(tmp_path))
    records = Records(module)
    with module:
        assert module.status()["state"] == "ready" and module.ready
        sent = {name: [module.push(name, jpeg(s)) for s in (50, 100, 150)] for name in ("cam-1", "cam-2")}
        for name in sent:
            module.end_stream(name)
        frames = records.frames(6)
    for name, uuids in sent.items():
        mine = [r for r in frames if r.source_id == name]
        assert [r.uuid for r in mine] == uuids
        assert [r.results.regions[0].label for r in mine] == ["picture"] * 3
        assert mine[0].results.regions[0].model == "shade"
        assert [a.value for a in mine[0].results.attributes if a.name == "source"] == [name]
    assert any(r.kind == "end_of_stream" for r in records.all)


def test_parameters_reach_functions_between_two_frames(tmp_path):
    module = sg.Module(describe(tmp_path))
    records = Records(module)
    with module:
        module.push("cam-1", jpeg(50))
        records.frames(1)
        module.set_parameters({"limit": 100})
        assert module.parameter("limit") == 100
        with pytest.raises(sg.Error):
            module.set_parameters({"limit": 1000})
        module.push("cam-1", jpeg(50))
        bright = module.push("cam-1", jpeg(200))
        assert records.frames(2)[1].uuid == bright


def interrupt_soon():
    """Ctrl-C in a moment, once the main thread waits."""
    timer = threading.Timer(0.5, lambda: os.kill(os.getpid(), signal.SIGINT))
    timer.start()
    return timer


def test_ctrl_c_is_heard_where_it_waits(tmp_path):
    module = sg.Module(describe(tmp_path, source={"type": "zeromq", "url": f"router+bind:ipc://{tmp_path}/in"}))
    module.start()
    interrupt_soon()
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        module.wait_for_sources()
    assert time.monotonic() - began < 20
    module.shutdown(now=True)


def test_what_was_not_taken_leaves_no_gap(tmp_path):
    module = sg.Module(describe(tmp_path))
    records = Records(module)
    with module:
        with pytest.raises(ValueError, match="width and height"):
            module.push("cam-1", b"nothing", codec="raw", keyframe=True)
        for shade in (50, 100, 150):
            module.push("cam-1", jpeg(shade), timeout=1e18)
        module.end_stream("cam-1", timeout=float("nan"))
        assert [r.seq for r in records.frames(3)] == [0, 1, 2]


def test_mistakes_in_the_description_are_told(tmp_path):
    description = describe(tmp_path)
    description["pipeline"]["elements"][0]["budgett"] = "1s"
    with pytest.raises(sg.Error, match="budget"):
        sg.Module(description)
