#!/usr/bin/env python3
"""The demo `module`, as it is, on a tiny model and a short clip: one of its four streams fails and comes back, the
others do not notice.

    SIGHTGLASS_TEST_MODELS=… SIGHTGLASS_TEST_INPUTS=… demo_test.py PROGRAM
"""

import json
import os
import shutil
import subprocess
import sys
import unittest

import module_program_test as base
from module_program_test import MODELS, ROOT, VIDEO

DEMO = ROOT / "samples" / "demo"


class Demo(base.Modules):
    def setUp(self):
        super().setUp()
        # As run.sh starts it, but for the model, which is a download.
        text = (DEMO / "module.yml").read_text()
        self.assertIn("{path: centernet}", text)
        (self.folder / "module.yml").write_text(text.replace("{path: centernet}", f"{{path: {MODELS / 'det.onnx'}}}"))
        shutil.copy(DEMO / "fault.py", self.folder)
        self.out = self.folder / "results"

    def lines(self, name):
        files = sorted(self.out.glob(f"{name}-*.jsonl"))  # with the time, since they are rotated
        return [json.loads(line) for path in files for line in path.read_text().splitlines()]

    def test_one_stream_fails_and_comes_back_and_the_others_lose_nothing(self):
        text = self.run_program(
            "run", "module.yml", SIGHTGLASS_PARAM_CLIP=str(VIDEO), SIGHTGLASS_PARAM_RESULTS=str(self.out)
        )
        for n in range(3):
            records = [line for line in self.lines(f"street-{n}") if line["schema"] == "sightglass.frame/1"]
            self.assertEqual([record["seq"] for record in records], list(range(200)), text)
            self.assertEqual({record["epoch"] for record in records}, {1}, "one life, undisturbed")
        broken = self.lines("broken-0")
        states = [line.get("state", "").lower() for line in broken]
        self.assertIn("quarantined", states, text)
        epochs = {line["epoch"] for line in broken if line["schema"] == "sightglass.frame/1"}
        self.assertGreater(len(epochs), 1, "it has come back")
        self.assertIn("the demo's fault", text)

    def test_run_sh_names_the_demos(self):
        refused = subprocess.run(
            [DEMO / "run.sh", "no-such-demo"],
            capture_output=True,
            text=True,
            env={**os.environ, "SIGHTGLASS_ROOT": str(ROOT)},
        )
        self.assertEqual(refused.returncode, 2)
        self.assertIn("street, faces, module", refused.stderr)


if __name__ == "__main__":
    if len(sys.argv) > 1 and not sys.argv[1].startswith("-"):
        base.PROGRAM = sys.argv.pop(1)
    unittest.main(verbosity=2)
