#!/usr/bin/env python3
"""Serves a folder over HTTP, well and badly, and what a client has to cope with besides.

    file_double.py --root FOLDER [--bucket NAME --key-id ID --secret SECRET --region REGION] [--token TOKEN]

    /files/NAME             the file, with ranges and an ETag
    /cut/BYTES/NAME         the same, but the connection is reset after so many bytes of each answer
    /plain/NAME             the same without ranges
    /stall/NAME             the headers, then nothing until the client goes away
    /silent                 nothing at all
    /endless                a body without length or end
    /redirect/N?to=URL      N redirects, the last one to the URL; status=307 for another code than 302
    /status/CODE            that status, with a body that says so
    /echo                   the request as JSON: method, path, query, headers, body, connection (a number)
    /gzip/NAME              compressed, where the client takes that
    /bearer/NAME, /basic/NAME   with the token; with user `user` and password `pass word`
    /BUCKET/KEY             as S3 does: the request has to be signed (AWS signature version 4)

Control commands (serving.py):
    requests {}             "METHOD path" of all requests so far, with the range asked for
    forget {}               … none any more
    gate {"open": true}     with "open": false, answers of /files and /BUCKET wait after their first half until it is open
"""
import asyncio
import base64
import calendar
import email.utils
import gzip
import hashlib
import hmac
import itertools
import sys
import time
import urllib.parse
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import serving  # noqa: E402

CHUNK = 64 << 10


def signature(options, method, target, headers, signed, stamp):
    """The signature that AWS's documents ask for, from the request as it came."""
    url = urllib.parse.urlsplit(target)
    query = sorted((urllib.parse.quote(k, safe="-_.~"), urllib.parse.quote(v, safe="-_.~"))
                   for k, v in urllib.parse.parse_qsl(url.query, keep_blank_values=True))
    canonical = "\n".join([
        method,
        urllib.parse.quote(urllib.parse.unquote(url.path), safe="/-_.~"),
        "&".join(f"{k}={v}" for k, v in query),
        *(f"{name}:{' '.join(headers[name].split())}" for name in signed),
        "",
        ";".join(signed),
        headers["x-amz-content-sha256"]])
    scope = f"{stamp[:8]}/{options.region}/s3/aws4_request"
    to_sign = "\n".join(["AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = ("AWS4" + options.secret).encode()
    for part in (stamp[:8], options.region, "s3", "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return hmac.new(key, to_sign.encode(), hashlib.sha256).hexdigest()


def s3_refusal(options, method, target, headers, body):
    """The code of the error, or None."""
    authorization = headers.get("authorization", "")
    if not authorization.startswith("AWS4-HMAC-SHA256 "):
        return "AccessDenied"
    fields = dict(item.strip().split("=", 1) for item in authorization.split(" ", 1)[1].split(","))
    key_id, date, region, service, kind = fields["Credential"].split("/")
    stamp = headers.get("x-amz-date", "")
    if key_id != options.key_id:
        return "InvalidAccessKeyId"
    if (region, service, kind) != (options.region, "s3", "aws4_request") or not stamp.startswith(date):
        return "AuthorizationHeaderMalformed"
    if abs(time.time() - calendar.timegm(time.strptime(stamp, "%Y%m%dT%H%M%SZ"))) > 900:
        return "RequestTimeTooSkewed"
    payload = headers.get("x-amz-content-sha256", "")
    if payload not in ("UNSIGNED-PAYLOAD", hashlib.sha256(body).hexdigest()):
        return "XAmzContentSHA256Mismatch"
    signed = fields["SignedHeaders"].split(";")
    must = {"host", "x-amz-content-sha256", "x-amz-date"} | {name for name in headers if name.startswith("x-amz-")}
    if not must <= set(signed):
        return "AccessDenied"
    if not hmac.compare_digest(signature(options, method, target, headers, signed, stamp), fields["Signature"]):
        return "SignatureDoesNotMatch"
    return None


class Files(serving.Server):
    def __init__(self, options):
        super().__init__(options)
        self.root = Path(options.root)
        self.seen = []
        self.numbers = itertools.count(1)
        self.gate = asyncio.Event()
        self.gate.set()

    def control_requests(self, _):
        return self.seen

    def control_forget(self, _):
        self.seen = []
        return {}

    def control_gate(self, arguments):
        (self.gate.set if arguments["open"] else self.gate.clear)()
        return {}

    async def connection(self, reader, writer):
        number = next(self.numbers)
        while (request := await serving.read_request(reader, writer)) is not None:
            wanted = request.headers.get("range")
            self.seen.append(f"{request.method} {request.path}" + (f" {wanted}" if wanted else ""))
            if not await self.answer(request, writer, reader, number) or request.headers["connection"] == "close":
                break

    async def answer(self, request, writer, reader, number):
        """Whether the connection can be used again."""
        def send(status, body, *headers):
            writer.write(serving.response(status, body, headers, request.method == "HEAD"))

        kind, _, name = request.path.strip("/").partition("/")
        if kind == "silent":
            await reader.read(1)
            return False
        if kind == "echo":
            send(200, {"method": request.method, "path": request.path, "query": request.query, "headers": request.headers,
                       "body": request.body.decode("latin-1"), "connection": number})
        elif kind == "status":
            send(int(name), f"status {name} was asked for\nand this is its second line".encode(), ("content-type", "text/plain"))
        elif kind == "redirect":
            left = int(name)
            to = request.query["to"]
            if left > 1:
                to = f"/redirect/{left - 1}?" + urllib.parse.urlencode(request.query)
            send(int(request.query.get("status", 302)), b"", ("location", to))
        elif kind == "endless":
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
            while True:
                writer.write(bytes(CHUNK))
                await writer.drain()
        elif kind == "bearer" and request.headers.get("authorization") != f"Bearer {self.options.token}":
            send(401, b"a token, please", ("www-authenticate", "Bearer"))
        elif kind == "basic" and request.headers.get("authorization") != \
                "Basic " + base64.b64encode(b"user:pass word").decode():
            send(401, b"a password, please", ("www-authenticate", "Basic realm=files"))
        elif kind == "gzip" and (self.root / name).is_file():
            if "gzip" in request.headers.get("accept-encoding", ""):
                send(200, gzip.compress((self.root / name).read_bytes()), ("content-encoding", "gzip"))
            else:
                send(200, (self.root / name).read_bytes())
        elif kind in ("files", "cut", "plain", "stall", "bearer", "basic"):
            cut = None
            if kind == "cut":
                count, _, name = name.partition("/")
                cut = int(count)
            return await self.file(request, name, writer, reader, cut=cut, ranges=kind != "plain", stall=kind == "stall")
        elif self.options.bucket and kind == self.options.bucket:
            refusal = s3_refusal(self.options, request.method, request.target, request.headers, request.body)
            if refusal:
                send(403, f"<Error><Code>{refusal}</Code></Error>".encode(), ("content-type", "application/xml"))
            else:
                return await self.file(request, name, writer, reader)
        else:
            send(404, b"no such page")
        await writer.drain()
        return True

    async def file(self, request, name, writer, reader, cut=None, ranges=True, stall=False):
        path = self.root / name
        if not path.is_file():
            writer.write(serving.response(404, b"no such file"))
            await writer.drain()
            return True
        data = path.read_bytes()
        etag = '"' + hashlib.md5(data).hexdigest() + '"'
        headers = [("etag", etag), ("content-type", "application/octet-stream"),
                   ("last-modified", email.utils.formatdate(path.stat().st_mtime, usegmt=True))]
        begin, end, status = 0, len(data), 200
        asked = request.headers.get("range", "")
        if ranges and asked.startswith("bytes=") and request.headers.get("if-range", etag) == etag:
            first, _, last = asked[6:].partition("-")
            begin, end, status = int(first), min(end, int(last) + 1) if last else end, 206
            if begin >= len(data):
                writer.write(serving.response(416, b"", [("content-range", f"bytes */{len(data)}")]))
                await writer.drain()
                return True
            headers.append(("content-range", f"bytes {begin}-{end - 1}/{len(data)}"))
        lines = [f"HTTP/1.1 {status} OK", f"content-length: {end - begin}", *(f"{k}: {v}" for k, v in headers)]
        writer.write("\r\n".join(lines).encode() + b"\r\n\r\n")
        if request.method == "HEAD":
            await writer.drain()
            return True
        if stall:
            await writer.drain()
            await reader.read(1)
            return False
        middle = begin + (end - begin) // 2
        for at in range(begin, end, CHUNK):
            if at + CHUNK > middle and not self.gate.is_set():
                await writer.drain()
                await self.gate.wait()
            piece = data[at:min(at + CHUNK, end)]
            if cut is not None and at - begin + len(piece) > cut:
                writer.write(piece[:max(0, cut - (at - begin))])
                await writer.drain()
                return False
            writer.write(piece)
            await writer.drain()
        return True


def add_options(parser):
    parser.add_argument("--root", required=True)
    parser.add_argument("--bucket")
    parser.add_argument("--key-id", default="")
    parser.add_argument("--secret", default="")
    parser.add_argument("--region", default="us-east-1")
    parser.add_argument("--token", default="")
    serving.add_tls_options(parser)


if __name__ == "__main__":
    serving.serve(Files, __doc__.splitlines()[0], add_options)
