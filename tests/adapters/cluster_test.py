#!/usr/bin/env python3
"""Three modules in one consumer group, twelve sources, one module killed and started again: every frame's result
arrives, repeats are known by their uuid, and each source stays in order.

    SIGHTGLASS_TEST_INPUTS=… cluster_test.py PROGRAM

Runs on the double of a broker (tests/servers/kafka_double.py), whose groups are those of the real one, or on the broker
that SIGHTGLASS_TEST_KAFKA names; python3-kafka reads what was written.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.error
import urllib.request
import uuid
from pathlib import Path

import kafka

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from ports import free_port  # noqa: E402

PROGRAM = "sightglass"
INPUTS = Path(os.environ.get("SIGHTGLASS_TEST_INPUTS", "."))
ROOT = Path(__file__).resolve().parent.parent.parent
SAMPLES = ROOT / "samples" / "cluster"
DOUBLE = ROOT / "tests" / "servers" / "kafka_double.py"
LONG = bool(os.environ.get("SIGHTGLASS_TEST_LONG"))
SOURCES = 12
FRAMES = 1500 if LONG else 150  # of each
RATE = 30
PARTITIONS = 12
PATIENCE = 180


class Cluster(unittest.TestCase):
    def setUp(self):
        self.folder = Path(tempfile.mkdtemp(prefix="sightglass-cluster-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        tag = uuid.uuid4().hex[:8]
        self.frames, self.written, self.results = f"frames-{tag}", f"written-{tag}", f"results-{tag}"
        self.group = f"group-{tag}"
        self.brokers = os.environ.get("SIGHTGLASS_TEST_KAFKA")
        if not self.brokers:
            self.start_double()

    def start_double(self):
        double = subprocess.Popen([sys.executable, DOUBLE, "--no-auto-create"], stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE, text=True)
        self.addCleanup(double.wait)
        self.addCleanup(double.stdout.close)
        self.addCleanup(double.stdin.close)
        _, host, port, control = double.stdout.readline().split()
        self.brokers = f"{host}:{port}"
        for topic in (self.frames, self.written, self.results):
            request = urllib.request.Request(f"http://127.0.0.1:{control}/topic", method="POST",
                                             data=json.dumps({"topic": topic, "partitions": PARTITIONS}).encode())
            urllib.request.urlopen(request, timeout=30).close()

    # --- programs -------------------------------------------------------------------------------------------------

    def start(self, name, description, port=None):
        path = self.folder / f"{name}.yml"
        path.write_text(description)
        with open(self.folder / f"{name}.log", "a") as log:
            process = subprocess.Popen([PROGRAM, "run", path], cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log,
                                       stderr=log, env={**os.environ, "XDG_STATE_HOME": str(self.folder / name)})
        process.port = port

        def end():
            if process.poll() is None:
                process.kill()
            process.wait()

        self.addCleanup(end)
        return process

    def module(self, number):
        port = free_port()
        return self.start(f"module-{number}", f"""
version: 1
name: module-{number}
pipeline:
  source:
    type: kafka
    brokers: "{self.brokers}"
    topics: {self.frames}
    group: {self.group}
    commit_interval: 0.2
    options: [session.timeout.ms=6000, heartbeat.interval.ms=500]
  elements: []
  sinks:
    - {{name: results, type: kafka, brokers: "{self.brokers}", topic: {self.results}, format: json,
       partitions: {PARTITIONS}, required: true, queue: {{policy: block}}}}
http: {{bind: "127.0.0.1:{port}"}}
""", port)

    def writer(self):
        return self.start("writer", f"""
version: 1
name: writer
pipeline:
  source: {{type: multi, location: "{INPUTS / 'v.mp4'}", count: {SOURCES}, id_pattern: "cam-{{n}}", rate: {RATE},
           frames: {FRAMES}}}
  elements: []
  sinks:
    - {{name: frames, type: kafka, brokers: "{self.brokers}", video_topic: {self.frames}, topic: {self.written},
       format: json, partitions: {PARTITIONS}, required: true, queue: {{policy: block}}}}
output_frame: {{codec: copy}}
http: {{bind: "off"}}
""")

    def exit_status(self, process):
        try:
            return process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.fail(f"does not end: {process.args}\n{self.logs()}")

    def logs(self):
        return "\n".join(f"{path.name}: {path.read_text()[-2000:]}" for path in sorted(self.folder.glob("*.log")))

    def until(self, condition, what):
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            if condition():
                return
            time.sleep(0.05)
        self.fail(f"waited in vain: {what}\n{self.logs()}")

    def probe(self, process, path):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{process.port}{path}", timeout=10) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return None

    # --- what stands in the topics --------------------------------------------------------------------------------

    def consumer(self, **options):
        return kafka.KafkaConsumer(bootstrap_servers=self.brokers.split(","), api_version_auto_timeout_ms=30000,
                                   enable_auto_commit=False, **options)

    def read(self, topic, enough):
        """All messages, as (partition, key, uuid, value), until `enough` says so of them."""
        reader = self.consumer(auto_offset_reset="earliest", consumer_timeout_ms=500)
        reader.assign([kafka.TopicPartition(topic, number) for number in range(PARTITIONS)])
        found = []
        deadline = time.monotonic() + PATIENCE
        while not enough(found):
            if time.monotonic() > deadline:
                self.fail(f"{topic}: {len(found)} messages\n{self.logs()}")
            for message in reader:
                found.append((message.partition, message.key.decode(), dict(message.headers)["uuid"].decode(),
                              message.value))
        for message in reader:  # what nobody waited for
            found.append((message.partition, message.key.decode(), dict(message.headers)["uuid"].decode(),
                          message.value))
        reader.close()
        return found

    def test_killed_module_costs_no_result(self):
        modules = [self.module(number) for number in range(3)]
        # The probes that the sample's files ask.
        for process in modules:
            self.until(lambda process=process: self.probe(process, "/readyz") == 200 or process.poll() is not None,
                       "modules are ready")
            self.assertIsNone(process.poll(), self.logs())
            self.assertEqual(self.probe(process, "/livez"), 200)
        self.assertIn("/readyz", (SAMPLES / "kubernetes" / "module.yaml").read_text())
        writer = self.writer()
        time.sleep(2 if not LONG else 10)
        modules[1].send_signal(signal.SIGKILL)
        modules[1].wait()
        time.sleep(1)
        modules[1] = self.module(1)
        wanted = {}  # uuids of each source, in order
        for _, source, name, value in self.read(self.written, self.has_all):
            if not self.is_frame(value):
                continue
            self.assertNotIn(name, wanted.setdefault(source, []), "the writer has written twice")
            wanted[source].append(name)
        results = self.read(self.results, self.has_all)
        writer.send_signal(signal.SIGTERM)
        self.assertEqual(self.exit_status(writer), 0, self.logs())
        places, repeats = {}, 0
        seen = {}
        for partition, source, name, value in results:
            self.assertEqual(places.setdefault(source, partition), partition, "a source in two partitions")
            if not self.is_frame(value):
                continue
            record = json.loads(value)
            self.assertEqual((record["uuid"], record["source_id"]), (name, source))
            if name in seen.setdefault(source, {}):
                repeats += 1
                continue
            seen[source][name] = record["seq"]
        self.assertEqual(set(seen), {f"cam-{number}" for number in range(SOURCES)})
        for source, names in seen.items():
            self.assertEqual(len(names), FRAMES, source)
            self.assertLessEqual(set(names), set(wanted[source]), "results of frames that were never written")
            self.assertEqual([name for name in wanted[source] if name in names], list(names), f"order of {source}")
        self.assertLess(repeats, SOURCES * FRAMES, "offsets were not committed")
        print(f"{SOURCES * FRAMES} results, {repeats} repeats", file=sys.stderr)
        for process in modules:
            process.send_signal(signal.SIGTERM)
        for process in modules:
            self.assertEqual(self.exit_status(process), 0, self.logs())

    # --- the source as a process of its own ---------------------------------------------------------------------

    def source_process(self, address):
        with open(self.folder / "source.log", "a") as log:
            process = subprocess.Popen(
                [PROGRAM, "source", "kafka", f"brokers={self.brokers}", f"topics={self.frames}", f"group={self.group}",
                 "commit_interval=0.2", "--to", address], cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

        def end():
            if process.poll() is None:
                process.kill()
            process.wait()

        self.addCleanup(end)
        return process

    def router(self, ack):
        """A module that others send to."""
        return self.start("router", f"""
version: 1
name: router
pipeline:
  source: {{type: zeromq, url: "router+bind:ipc://{self.folder}/in", ack: {ack}}}
  elements: []
  sinks:
    - {{name: results, type: kafka, brokers: "{self.brokers}", topic: {self.results}, format: json,
       partitions: {PARTITIONS}, required: true, queue: {{policy: block}}}}
http: {{bind: "off"}}
""")

    def committed(self):
        reader = self.consumer(group_id=self.group)
        notes = [reader.committed(kafka.TopicPartition(self.frames, number), metadata=True)
                 for number in range(PARTITIONS)]
        ends = reader.end_offsets([kafka.TopicPartition(self.frames, number) for number in range(PARTITIONS)])
        reader.close()
        processed = [int(note.metadata.split("processed=")[1].split()[0]) if note else 0 for note in notes]
        return processed, [ends[kafka.TopicPartition(self.frames, number)] for number in range(PARTITIONS)]

    def test_process_of_its_own_commits_what_the_module_has_acknowledged(self):
        self.router("processed")
        writer = self.writer()
        process = self.source_process(f"dealer+connect:ipc://{self.folder}/in")
        self.read(self.results, self.has_all)
        self.until(lambda: self.committed()[0] == self.committed()[1], "all is committed")
        process.send_signal(signal.SIGTERM)
        self.assertEqual(self.exit_status(process), 0, self.logs())
        writer.send_signal(signal.SIGTERM)
        self.assertEqual(self.exit_status(writer), 0, self.logs())

    def test_process_of_its_own_needs_acknowledgements(self):
        process = self.source_process(f"push+connect:ipc://{self.folder}/in")
        self.assertEqual(self.exit_status(process), 2)
        self.assertIn("dealer", (self.folder / "source.log").read_text())

    def test_process_of_its_own_needs_the_level_processed(self):
        self.router("accepted")
        writer = self.writer()
        process = self.source_process(f"dealer+connect:ipc://{self.folder}/in")
        self.assertEqual(self.exit_status(process), 1, self.logs())
        self.assertIn("ack: processed", (self.folder / "source.log").read_text())
        self.assertEqual(sum(self.committed()[0]), 0)
        writer.kill()

    @staticmethod
    def is_frame(value):
        return b'"schema":"sightglass.frame/1"' in value

    @classmethod
    def has_all(cls, found):
        return len({name for _, _, name, value in found if cls.is_frame(value)}) >= SOURCES * FRAMES


if __name__ == "__main__":
    if len(sys.argv) > 1 and not sys.argv[1].startswith("-"):
        PROGRAM = sys.argv.pop(1)
    unittest.main(verbosity=2)
