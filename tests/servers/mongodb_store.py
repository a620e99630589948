"""Collections, queries and updates of the double of MongoDB. What it does not know is an error, never ignored."""
import base64
import copy
import json
import re
from collections import defaultdict

import bson_codec as bson


class CommandError(Exception):
    def __init__(self, code, name, message, labels=(), **more):
        super().__init__(message)
        self.code, self.name, self.message, self.labels, self.more = code, name, message, labels, more

    def reply(self):
        reply = {"ok": 0.0, "errmsg": self.message, "code": self.code, "codeName": self.name, **self.more}
        return reply | ({"errorLabels": list(self.labels)} if self.labels else {})


def bad(message):
    return CommandError(2, "BadValue", message)


def frozen(value):
    """Something equal for equal values, for dictionaries; 1 and 1.0 are equal, 1 and true are not."""
    if isinstance(value, dict):
        return "document", tuple((key, frozen(item)) for key, item in value.items())
    if isinstance(value, list):
        return "array", tuple(frozen(item) for item in value)
    if isinstance(value, (bool, bson.Date, bson.ObjectId, bson.Regex, bson.Timestamp, bson.Decimal, bson.Binary, bson.Extreme)):
        return type(value).__name__, value
    return ("number" if isinstance(value, (int, float)) else type(value).__name__), value


def bracket(value):
    return frozen(value)[0]


def at_path(document, path):
    """The values that a path leads to; arrays on the way are entered."""
    first, _, rest = path.partition(".")
    if isinstance(document, list):
        found = [value for item in document if isinstance(item, dict) for value in at_path(item, path)]
        if first.isdigit() and int(first) < len(document):
            item = document[int(first)]
            found += at_path(item, rest) if rest else [item]
        return found
    if not isinstance(document, dict) or first not in document:
        return []
    return at_path(document[first], rest) if rest else [document[first]]


def compares(operator, value, wanted):
    if bracket(value) != bracket(wanted):
        return False
    try:
        return {"$gt": value > wanted, "$gte": value >= wanted, "$lt": value < wanted, "$lte": value <= wanted}[operator]
    except TypeError:
        return False


def field_matches(values, condition):
    spread = values + [item for value in values if isinstance(value, list) for item in value]
    if not isinstance(condition, dict) or not any(key.startswith("$") for key in condition):
        if isinstance(condition, bson.Regex):
            condition = {"$regex": condition}
        else:
            wanted = frozen(condition)
            return any(frozen(value) == wanted for value in spread) or condition is None and not values
    for operator, wanted in condition.items():
        if operator == "$eq":
            hit = field_matches(values, wanted) if not isinstance(wanted, dict) else any(frozen(v) == frozen(wanted) for v in spread)
        elif operator == "$ne":
            hit = not field_matches(values, {"$eq": wanted})
        elif operator in ("$in", "$nin"):
            hit = any(field_matches(values, {"$eq": item}) for item in wanted) == (operator == "$in")
        elif operator in ("$gt", "$gte", "$lt", "$lte"):
            hit = any(compares(operator, value, wanted) for value in spread)
        elif operator == "$exists":
            hit = bool(values) == bool(wanted)
        elif operator == "$not":
            hit = not field_matches(values, wanted)
        elif operator == "$size":
            hit = any(isinstance(value, list) and len(value) == wanted for value in values)
        elif operator == "$elemMatch":
            hit = any(isinstance(value, list) and any(isinstance(item, dict) and matches(item, wanted) for item in value) for value in values)
        elif operator == "$regex":
            pattern, options = (wanted.pattern, wanted.options) if isinstance(wanted, bson.Regex) else (wanted, "")
            options += condition.get("$options", "")
            flags = sum(flag for letter, flag in (("i", re.I), ("m", re.M), ("s", re.S), ("x", re.X)) if letter in options)
            hit = any(isinstance(value, str) and re.search(pattern, value, flags) for value in spread)
        elif operator == "$options":
            hit = True
        else:
            raise bad(f"unknown operator: {operator}")
        if not hit:
            return False
    return True


def matches(document, query):
    for key, condition in query.items():
        if key == "$and":
            hit = all(matches(document, part) for part in condition)
        elif key == "$or":
            hit = any(matches(document, part) for part in condition)
        elif key == "$nor":
            hit = not any(matches(document, part) for part in condition)
        elif key == "$comment":
            hit = True
        elif key.startswith("$"):
            raise bad(f"unknown top level operator: {key}")
        else:
            hit = field_matches(at_path(document, key), condition)
        if not hit:
            return False
    return True


def place(document, path, make=True):
    """What holds the last part of a path, and that part."""
    parts = path.split(".")
    for part in parts[:-1]:
        if isinstance(document, list):
            document = document[int(part)]
            continue
        if part not in document:
            if not make:
                return None, None
            document[part] = {}
        document = document[part]
        if not isinstance(document, (dict, list)):
            raise CommandError(28, "PathNotViable", f"Cannot create field '{parts[-1]}' in element")
    return document, int(parts[-1]) if isinstance(document, list) else parts[-1]


def updated(document, update, inserting):
    """What a document becomes."""
    if isinstance(update, list):
        raise bad("this double has no updates by pipeline")
    operators = [key for key in update if key.startswith("$")]
    if not operators:
        if "_id" in document and "_id" in update and frozen(update["_id"]) != frozen(document["_id"]):
            raise CommandError(66, "ImmutableField", "After applying the update, the (immutable) field '_id' was found to have been altered")
        return ({"_id": document["_id"]} if "_id" in document else {}) | update
    if len(operators) != len(update):
        raise CommandError(9, "FailedToParse", "Unknown modifier: operators and fields are mixed")
    result = copy.deepcopy(document)
    touched = set()
    for operator, fields in update.items():
        if operator not in ("$set", "$setOnInsert", "$unset", "$inc", "$mul", "$min", "$max", "$push", "$addToSet", "$pull"):
            raise CommandError(9, "FailedToParse", f"Unknown modifier: {operator}")
        for path, value in fields.items():
            if any(path == other or path.startswith(other + ".") or other.startswith(path + ".") for other in touched):
                raise CommandError(40, "ConflictingUpdateOperators", f"Updating the path '{path}' would create a conflict at '{path}'")
            touched.add(path)
            if operator == "$setOnInsert" and not inserting:
                continue
            holder, name = place(result, path, operator not in ("$unset", "$pull"))
            if holder is None:
                continue
            there = name in holder if isinstance(holder, dict) else name < len(holder)
            old = holder[name] if there else None
            if operator == "$unset":
                if there and isinstance(holder, dict):
                    del holder[name]
                continue
            if operator in ("$inc", "$mul"):
                if there and bracket(old) != "number":
                    raise CommandError(14, "TypeMismatch", f"Cannot apply {operator} to a value of non-numeric type")
                kind = bson.Int64 if isinstance(old, bson.Int64) or isinstance(value, bson.Int64) else (lambda number: number)
                number = (old or 0) + value if operator == "$inc" else (old or 0) * value
                value = kind(number) if isinstance(number, int) else number
            elif operator in ("$min", "$max"):
                if there and not compares("$lt" if operator == "$min" else "$gt", value, old):
                    continue
            elif operator in ("$push", "$addToSet", "$pull"):
                if there and not isinstance(old, list):
                    raise bad(f"The field '{path}' must be an array")
                old = old or []
                if operator == "$pull":
                    value = [item for item in old if frozen(item) != frozen(value)]
                else:
                    new = value["$each"] if isinstance(value, dict) and "$each" in value else [value]
                    if operator == "$addToSet":
                        new = [item for i, item in enumerate(new) if frozen(item) not in {frozen(other) for other in old + new[:i]}]
                    value = old + new
            holder[name] = copy.deepcopy(value)
    if "_id" in document and frozen(result.get("_id")) != frozen(document["_id"]):
        raise CommandError(66, "ImmutableField", "Performing an update on the path '_id' would modify the immutable field '_id'")
    return result


def from_query(query):
    """What an upsert takes from the query."""
    result = {}
    for key, value in query.items():
        if key == "$and":
            for part in value:
                result |= from_query(part)
        elif not key.startswith("$"):
            if isinstance(value, dict) and any(name.startswith("$") for name in value):
                if "$eq" not in value:
                    continue
                value = value["$eq"]
            holder, name = place(result, key)
            holder[name] = value
    return result


class Collection:
    def __init__(self, namespace, options):
        self.namespace, self.options = namespace, options
        self.documents = {}  # frozen _id → document
        self.indexes = {"_id_": {"v": 2, "key": {"_id": 1}, "name": "_id_"}}
        self.unique = defaultdict(dict)  # name of the index → key → frozen _id

    def keys(self, document):
        for name, index in self.indexes.items():
            if not index.get("unique"):
                continue
            if "partialFilterExpression" in index and not matches(document, index["partialFilterExpression"]):
                continue
            values = [at_path(document, field) for field in index["key"]]
            if index.get("sparse") and not any(values):
                continue
            yield name, tuple(frozen(value[0] if value else None) for value in values)

    def check_unique(self, document, identity):
        for name, key in self.keys(document):
            if self.unique[name].get(key, identity) != identity:
                fields = self.indexes[name]["key"]
                raise self.duplicate(name, {field: (at_path(document, field) or [None])[0] for field in fields})

    def duplicate(self, name, values):
        return CommandError(11000, "DuplicateKey",
                            f"E11000 duplicate key error collection: {self.namespace} index: {name} dup key: {json.dumps(bson.to_json(values))}",
                            keyPattern=self.indexes[name]["key"], keyValue=values)

    def put(self, document):
        identity = frozen(document["_id"])
        self.check_unique(document, identity)
        self.forget(identity)
        self.documents[identity] = document
        for name, key in self.keys(document):
            self.unique[name][key] = identity

    def forget(self, identity):
        old = self.documents.pop(identity, None)
        if old is not None:
            for name, key in self.keys(old):
                self.unique[name].pop(key, None)

    def add_index(self, index):
        self.indexes[index["name"]] = index
        for identity, document in self.documents.items():
            try:
                self.check_unique(document, identity)
            except CommandError:
                del self.indexes[index["name"]]
                self.unique.pop(index["name"], None)
                raise
            for name, key in self.keys(document):
                self.unique[name][key] = identity

    def find(self, query):
        identity = query.get("_id")
        if identity is not None and not (isinstance(identity, dict) and any(key.startswith("$") for key in identity)):
            found = self.documents.get(frozen(identity))
            return [found] if found is not None and matches(found, query) else []
        return [document for document in self.documents.values() if matches(document, query)]


class Store:
    """All collections, by database and name; each change goes to the journal."""

    def __init__(self, journal):
        self.collections, self.journal = {}, journal
        for operation, *arguments in journal.replay():
            decoded = [bson.decode(base64.b64decode(item["bson"]))[0] if isinstance(item, dict) else item for item in arguments]
            getattr(self, operation)(*decoded)

    def log(self, operation, *arguments):
        if self.journal.file:
            self.journal.write(operation, *({"bson": base64.b64encode(bson.encode(item)).decode()} if isinstance(item, dict) else item
                                            for item in arguments))

    def collection(self, namespace, make=False):
        if namespace not in self.collections and make:
            self.create(namespace, {})
        return self.collections.get(namespace) or Collection(namespace, {})

    def create(self, namespace, options):
        self.log("create", namespace, options)
        self.collections[namespace] = Collection(namespace, options)

    def drop(self, namespace):
        self.log("drop", namespace)
        self.collections.pop(namespace, None)

    def add_index(self, namespace, index):
        self.collection(namespace, make=True).add_index(index)
        self.log("add_index", namespace, index)

    def drop_index(self, namespace, name):
        self.log("drop_index", namespace, name)
        self.collections[namespace].indexes.pop(name)
        self.collections[namespace].unique.pop(name, None)

    def put(self, namespace, document):
        self.collection(namespace, make=True).put(document)
        self.log("put", namespace, document)

    def delete(self, namespace, document):
        self.log("delete", namespace, {"_id": document["_id"]})
        self.collections[namespace].forget(frozen(document["_id"]))

    def insert(self, namespace, document):
        if "_id" not in document:
            document = {"_id": bson.ObjectId.new()} | document
        if isinstance(document["_id"], list):
            raise CommandError(53, "InvalidIdField", "The '_id' value cannot be of type array")
        collection = self.collection(namespace, make=True)
        if frozen(document["_id"]) in collection.documents:
            raise collection.duplicate("_id_", {"_id": document["_id"]})
        self.put(namespace, document)

    def update(self, namespace, statement):
        """How many were found and changed, and the _id if one was made."""
        unknown = set(statement) - {"q", "u", "upsert", "multi", "hint", "collation"}
        if unknown:
            raise bad(f"this double has no {', '.join(sorted(unknown))} in updates")
        query, update = statement["q"], statement["u"]
        found = self.collection(namespace, make=True).find(query)
        if statement.get("multi"):
            if not isinstance(update, list) and not any(key.startswith("$") for key in update):
                raise CommandError(9, "FailedToParse", "multi update is not supported for replacement-style update")
        else:
            found = found[:1]
        if not found and statement.get("upsert"):
            document = updated(from_query(query), update, inserting=True)
            if "_id" not in document:
                document = {"_id": bson.ObjectId.new()} | document
            self.insert(namespace, document)
            return 1, 0, [document["_id"]]
        changed = 0
        for document in found:
            new = updated(document, update, inserting=False)
            if new != document:
                self.put(namespace, new)
                changed += 1
        return len(found), changed, []
