#!/usr/bin/env python3
"""samples/adapters in a module, as docs/write-an-adapter.md says: plug-ins in C++, processes in Python.

    SIGHTGLASS_TEST_MODELS=… SIGHTGLASS_TEST_INPUTS=… SIGHTGLASS_TEST_PLUGINS=… own_adapters_test.py PROGRAM
"""

import json
import os
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

PROGRAM = "sightglass"
SAMPLES = Path(__file__).resolve().parents[2] / "samples" / "adapters"
INPUTS = Path(os.environ.get("SIGHTGLASS_TEST_INPUTS", "."))
MODELS = Path(os.environ.get("SIGHTGLASS_TEST_MODELS", "."))
PLUGINS = os.environ.get("SIGHTGLASS_TEST_PLUGINS", "")
PYTHON = os.environ.get("SIGHTGLASS_TEST_PYTHON", "")
FRAMES = 60  # of v.mp4
PATIENCE = 120


class OwnAdapters(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="sightglass-own-")
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        (self.folder / "lux").write_text("31.5\n")

    def module(self, source, sinks):
        path = self.folder / "module.yml"
        path.write_text(f"""
version: 1
name: own
http: {{bind: "off"}}
pipeline:
  source: {source}
  sinks:
{sinks}
    - {{name: results, type: json_file, folder: results, rotate_records: 0, rotate_bytes: 0, rotate_time: 0s, required: true}}
""")
        return path

    def run_it(self, *arguments, code=0, plugins=PLUGINS, **more):
        environment = {**os.environ, "XDG_STATE_HOME": str(self.folder / "state"), "SIGHTGLASS_PLUGIN_PATH": plugins,
                       **more}
        done = subprocess.run([PROGRAM, *map(str, arguments)], cwd=self.folder, env=environment, timeout=PATIENCE,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True)
        self.assertEqual(done.returncode, code, done.stderr)
        return done.stdout + done.stderr

    def records(self, source_id):
        lines = (self.folder / "results" / f"{source_id}.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines]

    def test_plug_ins_are_types_of_a_module_like_any_other(self):
        path = self.module(f"{{type: lux, location: {INPUTS / 'v.mp4'}, source_id: cam-1, sensor: lux}}",
                           "    - {name: counts, type: counts, path: counts.csv, required: true}")
        self.assertIn("lux", self.run_it("validate", path, code=2, plugins=""))  # unknown without
        self.run_it("validate", path)
        self.assertIn("sensr", self.run_it("validate", self.misspelt(path), code=2))
        self.run_until(path, lambda: len(self.records("cam-1")) == FRAMES)
        for record in self.records("cam-1"):
            self.assertIn(("sensor", "lux", 31.5),
                          [(each["model"], each["name"], each["value"]) for each in record["attributes"]])

    def test_the_sink_writes_its_own_schema(self):
        box = [10, 10, 20, 20]
        truth = {"frame": 3, "objects": [{"label": label, "box": box} for label in ("cup", "cat", "cup")]}
        (self.folder / "truth.jsonl").write_text(json.dumps(truth) + "\n")
        path = self.module(f"{{type: video_file, location: {INPUTS / 'v.mp4'}, source_id: cam-1, metadata: truth.jsonl}}",
                           "    - {name: counts, type: counts, path: counts.csv, required: true}")
        counts = self.folder / "counts.csv"
        self.run_until(path, lambda: len(self.records("cam-1")) == FRAMES and len(counts.read_text().splitlines()) == 2)
        rows = [line.split(",") for line in counts.read_text().splitlines()]
        self.assertEqual([row[3:] for row in rows], [["cat", "1"], ["cup", "2"]])
        with_objects = [record["uuid"] for record in self.records("cam-1") if record["objects"]]
        self.assertEqual([row[0] for row in rows], with_objects * 2)

    def misspelt(self, path):
        other = self.folder / "misspelt.yml"
        other.write_text(path.read_text().replace("sensor:", "sensr:"))
        return other

    # A module whose source has ended may have ended as well.
    def run_until(self, path, holds):
        log = open(self.folder / "log", "w")
        module = subprocess.Popen([PROGRAM, "run", path], cwd=self.folder, stdin=subprocess.DEVNULL, stderr=log,
                                  env={**os.environ, "SIGHTGLASS_PLUGIN_PATH": PLUGINS,
                                       "XDG_STATE_HOME": str(self.folder / "state")})
        log.close()
        self.addCleanup(lambda: (module.poll() is None and module.kill(), module.wait()))
        self.wait_for(holds, module)
        if module.poll() is None:
            module.terminate()
        self.assertEqual(module.wait(PATIENCE), 0, (self.folder / "log").read_text())

    def wait_for(self, holds, module):
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            has_ended = module.poll() is not None
            try:
                if holds():
                    return
            except (OSError, ValueError):
                pass
            self.assertFalse(has_ended, (self.folder / "log").read_text())
            time.sleep(0.05)
        self.fail("not in time")

    @unittest.skipUnless((Path(PYTHON) / "sightglass").is_dir() and list(Path(PYTHON).glob("sightglass/_stream*.so")),
                         "the Python package is not built")
    def test_processes_in_python_feed_a_module_and_take_its_records(self):
        pictures = self.folder / "pictures"
        pictures.mkdir()
        subprocess.run(["gst-launch-1.0", "-q", "videotestsrc", "num-buffers=10", "!", "video/x-raw,width=64,height=48",
                        "!", "jpegenc", "!", "multifilesink", f"location={pictures}/%03d.jpg"], check=True)
        address = f"ipc://{self.folder}/in"
        path = self.module(f'{{type: zeromq, url: "router+bind:{address}"}}',
                           f'    - {{name: next, type: zeromq, url: "dealer+connect:ipc://{self.folder}/out", required: true}}')
        environment = {**os.environ, "PYTHONPATH": PYTHON, "XDG_STATE_HOME": str(self.folder / "state")}
        module = subprocess.Popen([PROGRAM, "run", path], cwd=self.folder, stdin=subprocess.DEVNULL, env=environment,
                                  stderr=subprocess.DEVNULL)
        self.addCleanup(lambda: (module.poll() is None and module.kill(), module.wait()))
        sink = subprocess.Popen([sys.executable, SAMPLES / "counts_sink.py", f"router+bind:ipc://{self.folder}/out",
                                 self.folder / "counts.csv"], env=environment)
        self.addCleanup(lambda: (sink.poll() is None and sink.kill(), sink.wait()))
        source = subprocess.run([sys.executable, SAMPLES / "lux_source.py", pictures, self.folder / "lux", "cam-1",
                                 f"dealer+connect:{address}"], env=environment, timeout=PATIENCE, capture_output=True,
                                text=True)
        self.assertEqual(source.returncode, 0, source.stderr)
        self.assertIn("10 pictures", source.stderr)
        module.terminate()
        self.assertEqual(module.wait(PATIENCE), 0)
        sink.terminate()
        sink.wait(PATIENCE)
        records = self.records("cam-1")
        self.assertEqual(len(records), 10)
        self.assertEqual({each["value"] for record in records for each in record["attributes"]}, {31.5})


if __name__ == "__main__":
    PROGRAM = sys.argv.pop(1)
    unittest.main()
