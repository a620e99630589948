#!/usr/bin/env python3
"""A TCP proxy that does what networks do: it delays, throttles, resets, swallows, cuts and refuses.

    fault_proxy.py --to HOST:PORT [--port 0]

Control commands (serving.py). What is set holds for connections that are open, too, until it is set again.

    set    {"to": "HOST:PORT",
            "refuse": true,           connecting fails at once: nobody listens
            "black_hole": true,       nothing passes and nobody says so; what was held back passes afterwards
            "delay": 0.2,             seconds later than it came; in order
            "rate": 100000,           bytes a second
            "garbage": true,          noise comes instead of what was sent, as many bytes
            "cut_after": 1000,        a connection is reset after so many more bytes
            "times": 1,               … so many connections, then no more
            "direction": "both"}      or `up` (to the server), `down`: where black_hole, delay, rate, garbage and cut_after hold
    clear  {}                         no faults; open connections stay
    reset  {}                         resets all connections that are open
    close  {}                         ends them orderly
    state  {}                         connections open, connections and bytes so far
"""
import asyncio
import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import serving  # noqa: E402

SETTINGS = {"refuse": False, "black_hole": False, "delay": 0.0, "rate": 0, "garbage": False, "cut_after": None, "times": None,
            "direction": "both"}


class Connection:
    def __init__(self, client, server):
        self.writers = (client, server)
        self.passed = {"up": 0, "down": 0}  # bytes since the settings were made

    def reset(self):
        for writer in self.writers:
            serving.reset(writer)


class FaultProxy(serving.Server):
    def __init__(self, options):
        super().__init__(options)
        self.to = options.to
        self.listener = None
        self.port = options.port
        self.settings = dict(SETTINGS)
        self.changed = asyncio.Event()
        self.connections = set()
        self.noise = random.Random(1)
        self.totals = {"connections": 0, "up": 0, "down": 0}

    async def listen(self):
        self.listener = await asyncio.start_server(self.guarded, self.options.host, self.port, backlog=512)
        self.port = self.listener.sockets[0].getsockname()[1]
        return self.port

    def of(self, name, direction):
        return self.settings[name] if self.settings["direction"] in ("both", direction) else SETTINGS[name]

    async def connection(self, reader, writer):
        self.totals["connections"] += 1
        while self.settings["black_hole"]:
            await self.changed.wait()
        host, _, port = self.to.rpartition(":")
        try:
            server_reader, server_writer = await asyncio.open_connection(host, int(port))
        except OSError:
            serving.reset(writer)
            return
        connection = Connection(writer, server_writer)
        self.connections.add(connection)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self.direction("up", connection, reader, server_writer))
                group.create_task(self.direction("down", connection, server_reader, writer))
        except* (ConnectionError, RuntimeError):
            connection.reset()
        finally:
            self.connections.discard(connection)
            server_writer.close()

    async def direction(self, name, connection, reader, writer):
        held = asyncio.Queue(64)  # (when it is due, bytes); bounds what the proxy keeps
        sender = asyncio.create_task(self.send(name, connection, held, writer))
        loop = asyncio.get_running_loop()
        try:
            while data := await reader.read(65536):
                await held.put((loop.time() + self.of("delay", name), data))
            await held.put((loop.time() + self.of("delay", name), b""))
            await sender
        finally:
            sender.cancel()

    async def send(self, name, connection, held, writer):
        loop = asyncio.get_running_loop()
        while True:
            due, data = await held.get()
            if (wait := due - loop.time()) > 0:
                await asyncio.sleep(wait)
            while self.of("black_hole", name):
                await self.changed.wait()
            if not data:
                if writer.can_write_eof():
                    writer.write_eof()
                return
            if self.of("garbage", name):
                data = self.noise.randbytes(len(data))
            while data:
                rate = self.of("rate", name)
                part = data[:max(1, int(rate / 50))] if rate else data
                limit = self.of("cut_after", name)
                if limit is not None and connection.passed[name] + len(part) > limit:
                    part = part[:max(0, limit - connection.passed[name])]
                if part:
                    writer.write(part)
                    await writer.drain()
                connection.passed[name] += len(part)
                self.totals[name] += len(part)
                data = data[len(part):]
                if limit is not None and connection.passed[name] >= limit:
                    self.cut_one()
                    await asyncio.sleep(0.01)  # what was passed arrives, before the reset overtakes it
                    connection.reset()
                    return
                if rate:
                    await asyncio.sleep(len(part) / rate)

    def cut_one(self):
        if self.settings["times"] is not None:
            self.settings["times"] -= 1
            if self.settings["times"] <= 0:
                self.settings.update(cut_after=None, times=None)

    async def control_set(self, arguments):
        unknown = set(arguments) - set(SETTINGS) - {"to"}
        if unknown or arguments.get("direction", "both") not in ("both", "up", "down"):
            raise ValueError(f"settings are to, {', '.join(SETTINGS)}, not {unknown or arguments['direction']}")
        self.to = arguments.pop("to", self.to)
        self.settings.update(arguments)
        for connection in self.connections:
            connection.passed = {"up": 0, "down": 0}
        self.changed.set()
        self.changed.clear()
        if self.settings["refuse"] and self.listener is not None:
            self.listener.close()
            self.listener = None
        elif not self.settings["refuse"] and self.listener is None:
            await self.listen()
        return self.settings | {"to": self.to}

    async def control_clear(self, _):
        return await self.control_set(dict(SETTINGS))

    def control_reset(self, _):
        count = len(self.connections)
        for connection in list(self.connections):
            connection.reset()
        return {"connections": count}

    def control_close(self, _):
        count = len(self.connections)
        for connection in list(self.connections):
            for writer in connection.writers:
                writer.close()
        return {"connections": count}

    def control_state(self, _):
        return {"open": len(self.connections)} | self.totals | {"settings": self.settings}


if __name__ == "__main__":
    serving.serve(FaultProxy, __doc__.splitlines()[0],
                  lambda parser: parser.add_argument("--to", required=True, metavar="HOST:PORT"))
