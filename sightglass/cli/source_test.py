#!/usr/bin/env python3
"""`sightglass source` as a user meets it.

    source_test.py PROGRAM RTSP_SERVER
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.error
import urllib.request
from pathlib import Path

PROGRAM, RTSP_SERVER = sys.argv.pop(1), sys.argv.pop(1)
VIDEO = Path(os.environ["SIGHTGLASS_TEST_INPUTS"]) / "v.mp4"
CAMERA = "device=gst:videotestsrc is-live=true"


class Source(unittest.TestCase):
    def setUp(self):
        self.folder = Path(tempfile.mkdtemp(prefix="sightglass-source-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.address = f"ipc://{self.folder}/s"

    def start(self, *arguments, program=PROGRAM, **environment):
        process = subprocess.Popen([program, *map(str, arguments)], cwd=self.folder, stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                   env={**os.environ, "LC_ALL": "C.UTF-8", **environment})
        self.addCleanup(self.kill, process)
        return process

    def kill(self, process):
        if process.poll() is None:
            process.kill()
        process.communicate()

    def source(self, *arguments, code=0):
        process = self.start("source", *arguments)
        out, err = process.communicate(timeout=120)
        self.assertEqual(process.returncode, code, f"{out}\n{err}")
        return out, err

    def reader(self, *arguments):
        """What comes, until so many ends of streams."""
        return self.start("recv", "router+bind:" + self.address, "--notes", *arguments)

    def refused(self, *arguments, says):
        out, err = self.source(*arguments, code=2)
        self.assertEqual(err.count("\n"), 1, err)
        for text in says:
            self.assertIn(text, err)

    def test_lists_its_kinds_and_their_options(self):
        out, _ = self.source()
        for kind in ("video_file", "rtsp", "camera", "ffmpeg", "multi"):
            self.assertIn(f"  {kind} ", out)
        out, _ = self.source("rtsp", "--help")
        self.assertIn("transport=tcp|udp|auto", out)
        self.assertIn("stall_after=", out)
        self.assertIn("tls.ca=", out)

    def test_what_never_comes_back_ends_with_the_process_and_not_before_it(self):
        source = self.start("source", "stuck", "--to", "push+connect:" + self.address,
                            SIGHTGLASS_PLUGIN_PATH=os.environ["SIGHTGLASS_TEST_PLUGINS"])
        self.assertEqual(source.stderr.readline(), "it does not come back\n")
        source.send_signal(signal.SIGTERM)
        out, err = source.communicate(timeout=60)
        self.assertEqual(source.returncode, 0)
        self.assertNotIn("taken apart", err)

    def test_bad_options_are_one_line_with_what_is_allowed(self):
        to = ["--to", "push+connect:" + self.address]
        self.refused("rtps", *to, says=["'rtps'", "did you mean 'rtsp'?"])
        self.refused("rtsp", "url=rtsp://h/x", "transprot=tcp", *to,
                     says=["transprot=tcp", "did you mean 'transport'?"])
        self.refused("rtsp", "url=rtsp://h/x", "transport=pigeon", *to,
                     says=["transport=pigeon", "one of: tcp, udp, auto"])
        self.refused("rtsp", "url=rtsp://h/x", "--stall-after", "soon", *to, says=["stall_after=soon"])
        self.refused("rtsp", "url=rtsp://h/x", says=["--to is missing"])
        self.refused("rtsp", "url=rtsp://h/x", "--to", "router+bind:" + self.address, says=["pub, push, dealer"])
        self.refused("video_file", "location=/nowhere.mp4", "source_id=..", *to, says=["'..'"])

    def test_file_ends_when_all_is_acknowledged(self):
        reader = self.reader("--ends", 1)
        _, err = self.source("video_file", f"location={VIDEO}", "--source-id", "film", "--to",
                             "dealer+connect:" + self.address)
        records = [json.loads(line) for line in reader.communicate(timeout=60)[0].splitlines()]
        frames = [record for record in records if record.get("kind", "frame") == "frame"]
        self.assertEqual({record["source_id"] for record in records}, {"film"})
        self.assertIn(f"{len(frames)} frames", err)
        self.assertNotIn("error", err)

    def test_signal_ends_the_streams_of_a_camera(self):
        process = self.start("source", "camera", CAMERA, "--size", "64x48", "--source-id", "door", "--to",
                             "dealer+connect:" + self.address)
        reader = self.reader("--ends", 1)
        while "running" not in process.stderr.readline():
            pass
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(60), 0)
        out, _ = reader.communicate(timeout=60)
        end = json.loads(out.splitlines()[-1])
        self.assertEqual(end["source_id"], "door")
        self.assertIn("drain", json.dumps(end).lower())

    def test_signal_ends_one_that_waits_for_a_server_which_never_answers(self):
        with socket.create_server(("127.0.0.1", 0)) as server:
            process = self.start("source", "video_file", f"location=http://127.0.0.1:{server.getsockname()[1]}/v.mp4",
                                 "--to", "dealer+connect:" + self.address)
            silent, _ = server.accept()
            with silent:
                process.send_signal(signal.SIGTERM)
                self.assertEqual(process.wait(60), 0, "an error would be that nothing has come")

    def test_reader_that_is_away_at_the_end_is_an_error(self):
        process = self.start("source", "camera", CAMERA, "--size", "64x48", "--block-after", "0.2", "--drain", "0.3",
                             "--to", "dealer+connect:" + self.address)
        while "blocked" not in process.stderr.readline():
            pass
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(60), 3)

    def test_many_cameras_of_one_file(self):
        server = self.start("--user", "viewer", "--password", "marker-secret", program=RTSP_SERVER)
        port = server.stdout.readline().split()[2]
        (self.folder / "secret").write_text("marker-secret\n")
        (self.folder / "cameras.yml").write_text(f"""
out: dealer+connect:{self.address}
http: 127.0.0.1:0
defaults: {{type: rtsp, url: "rtsp://127.0.0.1:{port}/live", user: viewer, password_file: secret}}
sources:
  - {{source_id: gate}}
  - {{source_id: yard, stall_after: 2s}}
  - {{type: camera, source_id: desk, device: "/dev/v4l/by-id/usb-not-there"}}
""")
        reader = self.reader("--ends", 2)
        log = open(self.folder / "log", "w+")
        self.addCleanup(log.close)
        process = subprocess.Popen([PROGRAM, "source", "cameras.yml"], cwd=self.folder, stdin=subprocess.DEVNULL,
                                   stdout=log, stderr=log,
                                   env={**os.environ, "GST_DEBUG": "rtspsrc:7,rtspconnection:7"})
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        url = None
        deadline = time.monotonic() + 60
        running = 0
        while running < 2 and time.monotonic() < deadline:
            if url is None:
                said = [line for line in (self.folder / "log").read_text(errors="replace").splitlines() if line.startswith("http://")]
                url = said[0].strip() if said else None
                time.sleep(0.05)
                continue
            streams = json.loads(urllib.request.urlopen(url + "/v1/streams").read())
            running = sum(stream["state"] == "running" for stream in streams)
            time.sleep(0.05)
        self.assertEqual(running, 2)
        desk = next(stream for stream in streams if stream["id"] == "desk")
        self.assertIn("is not there", desk["last_error"])
        metrics = urllib.request.urlopen(url + "/metrics").read().decode()
        self.assertIn('sightglass_source_state{source="gate",state="running"} 1', metrics)
        self.assertIn("sightglass_source_reconnects_total", metrics)
        self.assertIn("sightglass_source_blocked_seconds_total", metrics)
        self.assertEqual(urllib.request.urlopen(url + "/readyz").status, 200)
        self.assertNotIn("marker-secret", Path(f"/proc/{process.pid}/cmdline").read_text())
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(60), 0)
        reader.communicate(timeout=60)
        said = (self.folder / "log").read_text(errors="replace")
        self.assertIn("rtspsrc", said)  # GStreamer did say something
        for secret in ("marker-secret", "dmlld2VyOm1hcmtlci1zZWNyZXQ="):
            self.assertNotIn(secret, said)

    def refused_lines(self, name, says):
        _, err = self.source(name, code=2)
        for text in says:
            self.assertIn(text, err)

    def test_mistakes_in_a_file_are_said_with_their_line(self):
        (self.folder / "c.yml").write_text(
            "out: push+connect:ipc:///tmp/x\nsources:\n  - {type: rtsp, url: rtsp://h/x, stall_aftr: 2s}\n"
            "  - {type: rtps, url: rtsp://h/x}\n")
        self.refused_lines("c.yml", says=["c.yml:3", "stall_aftr", "did you mean 'stall_after'", "c.yml:4", "rtps"])
        (self.folder / "d.yml").write_text(
            "out: push+connect:ipc:///tmp/x\nsources:\n  - {type: rtsp, source_id: a, url: rtsp://h/x}\n"
            "  - {type: rtsp, source_id: a, url: rtsp://h/x}\n")
        self.refused_lines("d.yml", says=["d.yml:4", "two sources 'a'"])

    def test_keys_of_tls_at_an_address_without_it_are_refused_but_for_defaults(self):
        to = ["--to", "push+connect:" + self.address]
        _, err = self.source("rtsp", "url=rtsp://h/x", "--tls-ca", "ca.pem", *to, code=2)
        self.assertIn("tls.ca is set", err)
        self.assertEqual(err.count("\n"), 1, err)
        cameras = ("out: push+connect:ipc:///tmp/x\ndefaults: {type: rtsp, tls: {ca: ca.pem, verify: false}}\nsources:\n"
                   "  - {source_id: a, url: 'rtsps://h/x'}\n  - {source_id: b, url: 'rtsp://h/x'}\n"
                   "  - {source_id: c, url_file: plain.url}\n")
        (self.folder / "plain.url").write_text("rtsp://me:marker-secret@h/x\n")
        (self.folder / "own.yml").write_text(cameras + "  - {source_id: d, url: 'rtsp://h/x', tls: {cert: c.pem}}\n")
        _, err = self.source("own.yml", code=2)
        self.assertIn("sources[3]: tls.cert is set", err)
        (self.folder / "last.yml").write_text(cameras + "  - {source_id: e, url: 'http://h/x'}\n")
        _, err = self.source("last.yml", code=2)  # all before it are right
        self.assertIn("sources[3]: url: 'http' is no protocol of RTSP", err)

    def test_secret_that_cannot_be_read_is_a_mistake_of_options(self):
        for words in (["rtsp", "url=rtsp://h/x"], ["mqtt", "url=mqtt://h", "--topics", "a"]):
            _, err = self.source(*words, "--password-file", "no.key", "--to", "dealer+connect:" + self.address, code=2)
            self.assertIn("password-file: the file no.key cannot be read", err)
            self.assertEqual(err.count("\n"), 1, err)

    def test_F24_secrets_on_the_command_line_are_refused(self):
        for option in ("pass", "decryption_key", "sig", "passphrase", "user_agent=x,auth_token"):
            _, err = self.source("ffmpeg", "url=srt://h:1", f"options={option}=marker-secret", "--to",
                                 "push+connect:" + self.address, code=2)
            self.assertIn("options: holds a secret, which `ps` would show", err)
            self.assertNotIn("marker-secret", err)
        _, err = self.source("rtsp", "url=rtsp://me:marker-secret@h/x", "--to", "push+connect:" + self.address, code=2)
        self.assertIn("password-file", err)
        self.assertNotIn("marker-secret", err)


if __name__ == "__main__":
    unittest.main(verbosity=2)
