"""BSON, as far as the double of MongoDB meets it. Python's values stand for themselves; the classes below for the rest."""
import base64
import os
import struct
import time
from collections import namedtuple


class Malformed(Exception):
    pass


class Int64(int):
    """A whole number that was, or is to be, written with 64 bits even if it is small."""


class Date(int):
    """Milliseconds since 1970."""


class ObjectId(bytes):
    @classmethod
    def new(cls):
        return cls(struct.pack(">I", int(time.time())) + os.urandom(8))


Binary = namedtuple("Binary", "subtype data")
Regex = namedtuple("Regex", "pattern options")
Timestamp = namedtuple("Timestamp", "value")
Decimal = namedtuple("Decimal", "data")
Extreme = namedtuple("Extreme", "code")  # 127: greatest key, 255: least


def decode(data, at=0):
    """The document at an offset, and the offset behind it."""
    try:
        return _document(data, at, False)
    except (struct.error, IndexError, ValueError) as error:
        raise Malformed(str(error)) from error


def _document(data, at, is_array):
    size, = struct.unpack_from("<i", data, at)
    end = at + size
    if size < 5 or end > len(data) or data[end - 1] != 0:
        raise Malformed(f"a document of {size} bytes")
    at += 4
    result = {}
    while (kind := data[at]) != 0:
        stop = data.index(0, at + 1, end)
        name = data[at + 1:stop].decode()
        result[name], at = _value(kind, data, stop + 1)
    if at + 1 != end:
        raise Malformed("a document that ends elsewhere than it says")
    return (list(result.values()) if is_array else result), end


def _text(data, at):
    size, = struct.unpack_from("<i", data, at)
    end = at + 4 + size
    if size < 1 or end > len(data) or data[end - 1] != 0:
        raise Malformed(f"a string of {size} bytes")
    return data[at + 4:end - 1].decode(), end


def _value(kind, data, at):
    if kind == 1:
        return struct.unpack_from("<d", data, at)[0], at + 8
    if kind in (2, 13, 14):
        return _text(data, at)
    if kind in (3, 4):
        return _document(data, at, kind == 4)
    if kind == 5:
        size, subtype = struct.unpack_from("<iB", data, at)
        if size < 0 or at + 5 + size > len(data):
            raise Malformed(f"binary of {size} bytes")
        return Binary(subtype, bytes(data[at + 5:at + 5 + size])), at + 5 + size
    if kind == 7:
        return ObjectId(data[at:at + 12]), at + 12
    if kind == 8:
        return data[at] != 0, at + 1
    if kind == 9:
        return Date(struct.unpack_from("<q", data, at)[0]), at + 8
    if kind in (6, 10):
        return None, at
    if kind == 11:
        middle = data.index(0, at)
        end = data.index(0, middle + 1)
        return Regex(data[at:middle].decode(), data[middle + 1:end].decode()), end + 1
    if kind == 16:
        return struct.unpack_from("<i", data, at)[0], at + 4
    if kind == 17:
        return Timestamp(struct.unpack_from("<Q", data, at)[0]), at + 8
    if kind == 18:
        return Int64(struct.unpack_from("<q", data, at)[0]), at + 8
    if kind == 19:
        return Decimal(bytes(data[at:at + 16])), at + 16
    if kind in (127, 255):
        return Extreme(kind), at
    raise Malformed(f"a value of type {kind}")


def encode(document):
    items = document.items() if isinstance(document, dict) else ((str(i), value) for i, value in enumerate(document))
    body = b"".join(_element(name.encode(), value) for name, value in items)
    return struct.pack("<i", len(body) + 5) + body + b"\0"


def _element(name, value):
    name += b"\0"
    if isinstance(value, bool):
        return b"\x08" + name + (b"\1" if value else b"\0")
    if isinstance(value, Date):
        return b"\x09" + name + struct.pack("<q", value)
    if isinstance(value, int):
        if isinstance(value, Int64) or not -(1 << 31) <= value < 1 << 31:
            return b"\x12" + name + struct.pack("<q", value)
        return b"\x10" + name + struct.pack("<i", value)
    if isinstance(value, float):
        return b"\x01" + name + struct.pack("<d", value)
    if isinstance(value, str):
        data = value.encode() + b"\0"
        return b"\x02" + name + struct.pack("<i", len(data)) + data
    if isinstance(value, dict):
        return b"\x03" + name + encode(value)
    if isinstance(value, list):
        return b"\x04" + name + encode(value)
    if isinstance(value, Binary):
        return b"\x05" + name + struct.pack("<iB", len(value.data), value.subtype) + value.data
    if isinstance(value, ObjectId):
        return b"\x07" + name + value
    if value is None:
        return b"\x0a" + name
    if isinstance(value, Regex):
        return b"\x0b" + name + value.pattern.encode() + b"\0" + value.options.encode() + b"\0"
    if isinstance(value, Timestamp):
        return b"\x11" + name + struct.pack("<Q", value.value)
    if isinstance(value, Decimal):
        return b"\x13" + name + value.data
    return bytes([value.code]) + name


def to_json(value):
    """Like MongoDB's relaxed JSON; dates are milliseconds."""
    if isinstance(value, dict):
        return {key: to_json(item) for key, item in value.items()}
    if isinstance(value, list):
        return [to_json(item) for item in value]
    if isinstance(value, Date):
        return {"$date": int(value)}
    if isinstance(value, ObjectId):
        return {"$oid": value.hex()}
    if isinstance(value, Binary):
        return {"$binary": {"base64": base64.b64encode(value.data).decode(), "subType": f"{value.subtype:02x}"}}
    if isinstance(value, Timestamp):
        return {"$timestamp": value.value}
    if isinstance(value, Decimal):
        return {"$decimal": value.data.hex()}
    if isinstance(value, Regex):
        return {"$regex": value.pattern, "$options": value.options}
    if isinstance(value, Extreme):
        return {"$minKey" if value.code == 255 else "$maxKey": 1}
    return value
