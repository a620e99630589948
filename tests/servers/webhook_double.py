#!/usr/bin/env python3
"""An endpoint of webhooks: it checks signatures and keeps what is posted by its idempotency key.

    webhook_double.py [--secret TEXT] [--token TEXT] [--tls-cert …] [--data FILE]

A request is POST with a JSON list. With --secret its signature has to be right and its timestamp within five minutes, with --token
the bearer token. Repeats of an idempotency key are answered with 200 and counted, not kept again.

Faults with scope `request`, by method and path: 400, 401, 413, 429 (`seconds`: Retry-After), 500, cut_before, cut_after (kept, no answer),
garbage, silence; with scope `item`, by uuid: 400 (the whole request is refused).

Control commands beside those of serving.py: `records`: all that was kept, in order; `requests`: when each came and how it ended.
"""
import asyncio
import hashlib
import hmac
import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import serving  # noqa: E402


class WebhookDouble(serving.Server):
    def __init__(self, options):
        super().__init__(options)
        self.faults = serving.Faults(["400"], ["400", "401", "413", "429", "500", "cut_before", "cut_after", "garbage", "silence"])
        self.journal = serving.Journal(options.data)
        self.kept, self.requests, self.repeats = dict(self.journal.replay()), [], 0

    def control_records(self, _):
        return [record for batch in self.kept.values() for record in batch]

    def control_requests(self, _):
        return {"requests": self.requests, "repeats": self.repeats}

    def refusal(self, request):
        """A status and why, or None."""
        if request.method != "POST":
            return 405, "POST"
        if self.options.token and request.headers.get("authorization") != f"Bearer {self.options.token}":
            return 401, "who is that?"
        if self.options.secret:
            stamp = request.headers.get("x-sightglass-timestamp", "0")
            right = hmac.new(self.options.secret.encode(), stamp.encode() + b"." + request.body, hashlib.sha256).hexdigest()
            if not hmac.compare_digest(request.headers.get("x-sightglass-signature", ""), "v1=" + right):
                return 401, "signature"
            if abs(time.time() - int(stamp)) > 300:
                return 401, "too old"
        if "idempotency-key" not in request.headers:
            return 400, "Idempotency-Key"
        return None

    async def connection(self, reader, writer):
        while (request := await serving.read_request(reader, writer, 100 << 20)) is not None:
            rule = self.faults.pick("request", f"{request.method} {request.path}") or {"fault": ""}
            fault = rule["fault"]
            if fault == "silence":
                await asyncio.sleep(3600)
            elif fault == "cut_before":
                return serving.reset(writer)
            elif fault == "garbage":
                writer.write(b"\x00\xff no HTTP at all\r\n\r\n")
                return await writer.drain()
            extra, status, answer = [], 200, {}
            if fault.isdigit():
                status, answer = int(fault), {"error": "injected"}
                if fault == "429":
                    extra.append(("Retry-After", str(rule.get("seconds", 0))))
            elif (why := self.refusal(request)) is not None:
                status, answer = why[0], {"error": why[1]}
            else:
                batch = json.loads(request.body)
                if any(self.faults.pick("item", record["uuid"]) for record in batch):
                    status, answer = 400, {"error": "a record is not liked"}
                elif request.headers["idempotency-key"] in self.kept:
                    self.repeats += 1
                else:
                    self.kept[request.headers["idempotency-key"]] = batch
                    self.journal.write(request.headers["idempotency-key"], batch)
                    self.journal.flush()
            self.requests.append({"time": time.time(), "status": status, "bytes": len(request.body)})
            if fault == "cut_after":
                return serving.reset(writer)
            writer.write(serving.response(status, answer, extra, False))
            await writer.drain()


def add_options(parser):
    parser.add_argument("--secret")
    parser.add_argument("--token")
    parser.add_argument("--data", help="file that keeps everything, for restarts")
    serving.add_tls_options(parser)


if __name__ == "__main__":
    serving.serve(WebhookDouble, __doc__.splitlines()[0], add_options)
