#!/usr/bin/env python3
"""The program as a user meets it: what it prints, what it leaves on the disk, and what it says when it cannot.

    SIGHTGLASS_TEST_MODELS=… SIGHTGLASS_TEST_INPUTS=… cli_test.py [PROGRAM] [NAME…]
"""

import difflib
import fcntl
import json
import os
import pty
import re
import select
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PROGRAM = "sightglass"
MODELS = Path(os.environ.get("SIGHTGLASS_TEST_MODELS", "."))
INPUTS = Path(os.environ.get("SIGHTGLASS_TEST_INPUTS", "."))
DETECTOR = str(MODELS / "det.onnx")
SLOW = str(MODELS / "det_slow.onnx")
VIDEO = str(INPUTS / "v.mp4")

ENVIRONMENT = {
    **{k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY")},
    "LC_ALL": "C.UTF-8",
    "G_DEBUG": "fatal-criticals",
    "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "detect_leaks=0"),
}


class Program(unittest.TestCase):
    def setUp(self):
        self.folder = Path(tempfile.mkdtemp(prefix="sightglass-cli-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)

    def start(self, *arguments, limit=None, **options):
        before = ["prlimit", f"--fsize={limit}", "--"] if limit else []
        return subprocess.Popen(
            [*before, PROGRAM, *map(str, arguments)],
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**ENVIRONMENT, **options},
        )

    def run_program(self, *arguments, code=0, **options):
        process = self.start(*arguments, **options)
        out, err = process.communicate(timeout=120)
        self.assertEqual(process.returncode, code, f"{arguments}\n{out}\n{err}")
        return out, err

    def fails(self, *arguments, says, code=1, **options):
        """Ends with an error, and with one line that says it."""
        out, err = self.run_program(*arguments, code=code, **options)
        errors = [line for line in err.splitlines() if line.startswith("error: ")]
        self.assertEqual(len(errors), 1, err)
        for word in [says] if isinstance(says, str) else says:
            self.assertIn(word, errors[0])
        return out, err

    def records(self, path="out/detections.jsonl"):
        return [json.loads(line) for line in (self.folder / path).read_text().splitlines()]

    def frames_of(self, path):
        """The frames that a player finds in a video."""
        done = subprocess.run(
            ["gst-launch-1.0", "-v", "filesrc", f"location={path}", "!", "decodebin", "!", "video/x-raw", "!"]
            + ["identity", "name=i", "silent=false", "!", "fakesink"],
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            check=False,
        )
        return len(re.findall(r"i: last-message = chain", done.stdout))

    def wait_for(self, condition, process, seconds=60):
        end = time.monotonic() + seconds
        while not condition():
            self.assertIsNone(process.poll(), "ended too early: " + str(process.poll()))
            self.assertLess(time.monotonic(), end, "nothing happens")
            time.sleep(0.05)


class Run(Program):
    def test_counts_and_sums_up(self):
        _, err = self.run_program("run", "videotestsrc num-buffers=20 ! fakesink")
        self.assertIn("20 frames in", err)

    def test_limit_is_exact_before_what_is_written(self):
        self.run_program(
            "run",
            f"filesrc location={VIDEO} ! decodebin ! object_detect model={DETECTOR} ! gvametaconvert add-empty-results=true"
            " ! gvametapublish file-format=json-lines file-path=o.jsonl ! fakesink",
            "--limit",
            7,
        )
        self.assertEqual(len(self.records("o.jsonl")), 7)

    def test_limit_ends_a_source_without_end(self):
        _, err = self.run_program("run", "videotestsrc is-live=true ! fakesink", "--limit", 3)
        self.assertIn("3 frames in", err)

    def test_limit_finishes_a_file_without_our_elements(self):
        _, err = self.run_program("run", "videotestsrc ! x264enc ! mp4mux ! filesink location=o.mp4", "--limit", 12)
        self.assertIn("12 frames in", err)
        self.assertEqual(self.frames_of("o.mp4"), 12)

    def test_unknown_names_come_with_the_nearest(self):
        self.fails("run", "videotestsrc ! object_detct ! fakesink", says="did you mean 'object_detect'?")
        self.fails("run", f"videotestsrc ! object_detect model={DETECTOR} treshold=0.5 ! fakesink",
                   says=["treshold", "did you mean 'threshold'?"])

    def test_value_out_of_range_is_an_error(self):
        self.fails("run", f"videotestsrc ! object_detect model={DETECTOR} threshold=1.5 ! fakesink",
                   says=["threshold=1.5", "out of range"], G_DEBUG="")

    def test_text_that_is_no_pipeline(self):
        self.fails("run", "videotestsrc ! ! fakesink", says="cannot be read")
        self.fails("run", "", says="empty")

    def test_module_file_that_is_wrong_ends_with_code_2(self):
        (self.folder / "m.yml").write_text("a: 1\n")
        _, err = self.run_program("run", "m.yml", code=2)
        self.assertIn("m.yml:1:1: a:", err)

    def test_missing_model(self):
        self.fails("run", "videotestsrc num-buffers=3 ! object_detect model=nowhere.onnx ! fakesink", says="nowhere.onnx")

    def test_full_disk(self):
        self.fails(
            "run",
            f"videotestsrc num-buffers=3 ! object_detect model={DETECTOR} ! gvametaconvert add-empty-results=true"
            " ! gvametapublish file-format=json-lines file-path=/dev/full ! fakesink",
            says=["/dev/full", "No space left"],
        )
        self.fails("run", "videotestsrc num-buffers=99 ! jpegenc ! filesink location=/dev/full", says=["filesink0", "disk is full"])

    def test_interrupt_finishes_the_file(self):
        process = self.start("run", "videotestsrc is-live=true ! x264enc tune=zerolatency ! mp4mux ! filesink location=o.mp4")
        self.wait_for(lambda: (self.folder / "o.mp4").exists() and (self.folder / "o.mp4").stat().st_size > 20000, process)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
        self.assertEqual(process.returncode, 130, err)
        self.assertIn("stopping", err)
        self.assertGreater(self.frames_of("o.mp4"), 3)

    def test_second_interrupt_aborts(self):
        # Nothing gets past an identity that sleeps, so the end of the stream does not come.
        process = self.start("run", "videotestsrc is-live=true ! identity sleep-time=60000000 ! fakesink")
        self.wait_for(lambda: self.catches_interrupts(process), process)
        process.send_signal(signal.SIGINT)
        self.assertIn("stopping", process.stderr.readline())
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=10)
        self.assertEqual(process.returncode, 130)


    def catches_interrupts(self, process):
        status = Path(f"/proc/{process.pid}/status").read_text()
        caught = int(re.search(r"SigCgt:\s*(\w+)", status)[1], 16)
        return bool(caught & 1 << signal.SIGINT - 1)


class FlowRuntime(Program):
    def test_errors_name_what_is_meant(self):
        self.fails("run", "--flow", "frame_source ! rate_adjst", says="did you mean 'rate_adjust'")
        self.fails("run", "--flow", "frame_source ! videoconvert ! fakesink", says="leave it out")
        self.fails("explain", "frame_source ! object_detect model=/no.onnx", says=["object_detect0: ", "/no.onnx"])
        self.fails("explain", says="--map FROM TO")

    def test_explains_the_way_between_two_forms(self):
        self.fails("explain", "--map", "system:NV12", "cheese:BGR", says="cheese")
        out, _ = self.run_program("explain", "--map", "system:BGR", "dlpack:BGR")
        self.assertIn("shared", out)

    def test_runs_without_gstreamer(self):
        _, err = self.run_program(
            "run",
            "--flow",
            f"ffmpeg_multi_source inputs={VIDEO} ! object_detect model={DETECTOR} ! metaconvert add-empty-results=true"
            " ! metapublish file-format=json-lines file-path=o.jsonl",
            "--limit",
            7,
        )
        self.assertIn("7 frames in", err)
        self.assertEqual(len(self.records("o.jsonl")), 7)

    def test_explain_shows_links_copies_and_elements(self):
        out, _ = self.run_program(
            "explain", f"ffmpeg_multi_source inputs={VIDEO} ! object_detect name=d model={DETECTOR}", "--limit", 5
        )
        self.assertIn("d/video_to_tensor → d/onnx_tensor_inference: float32 1x3x64x96, shared", out)
        self.assertRegex(out, r"d/meta_aggregate +10 +5 ")


class Detect(Program):
    def detect(self, *arguments, **options):
        return self.run_program("detect", *arguments, "--model", DETECTOR, **options)

    def test_writes_everything(self):
        out, _ = self.detect(VIDEO, "--track", "--output", "out/new")
        self.assertIn("60 frames in", out)
        folder = self.folder / "out/new"
        records = self.records("out/new/detections.jsonl")
        self.assertEqual(len(records), 60)
        summary = json.loads((folder / "summary.json").read_text())
        self.assertEqual(summary["frames"], 60)
        self.assertEqual(summary["detections"], sum(len(r.get("objects", [])) for r in records))
        self.assertEqual(summary["tracks"], len({o["id"] for r in records for o in r.get("objects", []) if "id" in o}))
        self.assertTrue(summary["engine"].startswith("onnxruntime "))
        self.assertGreater(summary["fps"], 0)
        self.assertEqual(self.frames_of(folder / "annotated.mp4"), 60)
        self.assertTrue((folder / "contact.png").read_bytes().startswith(b"\x89PNG"))

    def test_same_run_twice_is_byte_identical(self):
        for name in ("a", "b"):
            self.detect(VIDEO, "--track", "--output", name)
        for file in ("detections.jsonl", "contact.png"):
            self.assertEqual((self.folder / "a" / file).read_bytes(), (self.folder / "b" / file).read_bytes(), file)

    def test_json_lines_are_all_of_stdout(self):
        out, _ = self.detect(VIDEO, "--json", "--limit", 5)
        self.assertEqual(len([json.loads(line) for line in out.splitlines()]), 5)

    def test_without_output_prints_what_is_seen(self):
        out, _ = self.detect(VIDEO)
        self.assertIn("person", out)
        self.assertIn("60 frames", out)

    def test_pictures_by_name(self):
        self.make_pictures()
        out, err = self.detect("pictures", "--output", "out")
        self.assertIn("a.jpg: ", out)
        self.assertIn("b.png: ", out)
        self.assertIn("damaged.jpg: left out", err)
        self.assertEqual([Path(r["source"]).name for r in self.records()], ["a.jpg", "b.png"])
        self.assertEqual(sorted(p.name for p in (self.folder / "out/annotated").iterdir()), ["a.jpg", "b.jpg"])

    def test_patterns_and_lists_of_pictures(self):
        self.make_pictures()
        self.assertIn("1 frame in", self.detect("pictures/*.png")[0])
        self.assertIn("2 frames in", self.detect("pictures/a.jpg", "pictures/b.png")[0])
        self.fails("detect", "pictures/*.gif", "--model", DETECTOR, says="no file matches")
        self.fails("detect", "pictures/a.jpg", VIDEO, "--model", DETECTOR, says="is no picture")
        self.fails("detect", "pictures/damaged.jpg", "--model", DETECTOR, says="no picture could be read")

    def make_pictures(self):
        (self.folder / "pictures").mkdir()
        for name, encoder in (("a.jpg", "jpegenc"), ("b.png", "pngenc")):
            size = "video/x-raw,width=64,height=48" if name == "a.jpg" else "video/x-raw,width=33,height=17"
            subprocess.run(
                f"gst-launch-1.0 -q videotestsrc num-buffers=1 ! {size} ! videoconvert ! {encoder} ! filesink location=pictures/{name}",
                shell=True, check=True, cwd=self.folder)
        (self.folder / "pictures/damaged.jpg").write_bytes(b"\xff\xd8\xff\xe0" + bytes(300))
        (self.folder / "pictures/notes.txt").write_text("no picture")

    def test_one_pixel(self):
        caps = "video/x-raw,format=I420,width=1,height=1,framerate=10/1"
        self.run_program("run", f"videotestsrc num-buffers=5 ! {caps} ! object_detect model={DETECTOR} ! meta_overlay ! fakesink")
        subprocess.run("gst-launch-1.0 -q videotestsrc num-buffers=1 ! video/x-raw,width=1,height=1 ! pngenc ! filesink location=t.png",
                       shell=True, check=True, cwd=self.folder)
        self.detect("t.png", "--output", "out")
        self.assertEqual(len(self.records()), 1)

    def test_explain_gives_a_pipeline_that_runs(self):
        (self.folder / "with space").mkdir()
        shutil.copy(VIDEO, self.folder / "with space/it's.mp4")
        out, _ = self.detect("with space/it's.mp4", "--explain", "--output", "x")
        self.assertFalse((self.folder / "x").exists())
        (self.folder / "x").mkdir()
        subprocess.run("gst-launch-1.0 -q " + out, shell=True, check=True, cwd=self.folder, env=ENVIRONMENT, timeout=60)
        self.assertEqual(len(self.records("x/detections.jsonl")), 60)

    def test_bad_inputs(self):
        (self.folder / "garbage.mp4").write_bytes(bytes(range(256)) * 99)
        (self.folder / "empty.mp4").touch()
        (self.folder / "folder").mkdir()
        for name, says in (
            ("nowhere.mp4", "nowhere.mp4"),
            ("garbage.mp4", "no video or picture"),
            ("empty.mp4", "empty"),
            ("folder", "no pictures"),
            ("99", "camera 99"),
            ("rtsp://127.0.0.1:9/x", ["rtsp://127.0.0.1:9/x", "connect"]),
        ):
            with self.subTest(name):
                self.fails("detect", name, "--model", DETECTOR, says=says)

    def test_sound_without_picture(self):
        subprocess.run("gst-launch-1.0 -q audiotestsrc num-buffers=9 ! wavenc ! filesink location=s.wav",
                       shell=True, check=True, cwd=self.folder)
        self.fails("detect", "s.wav", "--model", DETECTOR, says="no video")

    def test_bad_models(self):
        self.fails("detect", VIDEO, "--model", "centernett", says=["centernett", "centernet"])
        self.fails("detect", VIDEO, "--model", MODELS / "truncated.onnx", says="truncated.onnx")
        self.fails("detect", VIDEO, "--model", DETECTOR, "--classify", "nowhere.onnx", says="nowhere.onnx")
        self.fails("detect", VIDEO, "--model", DETECTOR, "--device", "CUDA:7", says="CUDA")

    def test_bad_arguments(self):
        for arguments in (["--threshold", "1.5"], ["--limit", "x"], ["--nonsense"]):
            with self.subTest(arguments):
                process = self.start("detect", VIDEO, *arguments)
                _, err = process.communicate(timeout=30)
                self.assertNotEqual(process.returncode, 0)
                self.assertTrue(err.startswith("error: "), err)

    def test_no_display(self):
        self.fails("detect", VIDEO, "--model", DETECTOR, "--show", says=["no display", "--output"])
        self.fails("detect", VIDEO, "--model", DETECTOR, "--show", says=["display :987", "--output"], DISPLAY=":987",
                   XDG_RUNTIME_DIR=str(self.folder))

    def test_output_that_cannot_be_written(self):
        (self.folder / "file").touch()
        read_only = Path("/sys/kernel") if os.geteuid() == 0 else self.folder / "read-only"
        if os.geteuid():
            read_only.mkdir(mode=0o555)
        for folder in (read_only / "out", read_only, "file", "file/out", "/dev/full"):
            with self.subTest(folder):
                self.fails("detect", VIDEO, "--model", DETECTOR, "--output", folder, says=str(folder).split("/")[0] or "/")

    def test_size_limit_keeps_what_was_written(self):
        self.fails("detect", VIDEO, "--model", DETECTOR, "--output", "out", limit=20000, says="too large")
        text = (self.folder / "out/detections.jsonl").read_text()
        for line in text.splitlines():
            json.loads(line)

    def test_interrupt_leaves_whole_files(self):
        process = self.start("detect", VIDEO, "--model", SLOW, "--output", "out")
        file = self.folder / "out/detections.jsonl"
        self.wait_for(lambda: file.exists() and file.stat().st_size > 0, process)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 130, err)
        count = len(self.records())
        self.assertLess(count, 60)
        self.assertIn(f"{count} frame", out)
        self.assertEqual(self.frames_of("out/annotated.mp4"), count)
        self.assertFalse(json.loads((self.folder / "out/summary.json").read_text())["complete"])

    def test_killed_program_leaves_a_playable_video(self):
        process = self.start("detect", VIDEO, "--model", SLOW, "--output", "out", "--track")
        file = self.folder / "out/detections.jsonl"
        self.wait_for(lambda: file.exists() and len(file.read_bytes().splitlines()) > 50, process)
        process.kill()
        process.communicate(timeout=30)
        self.assertGreater(self.frames_of("out/annotated.mp4"), 5)
        self.assertGreater(len(self.records()), 40)

    def test_damaged_end_keeps_the_beginning(self):
        (self.folder / "cut.mp4").write_bytes((INPUTS / "w.avi").read_bytes()[:20000])
        process = self.start("detect", "cut.mp4", "--model", DETECTOR, "--output", "out")
        process.communicate(timeout=60)
        self.assertIn(process.returncode, (0, 1))
        self.assertGreater(len(self.records()), 4)


class Terminal(Program):
    def test_progress_bar_is_redrawn_and_cleared(self):
        text = self.on_terminal("detect", VIDEO, "--model", SLOW, "--output", "out")  # long enough to be drawn
        self.assertRegex(text, r"\r\[.{8,30}\] +\d+%  \d:\d\d/\d:\d\d  [\d.]+ fps")
        self.assertTrue(re.search(r"\r\x1b\[K60 frames in", text), text[-400:])

    def on_terminal(self, *arguments, columns=90):
        main, other = pty.openpty()
        fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        process = subprocess.Popen([PROGRAM, *arguments], cwd=self.folder, stdin=other, stdout=other, stderr=other, env=ENVIRONMENT)
        os.close(other)
        seen = b""
        while True:
            if select.select([main], [], [], 60)[0]:
                try:
                    data = os.read(main, 65536)
                except OSError:  # the other end is closed
                    break
                seen += data
                if data:
                    continue
            break
        self.assertEqual(process.wait(30), 0)
        os.close(main)
        return seen.decode()


class Inspect(Program):
    def test_lists_and_describes(self):
        out, _ = self.run_program("inspect")
        for name in ("object_detect", "meta_overlay", "video_to_tensor", "gvametaconvert"):
            self.assertRegex(out, rf"(?m)^  {name} ")
        out, _ = self.run_program("inspect", "object_detect")
        self.assertIn("threshold *", out)
        out, _ = self.run_program("inspect", "video_to_tensor")
        self.assertIn("choice stretch=0 | letterbox=1", out)

    def test_lists_and_describes_adapters(self):
        out, _ = self.run_program("inspect")
        for name in ("rtsp", "video_dir", "elasticsearch", "json_file"):
            self.assertRegex(out, rf"(?m)^  {name} ")
        out, _ = self.run_program("inspect", "kafka")
        for text in ("source kafka", "revoke_timeout=TIME", "sink kafka", "video_topic=TEXT"):
            self.assertIn(text, out)
        out, _ = self.run_program("inspect", "rtsp")
        self.assertNotIn("sink rtsp", out)

    def test_unknown_name(self):
        self.fails("inspect", "object_detekt", says="did you mean 'object_detect'?")

    def test_generated_pages_are_current(self):
        """A page that differs from what its descriptors say, or an element without a text, fails."""
        self.run_program("inspect", "--markdown", self.folder)
        made = {p.relative_to(self.folder) for p in Path(self.folder).rglob("*") if p.is_file()}
        for path in sorted(made):
            with self.subTest(page=str(path)):
                kept = (ROOT / "docs" / path).read_text() if (ROOT / "docs" / path).exists() else ""
                now = (Path(self.folder) / path).read_text()
                changes = [*difflib.unified_diff(kept.splitlines(), now.splitlines(), "kept", "now", lineterm="", n=0)]
                self.assertFalse(changes, "\n".join(["write them anew with `./run docs`", *changes[:20]]))
        kept = {p.relative_to(ROOT / "docs") for p in (ROOT / "docs/reference").rglob("*")}
        self.assertEqual(kept - made, set(), "pages of elements that there are no more; `./run docs`")

    def test_pages_link_to_what_is_there(self):
        self.run_program("inspect", "--markdown", self.folder)
        pages = {p: p.read_text() for p in Path(self.folder).rglob("*.md")}
        for path, text in pages.items():
            for target in re.findall(r"\]\(([^)#]*)(?:#[^)]*)?\)", text):
                self.assertTrue((path.parent / target).exists(), f"{path.name}: {target}")


class Schema(Program):
    def test_prints_the_schema_of_a_frame(self):
        out, _ = self.run_program("schema", "frame")
        self.assertEqual(json.loads(out)["properties"]["schema"]["const"], "sightglass.frame/1")
        self.fails("schema", "fraim", says="there are: frame")


class ModuleFiles(Program):
    """Descriptions of modules: validate, schema, diff, init."""

    def examples(self):
        """The whole descriptions in docs/modules.md, the worked example last; with the files that it names."""
        for name in ("models/face_rfb_320.onnx", "models/emotion_64.onnx", "report.py", "gate.key", "peers/a.key"):
            path = self.folder / name
            path.parent.mkdir(exist_ok=True)
            path.write_text("")
        blocks = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs/modules.md").read_text(), re.DOTALL)
        whole = [block for block in blocks if block.startswith("version: 1")]
        self.assertGreaterEqual(len(whole), 2)
        return whole

    def test_examples_of_the_documentation_are_right(self):
        for text in self.examples():
            (self.folder / "m.yml").write_text(text)
            out, _ = self.run_program("validate", "m.yml")
            self.assertIn("is well described", out)

    def test_says_everything_that_is_wrong(self):
        text = self.examples()[-1].replace("elements:", "elemnts:").replace("hysteresis", "hysterisis")
        (self.folder / "m.yml").write_text(text.replace("codec: h264", "codec: h265"))
        _, err = self.run_program("validate", "m.yml", code=2)
        self.assertRegex(err, r"m\.yml:16:3: pipeline\.elemnts: .*did you mean 'elements'\?")
        self.assertRegex(err, r"m\.yml:29:\d+: output_frame\.codec: 'h265' is unknown")
        self.assertRegex(err, r"m\.yml: \d+ errors")
        self.run_program("validate", "none.yml", code=2)

    def test_says_which_files_with_secrets_are_missing(self):
        text = ("version: 1\npipeline:\n  source: {type: rtsp, url: 'rtsp://h/x', password_file: camera.key}\n  elements: []\n  sinks:\n"
                "  - {name: store, type: redis, url: 'redis://h', password_file: %s}\n")
        (self.folder / "s.yml").write_text(text % "store.key")
        _, err = self.run_program("validate", "s.yml", code=2)
        self.assertRegex(err, r"s\.yml:3:\d+: pipeline\.source\S*\.password_file: .*camera\.key: is not there")
        self.assertRegex(err, r"s\.yml:6:\d+: pipeline\.sinks\[0\]\.password_file: .*store\.key: is not there")
        (self.folder / "camera.key").write_text("x\n")
        (self.folder / "s.yml").write_text(text % '"${parameters.key}"' + "parameters: {key: {type: string, default: store.key}}\n")
        self.run_program("validate", "s.yml")

    def test_editors_schema_takes_the_examples_and_refuses_mistakes(self):
        import jsonschema
        import yaml

        out, _ = self.run_program("schema", "module")
        schema = json.loads(out)
        jsonschema.Draft202012Validator.check_schema(schema)
        validator = jsonschema.Draft202012Validator(schema)
        for text in self.examples():
            validator.validate(yaml.safe_load(text))
        worked = self.examples()[-1]
        for right, wrong in (
            ("elements:", "elemnts:"),
            ("threshold: \"${parameters.min_face}\"", "treshold: 0.5"),
            ("threshold: \"${parameters.min_face}\"", "threshold: 1.5"),
            ("threshold: \"${parameters.min_face}\"", "threshold: \"${env.HOME}\""),
            ("type: tracker", "type: trakker"),
            ("algorithm: byte", "algorithm: bite"),
            ("budget: 10ms", "budget: 10"),
            ("bitrate: 2M", "bitrate: fast"),
            ("topic: gate.events", "topik: gate.events"),
            ("brokers: [\"kafka:9092\"], ", ""),
            ("track: {state: confirmed}", "track: {stat: confirmed}"),
            ("policy: spill", "policy: spil"),
            ("name: gate-counter", "name: Gate"),
            ("decoder: label", "decoder: lable"),
            ("color: lime", "colour: lime"),
        ):
            with self.subTest(wrong):
                self.assertIn(right, worked)
                document = yaml.safe_load(worked.replace(right, wrong, 1))
                self.assertFalse(validator.is_valid(document))
        for rate in (25, "30000/1001", 29.97, -1, "29.97", "30/0", 10**9):
            with self.subTest(rate=rate):
                text = "version: 1\nname: a\npipeline: {source: {type: image_file, location: a.jpg, rate: %s}, elements: []}\n"
                (self.folder / "rate.yml").write_text(text % json.dumps(rate))
                is_right = rate in (25, "30000/1001")
                self.assertEqual(validator.is_valid(yaml.safe_load(text % json.dumps(rate))), is_right)
                self.run_program("validate", "rate.yml", code=0 if is_right else 2)

    def test_diff_says_what_a_change_does(self):
        text = self.examples()[-1]
        (self.folder / "a.yml").write_text(text)
        (self.folder / "b.yml").write_text(text.replace("hysteresis: 4", "hysteresis: 5").replace("max_age: 30", "max_age: 9"))
        out, _ = self.run_program("diff", "a.yml", "b.yml")
        self.assertIn("live       pipeline.elements.gate.properties.hysteresis: 4 → 5", out)
        self.assertIn("recycled   pipeline.elements.tracks.properties.max_age: 30 → 9", out)
        self.assertIn("1 live, 1 recycled, 0 restarted", out)
        self.assertIn("no difference", self.run_program("diff", "a.yml", "a.yml")[0])

    def test_init_writes_a_module_that_is_right(self):
        self.run_program("init", "my gate 2")
        out, _ = self.run_program("validate", "my gate 2/module.yml")
        self.assertIn("the module my-gate-2 is well described", out)
        compile((self.folder / "my gate 2/report.py").read_text(), "report.py", "exec")
        self.assertTrue((self.folder / "my gate 2/.gitignore").exists())
        self.fails("init", "my gate 2", says="is there already")


class Doctor(Program):
    def test_names_what_is_there(self):
        process = self.start("doctor")
        out, _ = process.communicate(timeout=60)
        for word in ("GStreamer 1.", "onnxruntime", "CPU", "cache", "centernet", "The demo can"):
            self.assertIn(word, out)
        self.assertEqual(process.returncode, 1 if "FAIL" in out else 0)

    def test_names_replacements(self):
        out, _ = self.run_program("doctor", "gvapython", code=1)
        self.assertIn("use an element of your own", out)
        out, _ = self.run_program("doctor", "g3dradarprocess", code=1)
        self.assertIn("no replacement", out)
        out, _ = self.run_program("doctor", "gvadetect")
        self.assertIn("stands for object_detect", out)
        self.assertRegex(out, r"custom-postproc-lib +refused")
        out, _ = self.run_program("doctor", "object_track")
        self.assertIn("is there", out)
        self.fails("doctor", "objekt_track", says="did you mean 'object_track'?")


class Main(Program):
    def test_ends_without_a_word_when_its_reader_has_gone(self):
        reading, writing = os.pipe()
        os.close(reading)
        # More than standard output holds back.
        process = subprocess.Popen([PROGRAM, "schema", "module"], stdout=writing, stderr=subprocess.PIPE, text=True,
                                   env=ENVIRONMENT)
        os.close(writing)
        _, err = process.communicate(timeout=60)
        self.assertEqual((process.returncode, err), (128 + signal.SIGPIPE, ""))

    def test_help_and_version(self):
        self.assertIn("detect", self.run_program("--help")[0])
        self.assertRegex(self.run_program("--version")[0], r"^sightglass \d+\.\d+\.\d+\n$")

    def test_no_or_unknown_command(self):
        for arguments in ([], ["detekt"]):
            process = self.start(*arguments)
            _, err = process.communicate(timeout=30)
            self.assertNotEqual(process.returncode, 0)
            self.assertIn("--help", err)


if __name__ == "__main__":
    if len(sys.argv) > 1 and "/" in sys.argv[1]:
        PROGRAM = os.path.abspath(sys.argv.pop(1))
    unittest.main()
