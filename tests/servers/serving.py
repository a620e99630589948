"""What the test servers of this folder have in common. Standard library only.

A server listens on a port of its own and on a control port, on loopback. When both are open it prints one line,

    listening HOST PORT CONTROL_PORT

and it ends when its standard input ends or at SIGTERM, so that it never outlives the test that started it.

The control port speaks HTTP: `POST /COMMAND` with arguments as a JSON object answers with JSON (GET: without arguments). Every
server has `state`, and those that answer requests have `faults` and `injected` (class Faults).
"""
import argparse
import asyncio
import collections
import hashlib
import json
import random
import signal
import socket
import ssl
import struct
import sys
import urllib.parse
import zlib


class Faults:
    """Which requests and items go wrong. A rule is a dict:

    fault        what happens, one of the names that the server lists
    scope        `item` (default) or `request`
    probability  of each try; 1 unless given
    sticky       true: the key alone decides, so a retry meets the same fault
    skip, count  the first `skip` matches pass, then `count` of them fail; no limit unless given
    contains     only keys with this text: ids of items; method and path, or command name, of requests

    The first rule that applies wins. Equal seeds and equal requests give equal faults.
    """

    def __init__(self, items, requests):
        self.names = {"item": items, "request": requests}
        self.set([])

    def set(self, rules, seed=1):
        for rule in rules:
            scope = rule.setdefault("scope", "item")
            if rule.get("fault") not in self.names.get(scope, ()):
                raise ValueError(f"no fault {rule.get('fault')!r} with scope {scope!r}; there are {self.names}")
            unknown = set(rule) - {"fault", "scope", "probability", "sticky", "skip", "count", "contains", "seconds"}
            if unknown:
                raise ValueError(f"a fault has no {', '.join(sorted(unknown))}")
        self.rules, self.seed, self.random = rules, seed, random.Random(seed)
        self.injected = collections.defaultdict(list)  # fault → keys, as often as it was met

    def pick(self, scope, key=""):
        """The rule that this request or item meets, or None."""
        for number, rule in enumerate(self.rules):
            if rule["scope"] != scope or rule.get("contains", "") not in key or rule.get("count") == 0:
                continue
            probability = rule.get("probability", 1)
            if rule.get("sticky"):
                digest = hashlib.sha256(f"{self.seed}:{number}:{key}".encode()).digest()
                hit = int.from_bytes(digest[:8]) < probability * 2**64
            else:
                hit = probability >= 1 or self.random.random() < probability
            if not hit:
                continue
            if rule.get("skip", 0) > 0:
                rule["skip"] -= 1
                continue
            if "count" in rule:
                rule["count"] -= 1
            self.injected[rule["fault"]].append(key)
            return rule
        return None


class Journal:
    """What a double keeps in a file, so that it survives being killed; without a path, nothing."""

    def __init__(self, path):
        self.path, self.file = path, None

    def replay(self):
        """What was written before, a torn last record left out; writing is possible afterwards."""
        if not self.path:
            return
        good = 0
        with open(self.path, "a+b") as file:
            file.seek(0)
            for line in file:
                if not line.endswith(b"\n"):
                    break
                good += len(line)
                yield json.loads(line)
            file.truncate(good)
        self.file = open(self.path, "ab")

    def write(self, *record):
        if self.file:
            self.file.write(json.dumps(record).encode() + b"\n")

    def flush(self):
        if self.file:
            self.file.flush()


class HttpError(Exception):
    """What the peer sent is no HTTP request."""


class Request:
    def __init__(self, method, target, headers, body):
        self.method, self.target, self.headers, self.body = method, target, headers, body
        url = urllib.parse.urlsplit(target)
        self.path = urllib.parse.unquote(url.path)
        self.query = dict(urllib.parse.parse_qsl(url.query, keep_blank_values=True))


async def read_request(reader, writer, limit=1 << 30):
    """The next HTTP request of a connection, with its body unpacked; None at the end of the connection."""
    try:
        line = await reader.readline()
        if not line:
            return None
        method, target, version = line.decode("latin-1").split()
        headers = {}
        while (line := await reader.readline()) not in (b"\r\n", b"\n", b""):
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.strip().lower()] = value.strip()
        if headers.get("expect", "").lower() == "100-continue":
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            await writer.drain()
        if headers.get("transfer-encoding", "").lower() == "chunked":
            parts = []
            while size := int((await reader.readline()).split(b";")[0], 16):
                parts.append(await reader.readexactly(size))
                await reader.readline()
            while (await reader.readline()) not in (b"\r\n", b""):
                pass
            body = b"".join(parts)
        else:
            body = await reader.readexactly(int(headers.get("content-length", 0)))
        if headers.get("content-encoding") == "gzip" and len(body) <= limit:
            body = zlib.decompress(body, 31)
        headers.setdefault("connection", "close" if version == "HTTP/1.0" else "keep-alive")
        return Request(method, target, headers, body)
    except (ValueError, zlib.error) as error:
        raise HttpError(str(error)) from error


REASONS = {200: "OK", 201: "Created", 400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found",
           405: "Method Not Allowed", 409: "Conflict", 413: "Content Too Large", 429: "Too Many Requests",
           500: "Internal Server Error", 503: "Service Unavailable"}


def response(status, body, headers=(), head_only=False):
    if not isinstance(body, bytes):
        body = json.dumps(body, separators=(",", ":")).encode()
    lines = [f"HTTP/1.1 {status} {REASONS.get(status, 'Status')}", f"content-length: {len(body)}"]
    names = {name.lower() for name, _ in headers}
    if "content-type" not in names:
        lines.append("content-type: application/json")
    lines += [f"{name}: {value}" for name, value in headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + (b"" if head_only else body)


def reset(writer):
    """Ends a connection with RST, as a peer that died does."""
    connection = writer.get_extra_info("socket")
    if connection is not None and connection.fileno() >= 0:  # not closed yet
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


class Server:
    """Base of the servers: subclasses answer connections and have methods `control_NAME(arguments)`."""

    def __init__(self, options):
        self.options = options
        self.faults = None

    async def start(self):
        """Before the first connection."""

    async def connection(self, reader, writer):
        raise NotImplementedError

    def control_state(self, _):
        return {}

    def control_faults(self, arguments):
        self.faults.set(arguments.get("rules", []), arguments.get("seed", 1))
        return {}

    def control_injected(self, _):
        return self.faults.injected

    async def listen(self):
        """Opens the server's own port and returns it."""
        listener = await asyncio.start_server(self.guarded, self.options.host, self.options.port, limit=1 << 20,
                                              ssl=tls_context(self.options), backlog=512)
        return listener.sockets[0].getsockname()[1]

    async def guarded(self, reader, writer):
        try:
            await self.connection(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, HttpError, ssl.SSLError):
            pass
        finally:
            writer.close()

    async def control(self, reader, writer):
        try:
            while (request := await read_request(reader, writer)) is not None:
                command = getattr(self, "control_" + request.path.strip("/").replace("-", "_"), None)
                if command is None:
                    known = sorted(name[8:] for name in dir(self) if name.startswith("control_"))
                    status, answer = 404, {"error": f"no command {request.path}; there are {', '.join(known)}"}
                else:
                    try:
                        answer = command(json.loads(request.body) if request.body else {})
                        if asyncio.iscoroutine(answer):
                            answer = await answer
                        status = 200
                    except (KeyError, TypeError, ValueError) as error:
                        status, answer = 400, {"error": str(error)}
                writer.write(response(status, answer))
                await writer.drain()
                if request.headers["connection"] == "close":
                    break
        except (ConnectionError, asyncio.IncompleteReadError, HttpError):
            pass
        finally:
            writer.close()


def add_tls_options(parser):
    parser.add_argument("--tls-cert", help="PEM with the certificate: the port speaks TLS")
    parser.add_argument("--tls-key", help="PEM with its key")
    parser.add_argument("--tls-client-ca", help="PEM: clients have to show a certificate of this authority")


def tls_context(options):
    if not getattr(options, "tls_cert", None):
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(options.tls_cert, options.tls_key)
    if options.tls_client_ca:
        context.load_verify_locations(options.tls_client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def serve(server_type, description, add_options=lambda parser: None):
    """The main program of a server."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0: any free one")
    parser.add_argument("--control-port", type=int, default=0)
    add_options(parser)
    options = parser.parse_args()

    async def run():
        loop = asyncio.get_running_loop()
        ended = loop.create_future()

        def end():
            if not ended.done():
                ended.set_result(None)

        loop.add_signal_handler(signal.SIGTERM, end)
        loop.add_signal_handler(signal.SIGINT, end)
        try:
            loop.add_reader(sys.stdin, lambda: None if sys.stdin.buffer.read1(4096) else end())
        except PermissionError:  # a file or /dev/null is at its end already
            end()
        server = server_type(options)
        await server.start()
        control = await asyncio.start_server(server.control, "127.0.0.1", options.control_port)
        port = await server.listen()
        print("listening", options.host, port, control.sockets[0].getsockname()[1], flush=True)
        await ended

    try:
        asyncio.run(run())
    except KeyboardInterrupt:
        pass
