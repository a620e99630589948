#!/usr/bin/env python3
"""MongoDB, a replica set of one, as far as something that stores documents can tell.

    mongodb_double.py [--user NAME --password TEXT] [--tls-cert …] [--standalone] [--advertise HOST:PORT] [--data FILE]

Speaks OP_MSG (and OP_QUERY for the first hello) with wire version 21 (MongoDB 7.0), SCRAM-SHA-256 and MONGODB-X509, sessions and
retryable writes, create, createIndexes (unique is kept, TTL is stored), insert, update with upsert, delete, find, aggregate ($match,
$group to count, $count, $sort, $skip, $limit), count, distinct, getMore, and what lists those. Clients go where `hello` says: behind a
proxy use --advertise, or `settings`, with the address of the proxy.

Faults with scope `item`, by `_id`:
    11000 (there already: it is stored first), 121 (validation)
Faults with scope `request`, by command and collection (`insert frames`):
    writeConcernError (64; all is stored), retryable (91 with the label RetryableWriteError; nothing is stored),
    retryable_write_concern (91 in the writeConcernError, with the label; all is stored), 10107 (not primary, with the label),
    13 (not authorised), 11601 (interrupted, no label), cut_before, cut_after (stored, no answer), truncated (half an answer),
    garbage (an answer that is none), slow (`seconds`), silence

Control commands beside those of serving.py:
    documents {"namespace": "db.collection"}: in MongoDB's JSON; without a namespace all; ids {"namespace"}: only their ids
    indexes: by namespace; commands: how often each was given
    expire {"namespace", "now": ms}: what the TTL monitor does
    settings {"primary": false, "advertise": "HOST:PORT"}
"""
import asyncio
import struct
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import bson_codec as bson  # noqa: E402
import scram  # noqa: E402
import serving  # noqa: E402
from mongodb_store import CommandError, Store, at_path, bad, frozen, matches  # noqa: E402

RETRYABLE = ("RetryableWriteError",)
REQUEST_FAULTS = {
    "retryable": CommandError(91, "ShutdownInProgress", "The server is in quiesce mode (injected)", RETRYABLE),
    "10107": CommandError(10107, "NotWritablePrimary", "not primary (injected)", RETRYABLE),
    "13": CommandError(13, "Unauthorized", "not authorized on this database (injected)"),
    "11601": CommandError(11601, "Interrupted", "operation was interrupted (injected)"),
}
WRITE_CONCERN = {"code": 64, "codeName": "WriteConcernTimeout", "errmsg": "waiting for replication timed out (injected)",
                 "errInfo": {"wtimeout": True}}
MESSAGE_LIMIT, DOCUMENT_LIMIT = 48000000, 16 << 20
COMMON = {"$db", "lsid", "txnNumber", "$clusterTime", "$readPreference", "apiVersion", "apiStrict", "apiDeprecationErrors",
          "writeConcern", "readConcern", "maxTimeMS", "comment"}
FIELDS = {"insert": {"documents", "ordered", "bypassDocumentValidation"}, "update": {"updates", "ordered", "bypassDocumentValidation"},
          "delete": {"deletes", "ordered"},
          "find": {"filter", "sort", "projection", "skip", "limit", "batchSize", "singleBatch", "hint", "allowDiskUse", "noCursorTimeout"},
          "count": {"query", "limit", "skip", "hint", "fields"}, "aggregate": {"pipeline", "cursor", "allowDiskUse", "hint"}}


class Connection:
    def __init__(self, number, writer):
        self.number, self.writer = number, writer
        self.scram = None
        self.conversation = 0
        self.user = None


class MongodbDouble(serving.Server):
    def __init__(self, options):
        super().__init__(options)
        self.faults = serving.Faults(["11000", "121"], [*REQUEST_FAULTS, "writeConcernError", "retryable_write_concern", "cut_before",
                                                        "cut_after", "truncated", "garbage", "slow", "silence"])
        self.store = Store(serving.Journal(options.data))
        self.advertise, self.primary = options.advertise, True
        self.connections, self.commands = 0, {}
        self.cursors, self.sessions = {}, {}  # cursor id → (namespace, rest); session → (transaction number, results)
        self.election = bson.ObjectId(b"\x7f" + bytes(11))

    async def listen(self):
        port = await super().listen()
        self.advertise = self.advertise or f"{self.options.host}:{port}"
        return port

    # --- control

    def control_state(self, _):
        return {"connections": self.connections, "primary": self.primary,
                "documents": {name: len(collection.documents) for name, collection in self.store.collections.items()}}

    def control_documents(self, arguments):
        wanted = arguments.get("namespace")
        if wanted:
            return [bson.to_json(document) for document in self.store.collection(wanted).documents.values()]
        return {name: [bson.to_json(document) for document in collection.documents.values()]
                for name, collection in self.store.collections.items()}

    def control_ids(self, arguments):
        return [bson.to_json(document["_id"]) for document in self.store.collection(arguments["namespace"]).documents.values()]

    def control_indexes(self, _):
        return {name: list(bson.to_json(collection.indexes).values()) for name, collection in self.store.collections.items()}

    def control_commands(self, _):
        return self.commands

    def control_expire(self, arguments):
        namespace, now, count = arguments["namespace"], arguments.get("now", time.time() * 1000), 0
        collection = self.store.collections[namespace]
        for index in collection.indexes.values():
            if "expireAfterSeconds" in index:
                field, = index["key"]
                for document in list(collection.documents.values()):
                    dates = [value for value in at_path(document, field) if isinstance(value, bson.Date)]
                    if dates and min(dates) + index["expireAfterSeconds"] * 1000 < now:
                        self.store.delete(namespace, document)
                        count += 1
        return {"deleted": count}

    def control_settings(self, arguments):
        if set(arguments) - {"primary", "advertise"}:
            raise ValueError("settings: primary, advertise")
        self.primary, self.advertise = arguments.get("primary", self.primary), arguments.get("advertise", self.advertise)
        return {}

    # --- the wire

    async def connection(self, reader, writer):
        self.connections += 1
        connection = Connection(self.connections, writer)
        while True:
            try:
                size, number, _, code = struct.unpack("<iiii", await reader.readexactly(16))
                if not 16 <= size <= MESSAGE_LIMIT + 16384:
                    return
                data = await reader.readexactly(size - 16)
                if code == 2004:
                    end = data.index(0, 4)
                    command, _ = bson.decode(data, end + 9)
                    command, asks_for_reply = {**command.get("$query", command), "$db": data[4:end].decode().partition(".")[0]}, True
                elif code == 2013:
                    command, asks_for_reply = self.message(data)
                else:
                    return
            except (bson.Malformed, ValueError, struct.error):
                return
            fault, reply = await self.answer(connection, command)
            if reply is None:
                return
            self.store.journal.flush()
            if fault == "cut_after":
                return serving.reset(writer)
            if not asks_for_reply:
                continue
            if code == 2004:
                body = struct.pack("<iqii", 8, 0, 0, 1) + bson.encode(reply)
                packet = struct.pack("<iiii", 16 + len(body), self.connections, number, 1) + body
            else:
                body = b"\0\0\0\0\0" + bson.encode(reply)
                packet = struct.pack("<iiii", 16 + len(body), self.connections, number, 2013) + body
            if fault == "garbage":
                packet = struct.pack("<iiii", 40, 1, number, 2013) + b"\xff" * 24
            if fault == "truncated":
                writer.write(packet[:len(packet) // 2])
                await writer.drain()
                return
            writer.write(packet)
            await writer.drain()

    def message(self, data):
        """The command of an OP_MSG, and whether it is to be answered."""
        flags, = struct.unpack_from("<I", data)
        end = len(data) - (4 if flags & 1 else 0)
        at, command, sequences = 4, None, {}
        while at < end:
            kind, at = data[at], at + 1
            if kind == 0:
                command, at = bson.decode(data, at)
            elif kind == 1:
                size, = struct.unpack_from("<i", data, at)
                stop = at + size
                zero = data.index(0, at + 4, stop)
                name, at, items = data[at + 4:zero].decode(), zero + 1, []
                while at < stop:
                    length, = struct.unpack_from("<i", data, at)
                    if length < 5:
                        raise bson.Malformed("a document without a size")
                    items.append(None if self.options.discard else self.sized(data, at, length))
                    at += length
                sequences[name] = items
            else:
                raise bson.Malformed(f"a section of kind {kind}")
        return {**command, **sequences}, not flags & 2

    @staticmethod
    def sized(data, at, length):
        document, _ = bson.decode(data, at)
        return document if length <= DOCUMENT_LIMIT else None

    async def answer(self, connection, command):
        """The fault that holds for the answer, and the answer; None ends the connection."""
        name = next(iter(command))
        first = command[name]
        key = f"{name} {first}" if isinstance(first, str) else name
        self.commands[key] = self.commands.get(key, 0) + 1
        fault = self.faults.pick("request", key) or {"fault": ""}
        kind = fault["fault"]
        if kind == "slow":
            await asyncio.sleep(fault.get("seconds", 1))
        elif kind == "silence":
            await asyncio.sleep(3600)
        elif kind == "cut_before":
            serving.reset(connection.writer)
            return kind, None
        try:
            if kind in REQUEST_FAULTS:
                raise REQUEST_FAULTS[kind].with_traceback(None)
            method = getattr(self, "command_" + name.lower(), None)
            if method is None:
                raise CommandError(59, "CommandNotFound", f"no such command: '{name}'")
            open_to_all = ("hello", "ismaster", "saslstart", "saslcontinue", "ping", "buildinfo", "authenticate", "endsessions")
            if self.options.user and connection.user is None and name.lower() not in open_to_all:
                raise CommandError(13, "Unauthorized", f"Command {name} requires authentication")
            unknown = set(command) - COMMON - FIELDS.get(name, set(command)) - {name}
            if unknown:
                raise CommandError(40415, "Location40415", f"BSON field '{name}.{unknown.pop()}' is an unknown field.")
            reply = method(connection, command)
            reply.setdefault("ok", 1.0)
            if kind == "writeConcernError":
                reply["writeConcernError"] = WRITE_CONCERN
            elif kind == "retryable_write_concern":
                reply |= {"writeConcernError": {"code": 91, "codeName": "ShutdownInProgress", "errmsg": "shutting down (injected)"},
                          "errorLabels": list(RETRYABLE)}
        except CommandError as error:
            reply = error.reply()
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            reply = CommandError(9, "FailedToParse", f"{type(error).__name__}: {error}").reply()
        return kind, reply

    # --- commands: who and what the server is

    def command_hello(self, connection, command):
        replica = {} if self.options.standalone else {
            "setName": "double", "setVersion": 1, "hosts": [self.advertise], "me": self.advertise, "secondary": not self.primary,
            **({"primary": self.advertise, "electionId": self.election} if self.primary else {}),
            "lastWrite": {"opTime": {"ts": bson.Timestamp(1 << 32), "t": bson.Int64(1)}, "lastWriteDate": bson.Date(time.time() * 1000)}}
        reply = {"helloOk": True, "isWritablePrimary": self.primary, "ismaster": self.primary, **replica,
                 "maxBsonObjectSize": DOCUMENT_LIMIT, "maxMessageSizeBytes": MESSAGE_LIMIT, "maxWriteBatchSize": 100000,
                 "localTime": bson.Date(time.time() * 1000), "logicalSessionTimeoutMinutes": 30, "connectionId": connection.number,
                 "minWireVersion": 0, "maxWireVersion": 21, "readOnly": False}
        if "saslSupportedMechs" in command:
            reply["saslSupportedMechs"] = ["SCRAM-SHA-256"]
        if "speculativeAuthenticate" in command and self.options.user:
            speculative = command["speculativeAuthenticate"]
            if "saslStart" in speculative and speculative.get("mechanism") == "SCRAM-SHA-256":
                reply["speculativeAuthenticate"] = self.command_saslstart(connection, speculative)
        return reply

    command_ismaster = command_hello

    def command_ping(self, _, command):
        return {}

    def command_buildinfo(self, _, command):
        return {"version": "7.0.14", "versionArray": [7, 0, 14, 0], "gitVersion": "double", "bits": 64, "debug": False,
                "maxBsonObjectSize": DOCUMENT_LIMIT, "modules": []}

    def command_saslstart(self, connection, command):
        if command["mechanism"] != "SCRAM-SHA-256":
            raise CommandError(334, "MechanismUnavailable", f"Unsupported mechanism {command['mechanism']}")
        connection.scram = scram.ScramServer({self.options.user: self.options.password})
        connection.skips_empty = command.get("options", {}).get("skipEmptyExchange", False)
        connection.conversation += 1
        try:
            payload = connection.scram.first(command["payload"].data)
        except (scram.Denied, KeyError, ValueError) as error:
            raise CommandError(18, "AuthenticationFailed", "Authentication failed.") from error
        return {"conversationId": connection.conversation, "done": False, "payload": bson.Binary(0, payload), "ok": 1.0}

    def command_saslcontinue(self, connection, command):
        exchange = connection.scram
        if exchange is None or command["conversationId"] != connection.conversation:
            raise CommandError(17, "ProtocolError", "No SASL session state found")
        if exchange.user is not None:  # the empty exchange of old clients
            connection.user = exchange.user
            return {"conversationId": connection.conversation, "done": True, "payload": bson.Binary(0, b"")}
        try:
            payload = exchange.final(command["payload"].data)
        except (scram.Denied, KeyError, ValueError) as error:
            connection.scram = None
            raise CommandError(18, "AuthenticationFailed", "Authentication failed.") from error
        if connection.skips_empty:
            connection.user = exchange.user
        return {"conversationId": connection.conversation, "done": connection.skips_empty, "payload": bson.Binary(0, payload)}

    def command_authenticate(self, connection, command):
        certificate = connection.writer.get_extra_info("peercert")
        if command.get("mechanism") != "MONGODB-X509" or not certificate:
            raise CommandError(18, "AuthenticationFailed", "Authentication failed.")
        connection.user = str(certificate.get("subject"))
        return {"dbname": "$external", "user": connection.user}

    def command_endsessions(self, _, command):
        for session in command["endSessions"]:
            self.sessions.pop(frozen(session), None)
        return {}

    # --- commands: collections and indexes

    def namespace(self, command):
        name = next(iter(command.values()))
        if not isinstance(name, str) or not name or "\0" in name or name.startswith("system."):
            raise CommandError(73, "InvalidNamespace", f"Invalid namespace specified '{command['$db']}.{name}'")
        return f"{command['$db']}.{name}"

    def need_primary(self):
        if not self.primary:
            raise CommandError(10107, "NotWritablePrimary", "not primary", RETRYABLE)

    def command_create(self, _, command):
        self.need_primary()
        namespace = self.namespace(command)
        if namespace in self.store.collections:
            raise CommandError(48, "NamespaceExists", f"Collection {namespace} already exists.")
        self.store.create(namespace, {key: value for key, value in command.items() if key not in COMMON and key != "create"})
        return {}

    def command_drop(self, _, command):
        self.need_primary()
        self.store.drop(self.namespace(command))
        return {}

    def command_dropdatabase(self, _, command):
        self.need_primary()
        for name in [name for name in self.store.collections if name.startswith(command["$db"] + ".")]:
            self.store.drop(name)
        return {}

    def command_createindexes(self, _, command):
        self.need_primary()
        namespace = self.namespace(command)
        made = namespace not in self.store.collections
        collection = self.store.collection(namespace, make=True)
        before = len(collection.indexes)
        for index in command["indexes"]:
            known = {"key", "name", "unique", "sparse", "expireAfterSeconds", "partialFilterExpression", "background", "v", "hidden"}
            if set(index) - known or not index.get("key") or not index.get("name"):
                raise CommandError(197, "InvalidIndexSpecificationOption", f"this double has no index with {sorted(index)}")
            if "expireAfterSeconds" in index and len(index["key"]) != 1:
                raise CommandError(67, "CannotCreateIndex", "TTL indexes are single-field indexes")
            index = {"v": 2, **index}
            index.pop("background", None)
            old = collection.indexes.get(index["name"])
            if old is not None:
                if list(old["key"].items()) != list(index["key"].items()):
                    raise CommandError(86, "IndexKeySpecsConflict", f"An existing index has the same name as the requested index: {index['name']}")
                if {**old, "v": 2} != {**index, "v": 2}:
                    raise CommandError(85, "IndexOptionsConflict", f"An equivalent index already exists with different options: {index['name']}")
                continue
            if any(list(other["key"].items()) == list(index["key"].items()) for other in collection.indexes.values()):
                raise CommandError(85, "IndexOptionsConflict", f"Index already exists with a different name: {index['name']}")
            self.store.add_index(namespace, index)
        return {"numIndexesBefore": before, "numIndexesAfter": len(collection.indexes), "createdCollectionAutomatically": made,
                **({"note": "all indexes already exist"} if len(collection.indexes) == before else {})}

    def command_dropindexes(self, _, command):
        self.need_primary()
        namespace = self.namespace(command)
        indexes = self.store.collection(namespace).indexes
        if namespace not in self.store.collections:
            raise CommandError(26, "NamespaceNotFound", f"ns not found {namespace}")
        wanted = command["index"]
        names = [name for name in indexes if name != "_id_"] if wanted == "*" else [wanted] if isinstance(wanted, str) else wanted
        for name in names:
            if name not in indexes:
                raise CommandError(27, "IndexNotFound", f"index not found with name [{name}]")
            self.store.drop_index(namespace, name)
        return {"nIndexesWas": len(indexes) + len(names)}

    def command_listcollections(self, _, command):
        prefix = command["$db"] + "."
        entries = [{"name": name[len(prefix):], "type": "collection", "options": collection.options, "info": {"readOnly": False},
                    "idIndex": collection.indexes["_id_"]}
                   for name, collection in self.store.collections.items() if name.startswith(prefix)]
        entries = [entry for entry in entries if matches(entry, command.get("filter", {}))]
        if command.get("nameOnly"):
            entries = [{"name": entry["name"], "type": "collection"} for entry in entries]
        return self.cursor(prefix + "$cmd.listCollections", entries, None)

    def command_listindexes(self, _, command):
        namespace = self.namespace(command)
        if namespace not in self.store.collections:
            raise CommandError(26, "NamespaceNotFound", f"ns does not exist: {namespace}")
        return self.cursor(namespace, list(self.store.collections[namespace].indexes.values()), None)

    def command_listdatabases(self, _, command):
        names = sorted({name.partition(".")[0] for name in self.store.collections})
        return {"databases": [{"name": name, "sizeOnDisk": bson.Int64(8192), "empty": False} for name in names],
                "totalSize": bson.Int64(8192 * len(names))}

    # --- commands: writing

    def write(self, command, statements, key_of, apply):
        """Each statement in turn, the way that ordered, unordered and retried writes go; `apply` adds to the reply."""
        self.need_primary()
        if not 1 <= len(statements) <= 100000:
            raise CommandError(16, "InvalidLength", f"Write batch sizes must be between 1 and 100000. Got {len(statements)} operations.")
        concern = command.get("writeConcern", {})
        reply, errors = {"n": 0}, []
        done = self.done_before(command)
        for number, statement in enumerate(statements):
            if number in done:  # the retry of a write whose answer was lost
                apply.repeat(reply, number, done[number])
                continue
            try:
                if statement is None:
                    raise CommandError(10334, "BSONObjectTooLarge", "object to insert too large")
                fault = self.faults.pick("item", key_of(statement))
                if fault and fault["fault"] == "121":
                    raise CommandError(121, "DocumentValidationFailure", "Document failed validation (injected)",
                                       errInfo={"failingDocumentId": statement.get("_id")})
                done[number] = apply(reply, number, statement)
                if fault:
                    del done[number]
                    apply.take_back(reply)
                    raise CommandError(11000, "DuplicateKey", "E11000 duplicate key error (injected)", keyPattern={"_id": 1},
                                       keyValue={"_id": key_of(statement)})
            except CommandError as error:
                errors.append({"index": number, "code": error.code, "errmsg": error.message, **error.more})
                if command.get("ordered", True):
                    break
        if errors:
            reply["writeErrors"] = errors
        if isinstance(concern.get("w"), int) and not isinstance(concern.get("w"), bool) and concern["w"] > 1:
            reply["writeConcernError"] = {"code": 100, "codeName": "UnsatisfiableWriteConcern", "errmsg": "Not enough data-bearing nodes"}
        if not self.options.standalone:
            reply |= {"electionId": self.election, "opTime": {"ts": bson.Timestamp(1 << 32), "t": bson.Int64(1)}}
        return reply

    def done_before(self, command):
        """What the statements of this retryable write gave already, by number."""
        if "txnNumber" not in command:
            return {}
        if self.options.standalone:
            raise CommandError(20, "IllegalOperation", "Transaction numbers are only allowed on a replica set member or mongos")
        if "startTransaction" in command or command.get("autocommit") is not None:
            raise CommandError(20, "IllegalOperation", "this double has no transactions")
        session = frozen(command["lsid"])
        number, done = self.sessions.get(session, (-1, {}))
        if command["txnNumber"] < number:
            raise CommandError(225, "TransactionTooOld", "a newer transaction has started in the session")
        if command["txnNumber"] > number:
            done = {}
            self.sessions[session] = (command["txnNumber"], done)
        return done

    def command_insert(self, _, command):
        namespace, documents = self.namespace(command), command["documents"]
        if self.options.discard:
            return {"n": len(documents)}
        return self.write(command, documents, lambda document: str(bson.to_json(document.get("_id", ""))), Insert(self.store, namespace))

    def command_update(self, _, command):
        namespace, updates = self.namespace(command), command["updates"]
        if self.options.discard:
            return {"n": len(updates), "nModified": len(updates)}
        return self.write(command, updates, lambda update: str(bson.to_json(update["q"].get("_id", ""))), Update(self.store, namespace))

    def command_delete(self, _, command):
        return self.write(command, command["deletes"], lambda delete: str(bson.to_json(delete["q"].get("_id", ""))),
                          Delete(self.store, self.namespace(command)))

    # --- commands: reading

    def cursor(self, namespace, documents, batch_size, keep=True):
        size = 101 if batch_size is None else batch_size
        first, rest, number = documents[:size], documents[size:], 0
        if rest and keep:
            number = len(self.cursors) + 1000 + self.connections
            while number in self.cursors:
                number += 1
            self.cursors[number] = (namespace, rest)
        return {"cursor": {"firstBatch": first, "id": bson.Int64(number), "ns": namespace}}

    def command_find(self, _, command):
        namespace = self.namespace(command)
        found = self.store.collection(namespace).find(command.get("filter", {}))
        found = self.pipeline(found, [{"$sort": command["sort"]}] if command.get("sort") else [])
        found = found[command.get("skip", 0):]
        limit = abs(command.get("limit", 0))
        found = [projected(document, command.get("projection") or {}) for document in (found[:limit] if limit else found)]
        return self.cursor(namespace, found, command.get("batchSize"), not command.get("singleBatch"))

    def command_getmore(self, _, command):
        number = command["getMore"]
        if number not in self.cursors:
            raise CommandError(43, "CursorNotFound", f"cursor id {number} not found")
        namespace, rest = self.cursors.pop(number)
        size = command.get("batchSize") or len(rest)
        if rest[size:]:
            self.cursors[number] = (namespace, rest[size:])
        return {"cursor": {"nextBatch": rest[:size], "id": bson.Int64(number if rest[size:] else 0), "ns": namespace}}

    def command_killcursors(self, _, command):
        killed = [number for number in command["cursors"] if self.cursors.pop(number, None)]
        return {"cursorsKilled": killed, "cursorsNotFound": [], "cursorsAlive": [], "cursorsUnknown": []}

    def command_count(self, _, command):
        found = self.store.collection(self.namespace(command)).find(command.get("query", {}))[command.get("skip", 0):]
        return {"n": min(len(found), command.get("limit") or len(found))}

    def command_distinct(self, _, command):
        values = {}
        for document in self.store.collection(self.namespace(command)).find(command.get("query") or {}):
            for value in at_path(document, command["key"]):
                for item in value if isinstance(value, list) else [value]:
                    values[frozen(item)] = item
        return {"values": list(values.values())}

    def command_aggregate(self, _, command):
        namespace = self.namespace(command)
        documents = list(self.store.collection(namespace).documents.values())
        return self.cursor(namespace, self.pipeline(documents, command["pipeline"]), command.get("cursor", {}).get("batchSize"))

    def pipeline(self, documents, stages):
        for stage in stages:
            (name, body), = stage.items()
            if name == "$match":
                documents = [document for document in documents if matches(document, body)]
            elif name == "$count":
                documents = [{body: len(documents)}] if documents else []
            elif name == "$group" and list(body) == ["_id", "n"] and body["n"] == {"$sum": 1}:
                groups = {}
                for document in documents:
                    by = body["_id"]
                    if isinstance(by, str) and by.startswith("$"):
                        by = (at_path(document, by[1:]) or [None])[0]
                    groups.setdefault(frozen(by), {"_id": by, "n": 0})["n"] += 1
                documents = list(groups.values())
            elif name == "$sort":
                for field, order in reversed(body.items()):
                    documents = sorted(documents, key=lambda d, f=field: sort_key(at_path(d, f)), reverse=order == -1)
            elif name == "$skip":
                documents = documents[body:]
            elif name == "$limit":
                documents = documents[:body]
            else:
                raise bad(f"this double has no stage {stage}")
        return documents


def sort_key(values):
    """The order of the types first: null, number, string, document, array, binary, id, boolean, date."""
    if not values or values[0] is None:
        return (0, 0)
    kind = frozen(values[0])[0]
    order = ("number", "str", "document", "array", "Binary", "ObjectId", "bool", "Date")
    return (1 + order.index(kind) if kind in order else 99, values[0] if not isinstance(values[0], (dict, list)) else str(values[0]))


def projected(document, projection):
    fields = {key: value for key, value in projection.items() if key != "_id"}
    for value in fields.values():
        if isinstance(value, (dict, str, list)):
            raise bad("this double has no expressions in projections")
    if fields and all(fields.values()):
        kept = {key: value for key, value in document.items() if any(field.partition(".")[0] == key for field in fields)}
        result = {"_id": document["_id"]} | kept
    else:
        result = {key: value for key, value in document.items() if key not in fields}
    if projection.get("_id", 1) in (0, False):
        result.pop("_id", None)
    return result


class Insert:
    """What one statement does, what it adds to the reply, and the same once more for a retry."""

    def __init__(self, store, namespace):
        self.store, self.namespace = store, namespace

    def __call__(self, reply, number, document):
        self.store.insert(self.namespace, document)
        reply["n"] += 1
        return 1

    def repeat(self, reply, number, result):
        reply["n"] += result

    def take_back(self, reply):
        reply["n"] -= 1


class Update(Insert):
    def __call__(self, reply, number, statement):
        result = self.store.update(self.namespace, statement)
        self.repeat(reply, number, result)
        return result

    def repeat(self, reply, number, result):
        found, changed, made = result
        reply["n"] += found
        reply["nModified"] = reply.get("nModified", 0) + changed
        self.last = (found, changed, len(made))
        if made:
            reply.setdefault("upserted", []).append({"index": number, "_id": made[0]})

    def take_back(self, reply):
        found, changed, made = self.last
        reply["n"] -= found
        reply["nModified"] -= changed
        if made:
            reply["upserted"].pop()
            if not reply["upserted"]:
                del reply["upserted"]


class Delete(Insert):
    def __call__(self, reply, number, statement):
        found = self.store.collection(self.namespace).find(statement["q"])
        found = found[:1] if statement.get("limit") == 1 else found
        for document in found:
            self.store.delete(self.namespace, document)
        reply["n"] += len(found)
        return len(found)


def add_options(parser):
    parser.add_argument("--user")
    parser.add_argument("--password", default="")
    parser.add_argument("--standalone", action="store_true", help="no replica set: no retryable writes")
    parser.add_argument("--advertise", metavar="HOST:PORT", help="where clients are sent to; the own address unless given")
    parser.add_argument("--data", help="file that keeps everything, for restarts")
    parser.add_argument("--discard", action="store_true", help="only acknowledges, for measuring")
    serving.add_tls_options(parser)


if __name__ == "__main__":
    serving.serve(MongodbDouble, __doc__.splitlines()[0], add_options)
