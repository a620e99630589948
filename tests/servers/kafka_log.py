"""Topics and their records, as the double of Kafka keeps them, and the codes of what is wrong with a request."""
import time
from collections import deque

from kafka_wire import control_batch

OFFSET_OUT_OF_RANGE, CORRUPT, UNKNOWN_TOPIC, TOO_LARGE = 1, 2, 3, 10
INVALID_TOPIC, TOPIC_DENIED, GROUP_DENIED, SASL_UNSUPPORTED, SASL_STATE, UNSUPPORTED_VERSION, TOPIC_EXISTS = 17, 29, 30, 33, 34, 35, 36
BAD_PARTITIONS, BAD_REPLICATION, OLD_FORMAT, OUT_OF_ORDER, OLD_EPOCH, TXN_STATE, SASL_FAILED = 37, 38, 43, 45, 47, 48, 58


class Partition:
    def __init__(self):
        self.batches, self.start, self.end, self.leader_epoch = [], 0, 0, 0
        self.sequences = {}  # producer → (epoch, next sequence, its last batches: sequence, count, offset)
        self.open = {}       # producer → first offset of its transaction
        self.aborted = []    # (producer, first offset, last offset)

    def append(self, batch):
        """(error, offset): a repeated batch has the offset that it had."""
        if batch.producer >= 0 and batch.sequence >= 0:
            epoch, expected, recent = self.sequences.get(batch.producer, (batch.epoch, None, deque(maxlen=5)))
            if batch.epoch < epoch:
                return OLD_EPOCH, -1
            if batch.epoch > epoch:
                expected, recent = 0, deque(maxlen=5)
            for sequence, count, offset in recent:
                if (sequence, count) == (batch.sequence, batch.count):
                    return 0, offset
            if expected is not None and batch.sequence != expected:
                return OUT_OF_ORDER, -1
            recent.append((batch.sequence, batch.count, self.end))
            self.sequences[batch.producer] = (batch.epoch, (batch.sequence + batch.count) % (1 << 31), recent)
        if batch.transactional and not batch.control:
            self.open.setdefault(batch.producer, self.end)
        batch.at_offset(self.end, self.leader_epoch)
        self.batches.append(batch)
        self.end += batch.last_delta + 1
        return 0, batch.offset

    def end_transaction(self, producer, epoch, commits):
        first = self.open.pop(producer, None)
        batch = control_batch(producer, epoch, commits, int(time.time() * 1000))
        if first is not None and not commits:
            self.aborted.append((producer, first, self.end))
        self.append(batch)

    @property
    def stable(self):
        return min(self.open.values(), default=self.end)

    def cut(self, offset):
        self.start = max(self.start, min(offset, self.end))
        self.batches = [batch for batch in self.batches if batch.last_offset >= self.start]

    def truncate(self, offset):
        """Under a new leader, which lacks the batches from the one with the offset on."""
        self.batches = [batch for batch in self.batches if batch.last_offset < offset]
        self.end = self.batches[-1].last_offset + 1 if self.batches else self.start
        self.leader_epoch += 1

    def damage(self, offset):
        """The last byte of a batch, as a disk does it."""
        batch = next(batch for batch in self.batches if batch.offset <= offset <= batch.last_offset)
        batch.data = batch.data[:-1] + bytes([batch.data[-1] ^ 1])

    def read(self, offset, limit, size):
        """Whole batches from the one with the offset, at least one, below the limit."""
        low, high = 0, len(self.batches)
        while low < high:
            middle = (low + high) // 2
            if self.batches[middle].last_offset < offset:
                low = middle + 1
            else:
                high = middle
        parts, total = [], 0
        for batch in self.batches[low:]:
            if batch.last_offset >= limit or parts and total + len(batch.data) > size:
                break
            parts.append(batch.data)
            total += len(batch.data)
        return b"".join(parts)


class Topic:
    def __init__(self, partitions, configs=None):
        self.partitions, self.configs = [Partition() for _ in range(partitions)], dict(configs or {})
