"""Requests about consumer groups, as the double of Kafka answers them. Formats by version as in Kafka's protocol guide."""
from collections import defaultdict

import kafka_groups
from kafka_log import GROUP_DENIED
from kafka_wire import array, blob, int16, int32, int64, string


class GroupRequests:
    """Of a server with `groups`, `denied_groups`, `options`, `advertise`, `partition()` and `commit()`."""

    def group(self, name):
        if name not in self.groups:
            self.groups[name] = kafka_groups.Group(self.options.rebalance_delay)
        return self.groups[name]

    async def FindCoordinator(self, connection, request, version):
        name, kind = request.string(), request.int8() if version >= 1 else 0
        error = GROUP_DENIED if kind == 0 and name in self.denied_groups else 0
        host, _, port = self.advertise.rpartition(":")
        return ((int32(0) + int16(error) + string(None) if version >= 1 else int16(error)) + int32(1) + string(host) + int32(int(port)))

    async def JoinGroup(self, connection, request, version):
        name, session = request.string(), request.int32()
        rebalance = request.int32() if version >= 1 else session
        member, instance = request.string(), request.string() if version >= 5 else None
        protocol_type, protocols = request.string(), request.array((request.string, request.bytes))
        if name in self.denied_groups:
            answer = (GROUP_DENIED, -1, "", "", "", [])
        else:
            answer = await self.group(name).join(member, instance, protocol_type, protocols, session, rebalance, request.client or "",
                                                 version >= 4)
        error, generation, protocol, leader, own, members = answer
        return ((int32(0) if version >= 2 else b"") + int16(error) + int32(generation) + string(protocol) + string(leader) + string(own) +
                array(string(other) + (string(known) if version >= 5 else b"") + blob(data) for other, known, data in members))

    async def SyncGroup(self, connection, request, version):
        name, generation, member = request.string(), request.int32(), request.string()
        instance = request.string() if version >= 3 else None
        error, assignment = await self.group(name).sync(member, instance, generation, request.array((request.string, request.bytes)))
        return (int32(0) if version >= 1 else b"") + int16(error) + blob(assignment)

    async def Heartbeat(self, connection, request, version):
        name, generation, member = request.string(), request.int32(), request.string()
        error = self.group(name).heartbeat(member, request.string() if version >= 3 else None, generation)
        return (int32(0) if version >= 1 else b"") + int16(error)

    async def LeaveGroup(self, connection, request, version):
        name = request.string()
        if version < 3:
            return (int32(0) if version >= 1 else b"") + int16(self.group(name).leave(request.string(), None))
        members = request.array((request.string, request.string))
        return int32(0) + int16(0) + array(string(member) + string(instance) + int16(self.group(name).leave(member, instance))
                                           for member, instance in members)

    async def OffsetCommit(self, connection, request, version):
        name, generation, member = request.string(), request.int32(), request.string()
        instance = request.string() if version >= 7 else None
        if version <= 4:
            request.int64()
        group = self.group(name)
        denied = GROUP_DENIED if name in self.denied_groups else group.commit_error(member, instance, generation)
        parts = []
        for _ in range(request.int32()):
            topic, inner = request.string(), []
            for _ in range(request.int32()):
                number, offset = request.int32(), request.int64()
                if version >= 6:
                    request.int32()
                metadata = request.string()
                error = denied or self.partition(topic, number)[0]
                if not error:
                    self.commit(name, topic, number, offset, metadata or "")
                inner.append(int32(number) + int16(error))
            parts.append(string(topic) + array(inner))
        return (int32(0) if version >= 3 else b"") + array(parts)

    async def OffsetFetch(self, connection, request, version):
        name = request.string()
        group = self.group(name)
        wanted = request.array(lambda: (request.string(), request.array(request.int32)))
        if wanted is None:
            by_topic = defaultdict(list)
            for topic, number in group.offsets:
                by_topic[topic].append(number)
            wanted = list(by_topic.items())
        error = GROUP_DENIED if name in self.denied_groups else 0
        parts = []
        for topic, numbers in wanted:
            inner = []
            for number in numbers:
                offset, metadata = group.offsets.get((topic, number), (-1, ""))
                inner.append(int32(number) + int64(offset) + (int32(-1) if version >= 5 else b"") + string(metadata) +
                             int16(error if version < 2 else 0))
            parts.append(string(topic) + array(inner))
        return (int32(0) if version >= 3 else b"") + array(parts) + (int16(error) if version >= 2 else b"")
