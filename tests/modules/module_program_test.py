#!/usr/bin/env python3
"""Modules as a user runs them: the real program, real sockets, real signals.

    SIGHTGLASS_TEST_MODELS=… SIGHTGLASS_TEST_INPUTS=… module_program_test.py PROGRAM [NAME…]

Everything that a test starts ends with it; all traffic stays on loopback.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import urllib.error
import urllib.request
from pathlib import Path

import zmq

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from ports import free_port  # noqa: E402

PROGRAM = "sightglass"
ROOT = Path(__file__).resolve().parent.parent.parent
MODELS = Path(os.environ.get("SIGHTGLASS_TEST_MODELS", "."))
INPUTS = Path(os.environ.get("SIGHTGLASS_TEST_INPUTS", "."))
VIDEO = INPUTS / "v.mp4"
FRAMES = 60  # of that video
PATIENCE = 60  # seconds; for what takes milliseconds

ENVIRONMENT = {**os.environ, "LC_ALL": "C.UTF-8"}


class Modules(unittest.TestCase):
    def setUp(self):
        self.folder = Path(tempfile.mkdtemp(prefix="sightglass-module-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.port = free_port()

    # --- programs ---------------------------------------------------------------------------------------------

    def start(self, *arguments, **options):
        log = open(self.folder / f"log-{len(list(self.folder.glob('log-*')))}.txt", "w+")
        process = subprocess.Popen(
            [PROGRAM, *map(str, arguments)],
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=options.pop("stdout", log),
            stderr=log,
            env={**ENVIRONMENT, "XDG_STATE_HOME": str(self.folder / "state"), **options},
        )
        process.log = Path(log.name)
        log.close()

        def end():
            if process.poll() is None:
                process.kill()
            process.wait()

        self.addCleanup(end)
        return process

    def finish(self, process, code=0):
        try:
            result = process.wait(timeout=PATIENCE * 2)
        except subprocess.TimeoutExpired:
            self.fail(f"{process.args} does not end:\n{process.log.read_text()}")
        self.assertEqual(result, code, f"{process.args}\n{process.log.read_text()}")
        return process.log.read_text()

    def run_program(self, *arguments, code=0, **options):
        return self.finish(self.start(*arguments, **options), code)

    def until(self, condition, what):
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            result = condition()
            if result:
                return result
            time.sleep(0.02)
        logs = "\n".join(log.read_text()[-3000:] for log in sorted(self.folder.glob("log-*")))
        self.fail(f"waited in vain: {what}\n{logs}")

    # --- modules ----------------------------------------------------------------------------------------------

    def module(self, source="", sinks="", elements="", more="", http=True):
        bind = f"127.0.0.1:{self.port}" if http else "off"
        text = f"""
version: 1
name: under-test
parameters:
  least: {{type: float, default: 0.5, min: 0.0, max: 1.0, per_source: true, doc: least score}}
models:
  det: {{path: {MODELS / "det.onnx"}}}
pipeline:
{source}
  elements:
    - {{name: things, type: detector, model: det, properties: {{threshold: "${{parameters.least}}"}}}}
{elements}
{sinks}
http: {{bind: "{bind}"}}
streams: {{idle_timeout: never}}
{more}
"""
        path = self.folder / "module.yml"
        path.write_text(text)
        return path

    def ipc(self, name):
        return f"ipc://{self.folder / name}.sock"

    def run_module(self, **options):
        path = self.module(**options)
        process = self.start("run", path)
        self.until(lambda: process.poll() is not None or self.is_ready(), "the module is ready")
        self.assertIsNone(process.poll(), process.log.read_text())
        return process

    def is_ready(self):
        try:
            return self.get("/readyz")[0] == 200
        except (urllib.error.URLError, ConnectionError):
            return False

    def call(self, method, path, body=None, headers=None):
        data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}", data=data, method=method, headers=headers or {}
        )
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def get(self, path):
        return self.call("GET", path)

    def stream(self, name):
        status, body = self.get(f"/v1/streams/{name}")
        return json.loads(body) if status == 200 else None

    def records(self, name, folder="results"):
        path = self.folder / folder / f"{name}.jsonl"
        if not path.exists():
            return []
        lines = path.read_text().split("\n")[:-1]
        return [record for record in map(json.loads, lines) if record["schema"] == "sightglass.frame/1"]

    def json_sink(self, required=False):
        return f"""  sinks:
    - {{name: local, type: json_file, folder: results, required: {str(required).lower()}, rotate_records: 0,
        rotate_bytes: 0, rotate_time: 0, queue: {{policy: block}}}}"""

    def assert_account(self, stream):
        self.assertEqual(stream["received"], stream["stored"] + stream["dropped"] + stream["in_flight"], stream)


class Embedded(Modules):
    def test_a_file_in_gives_a_record_per_frame_and_a_summary(self):
        path = self.module(http=False)
        self.run_program("run", path, "--input", VIDEO, "--output", "out")
        records = self.records("v", "out")
        self.assertEqual(len(records), FRAMES)
        self.assertEqual(len({record["uuid"] for record in records}), FRAMES)
        self.assertTrue(any(record["objects"] for record in records))
        self.assertTrue(all("source_id" in record and record["source_id"] == "v" for record in records))
        summary = json.loads((self.folder / "out" / "summary.json").read_text())
        self.assertEqual(summary["frames"], FRAMES)
        self.assertEqual(summary["objects"], sum(len(record["objects"]) for record in records))
        self.assertEqual([model["samples"] for model in summary["models"].values()], [FRAMES])

    def test_configured_output_frames_become_a_video(self):
        path = self.module(http=False, more="output_frame: {codec: jpeg}\n")
        self.run_program("run", path, "--input", VIDEO, "--output", "out")
        self.assertGreater((self.folder / "out" / "v.mp4").stat().st_size, 10_000)

    def test_the_original_video_is_passed_through_without_a_change(self):
        path = self.module(http=False, more="output_frame: {codec: copy}\n")
        self.run_program("run", path, "--input", VIDEO, "--output", "out")
        packets = [
            subprocess.run(
                ["ffprobe", "-v", "error", "-show_entries", "packet=pts_time,size", "-of", "csv", str(file)],
                capture_output=True,
                text=True,
            ).stdout.splitlines()
            for file in (VIDEO, self.folder / "out" / "v.mp4")
        ] if shutil.which("ffprobe") else [[], []]
        self.assertEqual(len(packets[0]), len(packets[1]))

    def test_wrong_files_end_with_code_2_and_a_place(self):
        path = self.module(http=False)
        path.write_text(path.read_text().replace("threshold:", "treshold:"))
        text = self.run_program("run", path, "--input", VIDEO, "--output", "out", code=2)
        self.assertIn("module.yml:", text)
        self.assertIn("threshold", text)
        text = self.run_program("validate", path, code=2)
        self.assertIn("did you mean", text)

    def test_explain_shows_the_graph_without_loading_models(self):
        path = self.module(http=False)
        text = self.run_program("explain", path, "--svg", "graph.svg")
        self.assertIn("things", text)
        self.assertIn("least", text)
        self.assertIn("<svg", (self.folder / "graph.svg").read_text())


class Sockets(Modules):
    def test_push_pull_loses_nothing_and_the_next_reader_gets_what_was_stored(self):
        source = f'  source: {{type: zeromq, url: "pull+bind:{self.ipc("in")}"}}'
        sinks = f"""  sinks:
    - {{name: next, type: zeromq, url: "push+connect:{self.ipc("out")}", required: true}}"""
        module = self.run_module(source=source, sinks=sinks)
        with open(self.folder / "received.jsonl", "w") as received:
            reader = self.start("recv", f"pull+bind:{self.ipc('out')}", "--ends", 1, stdout=received)
            self.run_program("send", VIDEO, "--to", f"push+connect:{self.ipc('in')}", "--source-id", "cam-1")
            self.finish(reader)
        records = [json.loads(line) for line in (self.folder / "received.jsonl").read_text().splitlines()]
        self.assertEqual(len(records), FRAMES)
        self.assertEqual(len({record["uuid"] for record in records}), FRAMES)
        self.assertTrue(any(record["objects"] for record in records))
        module.send_signal(signal.SIGTERM)
        self.finish(module)

    def test_kill_9_loses_nothing_that_was_acknowledged_and_repeats_show(self):
        source = f'  source: {{type: zeromq, url: "router+bind:{self.ipc("in")}"}}'
        module = self.run_module(source=source, sinks=self.json_sink(required=True))
        sender = self.start("send", VIDEO, "--to", f"dealer+connect:{self.ipc('in')}", "--source-id", "cam-1",
                            "--pace", "0.5")
        self.until(lambda: len(self.records("cam-1")) >= 10, "ten records")
        module.kill()
        module.wait()
        before = {record["uuid"] for record in self.records("cam-1")}
        module = self.start("run", self.folder / "module.yml")
        self.until(self.is_ready, "the module is back")
        text = self.finish(sender)
        self.assertIn("0 refused", text)
        module.send_signal(signal.SIGTERM)
        self.finish(module)
        records = self.records("cam-1")
        self.assertEqual(len({record["uuid"] for record in records}), FRAMES)
        self.assertTrue(before <= {record["uuid"] for record in records})
        # What was in flight when it died comes again, under its own name.
        self.assertLess(len(records) - FRAMES, FRAMES)

    def test_pub_sub_counts_what_it_drops(self):
        source = f'  source: {{type: zeromq, url: "sub+bind:{self.ipc("in")}"}}'
        module = self.run_module(source=source, sinks=self.json_sink())
        self.run_program("send", VIDEO, "--to", f"pub+connect:{self.ipc('in')}", "--source-id", "cam-1",
                         "--pace", "1", "--loop", 1)
        stream = self.until(lambda: (s := self.stream("cam-1")) and s["in_flight"] == 0 and s, "the stream has settled")
        self.assert_account(stream)
        module.send_signal(signal.SIGTERM)
        self.finish(module)

    def test_garbage_harms_nobody_else(self):
        source = f'  source: {{type: zeromq, url: "pull+bind:{self.ipc("in")}"}}'
        module = self.run_module(source=source, sinks=self.json_sink(required=True))
        stop = threading.Event()

        def garbage():
            context = zmq.Context()
            writer = context.socket(zmq.PUSH)
            writer.linger = 0
            writer.connect(self.ipc("in"))
            n = 0
            while not stop.is_set():
                n += 1
                parts = [[b""], [b"cam-9", os.urandom(64)], [b"cam-9", b"\xc3\x01" + os.urandom(100), b"x"],
                         [b"../x", b"\xc3\x01" + bytes(40)], [b"cam-1"] * 20]
                try:
                    writer.send_multipart(parts[n % len(parts)], zmq.NOBLOCK)
                except zmq.Again:
                    pass
                stop.wait(0.002)
            writer.close()
            context.term()

        thread = threading.Thread(target=garbage)
        thread.start()
        try:
            self.run_program("send", VIDEO, "--to", f"push+connect:{self.ipc('in')}", "--source-id", "cam-1")
            self.until(lambda: len(self.records("cam-1")) == FRAMES, "all frames of the honest sender")
        finally:
            stop.set()
            thread.join()
        metrics = self.get("/metrics")[1].decode()
        self.assertIn("sightglass_messages_rejected_total{", metrics)
        self.assertIsNone(self.stream("cam-9"))
        module.send_signal(signal.SIGTERM)
        self.finish(module)

    def test_two_streams_at_once_share_the_model_and_stay_in_order(self):
        source = f'  source: {{type: zeromq, url: "router+bind:{self.ipc("in")}"}}'
        module = self.run_module(source=source, sinks=self.json_sink(required=True),
                                 more="batching: {batch_size: 4}\n")
        self.run_program("send", VIDEO, "--to", f"dealer+connect:{self.ipc('in')}", "--source-id", "cam",
                         "--count", 4)
        for n in range(4):
            records = self.records(f"cam-{n}")
            self.assertEqual([record["seq"] for record in records], list(range(FRAMES)))
        module.send_signal(signal.SIGTERM)
        self.finish(module)


class Split(Modules):
    """samples/split: module A, a Python program that adds and drops, module B."""

    def test_uuids_times_and_pictures_pass_unchanged_and_what_is_dropped_is_not_missed(self):
        clip = self.folder / "sparse.avi"
        subprocess.run(
            ["gst-launch-1.0", "-q", "filesrc", f"location={INPUTS / 'sparse.avi'}", "!", "decodebin", "!", "videoconvert",
             "!", "jpegenc", "quality=95", "!", "avimux", "!", "filesink", f"location={clip}"],
            check=True,
        )
        a = self.module(
            source=f'  source: {{type: zeromq, url: "router+bind:{self.ipc("in")}"}}',
            sinks=self.json_sink().replace("results", "first")
            + f"""
    - {{name: next, type: zeromq, url: "dealer+connect:{self.ipc("a")}", required: true}}""",
            more="output_frame: {codec: copy}\n",
            http=False,
        ).rename(self.folder / "a.yml")
        b = self.folder / "b.yml"
        b.write_text(f"""
version: 1
name: second
pipeline:
  source: {{type: zeromq, url: "router+bind:{self.ipc("b")}"}}
{self.json_sink(required=True).replace("results", "second")}
    - {{name: pictures, type: video_file, folder: pictures, required: true, segment: 0}}
output_frame: {{codec: copy}}
http: {{bind: "off"}}
""")
        modules = [self.start("run", path) for path in (a, b)]
        middle = subprocess.Popen(
            [sys.executable, ROOT / "samples" / "split" / "middle.py", f"router+bind:{self.ipc('a')}",
             f"dealer+connect:{self.ipc('b')}", "door=open"],
            stderr=open(self.folder / "log-middle.txt", "w"),
        )
        self.addCleanup(lambda: (middle.poll() is None and middle.kill(), middle.wait()))
        self.run_program("send", clip, "--to", f"dealer+connect:{self.ipc('in')}", "--source-id", "cam-1")
        self.assertEqual(middle.wait(PATIENCE * 2), 0, (self.folder / "log-middle.txt").read_text())
        for module in modules:
            module.send_signal(signal.SIGTERM)
            self.finish(module)
        first, second = self.records("cam-1", "first"), self.records("cam-1", "second")
        kept = [record for record in first if record["objects"]]
        self.assertEqual(len(first), 24)
        self.assertLess(len(kept), 24)
        by_uuid = {record["uuid"]: record for record in first}
        self.assertLessEqual({record["uuid"] for record in kept}, {record["uuid"] for record in second})
        for record in second:
            self.assertEqual(record["pts"], by_uuid[record["uuid"]]["pts"])
            self.assertTrue(record["tags"]["seen"])
            self.assertIn("door", [attribute["name"] for attribute in record["attributes"]])
            self.assertEqual([o["roi_type"] for o in record["objects"]],
                             [o["roi_type"] for o in by_uuid[record["uuid"]]["objects"]])


class Console(Modules):
    def setUp(self):
        super().setUp()
        source = f'  source: {{type: zeromq, url: "router+bind:{self.ipc("in")}"}}'
        self.process = self.run_module(source=source, sinks=self.json_sink())

    def test_every_route_of_the_document_answers(self):
        document = json.loads(self.get("/v1/openapi.json")[1])
        self.assertEqual(document["openapi"], "3.1.0")
        for path, methods in document["paths"].items():
            for method, operation in methods.items():
                if path in ("/v1/shutdown", "/v1/events"):
                    continue
                example = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("example")
                status, body = self.call(
                    method.upper(),
                    path.replace("{id}", "nobody").replace("{name}", "nothing").replace("{number}", "9999"),
                    example if method in ("post", "put", "patch") else None,
                )
                self.assertIn(str(status), operation["responses"], f"{method} {path}: {body!r}")
                if status >= 400 and status != 503:
                    problem = json.loads(body)
                    self.assertEqual(problem["status"], status)
                    self.assertIsInstance(problem["errors"], list)
        self.assertEqual(self.get("/nowhere")[0], 404)
        self.assertEqual(self.call("PUT", "/livez", {})[0], 405)

    def test_only_this_machine_may_call_without_a_token(self):
        for headers in ({"Host": "evil.example:80"}, {"Origin": "http://evil.example"}):
            self.assertEqual(self.call("GET", "/v1/module", headers=headers)[0], 403, headers)
        self.assertEqual(self.call("GET", "/v1/module", headers={"Origin": f"http://127.0.0.1:{self.port}"})[0], 200)

    def test_bodies_over_the_limit_are_not_read(self):
        status, _ = self.call("PUT", "/v1/parameters/least", b"x" * (2 << 20))
        self.assertEqual(status, 413)

    def test_F18_a_threshold_changes_within_a_second_and_an_invalid_one_not_at_all(self):
        sender = self.start("send", VIDEO, "--to", f"dealer+connect:{self.ipc('in')}", "--source-id", "cam-1",
                            "--pace", "realtime", "--loop", 20)
        self.until(lambda: any(record["objects"] for record in self.records("cam-1")), "objects")
        status, body = self.call("PUT", "/v1/parameters/least", {"value": 7})
        self.assertEqual(status, 422, body)
        self.assertTrue(json.loads(body)["errors"])
        status, body = self.call("PUT", "/v1/parameters/least", {"value": 1.0, "persist": False})
        self.assertEqual(status, 200, body)
        revision = json.loads(body)["revision"]
        self.assertGreater(revision, 1)
        self.until(lambda: len(self.records("cam-1")) > 5 and not any(r["objects"] for r in self.records("cam-1")[-3:]),
                   "frames without objects")
        # For one source only.
        status, body = self.call("PUT", "/v1/parameters/least?source=cam-1", {"value": 0.5, "persist": False})
        self.assertEqual(status, 200, body)
        self.until(lambda: any(r["objects"] for r in self.records("cam-1")[-3:]), "objects again")
        # No frame is lost over all this.
        seqs = [record["seq"] for record in self.records("cam-1")]
        self.assertEqual(seqs, list(range(len(seqs))))
        audit = json.loads(self.get("/v1/audit")[1])
        self.assertTrue(any("least" in " ".join(entry["changes"]) for entry in audit), audit)
        status, body = self.call("PATCH", "/v1/parameters", {"set": {"least": 0.6}}, {"If-Match": '"1"'})
        self.assertEqual(status, 412, body)
        sender.kill()

    def test_streams_shows_who_is_live(self):
        sender = self.start("send", VIDEO, "--to", f"dealer+connect:{self.ipc('in')}", "--source-id", "cam-1",
                            "--pace", "realtime", "--loop", 20)
        self.until(lambda: (s := self.stream("cam-1")) and s["state"].lower() == "live" and s["stored"] > 3, "live")
        text = self.run_program("streams", "--url", f"http://127.0.0.1:{self.port}")
        self.assertIn("cam-1", text)
        self.assertIn("live", text)
        self.assertIn("h264 320x240", text)
        status, _ = self.call("POST", "/v1/streams/cam-1/actions", {"action": "quarantine"})
        self.assertEqual(status, 202)
        self.until(lambda: self.stream("cam-1")["state"].lower() == "quarantined", "quarantined")
        self.assertEqual(self.call("POST", "/v1/streams/nobody/actions", {"action": "recycle"})[0], 404)
        self.assertEqual(self.call("POST", "/v1/streams/cam-1/actions", {"action": "explode"})[0], 422)
        sender.kill()

    def test_events_tell_of_changes(self):
        lines = []

        def listen():
            request = urllib.request.urlopen(f"http://127.0.0.1:{self.port}/v1/events", timeout=PATIENCE)
            try:
                for line in request:
                    lines.append(line.decode().strip())
                    if any('"to":"LIVE"' in line for line in lines):
                        return
            finally:
                request.close()

        thread = threading.Thread(target=listen, daemon=True)
        thread.start()
        self.until(lambda: lines, "the greeting")
        self.run_program("send", VIDEO, "--to", f"dealer+connect:{self.ipc('in')}", "--source-id", "cam-1")
        thread.join(PATIENCE)
        self.assertFalse(thread.is_alive(), lines)

    def test_a_picture_gives_its_record(self):
        picture = self.folder / "frame.jpg"
        subprocess.run(
            ["gst-launch-1.0", "-q", "videotestsrc", "num-buffers=1", "!", "video/x-raw,width=320,height=240", "!",
             "jpegenc", "!", "filesink", f"location={picture}"],
            check=True,
        )
        status, body = self.call("POST", "/v1/frames", picture.read_bytes(), {"Content-Type": "image/jpeg"})
        self.assertEqual(status, 200, body)
        record = json.loads(body)
        self.assertEqual(record["resolution"], {"width": 320, "height": 240})
        self.assertEqual(self.call("POST", "/v1/frames", b"nonsense", {"Content-Type": "image/jpeg"})[0], 422)
        self.assertEqual(self.call("POST", "/v1/frames", b"x", {"Content-Type": "text/plain"})[0], 415)

    def test_shutdown_drains_and_ends_with_0(self):
        self.assertEqual(self.call("POST", "/v1/shutdown", {"mode": "soon"})[0], 422)
        self.assertEqual(self.call("POST", "/v1/shutdown", {"mode": "drain"})[0], 202)
        self.finish(self.process)


class Secrets(Modules):
    def test_F24_secrets_appear_nowhere(self):
        marker = "Xyzzy0Marker1Secret"
        (self.folder / "tokens").write_text(f"ops control {marker}TOKEN\n")
        parameters = self.module(
            source=f'  source: {{type: zeromq, url: "router+bind:{self.ipc("in")}"}}',
            sinks=self.json_sink(),
            elements="""    - {name: note, type: pyfunc, function: {path: note.py, symbol: Note,
        args: {password: "${parameters.password}"}}}""",
        )
        (self.folder / "note.py").write_text(
            "import sightglass\n\n\nclass Note(sightglass.Function):\n"
            "    def __init__(self, password):\n        self.password = password\n\n"
            "    def process(self, frame):\n        pass\n"
        )
        text = parameters.read_text()
        text = text.replace("parameters:", f"parameters:\n  password: {{type: string, default: {marker}PW, secret: true}}")
        text = text.replace("http: {", "http: {token_file: tokens, ")
        parameters.write_text(text)
        process = self.start("run", parameters, SIGHTGLASS_LOG="debug")
        self.until(lambda: process.poll() is not None or self.is_ready(), "ready")
        self.assertIsNone(process.poll(), process.log.read_text())
        token = {"Authorization": f"Bearer {marker}TOKEN"}
        seen = [process.log.read_text()]
        for path in ("/v1/config", "/v1/parameters", "/v1/parameters/password", "/metrics", "/v1/module", "/v1/audit",
                     "/v1/revisions"):
            self.assertEqual(self.get(path)[0], 401, path)
            status, body = self.call("GET", path, headers=token)
            self.assertEqual(status, 200, path)
            seen.append(body.decode())
        for value in (marker + "NEW", 7):
            seen.append(self.call("PUT", "/v1/parameters/password", {"value": value}, token)[1].decode())
        seen.append(self.call("GET", "/v1/audit", headers=token)[1].decode())
        seen.append(self.call("GET", "/v1/revisions", headers=token)[1].decode())
        self.assertEqual(self.call("GET", "/v1/module", headers={"Authorization": "Bearer wrong"})[0], 401)
        process.send_signal(signal.SIGTERM)
        self.finish(process)
        seen.append(process.log.read_text())
        for text in seen:
            self.assertNotIn(marker, text)


if __name__ == "__main__":
    if len(sys.argv) > 1 and not sys.argv[1].startswith("-"):
        PROGRAM = sys.argv.pop(1)
    unittest.main(verbosity=2)
