"""Frames to a module and results from it, without Sightglass: the published schema, python3-zmq and python3-avro.

The whole of what a program needs that speaks the protocol by itself; docs/streams.md explains it. Used by
plain_client_test.py.
"""

import io
import json
import struct
import time
import uuid

import avro.io
import avro.schema
import zmq

PRIMITIVE = {"null", "boolean", "int", "long", "float", "double", "bytes", "string"}
EMPTY = 0xC15D213AA4D7A795  # CRC-64-AVRO of nothing


def fingerprint(canonical):
    table = []
    for n in range(256):
        for _ in range(8):
            n = (n >> 1) ^ (EMPTY if n & 1 else 0)
        table.append(n)
    crc = EMPTY
    for byte in canonical:
        crc = (crc >> 8) ^ table[(crc ^ byte) & 0xFF]
    return crc


def canonical(schema, space=""):
    """Avro's Parsing Canonical Form. (python3-avro's own repeats what a name stands for.)"""
    if isinstance(schema, list):
        return "[" + ",".join(canonical(each, space) for each in schema) + "]"
    if isinstance(schema, str):
        whole = schema in PRIMITIVE or "." in schema or not space
        return json.dumps(schema if whole else f"{space}.{schema}")
    kind = schema["type"]
    if kind == "array":
        return '{"type":"array","items":' + canonical(schema["items"], space) + "}"
    if kind not in ("record", "enum", "fixed"):
        return canonical(kind, space)
    name = schema["name"]
    if "." not in name and schema.get("namespace", space):
        name = schema.get("namespace", space) + "." + name
    space = name.rpartition(".")[0]
    out = '{"name":"%s","type":"%s"' % (name, kind)
    if kind == "record":
        fields = ('{"name":"%s","type":%s}' % (f["name"], canonical(f["type"], space)) for f in schema["fields"])
        out += ',"fields":[' + ",".join(fields) + "]"
    elif kind == "enum":
        out += ',"symbols":' + json.dumps(schema["symbols"], separators=(",", ":"))
    else:
        out += ',"size":%d' % schema["size"]
    return out + "}"


def uuid7():
    """A UUID of version 7: 48 bits of time in milliseconds, the rest random."""
    stamp = time.time_ns() // 1_000_000
    return stamp.to_bytes(6, "big") + bytes([0x70 | uuid.uuid4().bytes[0] & 15]) + uuid.uuid4().bytes[7:16]


class Codec:
    """Messages as dicts to bytes and back: the marker C3 01, the schema's fingerprint, Avro."""

    def __init__(self, path):
        with open(path, encoding="utf-8") as file:
            self.text = file.read()
        self.schema = avro.schema.parse(self.text)
        self.writer = avro.io.DatumWriter(self.schema)
        self.reader = avro.io.DatumReader(self.schema)
        text = canonical(json.loads(self.text))
        self.header = b"\xc3\x01" + struct.pack("<Q", fingerprint(text.encode()))

    def encode(self, message):
        out = io.BytesIO()
        self.writer.write(message, avro.io.BinaryEncoder(out))
        return self.header + out.getvalue()

    def decode(self, body):
        if body[:10] != self.header:
            raise ValueError("a message in another schema")
        return self.reader.read(avro.io.BinaryDecoder(io.BytesIO(body[10:])))


# What the schema gives a default is filled in by our side: python3-avro writes whole records only.
BODIES = ("frame", "frame_update", "stream_update", "end_of_stream", "user_data", "shutdown", "ack", "hello",
          "schema_request", "schema_announce")


def message(kind, source_id, producer, epoch, seq, body):
    out = dict.fromkeys(BODIES)
    out.update(kind=kind, protocol=1, source_id=source_id, producer=producer, epoch=epoch, seq=seq, attempt=0,
               sent_us=time.time_ns() // 1000, labels=[], trace=None)
    out[kind.lower()] = body
    return out


def frame(picture, width, height, codec, pts, keyframe=True):
    return dict(uuid=uuid7(), created_us=time.time_ns() // 1000, captured_us=None, previous_frame=None,
                previous_keyframe=None, param_revision=None, replay=False, width=width, height=height, framerate=None,
                pixel_aspect=dict(num=1, den=1), orientation=0, time_base=dict(num=1, den=10**9), pts=pts, dts=None,
                duration=None, codec=codec, codec_data=None, keyframe=keyframe, encoding="ORIGINAL",
                content=dict(index=0, size=len(picture)), raw=None, crc32c=None, transformations=[], attributes=[],
                objects=[], tags=[])


class Sender:
    """push or dealer; a dealer greets, and keeps what is not acknowledged."""

    def __init__(self, codec, socket):
        self.codec, self.socket, self.producer = codec, socket, uuid7()
        self.dealer = socket.type == zmq.DEALER
        self.numbers, self.open = {}, {}
        if self.dealer:
            self.greet()

    def greet(self):
        body = dict(role="writer", name="plain", software="python", schemas=[self.codec.header[2:]],
                    max_part=64 << 20, features=[], resume="NONE")
        self.socket.send_multipart([b"$ctl", self.codec.encode(message("HELLO", "$ctl", self.producer, 0, 0, body))])
        while self.answer()["kind"] != "HELLO":
            pass

    def announce(self):
        body = dict(text=self.codec.text)
        record = message("SCHEMA_ANNOUNCE", "$ctl", self.producer, 0, 0, body)
        self.socket.send_multipart([b"$ctl", self.codec.encode(record)])

    def send(self, kind, source, body, *parts):
        epoch, seq = self.numbers.get(source, (0, 0))
        record = message(kind, source, self.producer, epoch, seq, body)
        self.socket.send_multipart([source.encode(), self.codec.encode(record), *parts])
        self.numbers[source] = (epoch + 1, 0) if kind == "END_OF_STREAM" else (epoch, seq + 1)
        if self.dealer:
            self.open[source, epoch, seq] = record

    def answer(self):
        record = self.codec.decode(self.socket.recv_multipart()[1])
        if record["kind"] == "ACK":
            ack = record["ack"]
            for key in [k for k in self.open if k[:2] == (record["source_id"], ack["epoch"])]:
                if key[2] <= ack["through"]:
                    del self.open[key]
        return record

    def wait(self):
        while self.open:
            self.answer()
