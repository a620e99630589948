#!/usr/bin/env python3
"""A Kafka broker, a cluster of one, for what librdkafka's mock lacks (kafka_mock.cc has the rest: leaders that move).

    kafka_double.py [--sasl PLAIN,SCRAM-SHA-256,SCRAM-SHA-512 --user NAME --password TEXT] [--tls-cert …]
                    [--no-auto-create] [--partitions 1] [--max-message BYTES] [--advertise HOST:PORT] [--data FILE]

Speaks to librdkafka, its kin and the client of Python: topics made, listed and deleted, record batches of format 2 stored as given
(the order of idempotent producers is checked), fetches that wait, offsets by time, consumer groups of the classic protocol with
static members, transactions. Not: quorums, several brokers, compaction, formats 0 and 1.

Faults with scope `item`, by `topic/partition`: any error code as text, such as "10" or "19", for a partition of a produce request.
Faults with scope `request`, by API and topic (`Produce frames`, `Heartbeat`): cut_before, cut_after (stored, no answer), truncated,
garbage, slow (`seconds`), silence.

Control commands beside those of serving.py:
    topics, topic {"topic", "partitions", "max_message"}; delete_topic {"topic"}
    records {"topic", "partition"}: offset, time, key, value (base64), headers; batches that Python cannot unpack: their count
    retention {"topic", "partition", "offset"}: what lies before is gone
    truncate {"topic", "partition", "offset"}: what lies from there on is gone, under a new leader; others take its offsets
    omit {"topic", "partition", "times"}: that many answers with more than one batch of it lack the first one
    damage {"topic", "partition", "offset"}: the batch with this offset has a wrong byte from now on; until a restart
    deny {"topics": [names], "groups": [names]}: not authorised from now on
    groups; rebalance {"group"}: all members have to join again; expel {"group", "member"}
    settings {"max_message", "advertise", "auto_create", "user", "password"}
    requests: how many by API
"""
import asyncio
import base64
import struct
import sys
from collections import Counter, defaultdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import scram  # noqa: E402
import serving  # noqa: E402
from kafka_group_requests import GroupRequests  # noqa: E402
from kafka_log import (BAD_PARTITIONS, BAD_REPLICATION, CORRUPT, INVALID_TOPIC, OFFSET_OUT_OF_RANGE, OLD_FORMAT,  # noqa: E402
                       SASL_FAILED, SASL_STATE, SASL_UNSUPPORTED, TOO_LARGE, TOPIC_DENIED, TOPIC_EXISTS, UNKNOWN_TOPIC,
                       UNSUPPORTED_VERSION, Partition, Topic)
from kafka_transactions import TransactionRequests  # noqa: E402
from kafka_wire import Batch, Malformed, Reader, array, blob, int8, int16, int32, int64, string  # noqa: E402

APIS = {0: ("Produce", 3, 7), 1: ("Fetch", 4, 11), 2: ("ListOffsets", 1, 5), 3: ("Metadata", 0, 8), 8: ("OffsetCommit", 2, 7),
        9: ("OffsetFetch", 1, 5), 10: ("FindCoordinator", 0, 2), 11: ("JoinGroup", 0, 5), 12: ("Heartbeat", 0, 3),
        13: ("LeaveGroup", 0, 3), 14: ("SyncGroup", 0, 3), 17: ("SaslHandshake", 0, 1), 18: ("ApiVersions", 0, 2),
        19: ("CreateTopics", 0, 4), 20: ("DeleteTopics", 0, 3), 21: ("DeleteRecords", 0, 1), 22: ("InitProducerId", 0, 1),
        24: ("AddPartitionsToTxn", 0, 1), 25: ("AddOffsetsToTxn", 0, 1), 26: ("EndTxn", 0, 1), 28: ("TxnOffsetCommit", 0, 2),
        32: ("DescribeConfigs", 0, 2), 36: ("SaslAuthenticate", 0, 1), 37: ("CreatePartitions", 0, 1)}
FAULTS = ["cut_before", "cut_after", "truncated", "garbage", "slow", "silence"]


class AnyCode:
    def __contains__(self, text):
        return isinstance(text, str) and text.lstrip("-").isdigit()

    def __repr__(self):
        return "any error code"


class Connection:
    def __init__(self, writer):
        self.writer, self.user, self.mechanism, self.exchange, self.raw = writer, None, None, None, False


class KafkaDouble(GroupRequests, TransactionRequests, serving.Server):
    def __init__(self, options):
        super().__init__(options)
        self.faults = serving.Faults(AnyCode(), FAULTS)
        self.topics, self.groups, self.transactions = {}, {}, {}
        self.next_producer = 1000
        self.journal = serving.Journal(options.data)
        self.advertise, self.max_message, self.auto_create = options.advertise, options.max_message, not options.no_auto_create
        self.denied_topics, self.denied_groups = set(), set()
        self.requests, self.omitted = Counter(), Counter()
        self.mechanisms = [name for name in options.sasl.split(",") if name]
        self.passwords = {options.user: options.password}
        self.arrived = asyncio.Condition()
        for change, *arguments in self.journal.replay():
            getattr(self, change)(*arguments)

    # --- what a restart keeps: topics, their records, offsets of groups; not members, nor transactions that are open

    def make_topic(self, name, partitions, configs):
        self.journal.write("make_topic", name, partitions, configs)
        self.journal.flush()
        self.topics[name] = Topic(partitions, configs)

    def add_partitions(self, name, count):
        self.journal.write("add_partitions", name, count)
        self.topics[name].partitions += [Partition() for _ in range(count)]

    def remove_topic(self, name):
        self.journal.write("remove_topic", name)
        del self.topics[name]

    def append(self, name, number, data):
        """data: a record batch in base64."""
        answer = self.topics[name].partitions[number].append(Batch(base64.b64decode(data)))
        if not answer[0]:
            self.journal.write("append", name, number, data)
        return answer

    def end_transaction(self, name, number, producer, epoch, commits):
        self.journal.write("end_transaction", name, number, producer, epoch, commits)
        self.topics[name].partitions[number].end_transaction(producer, epoch, commits)

    def cut(self, name, number, offset):
        self.journal.write("cut", name, number, offset)
        self.topics[name].partitions[number].cut(offset)

    def truncate(self, name, number, offset):
        self.journal.write("truncate", name, number, offset)
        self.topics[name].partitions[number].truncate(offset)

    def commit(self, group, topic, number, offset, metadata):
        self.journal.write("commit", group, topic, number, offset, metadata)
        self.group(group).offsets[topic, number] = (offset, metadata)

    def know_producer(self, number):
        self.journal.write("know_producer", number)
        self.next_producer = number

    async def start(self):
        async def ticks():
            while True:
                await asyncio.sleep(0.05)
                for group in self.groups.values():
                    group.tick()
        self.ticks = asyncio.create_task(ticks())

    async def listen(self):
        port = await super().listen()
        self.advertise = self.advertise or f"{self.options.host}:{port}"
        return port

    # --- control

    def control_state(self, _):
        return {"topics": {name: [partition.end for partition in topic.partitions] for name, topic in self.topics.items()}}

    def control_topics(self, _):
        return {name: {"partitions": len(topic.partitions), "configs": topic.configs,
                       "start": [partition.start for partition in topic.partitions],
                       "end": [partition.end for partition in topic.partitions]} for name, topic in self.topics.items()}

    def control_topic(self, arguments):
        configs = {"max.message.bytes": str(arguments["max_message"])} if "max_message" in arguments else {}
        self.make_topic(arguments["topic"], arguments.get("partitions", 1), configs)
        return {}

    def control_delete_topic(self, arguments):
        self.remove_topic(arguments["topic"])
        return {}

    def control_records(self, arguments):
        def text(data):
            return None if data is None else base64.b64encode(data).decode()
        topic = self.topics[arguments["topic"]]
        wanted = [arguments["partition"]] if "partition" in arguments else range(len(topic.partitions))
        records, packed = [], 0
        for number in wanted:
            for batch in topic.partitions[number].batches:
                unpacked = batch.records()
                if unpacked is None:
                    packed += batch.count
                elif not batch.control:
                    records += [{"partition": number, "offset": offset, "time": when, "key": text(key), "value": text(value),
                                 "headers": {name: text(content) for name, content in headers}}
                                for offset, when, key, value, headers in unpacked]
        return {"records": records, "packed": packed}

    def control_retention(self, arguments):
        self.cut(arguments["topic"], arguments.get("partition", 0), arguments["offset"])
        return {}

    def control_truncate(self, arguments):
        self.truncate(arguments["topic"], arguments.get("partition", 0), arguments["offset"])
        return {}

    def control_omit(self, arguments):
        self.omitted[arguments["topic"], arguments.get("partition", 0)] = arguments["times"]
        return {}

    def control_damage(self, arguments):
        self.topics[arguments["topic"]].partitions[arguments.get("partition", 0)].damage(arguments["offset"])
        return {}

    def control_deny(self, arguments):
        self.denied_topics, self.denied_groups = set(arguments.get("topics", [])), set(arguments.get("groups", []))
        return {}

    def control_groups(self, _):
        return {name: group.described() for name, group in self.groups.items()}

    def control_rebalance(self, arguments):
        group = self.groups[arguments["group"]]
        if group.members:
            group.rebalance()
        return {}

    def control_expel(self, arguments):
        group = self.groups[arguments["group"]]
        group.remove(group.members[arguments["member"]])
        return {}

    def control_requests(self, _):
        return self.requests

    def control_settings(self, arguments):
        unknown = set(arguments) - {"max_message", "advertise", "auto_create", "user", "password"}
        if unknown:
            raise ValueError(f"no settings {unknown}")
        for name in ("max_message", "advertise", "auto_create"):
            setattr(self, name, arguments.get(name, getattr(self, name)))
        if "user" in arguments:
            self.passwords = {arguments["user"]: arguments["password"]}
        return {}

    # --- the wire

    async def connection(self, reader, writer):
        connection = Connection(writer)
        while True:
            size, = struct.unpack(">i", await reader.readexactly(4))
            if not 0 <= size <= 100 << 20:
                return
            data = await reader.readexactly(size)
            if connection.raw:  # the tokens of SaslHandshake 0 have no header
                error, answer = self.token(connection, data)
                if error:
                    return
                writer.write(blob(answer))
                await writer.drain()
                continue
            try:
                request = Reader(data)
                key, version, number = request.int16(), request.int16(), request.int32()
                request.client = request.string()
                name, lowest, highest = APIS.get(key, ("", 1, 0))
                self.requests[name or str(key)] += 1
                if self.mechanisms and connection.user is None and name not in ("ApiVersions", "SaslHandshake", "SaslAuthenticate"):
                    return
                if key == 18 and not lowest <= version <= highest:
                    body = int16(UNSUPPORTED_VERSION) + self.versions()
                    writer.write(blob(int32(number) + body))
                    continue
                if not lowest <= version <= highest:
                    return
                fault = await self.met(connection, f"{name} {self.first_topic(name, version, data)}".strip())
                if fault == "cut_before":
                    return serving.reset(writer)
                body = await getattr(self, name)(connection, request, version)
            except (Malformed, UnicodeDecodeError, struct.error):
                return
            self.journal.flush()
            if fault == "cut_after":
                return serving.reset(writer)
            if body is None:
                continue
            packet = blob(int32(number) + (b"\xff" * 64 if fault == "garbage" else body))
            if fault == "truncated":
                packet = packet[:len(packet) // 2]
            writer.write(packet)
            await writer.drain()
            if fault == "truncated":
                return

    def first_topic(self, name, version, data):
        """For faults: the topic that a request to produce or fetch names first."""
        if name not in ("Produce", "Fetch"):
            return ""
        reader = Reader(data)
        reader.take(8), reader.string()
        if name == "Produce":
            reader.string(), reader.take(6)
        else:
            reader.take(17 + (8 if version >= 7 else 0))
        return (reader.string() if reader.int32() > 0 else "") or ""

    async def met(self, connection, key):
        fault = self.faults.pick("request", key)
        if not fault:
            return ""
        if fault["fault"] == "slow":
            await asyncio.sleep(fault.get("seconds", 1))
        elif fault["fault"] == "silence":
            await asyncio.sleep(3600)
        return fault["fault"]

    def versions(self):
        return array(int16(key) + int16(low) + int16(high) for key, (_, low, high) in sorted(APIS.items()))

    async def ApiVersions(self, connection, request, version):
        return int16(0) + self.versions() + (int32(0) if version >= 1 else b"")

    # --- who is it

    async def SaslHandshake(self, connection, request, version):
        mechanism = request.string()
        if mechanism not in self.mechanisms:
            return int16(SASL_UNSUPPORTED) + array(map(string, self.mechanisms))
        connection.mechanism, connection.raw, connection.exchange = mechanism, version == 0, None
        return int16(0) + array(map(string, self.mechanisms))

    def token(self, connection, data):
        try:
            if connection.mechanism == "PLAIN":
                _, user, password = data.decode().split("\0")
                if user not in self.passwords or self.passwords[user] != password:
                    raise scram.Denied("wrong name or password")
                connection.user, connection.raw = user, False
                return 0, b""
            if connection.exchange is None:
                connection.exchange = scram.ScramServer(self.passwords, connection.mechanism[6:].replace("-", "").lower())
                return 0, connection.exchange.first(data)
            answer = connection.exchange.final(data)
            connection.user, connection.raw = connection.exchange.user, False
            return 0, answer
        except (scram.Denied, KeyError, ValueError, AttributeError):
            return SASL_FAILED, b""

    async def SaslAuthenticate(self, connection, request, version):
        if connection.mechanism is None:
            return int16(SASL_STATE) + string("no handshake") + blob(b"") + (int64(0) if version >= 1 else b"")
        error, answer = self.token(connection, request.bytes())
        return (int16(error) + string("Authentication failed" if error else None) + blob(answer) + (int64(0) if version >= 1 else b""))

    # --- topics

    async def Metadata(self, connection, request, version):
        names = request.array(request.string)
        if version == 0 and not names or names is None:
            names = [name for name in self.topics if name not in self.denied_topics]
        may_create = self.auto_create and (request.bool() if version >= 4 else True)
        host, _, port = self.advertise.rpartition(":")
        broker = int32(1) + string(host) + int32(int(port)) + (string(None) if version >= 1 else b"")
        parts = []
        for name in names:
            error = self.topic_error(name)
            if error == UNKNOWN_TOPIC and may_create:
                self.make_topic(name, self.options.partitions, {})
                error = 0
            topic = self.topics[name] if not error else Topic(0)
            parts.append(int16(error) + string(name) + (int8(0) if version >= 1 else b"") + array(
                int16(0) + int32(number) + int32(1) + (int32(-1) if version >= 7 else b"") + array([int32(1)]) + array([int32(1)]) +
                (array([]) if version >= 5 else b"") for number in range(len(topic.partitions))) +
                (int32(-2147483648) if version >= 8 else b""))
        return ((int32(0) if version >= 3 else b"") + array([broker]) + (string("double") if version >= 2 else b"") +
                (int32(1) if version >= 1 else b"") + array(parts) + (int32(-2147483648) if version >= 8 else b""))

    def topic_error(self, name):
        if not name or len(name) > 249 or not all(letter.isalnum() or letter in "._-" for letter in name):
            return INVALID_TOPIC
        if name in self.denied_topics:
            return TOPIC_DENIED
        return 0 if name in self.topics else UNKNOWN_TOPIC

    def partition(self, name, number):
        error = self.topic_error(name)
        if not error and not 0 <= number < len(self.topics[name].partitions):
            error = UNKNOWN_TOPIC
        return error, None if error else self.topics[name].partitions[number]

    async def CreateTopics(self, connection, request, version):
        wanted = []
        for _ in range(request.int32()):
            name, partitions, replicas = request.string(), request.int32(), request.int16()
            placed = request.array((request.int32, lambda: request.array(request.int32)))
            wanted.append((name, len(placed) or partitions, 1 if placed else replicas, request.array((request.string, request.string))))
        request.int32()
        only_check = version >= 1 and request.bool()
        parts = []
        for name, partitions, replicas, configs in wanted:
            error = self.topic_error(name)
            if error in (0, UNKNOWN_TOPIC):
                partitions = self.options.partitions if partitions == -1 and version >= 4 else partitions
                replicas = 1 if replicas == -1 and version >= 4 else replicas
                error = (TOPIC_EXISTS if error == 0 else BAD_PARTITIONS if partitions < 1 else BAD_REPLICATION if replicas != 1 else 0)
                if not error and not only_check:
                    self.make_topic(name, partitions, dict(configs or {}))
            why = {TOPIC_EXISTS: f"Topic '{name}' already exists.", BAD_REPLICATION: "Replication factor larger than available brokers: 1."}
            parts.append(string(name) + int16(error) + (string(why.get(error)) if version >= 1 else b""))
        return (int32(0) if version >= 2 else b"") + array(parts)

    async def CreatePartitions(self, connection, request, version):
        parts = []
        for _ in range(request.int32()):
            name, count = request.string(), request.int32()
            request.array(lambda: request.array(request.int32))
            error = self.topic_error(name)
            if not error and count <= len(self.topics[name].partitions):
                error = BAD_PARTITIONS
            if not error:
                self.add_partitions(name, count - len(self.topics[name].partitions))
            parts.append(string(name) + int16(error) + string(None))
        return int32(0) + array(parts)

    async def DeleteTopics(self, connection, request, version):
        parts = []
        for name in request.array(request.string):
            error = self.topic_error(name)
            if not error:
                self.remove_topic(name)
            parts.append(string(name) + int16(error))
        return (int32(0) if version >= 1 else b"") + array(parts)

    async def DeleteRecords(self, connection, request, version):
        parts = []
        for name, partitions in request.array((request.string, lambda: request.array((request.int32, request.int64)))):
            inner = []
            for number, offset in partitions:
                error, partition = self.partition(name, number)
                if not error:
                    self.cut(name, number, partition.end if offset == -1 else offset)
                inner.append(int32(number) + int64(partition.start if partition else -1) + int16(error))
            parts.append(string(name) + array(inner))
        return int32(0) + array(parts)

    async def DescribeConfigs(self, connection, request, version):
        parts = []
        for _ in range(request.int32()):
            kind, name, wanted = request.int8(), request.string(), request.array(request.string)
            error = self.topic_error(name) if kind == 2 else 0
            entries = {"max.message.bytes" if kind == 2 else "message.max.bytes": str(self.max_message), "retention.ms": "604800000",
                       "cleanup.policy": "delete", **(self.topics[name].configs if kind == 2 and not error else {})}
            parts.append(int16(error) + string(None) + int8(kind) + string(name) + array(
                string(key) + string(value) + int8(0) + int8(0 if key in getattr(self.topics.get(name), "configs", {}) else
                                                            1 if version == 0 else 5) + int8(0) + (array([]) if version >= 1 else b"")
                for key, value in entries.items() if not error and (wanted is None or key in wanted)))
        return int32(0) + array(parts)

    # --- records

    async def Produce(self, connection, request, version):
        request.string()
        acks = request.int16()
        request.int32()
        parts = []
        for name, partitions in request.array((request.string, lambda: request.array((request.int32, request.bytes)))):
            inner = []
            for number, data in partitions:
                error, offset = self.store(name, number, data)
                partition = self.partition(name, number)[1]
                inner.append(int32(number) + int16(error) + int64(offset) + int64(-1) +
                             (int64(partition.start if partition else -1) if version >= 5 else b""))
            parts.append(string(name) + array(inner))
        async with self.arrived:
            self.arrived.notify_all()
        return array(parts) + int32(0) if acks else None

    def store(self, name, number, data):
        error, partition = self.partition(name, number)
        fault = self.faults.pick("item", f"{name}/{number}")
        if error or fault:
            return error or int(fault["fault"]), -1
        if self.options.discard:
            return 0, 0
        if data and len(data) > 17 and data[16] < 2:
            return OLD_FORMAT, -1
        try:
            batches = list(Batch.split(data or b""))
        except Malformed:
            return CORRUPT, -1
        if len(batches) != 1 or batches[0].count != batches[0].last_delta + 1:
            return CORRUPT, -1
        limit = int(self.topics[name].configs.get("max.message.bytes", self.max_message))
        if len(batches[0].data) > limit:
            return TOO_LARGE, -1
        return self.append(name, number, base64.b64encode(batches[0].data).decode())

    async def Fetch(self, connection, request, version):
        request.int32()
        wait, least, most, committed_only = request.int32(), request.int32(), request.int32(), request.int8() == 1
        if version >= 7:
            request.int32(), request.int32()
        wanted = []
        for _ in range(request.int32()):
            name = request.string()
            for _ in range(request.int32()):
                number = request.int32()
                if version >= 9:
                    request.int32()
                offset = request.int64()
                if version >= 5:
                    request.int64()
                wanted.append((name, number, offset, request.int32()))
        deadline = asyncio.get_running_loop().time() + wait / 1000
        while True:
            answer, size, error = self.fetched(wanted, most, committed_only, version)
            left = deadline - asyncio.get_running_loop().time()
            if size >= least or error or left <= 0:
                break
            try:
                async with asyncio.timeout(left), self.arrived:
                    await self.arrived.wait()
            except TimeoutError:
                pass
        return int32(0) + (int16(0) + int32(0) if version >= 7 else b"") + answer

    def fetched(self, wanted, most, committed_only, version):
        topics, total, wrong = defaultdict(list), 0, False
        for name, number, offset, size in wanted:
            error, partition = self.partition(name, number)
            if not error and not partition.start <= offset <= partition.end:
                error = OFFSET_OUT_OF_RANGE
            wrong = wrong or bool(error)
            if error:
                topics[name].append(int32(number) + int16(error) + int64(-1) + int64(-1) + (int64(-1) if version >= 5 else b"") + array([]) +
                                    (int32(-1) if version >= 11 else b"") + blob(b""))
                continue
            limit = partition.stable if committed_only else partition.end
            data = partition.read(offset, limit, min(size, most - total)) if total < most else b""
            if self.omitted[name, number] and data and (first := 12 + Reader(data[8:12]).int32()) < len(data):
                self.omitted[name, number] -= 1
                data = data[first:]
            total += len(data)
            aborted = [int64(producer) + int64(first) for producer, first, last in partition.aborted if committed_only and last >= offset]
            topics[name].append(int32(number) + int16(0) + int64(partition.end) + int64(partition.stable) +
                                (int64(partition.start) if version >= 5 else b"") + array(aborted) +
                                (int32(-1) if version >= 11 else b"") + blob(data))
        return array(string(name) + array(parts) for name, parts in topics.items()), total, wrong

    async def ListOffsets(self, connection, request, version):
        request.int32()
        committed_only = version >= 2 and request.int8() == 1
        parts = []
        for _ in range(request.int32()):
            name, inner = request.string(), []
            for _ in range(request.int32()):
                number = request.int32()
                if version >= 4:
                    request.int32()
                when = request.int64()
                error, partition = self.partition(name, number)
                found, at = -1, -1
                if not error:
                    if when == -2:
                        found = partition.start
                    elif when == -1:
                        found = partition.stable if committed_only else partition.end
                    else:
                        batch = next((batch for batch in partition.batches if batch.last_time >= when), None)
                        if batch:
                            records = batch.records() or [(batch.offset, batch.first_time)]
                            found, at = next(((record[0], record[1]) for record in records if record[1] >= when), records[0][:2])
                inner.append(int32(number) + int16(error) + int64(at) + int64(found) + (int32(-1) if version >= 4 else b""))
            parts.append(string(name) + array(inner))
        return (int32(0) if version >= 2 else b"") + array(parts)


def add_options(parser):
    parser.add_argument("--sasl", default="", metavar="MECHANISM,…")
    parser.add_argument("--user")
    parser.add_argument("--password", default="")
    parser.add_argument("--no-auto-create", action="store_true", help="topics are made on request only")
    parser.add_argument("--partitions", type=int, default=1, help="of topics that are made because they are named")
    parser.add_argument("--max-message", type=int, default=1048588, metavar="BYTES", help="largest record batch")
    parser.add_argument("--advertise", metavar="HOST:PORT", help="where clients are sent to; the own address unless given")
    parser.add_argument("--data", help="file that keeps everything, for restarts")
    parser.add_argument("--rebalance-delay", type=float, default=0.1, metavar="SECONDS", help="that a new group waits for further members")
    parser.add_argument("--discard", action="store_true", help="only acknowledges, for measuring")
    serving.add_tls_options(parser)


if __name__ == "__main__":
    serving.serve(KafkaDouble, __doc__.splitlines()[0], add_options)
