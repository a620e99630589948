"""Consumer groups of the double of Kafka: the classic protocol, with static members.

A group is empty, preparing (waits for its members to join again), completing (waits for the leader's assignment) or stable.
"""
import asyncio
import uuid

NONE, ILLEGAL_GENERATION, INCONSISTENT_PROTOCOL, UNKNOWN_MEMBER, REBALANCING = 0, 22, 23, 25, 27
MEMBER_ID_REQUIRED, FENCED_INSTANCE = 79, 82


class Member:
    def __init__(self, name, instance, session_timeout, rebalance_timeout, protocols):
        self.name, self.instance = name, instance
        self.session_timeout, self.rebalance_timeout, self.protocols = session_timeout, rebalance_timeout, protocols
        self.joining = self.syncing = None  # answers that it waits for
        self.assignment = b""
        self.seen = asyncio.get_running_loop().time()


class Group:
    def __init__(self, initial_delay):
        self.members, self.pending = {}, set()
        self.state, self.generation = "empty", 0
        self.leader = self.protocol = self.protocol_type = None
        self.offsets = {}  # (topic, partition) → (offset, metadata)
        self.deadline = None
        self.initial_delay = initial_delay
        self.rebalances = 0

    # --- members come and go

    async def join(self, name, instance, protocol_type, protocols, session_timeout, rebalance_timeout, client, needs_name):
        """(error, generation, protocol, leader, own name, members): what JoinGroup answers."""
        def refuse(error, own=""):
            return error, -1, "", "", own, []

        if self.members and (protocol_type != self.protocol_type or not self.common(protocols)):
            return refuse(INCONSISTENT_PROTOCOL, name)
        old = next((member for member in self.members.values() if instance and member.instance == instance), None)
        if old and name and old.name != name:
            return refuse(FENCED_INSTANCE, name)
        if not name:
            name = f"{client}-{uuid.uuid4()}"
            if needs_name and not instance:
                self.pending.add(name)
                return refuse(MEMBER_ID_REQUIRED, name)
        elif name not in self.members and name not in self.pending:
            return refuse(UNKNOWN_MEMBER, name)
        self.pending.discard(name)
        if old and old.name != name:  # a static member came back under another name
            self.release(old, FENCED_INSTANCE)
            leader = self.leader
            del self.members[old.name]
            self.leader = name if leader == old.name else leader
            old.name = name
            self.members[name] = old
            if self.state == "stable" and old.protocols == protocols:
                old.seen = asyncio.get_running_loop().time()
                # It is told the name of the leader as it was, lest it divides the partitions anew.
                return NONE, self.generation, self.protocol, leader, name, []
        member = self.members.get(name)
        if member is None:
            member = self.members[name] = Member(name, instance, session_timeout, rebalance_timeout, protocols)
            self.protocol_type = protocol_type
            self.rebalance()
        elif self.state != "preparing" and (self.state == "completing" and member.protocols == protocols or
                                            self.state == "stable" and member.protocols == protocols and name != self.leader):
            return NONE, self.generation, self.protocol, self.leader, name, self.list_for(name)
        else:
            self.rebalance()
        member.protocols, member.session_timeout, member.rebalance_timeout = protocols, session_timeout, rebalance_timeout
        if member.joining:
            member.joining.cancel()
        joined = member.joining = asyncio.get_running_loop().create_future()
        self.complete_if_all()
        return await joined

    def common(self, protocols):
        names = {name for name, _ in protocols}
        for member in self.members.values():
            names &= {name for name, _ in member.protocols}
        return names

    def rebalance(self):
        loop = asyncio.get_running_loop()
        if self.state != "preparing":
            for member in self.members.values():
                self.release(member, REBALANCING, only_sync=True)
            wait = max(member.rebalance_timeout for member in self.members.values()) / 1000
            self.deadline = loop.time() + wait
            self.earliest = loop.time() + (self.initial_delay if self.state == "empty" else 0)
            self.state = "preparing"
            self.rebalances += 1

    def complete_if_all(self):
        now = asyncio.get_running_loop().time()
        if self.state != "preparing" or now < self.earliest:
            return
        if now >= self.deadline:
            for member in [member for member in self.members.values() if not member.joining]:
                del self.members[member.name]
        if self.pending and now < self.deadline or not all(member.joining for member in self.members.values()):
            return
        if not self.members:
            self.state, self.generation = "empty", self.generation + 1
            return
        self.generation += 1
        self.leader = self.leader if self.leader in self.members else next(iter(self.members))
        common = self.common(next(iter(self.members.values())).protocols)
        self.protocol = next(name for name, _ in self.members[self.leader].protocols if name in common)
        self.state, self.deadline = "completing", self.deadline + 60
        for member in self.members.values():
            member.seen = now
            member.assignment = b""
            waits, member.joining = member.joining, None
            if not waits.done():
                waits.set_result((NONE, self.generation, self.protocol, self.leader, member.name, self.list_for(member.name)))

    def list_for(self, name):
        if name != self.leader:
            return []
        return [(member.name, member.instance, dict(member.protocols)[self.protocol]) for member in self.members.values()]

    def check(self, name, instance, generation):
        member = self.members.get(name)
        if instance and any(other.instance == instance and other.name != name for other in self.members.values()):
            return FENCED_INSTANCE
        if member is None:
            return UNKNOWN_MEMBER
        if generation != self.generation:
            return ILLEGAL_GENERATION
        member.seen = asyncio.get_running_loop().time()
        return NONE

    async def sync(self, name, instance, generation, assignments):
        error = self.check(name, instance, generation)
        if error or self.state == "preparing":
            return error or REBALANCING, b""
        member = self.members[name]
        if self.state == "completing":
            if name == self.leader:
                for other, assignment in assignments:
                    if other in self.members:
                        self.members[other].assignment = assignment
                self.state = "stable"
                for other in self.members.values():
                    if other.syncing and not other.syncing.done():
                        other.syncing.set_result((NONE, other.assignment))
                    other.syncing = None
            else:
                member.syncing = asyncio.get_running_loop().create_future()
                return await member.syncing
        return NONE, member.assignment

    def heartbeat(self, name, instance, generation):
        error = self.check(name, instance, generation)
        return error or (REBALANCING if self.state == "preparing" else NONE)

    def leave(self, name, instance):
        found = next((member for member in self.members.values() if member.name == name or instance and member.instance == instance), None)
        if found is None:
            self.pending.discard(name)
            return UNKNOWN_MEMBER
        self.remove(found)
        return NONE

    def remove(self, member):
        del self.members[member.name]
        self.release(member, UNKNOWN_MEMBER)
        if self.members:
            self.rebalance()
            self.complete_if_all()
        else:
            self.state, self.generation, self.leader = "empty", self.generation + 1, None

    @staticmethod
    def release(member, error, only_sync=False):
        if member.syncing and not member.syncing.done():
            member.syncing.set_result((error, b""))
        member.syncing = None
        if not only_sync and member.joining and not member.joining.done():
            member.joining.set_result((error, -1, "", "", member.name, []))

    def tick(self):
        """From time to time: whoever is silent for too long is put out."""
        now = asyncio.get_running_loop().time()
        for member in list(self.members.values()):
            if not member.joining and not member.syncing and now - member.seen > member.session_timeout / 1000:
                self.remove(member)
        self.complete_if_all()

    def commit_error(self, name, instance, generation):
        if generation < 0 and not name:
            return NONE if not self.members else UNKNOWN_MEMBER
        error = self.check(name, instance, generation)
        return error or (REBALANCING if self.state == "completing" else NONE)

    def described(self):
        return {"state": self.state, "generation": self.generation, "rebalances": self.rebalances, "protocol": self.protocol,
                "members": {member.name: {"instance": member.instance, "leader": member.name == self.leader,
                                          "session_timeout": member.session_timeout} for member in self.members.values()},
                "offsets": {f"{topic}/{partition}": list(value) for (topic, partition), value in self.offsets.items()}}
