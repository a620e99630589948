"""Kafka's protocol as the double speaks it: fields of requests and answers, and record batches of format 2."""
import struct
import zlib


class Malformed(Exception):
    pass


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, size):
        if size < 0 or self.at + size > len(self.data):
            raise Malformed(f"{size} bytes at {self.at} of {len(self.data)}")
        self.at += size
        return self.data[self.at - size:self.at]

    def int8(self):
        return struct.unpack(">b", self.take(1))[0]

    def int16(self):
        return struct.unpack(">h", self.take(2))[0]

    def int32(self):
        return struct.unpack(">i", self.take(4))[0]

    def int64(self):
        return struct.unpack(">q", self.take(8))[0]

    def bool(self):
        return self.int8() != 0

    def string(self):
        size = self.int16()
        return None if size < 0 else self.take(size).decode()

    def bytes(self):
        size = self.int32()
        return None if size < 0 else bytes(self.take(size))

    def array(self, item):
        """Items are read by `item`, or are tuples of the results of several."""
        count = self.int32()
        if count > len(self.data):
            raise Malformed(f"an array of {count}")
        if isinstance(item, tuple):
            return [tuple(part() for part in item) for _ in range(max(count, 0))]
        return None if count < 0 else [item() for _ in range(count)]

    def varint(self):
        value = shift = 0
        while True:
            byte = self.take(1)[0]
            value |= (byte & 0x7f) << shift
            if not byte & 0x80:
                return value >> 1 ^ -(value & 1)
            shift += 7


def int8(value):
    return struct.pack(">b", value)


def int16(value):
    return struct.pack(">h", value)


def int32(value):
    return struct.pack(">i", value)


def int64(value):
    return struct.pack(">q", value)


def string(text):
    return int16(-1) if text is None else int16(len(text.encode())) + text.encode()


def blob(data):
    return int32(-1) if data is None else int32(len(data)) + data


def array(items):
    """Of items that are encoded."""
    items = list(items)
    return int32(len(items)) + b"".join(items)


def varint(value):
    value = value << 1 ^ value >> 63
    result = b""
    while value > 0x7f or value < 0:
        result += bytes([value & 0x7f | 0x80])
        value >>= 7
    return result + bytes([value])


CRC = []
for _value in range(256):
    for _ in range(8):
        _value = _value >> 1 ^ (0x82f63b78 if _value & 1 else 0)
    CRC.append(_value)


def crc32c(data):
    value = 0xffffffff
    for byte in data:
        value = CRC[(value ^ byte) & 0xff] ^ value >> 8
    return value ^ 0xffffffff


class Batch:
    """A record batch as its producer made it; only its offset and leader epoch are the broker's, outside of the checksum."""

    HEADER = struct.Struct(">qiibIhiqqqhii")

    def __init__(self, data):
        if len(data) < self.HEADER.size:
            raise Malformed("a record batch that is too short")
        (self.offset, length, _, self.magic, self.crc, self.attributes, last_delta, self.first_time, self.last_time, self.producer,
         self.epoch, self.sequence, self.count) = self.HEADER.unpack_from(data)
        self.data = data[:12 + length]
        if length < 49 or len(self.data) != 12 + length:
            raise Malformed("a record batch of another size than it says")
        self.last_delta = last_delta

    @staticmethod
    def split(data):
        at = 0
        while at < len(data):
            batch = Batch(data[at:])
            at += len(batch.data)
            yield batch

    @property
    def last_offset(self):
        return self.offset + self.last_delta

    @property
    def transactional(self):
        return bool(self.attributes & 0x10)

    @property
    def control(self):
        return bool(self.attributes & 0x20)

    def at_offset(self, offset, leader_epoch=0):
        self.offset = offset
        self.data = int64(offset) + self.data[8:12] + int32(leader_epoch) + self.data[16:]

    def records(self):
        """Offset, timestamp, key, value and headers of each; None where the compression is none of Python's own."""
        body = self.data[self.HEADER.size:]
        codec = self.attributes & 7
        if codec == 1:
            body = zlib.decompress(body, 31)
        elif codec:
            return None
        reader, result = Reader(body), []
        for _ in range(self.count):
            reader.varint(), reader.int8()
            time, delta = reader.varint(), reader.varint()

            def part():
                size = reader.varint()
                return None if size < 0 else bytes(reader.take(size))
            key, value = part(), part()
            headers = [(part().decode(), part()) for _ in range(reader.varint())]
            result.append((self.offset + delta, self.first_time + time, key, value, headers))
        return result


def control_batch(producer, epoch, commits, now):
    """The end of a transaction in a partition."""
    key, value = int16(0) + int16(1 if commits else 0), int16(0) + int32(0)
    record = int8(0) + varint(0) + varint(0) + varint(len(key)) + key + varint(len(value)) + value + varint(0)
    rest = struct.pack(">hiqqqhii", 0x30, 0, now, now, producer, epoch, -1, 1) + varint(len(record)) + record
    return Batch(struct.pack(">qiibI", 0, 9 + len(rest), 0, 2, crc32c(rest)) + rest)
