#!/usr/bin/env python3
"""`sightglass sink` as a user meets it, and its outbox when the process is killed.

    sink_test.py PROGRAM SCHEMA TOOLS
"""

import contextlib
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.error
import urllib.request
import uuid
from pathlib import Path

import zmq

PROGRAM, SCHEMA, TOOLS = sys.argv.pop(1), sys.argv.pop(1), Path(sys.argv.pop(1))
sys.path.insert(0, str(TOOLS / "stream"))
import plain_client  # noqa: E402

SERVERS = TOOLS / "servers"


class Sink(unittest.TestCase):
    def setUp(self):
        self.folder = Path(tempfile.mkdtemp(prefix="sightglass-sink-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.codec = plain_client.Codec(SCHEMA)
        self.context = zmq.Context()
        self.addCleanup(self.context.destroy, 0)
        self.sockets = []
        self.addCleanup(lambda: [socket.close(0) for socket in self.sockets])

    def start(self, *arguments):
        """A process that is known to read, unless it ends at once."""
        process = subprocess.Popen([PROGRAM, "sink", *map(str, arguments)], cwd=self.folder, stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                   env={**os.environ, "LC_ALL": "C.UTF-8", "XDG_STATE_HOME": str(self.folder / "state")})
        self.addCleanup(self.kill, process)
        return process

    def get(self, url):
        """Status and text."""
        try:
            with urllib.request.urlopen(url, timeout=30) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def queued(self, url):
        """Records in the queue of the only sink."""
        (sink,) = json.loads(self.get(url + "/v1/sinks")[1])
        return sink["queue"]["records"]

    def kill(self, process):
        if process.poll() is None:
            process.kill()
        process.communicate()

    def reading(self, *arguments):
        process = self.start(*arguments)
        line = process.stderr.readline()
        self.assertIn("reading ", line)
        return process

    def serving(self, *arguments):
        """A process that reads, and its address over HTTP."""
        process = self.start(*arguments, "--http", "127.0.0.1:0")
        url = process.stderr.readline().strip()
        self.assertIn("reading ", process.stderr.readline())
        return process, url

    def run_sink(self, *arguments, code=0):
        process = self.start(*arguments)
        out, err = process.communicate(timeout=60)
        self.assertEqual(process.returncode, code, f"{out}\n{err}")
        return out, err

    def end(self, process, code=0):
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
        self.assertEqual(process.returncode, code, err)
        return err

    def sender(self, kind):
        socket = self.context.socket(kind)
        self.sockets.append(socket)
        socket.setsockopt(zmq.RCVTIMEO, 60_000)
        socket.setsockopt(zmq.SNDTIMEO, 60_000)
        socket.connect(f"ipc://{self.folder}/in")
        return plain_client.Sender(self.codec, socket)

    def send(self, sender, count, first=0):
        ids = []
        for number in range(first, first + count):
            frame = plain_client.frame(b"", 640, 480, "jpeg", number * 40_000_000)
            frame["content"] = None
            ids.append(str(uuid.UUID(bytes=frame["uuid"])))
            sender.send("FRAME", "cam", frame)
        return ids

    def eventually(self, condition, what):
        deadline = time.monotonic() + 60
        while not condition():
            self.assertLess(time.monotonic(), deadline, what)
            time.sleep(0.02)

    def spilled(self):
        """Bytes in the outbox's files. The sink removes them while they are counted."""
        size = 0
        for path in (self.folder / "state").rglob("*.spill"):
            with contextlib.suppress(FileNotFoundError):
                size += path.stat().st_size
        return size

    def stored(self):
        path = self.folder / "events.db"
        if not path.exists():
            return set()
        with sqlite3.connect(path, timeout=10) as db:
            try:
                return {row[0] for row in db.execute("SELECT uuid FROM frames")}
            except sqlite3.OperationalError:
                return set()

    # ---

    def test_lists_kinds_and_their_options(self):
        out, _ = self.run_sink()
        for name in ("sqlite", "elasticsearch", "mongodb", "webhook", "json_file"):
            self.assertIn(name, out)
        out, _ = self.run_sink("sqlite", "--help")
        for option in ("path=TEXT", "keep=TIME", "batch.count=", "queue.policy=", "retry.attempts="):
            self.assertIn(option, out)
        out, _ = self.run_sink("--help")
        self.assertIn("--from", out)
        out, _ = self.run_sink("elasticsearch", "--help")
        self.assertIn("tls.ca=TEXT", out)
        out, _ = self.run_sink("zeromq", "--help")
        self.assertEqual([line.split("=")[0].strip() for line in out.splitlines() if "curve" in line],
                         ["curve.secret_key_file", "curve.server_key", "curve.allowed_keys_dir"])

    def test_a_mistake_is_one_line_with_option_value_and_what_is_allowed(self):
        for words, says in ((["sqlit"], "did you mean 'sqlite'?"),
                            (["sqlite", "pth=x"], "did you mean 'path'?"),
                            (["sqlite", "path=x", "sync=sometimes"], "sync=sometimes: 'sometimes' is unknown; one of: normal, full"),
                            (["sqlite", "path=x", "queue.policy=blok"], "queue.policy=blok"),
                            (["sqlite", "--path", "x", "--kep", "7d"], "did you mean 'keep'?"),
                            (["redis", "url=redis://h", "--password", "hunter2"], "password=***"),
                            (["redis", "url=redis://h/x"], "error: redis: url: 'x' is no number"),
                            (["redis", "url=redis://h", "tls.ca=ca.pem"], "one with rediss:// is"),
                            (["mqtt", "url=mqtt://h", "--tls-cert", "c.pem"], "tls.cert is set, but"),
                            (["webhook", "url=http://h/", "tls.server_name=h"], "one with https:// is"),
                            (["elasticsearch", "url=http://h", "tls.key=k"], "one with https:// is"),
                            (["mongodb", "url=http://h"], "no address of MongoDB"),
                            *((words + [f"{key}=no.key"], f"{key.replace('_', '-')}: the file no.key cannot be read")
                              for words in (["redis", "url=redis://h"], ["mqtt", "url=mqtt://h"], ["webhook", "url=http://h"],
                                            ["elasticsearch", "url=http://h"], ["mongodb", "url=mongodb://h"])
                              for key in ["password_file"]),
                            (["webhook", "url=http://h", "--token-file", "no.key"], "token-file: the file no.key"),
                            (["zeromq", "url=pub+bind:inproc://b", "curve.secret_key_file=no.key"], "no.key: no such file"),
                            (["sqlite", "path=x"], "--from")):
            process = self.start(*words, *([] if says == "--from" else ["--from", "sub+connect:inproc://a"]))
            _, err = process.communicate(timeout=60)
            self.assertEqual(process.returncode, 2, err)
            self.assertEqual(err.count("\n"), 1, err)
            self.assertIn(says, err)

    def test_messages_are_acknowledged_when_they_are_stored(self):
        sink = self.reading("sqlite", "--path", "events.db", "--from", f"router+bind:ipc://{self.folder}/in")
        sender = self.sender(zmq.DEALER)
        ids = self.send(sender, 500)
        sender.wait()
        self.assertEqual(self.stored(), set(ids))
        self.assertIn("500 records stored, 0 dropped, 0 dead letters", self.end(sink))

    def test_probes_and_counters_over_http(self):
        sink, url = self.serving("webhook", "url=http://127.0.0.1:9/hook", "--drain", "0", "--from",
                                 f"pull+bind:ipc://{self.folder}/in")

        def get(path):
            return self.get(url + path)

        self.assertEqual(get("/livez")[0], 200)
        self.assertEqual(get("/readyz")[0], 200)
        self.send(self.sender(zmq.PUSH), 10)
        self.eventually(lambda: get("/readyz")[0] == 503, "nobody answers there")
        self.eventually(lambda: self.queued(url) == 10, "all are taken")
        (shown,) = json.loads(get("/v1/sinks")[1])
        self.assertEqual((shown["type"], shown["queue"]["records"], shown["dropped"]), ("webhook", 10, 0))
        self.assertNotEqual(shown["last_error"], "")
        self.assertIn('sightglass_sink_queue_records{sink="webhook"} 10', get("/metrics")[1])
        self.end(sink, code=1)

    def test_other_machines_need_a_token_for_more_than_probes(self):
        words = ["webhook", "url=http://127.0.0.1:9/hook", "--http", "0.0.0.0:0", "--from", f"pull+bind:ipc://{self.folder}/in"]
        refused = subprocess.run([PROGRAM, "sink", *words], capture_output=True, text=True, timeout=60)
        self.assertEqual(refused.returncode, 2)
        self.assertIn("--http-token-file", refused.stderr)
        (self.folder / "tokens").write_text("scraper read 0123456789abcdef\n")
        sink = self.start(*words, "--http-token-file", f"{self.folder}/tokens")
        url = sink.stderr.readline().strip().replace("0.0.0.0", "127.0.0.1")

        def get(path, token=None):
            request = urllib.request.Request(url + path, headers={"Authorization": f"Bearer {token}"} if token else {})
            try:
                with urllib.request.urlopen(request, timeout=30) as answer:
                    return answer.status
            except urllib.error.HTTPError as error:
                return error.code

        self.assertEqual([get("/livez"), get("/metrics"), get("/metrics", "0123456789abcdef")], [200, 401, 200])
        self.end(sink)

    def test_a_file_describes_many_sinks(self):
        (self.folder / "sinks.yml").write_text(
            f"""version: 1
name: archive
pipeline:
  source: {{type: zeromq, url: "router+bind:ipc://{self.folder}/in"}}
  sinks:
  - {{name: db, type: sqlite, path: events.db}}
  - {{name: lines, type: json_file, folder: out, rotate_records: 0, rotate_bytes: 0, rotate_time: 0}}
""")
        sink = self.reading("sinks.yml")
        sender = self.sender(zmq.DEALER)
        ids = self.send(sender, 100)
        sender.wait()
        self.end(sink)
        self.assertEqual(self.stored(), set(ids))
        lines = (self.folder / "out" / "cam.jsonl").read_text().splitlines()
        self.assertEqual([json.loads(line)["uuid"] for line in lines], ids)

    def test_a_signal_ends_it_while_a_server_lets_it_wait(self):
        server, first = socket.socket(), socket.socket()
        self.addCleanup(server.close)
        self.addCleanup(first.close)
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        first.connect(server.getsockname())  # who comes now is not answered
        port = server.getsockname()[1]
        sink = self.start("mongodb", f"url=mongodb://127.0.0.1:{port}", "--from", f"pull+bind:ipc://{self.folder}/in")
        caller = f" 0100007F:{port:04X} 02 "
        self.eventually(lambda: caller in Path("/proc/net/tcp").read_text(), "it connects")
        began = time.monotonic()
        self.assertEqual(self.end(sink), "")
        self.assertLess(time.monotonic() - began, 3)  # the driver waits for longer

    def test_what_an_outbox_cannot_take_up_is_told(self):
        arguments = ["webhook", "url=http://127.0.0.1:9/hook", "--from", f"pull+bind:ipc://{self.folder}/in"]
        self.end(self.reading(*arguments))
        outbox = next((self.folder / "state").rglob("position")).parent
        (outbox / "000000000007.spill").write_text("of another version, perhaps")
        sink = self.reading(*arguments)
        line = sink.stderr.readline()
        self.assertTrue(line.startswith("sink webhook: "), line)
        self.assertIn("000000000007.spill.unreadable: cannot be read, and was set aside", line)
        self.end(sink)

    def test_a_durable_queue_survives_a_kill_while_the_endpoint_is_away(self):
        """From a source that acknowledges nothing: what was taken is on disk, and goes out later."""
        arguments = ["webhook", "url=http://127.0.0.1:9/hook", "queue.durable=true", "queue.sync=none", "--from",
                     f"pull+bind:ipc://{self.folder}/in"]
        sender, ids = None, []
        for _ in range(3):
            sink, url = self.serving(*arguments)
            sender = sender or self.sender(zmq.PUSH)
            before = self.spilled()
            ids += self.send(sender, 200, len(ids))
            self.eventually(lambda: self.queued(url) == len(ids), "they are taken")
            # A frame without results is some 200 bytes on disk.
            self.eventually(lambda: self.spilled() >= before + 200 * 130, "they are on disk")
            self.steady()
            sink.kill()
            sink.wait()
        server = subprocess.Popen([sys.executable, str(SERVERS / "webhook_double.py")], stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE, text=True)
        self.addCleanup(server.communicate)
        self.addCleanup(server.terminate)
        _, host, port, control = server.stdout.readline().split()
        arguments[1] = f"url=http://{host}:{port}/hook"
        sink = self.reading(*arguments)
        self.eventually(lambda: self.spilled() == 0, "all is sent")
        self.end(sink)
        with urllib.request.urlopen(f"http://{host}:{control}/records") as answer:
            records = json.loads(answer.read())
        self.assertEqual({record["uuid"] for record in records}, set(ids))

    def steady(self):
        """Until nothing more is written."""
        size = -1
        while size != self.spilled():
            size = self.spilled()
            time.sleep(0.5)


if __name__ == "__main__":
    unittest.main(verbosity=2)
