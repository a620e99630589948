"""Idempotent producers and transactions, as the double of Kafka answers them."""
from kafka_log import OLD_EPOCH, TXN_STATE
from kafka_wire import array, int16, int32, int64, string


class Transaction:
    def __init__(self, producer):
        self.producer, self.epoch = producer, -1
        self.partitions, self.offsets = set(), []


class TransactionRequests:
    """Of a server with `transactions`, `partition()`, `end_transaction()`, `commit()`, `know_producer()` and `arrived`."""

    async def InitProducerId(self, connection, request, version):
        name = request.string()
        if not name:
            self.know_producer(self.next_producer + 1)
            return int32(0) + int16(0) + int64(self.next_producer) + int16(0)
        if name not in self.transactions:
            self.know_producer(self.next_producer + 1)
            self.transactions[name] = Transaction(self.next_producer)
        transaction = self.transactions[name]
        transaction.epoch += 1
        self.finish(transaction, False)
        return int32(0) + int16(0) + int64(transaction.producer) + int16(transaction.epoch)

    def transaction(self, request):
        found = self.transactions.get(request.string())
        producer, epoch = request.int64(), request.int16()
        if found is None or producer != found.producer:
            return TXN_STATE, None
        return (OLD_EPOCH if epoch != found.epoch else 0), found

    def finish(self, transaction, commits):
        for name, number in transaction.partitions:
            self.end_transaction(name, number, transaction.producer, transaction.epoch, commits)
        if commits:
            for group, topic, number, offset, metadata in transaction.offsets:
                self.commit(group, topic, number, offset, metadata or "")
        transaction.partitions, transaction.offsets = set(), []

    async def AddPartitionsToTxn(self, connection, request, version):
        denied, transaction = self.transaction(request)
        parts = []
        for name, numbers in request.array((request.string, lambda: request.array(request.int32))):
            inner = []
            for number in numbers:
                error = denied or self.partition(name, number)[0]
                if not error:
                    transaction.partitions.add((name, number))
                inner.append(int32(number) + int16(error))
            parts.append(string(name) + array(inner))
        return int32(0) + array(parts)

    async def AddOffsetsToTxn(self, connection, request, version):
        return int32(0) + int16(self.transaction(request)[0])

    async def TxnOffsetCommit(self, connection, request, version):
        known, group, producer, _ = request.string(), request.string(), request.int64(), request.int16()
        transaction, parts = self.transactions.get(known), []
        for _ in range(request.int32()):
            topic, inner = request.string(), []
            for _ in range(request.int32()):
                number, offset = request.int32(), request.int64()
                if version >= 2:
                    request.int32()
                transaction.offsets.append((group, topic, number, offset, request.string()))
                inner.append(int32(number) + int16(0))
            parts.append(string(topic) + array(inner))
        return int32(0) + array(parts)

    async def EndTxn(self, connection, request, version):
        error, transaction = self.transaction(request)
        commits = request.bool()
        if not error:
            self.finish(transaction, commits)
            async with self.arrived:
                self.arrived.notify_all()
        return int32(0) + int16(error)
