#!/usr/bin/env python3
"""What a running module says of itself to others: spans of single frames, metrics, warnings of its elements.

    SIGHTGLASS_TEST_MODELS=… telemetry_test.py PROGRAM [NAME…]

The collector is otlp_receiver.py, the writer and the reader of frames speak the protocol by themselves
(tests/stream/plain_client.py).
"""

import io
import json
import re
import shutil
import signal
import subprocess
import sys
import time
import unittest
import urllib.request
from pathlib import Path

import module_program_test as program
import zmq
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests" / "stream"))
from plain_client import Codec, Sender, frame, message  # noqa: E402
from ports import free_port  # noqa: E402

SCHEMA = ROOT / "sightglass" / "stream" / "sightglass.avsc"
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


def picture(width=64, height=48):
    out = io.BytesIO()
    Image.linear_gradient("L").resize((width, height)).convert("RGB").save(out, "JPEG")
    return out.getvalue()


class Telemetry(program.Modules):
    def setUp(self):
        super().setUp()
        self.codec = Codec(SCHEMA)
        self.context = zmq.Context()
        self.addCleanup(self.context.destroy, linger=0)

    def receiver(self):
        """A collector; gives its address and a function that asks it."""
        process = subprocess.Popen([sys.executable, ROOT / "tests" / "servers" / "otlp_receiver.py"],
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

        def end():
            process.stdin.close()
            process.wait(timeout=program.PATIENCE)
            process.stdout.close()

        self.addCleanup(end)
        _, host, port, control = process.stdout.readline().split()

        def ask(command):
            with urllib.request.urlopen(f"http://127.0.0.1:{control}/{command}", timeout=program.PATIENCE) as answer:
                return json.load(answer)

        return f"http://{host}:{port}", ask

    def socket(self, kind, url, bind=False):
        socket = self.context.socket(kind)
        socket.setsockopt(zmq.RCVTIMEO, program.PATIENCE * 1000)
        socket.setsockopt(zmq.SNDTIMEO, program.PATIENCE * 1000)
        (socket.bind if bind else socket.connect)(url)
        return socket

    def run_traced(self, more, sinks=None, elements="", output="output_frame: {codec: jpeg}\n"):
        source = f'  source: {{type: zeromq, url: "pull+bind:{self.ipc("in")}"}}'
        return self.run_module(source=source, sinks=sinks or self.json_sink(), elements=elements, more=output + more)

    def send(self, frames, traces=(), source="cam-1", pictures=None):
        """Frames with a trace context each, where `traces` has one by seq."""
        sender = Sender(self.codec, self.socket(zmq.PUSH, self.ipc("in")))
        for seq in range(frames):
            data = (pictures or {}).get(seq) or picture()
            record = message("FRAME", source, sender.producer, 0, seq, frame(data, 64, 48, "jpeg", seq * 40_000_000))
            if seq in traces:
                record["trace"] = traces[seq]
            sender.socket.send_multipart([source.encode(), self.codec.encode(record), data])
        return sender

    def metrics(self):
        """name{labels} → value"""
        values = {}
        for line in self.get("/metrics")[1].decode().splitlines():
            if not line.startswith("#"):
                name, _, value = line.rpartition(" ")
                values[name] = float(value)
        return values

    def series(self, name, **labels):
        found = {}
        for key, value in self.metrics().items():
            base, _, rest = key.partition("{")
            own = dict(re.findall(r'(\w+)="([^"]*)"', rest))
            if base == "sightglass_" + name and all(own.get(k) == v for k, v in labels.items()):
                found[key] = value
        return found

    # --- traces -----------------------------------------------------------------------------------------------

    def test_a_frame_whose_sender_asks_is_followed_from_its_receipt_to_the_next_module(self):
        address, ask = self.receiver()
        out = self.socket(zmq.PULL, self.ipc("out"), bind=True)
        sinks = f"""  sinks:
    - {{name: next, type: zeromq, url: "push+connect:{self.ipc("out")}", required: true}}"""
        module = self.run_traced(f'telemetry: {{traces: {{sample: 0, otlp_url: "{address}/v1/traces"}}}}\n', sinks=sinks)
        contexts = {7: dict(traceparent=f"00-{TRACE}-{SPAN}-01", tracestate="vendor=1"),
                    9: dict(traceparent=f"00-{TRACE}-{SPAN}-00", tracestate="")}
        self.send(12, contexts)
        came = []  # in order; notes about the stream have numbers of their own
        while len(came) < 12:
            record = self.codec.decode(out.recv_multipart()[1])
            if record["kind"] == "FRAME":
                came.append(record["trace"])
        spans = self.until(lambda: (s := ask("spans")) and any(one["name"] == "frame" for one in s) and s, "the trace")
        by_name = {span["name"]: span for span in spans}
        self.assertEqual(sorted(span["name"] for span in spans),
                         ["batch", "batch.wait", "decode", "element.things", "encode", "frame", "inference", "queue",
                          "receive", "sink.next"])
        whole = by_name["frame"]
        self.assertEqual((whole["trace"], whole["parent"], whole["tracestate"]), (TRACE, SPAN, "vendor=1"))
        self.assertEqual(whole["attributes"]["frame.seq"], "7")
        self.assertEqual(whole["service"]["service.name"], "under-test")
        for name in ("receive", "queue", "decode", "element.things", "encode", "sink.next"):
            self.assertEqual(by_name[name]["parent"], whole["span"], name)
        for name in ("batch.wait", "inference"):
            self.assertEqual(by_name[name]["parent"], by_name["element.things"]["span"], name)
        batch = by_name["batch"]
        self.assertEqual(by_name["inference"]["links"], [[batch["trace"], batch["span"]]])
        self.assertNotEqual(batch["trace"], TRACE)
        # One follows the other, and all lie within the frame.
        order = ["receive", "queue", "decode", "element.things", "encode", "sink.next"]
        for before, after in zip(order, order[1:]):
            self.assertLessEqual(by_name[before]["begin"], by_name[after]["begin"])
        for span in spans:
            self.assertLessEqual(span["begin"], span["end"])
            if span["trace"] == TRACE:
                self.assertLessEqual(whole["begin"], span["begin"], span["name"])
                self.assertLessEqual(span["end"], whole["end"], span["name"])
        # The next module goes on with it; what is not followed here is passed on as it came.
        self.assertEqual(came[7], dict(traceparent=f"00-{TRACE}-{whole['span']}-01", tracestate="vendor=1"))
        self.assertEqual(came[9], contexts[9])
        self.assertTrue(all(trace is None for at, trace in enumerate(came) if at not in contexts))
        module.send_signal(signal.SIGTERM)
        self.finish(module)

    def test_one_frame_of_so_many_is_followed_and_drops_say_why(self):
        address, ask = self.receiver()
        module = self.run_traced(f'telemetry: {{traces: {{sample: 3, otlp_url: "{address}/v1/traces"}}}}\n')
        # 0 and 3 and 6 are followed; 3 is no picture.
        self.send(9, pictures={3: b"no jpeg at all, but as long as one might be" * 4})
        self.until(lambda: (s := self.stream("cam-1")) and s["received"] == 9 and s["in_flight"] == 0, "all frames")
        frames = self.until(lambda: len(f := [s for s in ask("spans") if s["name"] == "frame"]) == 3 and f, "3 traces")
        by_seq = {span["attributes"]["frame.seq"]: span for span in frames}
        self.assertEqual(set(by_seq), {"0", "3", "6"})
        self.assertEqual(len({span["trace"] for span in frames}), 3)
        self.assertEqual(by_seq["0"]["error"], "")
        self.assertEqual(by_seq["0"]["attributes"]["frame.outcome"], "stored")
        self.assertNotEqual(by_seq["3"]["error"], "")
        self.assertEqual(by_seq["3"]["attributes"]["frame.outcome"], "dropped")
        self.assertEqual(len(self.records("cam-1")), 8)
        module.send_signal(signal.SIGTERM)
        self.finish(module)

    def test_without_an_address_nothing_is_loaded(self):
        module = self.run_traced("")
        self.send(3, {1: dict(traceparent=f"00-{TRACE}-{SPAN}-01", tracestate="")})
        self.until(lambda: len(self.records("cam-1")) == 3, "all records")
        self.assertNotIn("sightglass-telemetry", Path(f"/proc/{module.pid}/maps").read_text())
        self.assertEqual(self.series("telemetry_spans_total"), {})
        module.send_signal(signal.SIGTERM)
        self.finish(module)

    def test_F24_a_collector_that_is_away_harms_nobody_and_its_password_is_not_shown(self):
        marker = "Xyzzy1Marker"
        address = f"http://ops:{marker}PW@127.0.0.1:{free_port()}"
        more = (f'telemetry: {{traces: {{sample: 1, otlp_url: "{address}/v1/traces?token={marker}T"}}, '
                f'metrics: {{otlp_url: "{address}/v1/metrics"}}, log: {{level: debug}}}}\n')
        module = self.run_traced(more)
        self.send(30)
        self.until(lambda: len(self.records("cam-1")) == 30, "all records")
        log = self.until(lambda: "traces:" in (t := module.log.read_text()) and t, "a word in the log")
        seen = [log, self.get("/metrics")[1].decode(), self.get("/v1/config")[1].decode(),
                self.get("/v1/module")[1].decode(), self.run_program("explain", self.folder / "module.yml")]
        begin = time.monotonic()
        module.send_signal(signal.SIGTERM)
        seen.append(self.finish(module))
        self.assertLess(time.monotonic() - begin, 30)
        for text in seen:
            self.assertNotIn(marker, text)

    # --- metrics ----------------------------------------------------------------------------------------------

    def test_metrics_add_up_and_are_pushed_as_they_are_shown(self):
        address, ask = self.receiver()
        module = self.run_traced(f'telemetry: {{metrics: {{otlp_url: "{address}/v1/metrics", labels: {{site: gate-7}}}}}}\n')
        self.send(40, pictures={5: b"no jpeg", 6: b"no jpeg"})
        stream = self.until(lambda: (s := self.stream("cam-1")) and s["received"] == 40 and s["in_flight"] == 0 and s,
                            "all frames")
        self.assert_account(stream)
        of_cam = dict(source="cam-1", site="gate-7")
        (received,) = self.series("frames_total", stage="received", **of_cam).values()
        (stored,) = self.series("frames_total", stage="stored", **of_cam).values()
        (in_flight,) = self.series("stream_inflight_frames", **of_cam).values()
        dropped = self.series("frames_dropped_total", **of_cam)
        self.assertEqual(received, stored + sum(dropped.values()) + in_flight)
        self.assertEqual((received, sum(dropped.values())), (40, 2))
        self.assertTrue(all('stage="elements"' in name for name in dropped), dropped)
        for name, labels, least in (
                ("frame_latency_seconds_count", dict(sink="local"), 38), ("element_seconds_count", dict(element="things"), 38),
                ("element_frames_total", dict(element="things", result="ok"), 38), ("batch_size_sum", dict(model="det"), 38),
                ("batch_wait_seconds_count", dict(model="det"), 38), ("inference_seconds_count", dict(model="det"), 1),
                ("sink_delivered_total", dict(sink="local"), 38), ("sink_up", dict(sink="local"), 1),
                ("messages_received_total", dict(kind="frame"), 40), ("build_info", {}, 1), ("model_info", dict(model="det"), 1),
                ("parameter_revision", {}, 0), ("instances_stuck", {}, 0), ("stream_transitions_total", dict(to="LIVE"), 1)):
            found = self.series(name, **labels)
            self.assertEqual(len(found), 1, (name, found))
            self.assertGreaterEqual(next(iter(found.values())), least, name)
        (status, _) = self.call("PUT", "/v1/parameters/least", {"value": 0.6})
        self.assertEqual(status, 200)
        self.assertEqual(list(self.series("parameter_changes_total", layer="http", result="applied").values()), [1])
        names = {re.sub(r"_(bucket|sum|count)$", "", name.partition("{")[0])
                 for name in self.metrics()}
        module.send_signal(signal.SIGTERM)
        self.finish(module)
        pushed = ask("metrics")  # once more at the end
        self.assertEqual({point["name"] for point in pushed} - {"sightglass_telemetry_pushes_total"},
                         names - {"sightglass_telemetry_pushes_total"})
        self.assertTrue(all(point["labels"]["site"] == "gate-7" for point in pushed))
        latency = next(point for point in pushed if point["name"] == "sightglass_frame_latency_seconds")
        self.assertEqual((latency["count"], sum(latency["buckets"])), (38, 38))

    def test_victoria_metrics_takes_what_is_pushed(self):
        server = shutil.which("victoria-metrics")
        if not server:
            self.skipTest("victoria-metrics is not installed")
        port = free_port()
        log = open(self.folder / "victoria.log", "w+")
        process = subprocess.Popen([server, f"-storageDataPath={self.folder / 'victoria'}",
                                    f"-httpListenAddr=127.0.0.1:{port}", "-memory.allowedBytes=64MB"],
                                   stdout=log, stderr=log)
        self.addCleanup(log.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)

        def said():
            return (self.folder / "victoria.log").read_text()

        def ask(path):
            self.assertIsNone(process.poll(), said())
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=program.PATIENCE) as answer:
                    return answer.read().decode()
            except OSError:
                return None

        self.until(lambda: ask("/health"), "victoria-metrics answers")
        module = self.run_traced(
            f'telemetry: {{metrics: {{otlp_url: "http://127.0.0.1:{port}/opentelemetry/v1/metrics"}}}}\n')
        self.send(10)
        self.until(lambda: len(self.records("cam-1")) == 10, "all records")

        def latest(name):
            # What was pushed is found after a flush; /api/v1/export has the samples themselves, whereas queries
            # leave out the last 30 s.
            ask("/internal/force_flush")
            text = ask(f"/api/v1/export?match[]={name}") or ""
            return {json.dumps(one["metric"], sort_keys=True): one["values"][-1]
                    for one in map(json.loads, text.splitlines())}

        def stored():
            frames = latest("sightglass_frames_total")
            return [value for labels, value in frames.items() if '"stored"' in labels and '"cam-1"' in labels]

        # While the module runs: its push at the end has two seconds, which a busy machine may not give it.
        self.until(lambda: stored() == [10], "the counters")
        self.until(lambda: list(latest("sightglass_frame_latency_seconds_count").values()) == [10], "the histogram")
        module.send_signal(signal.SIGTERM)
        self.finish(module)
        self.assertEqual(stored(), [10])

    def test_a_signal_right_behind_the_start_drains_what_was_read(self):
        address, ask = self.receiver()
        for turn in range(6):
            module = self.run_traced(f'telemetry: {{metrics: {{otlp_url: "{address}/v1/metrics"}}}}\n')
            self.send(3, source=f"cam-{turn}")
            self.until(lambda: self.records(f"cam-{turn}"), "a record")
            module.send_signal(signal.SIGTERM)
            self.assertRegex(self.finish(module), r"\d frames? in \d")
            self.until(lambda: any(point["labels"].get("source") == f"cam-{turn}" for point in ask("metrics")), "the last push")

    # --- warnings ---------------------------------------------------------------------------------------------

    def test_warnings_of_elements_are_counted_and_logged_once_a_minute(self):
        # Says at each start that the property has no effect.
        module = self.run_traced(
            "", elements="    - {name: texts, type: \"gst:metaconvert\", properties: {add_rtp_timestamp: true}}\n"
        )
        for source in ("cam-1", "cam-2"):
            self.send(3, source=source)
            self.until(lambda: (s := self.stream(source)) and s["received"] == 3 and s["in_flight"] == 0, source)
        elements = {one["name"]: one for one in json.loads(self.get("/v1/elements")[1])}
        self.assertGreaterEqual(elements["texts"]["warnings"], 2, elements)
        self.assertIn("add-rtp-timestamp has no effect", elements["texts"]["last_warning"])
        self.assertEqual(elements["things"]["warnings"], 0)
        self.assertEqual(list(self.series("element_warnings_total", element="texts").values()),
                         [elements["texts"]["warnings"]])
        module.send_signal(signal.SIGTERM)
        text = self.finish(module)
        self.assertEqual(len(re.findall(r"warning under-test: element texts: ", text)), 1, text)


if __name__ == "__main__":
    if len(sys.argv) > 1 and not sys.argv[1].startswith("-"):
        program.PROGRAM = sys.argv.pop(1)
    unittest.main(verbosity=2)
