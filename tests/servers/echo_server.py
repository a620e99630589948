#!/usr/bin/env python3
"""Answers with what it is sent: the far end of tests of the fault proxy."""
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import serving  # noqa: E402


class Echo(serving.Server):
    async def connection(self, reader, writer):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()


if __name__ == "__main__":
    serving.serve(Echo, __doc__.splitlines()[0])
