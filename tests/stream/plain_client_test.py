#!/usr/bin/env python3
"""A program without Sightglass sends frames to our reader and gets them back from our writer.

    plain_client_test.py RELAY SCHEMA

RELAY is stream_relay, which passes on what it gets; SCHEMA is sightglass.avsc.
"""

import contextlib
import subprocess
import sys

try:
    import avro.schema  # noqa: F401
    import zmq
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(77)

from plain_client import Codec, Sender, frame

RELAY, SCHEMA = sys.argv[1], sys.argv[2]
FRAMES = 50


def connect(context, kind, url):
    socket = context.socket(kind)
    socket.setsockopt(zmq.RCVTIMEO, 30_000)
    socket.setsockopt(zmq.SNDTIMEO, 30_000)
    socket.setsockopt(zmq.LINGER, 0)
    if kind == zmq.SUB:
        # Topics match by prefix: cam-1 brings cam-10 too.
        socket.setsockopt(zmq.SUBSCRIBE, b"cam-1")
        socket.setsockopt(zmq.SUBSCRIBE, b"$ctl")
    socket.connect(url.split(":", 1)[1])
    return socket


@contextlib.contextmanager
def relay(to_relay, from_relay):
    process = subprocess.Popen(
        [RELAY, f"{to_relay}+bind:tcp://127.0.0.1:*", f"{from_relay}+bind:tcp://127.0.0.1:*"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield process.stdout.readline().strip(), process.stdout.readline().strip()
        rest, _ = process.communicate(timeout=60)
        assert process.returncode == 0, process.returncode
        assert rest.strip() == "rejected 0", rest
    finally:
        process.kill()


def exchange(codec, send_kind, reader_type, writer_type, receive_kind):
    context = zmq.Context()
    try:
        with relay(reader_type, writer_type) as (inbound, outbound):
            out = connect(context, receive_kind, outbound)
            talk(codec, Sender(codec, connect(context, send_kind, inbound)), out)
    finally:
        context.destroy(linger=0)
    print(f"{reader_type} in, {writer_type} out: {FRAMES} frames")


def talk(codec, sender, out):
    if not sender.dealer:
        sender.announce()
    if out.type == zmq.SUB:
        # The writer announces its schema once a second: the subscription has arrived.
        while out.recv_multipart()[0] != b"$ctl":
            pass

    sent, got, ended = [], [], False
    for n in range(FRAMES):
        picture = bytes([n]) * 20_000
        for source in ("cam-1", "cam-10"):
            body = frame(picture, 64, 48, "raw" if n % 2 else "vp9x", n * 40_000_000)
            if n % 2:
                planes = [dict(offset=0, stride=64, size=64 * 48)]
                body["raw"] = dict(format="GRAY8", modifier=0, colorimetry="", planes=planes)
            body["tags"] = ["from outside"]
            if source == "cam-1":
                sent.append((body["uuid"], body["pts"], picture))
            sender.send("FRAME", source, body, picture)
        # Read as we go: pub drops for those who do not.
        while len(got) < len(sent):
            parts = out.recv_multipart()
            if parts[0] != b"cam-1":
                continue
            record = codec.decode(parts[1])
            assert record["kind"] == "FRAME" and record["source_id"] == "cam-1", record
            assert record["frame"]["tags"] == ["from outside"], record["frame"]["tags"]
            assert record["frame"]["content"] == {"index": 0, "size": len(parts[2])}, record["frame"]["content"]
            got.append((record["frame"]["uuid"], record["frame"]["pts"], parts[2]))
    sender.send("END_OF_STREAM", "cam-1", dict(reason="END", frames=FRAMES, last_frame=sent[-1][0]))
    while not ended:
        parts = out.recv_multipart()
        ended = parts[0] == b"cam-1" and codec.decode(parts[1])["kind"] == "END_OF_STREAM"
    assert got == sent, f"{len(got)} of {len(sent)} frames, or others than were sent"
    if sender.dealer:
        sender.wait()


def main():
    codec = Codec(SCHEMA)
    exchange(codec, zmq.PUSH, "pull", "push", zmq.PULL)
    exchange(codec, zmq.PUSH, "pull", "pub", zmq.SUB)
    exchange(codec, zmq.DEALER, "router", "pub", zmq.SUB)


main()
