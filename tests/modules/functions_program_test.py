#!/usr/bin/env python3
"""Functions of the user's own in modules as a user runs them: a module file, real frames, both languages.

    SIGHTGLASS_TEST_MODELS=… SIGHTGLASS_TEST_INPUTS=… SIGHTGLASS_TEST_FUNCTIONS=… functions_program_test.py PROGRAM
"""

import json
import os
import sys
import textwrap
import unittest
from pathlib import Path

import module_program_test as base
from module_program_test import FRAMES, MODELS, VIDEO

CPP = os.environ.get("SIGHTGLASS_TEST_FUNCTIONS", "")


class Functions(base.Modules):
    def function(self, name, code):
        path = self.folder / name
        path.write_text("import numpy\nimport sightglass\n\n" + textwrap.dedent(code))
        return path

    def run_file(self, elements="", more="", development=False, code=0):
        path = self.module(source="", elements=elements, more=more, http=False)
        self.out = self.folder / f"out-{len(list(self.folder.glob('out-*')))}"
        text = self.run_program("run", path, "--input", VIDEO, "--output", self.out, code=code)
        return text, [
            record
            for record in map(json.loads, (self.out / "v.jsonl").read_text().splitlines())
            if record["schema"] == "sightglass.frame/1"
        ]

    MOOD = f"""    - {{{{name: feels, type: attribute_model, model: {{{{path: {MODELS / "mood.onnx"}}}}},
       select: {{{{label: person}}}}, preprocess: [{{0}}]}}}}
"""

    def moods(self, records):
        found = set()
        for record in records:
            for item in record["objects"]:
                if item["detection"]["label"] == "person":
                    found.update(a["label"] for a in item.get("attributes", []) if a["name"] == "mood")
        return found

    def tagged(self, records, tag):
        return sum(tag in record.get("tags", []) for record in records)


class Prepare(Functions):
    def mood(self, function):
        return self.MOOD.format(function)

    def test_prepare_changes_what_the_model_sees(self):
        self.function("look.py", """
            class Look(sightglass.Function):
                def __init__(self, how="give"):
                    self.how = how

                def start(self, info):
                    self.source = info.source_id

                def prepare(self, image, obj):
                    assert obj.label == "person" and image.dtype == numpy.uint8 and image.shape[2] == 3
                    swapped = image[:, :, ::-1].copy()
                    if self.how == "give":
                        return swapped
                    image[:] = swapped
        """)
        _, plain = self.run_file(self.MOOD.format("").replace(", preprocess: []", ""))
        self.assertEqual(self.moods(plain), {"glad"})
        for isolation in ("process", "inline"):
            for how in ("give", "change"):
                with self.subTest(isolation=isolation, how=how):
                    _, records = self.run_file(self.mood(
                        f"{{path: look.py, symbol: Look, isolation: {isolation}, args: {{how: {how}}}}}"))
                    self.assertEqual(len(records), FRAMES)
                    self.assertEqual(self.moods(records), {"sad"})
                    self.assertEqual(self.tagged(records, "error.feels"), 0)

    def test_bad_results_are_errors_of_the_frame(self):
        self.function("bad.py", """
            def small(image, obj):
                return image[:-1]

            def floats(image, obj):
                return image.astype(numpy.float32)

            def text(image, obj):
                return "a picture"

            def throws(image, obj):
                raise ValueError("not today")
        """)
        for symbol in ("small", "floats", "text", "throws"):
            with self.subTest(symbol):
                _, records = self.run_file(self.mood(f"{{path: bad.py, symbol: {symbol}}}"))
                self.assertEqual(len(records), FRAMES)
                self.assertEqual(self.moods(records), set())
                people = sum(any(o["detection"]["label"] == "person" for o in record["objects"]) for record in records)
                self.assertGreater(people, 0)
                self.assertEqual(self.tagged(records, "error.feels"), people)

    def test_region_says_where_the_model_looks(self):
        self.function("away.py", """
            def region(obj, frame):
                other = [o for o in frame.objects if o.label == "car"]
                return other[0].box if other else None
        """)
        _, records = self.run_file(self.mood("{path: away.py, symbol: region}"))
        self.assertIn("calm", self.moods(records))

    def test_cpp_stands_in_chains(self):
        if not CPP:
            self.skipTest("SIGHTGLASS_TEST_FUNCTIONS is not set")
        _, records = self.run_file(self.mood(
            f"{{crop_expand: {{factor: 1.1}}}}, {{language: cpp, path: {CPP}, symbol: swaps}}"))
        self.assertEqual(self.moods(records), {"sad"})


class OtherHooks(Functions):
    def test_draw_is_called_per_encoded_frame(self):
        self.function("draw.py", """
            class Draw(sightglass.Function):
                def __init__(self, how="white"):
                    self.how, self.frames = how, 0

                def draw(self, canvas, frame):
                    self.frames += 1
                    if self.how == "throws" or (self.how == "sometimes" and self.frames % 2):
                        raise RuntimeError("no ink")
                    assert frame.objects is not None
                    plane = canvas if not isinstance(canvas, tuple) else canvas[0]
                    plane[:] = 255
                    return 42 if self.how == "number" else None
        """)
        sizes = {}
        for how in ("white", "number", "throws", "sometimes"):
            more = f"draw: {{path: draw.py, symbol: Draw, args: {{how: {how}}}}}\noutput_frame: {{codec: h264, encoder: software}}"
            text, records = self.run_file(more=more)
            self.assertEqual(len(records), FRAMES, how)
            sizes[how] = (self.out / "v.mp4").stat().st_size
            errors = json.loads((self.out / "summary.json").read_text())["errors"].get("draw", 0)
            # The twentieth opens the breaker.
            self.assertEqual(errors, 20 if how in ("throws", "sometimes") else 0, text)
            self.assertEqual("no ink" in text, errors > 0, text)
        self.assertLess(sizes["white"], sizes["throws"])
        self.assertLess(abs(sizes["number"] - sizes["white"]), 2000)

    def test_map_changes_leaves_out_and_fails_per_record(self):
        self.function("maps.py", """
            def maps(record):
                if "frame" not in record["schema"]:
                    return record
                number = record["seq"] % 4
                if number == 0:
                    return None
                if number == 1:
                    raise KeyError("missing")
                if number == 2:
                    return {"schema": record["schema"], "made": object()}
                return {**record, "seen": True}
        """)
        sinks = """  sinks:
    - {name: local, type: json_file, folder: results, rotate_records: 0, rotate_bytes: 0, rotate_time: 0,
       map: {path: maps.py, symbol: maps}}"""
        source = f"  source: {{type: video_file, location: {VIDEO}, source_id: v}}"
        path = self.module(source=source, sinks=sinks)
        process = self.start("run", path)
        self.finish(process)
        frames = {r["seq"]: r for r in self.records("v") if r["schema"] == "sightglass.frame/1"}
        self.assertEqual(sorted(frames), [seq for seq in range(FRAMES) if seq % 4 != 0])
        # What the function fails on is stored as it was.
        for seq, record in frames.items():
            self.assertEqual(record.get("seen", False), seq % 4 == 3, seq)
            self.assertNotIn("made", record)


class Reload(Functions):
    def test_changed_code_is_taken_over_while_frames_flow(self):
        code = """
            class Report(sightglass.Function):
                pixels = False

                def process(self, frame):
                    frame.tags.add("{}")
        """
        self.function("report.py", code.format("first"))
        source = f"  source: {{type: multi, location: {VIDEO}, id_pattern: 'v', count: 1, rate: 20, frames: 100000}}"
        path = self.module(source=source, sinks=self.json_sink(), elements=(
            "    - {name: report, type: pyfunc, function: {path: report.py, symbol: Report}}\n"))
        process = self.start("run", path, "--development")

        def last_tags():
            records = self.records("v")
            return records[-1].get("tags", []) if records else []

        self.until(lambda: "first" in last_tags(), "the first code")
        self.function("report.py", "this is no Python")
        self.function("report.py", code.format("second"))
        self.until(lambda: "second" in last_tags(), "the changed code")
        self.assertIsNone(process.poll(), process.log.read_text())


if __name__ == "__main__":
    if len(sys.argv) > 1 and not sys.argv[1].startswith("-"):
        base.PROGRAM = sys.argv.pop(1)
    unittest.main(verbosity=2)
