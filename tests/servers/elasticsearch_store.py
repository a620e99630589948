"""Indexes, mappings and documents of the double of Elasticsearch. What it does not know is an error, never ignored."""
import copy
import fnmatch
import re
import uuid

INTEGERS = {"byte": 7, "short": 15, "integer": 31, "long": 63, "unsigned_long": 64}
FLOATS = ("float", "double", "half_float", "scaled_float")
DATE = re.compile(r"\d{4}(-\d\d(-\d\d(T\d\d(:\d\d(:\d\d([.,]\d{1,9})?)?)?(Z|[+-]\d\d(:?\d\d)?)?)?)?)?$")


class ApiError(Exception):
    def __init__(self, status, kind, reason):
        super().__init__(reason)
        self.status, self.kind, self.reason = status, kind, reason

    def error(self):
        return {"type": self.kind, "reason": self.reason}

    def body(self):
        return {"error": {"root_cause": [self.error()], **self.error()}, "status": self.status}


def illegal(reason):
    return ApiError(400, "illegal_argument_exception", reason)


def merged(base, over):
    """Objects are merged, everything else is replaced."""
    result = dict(base)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = merged(result[key], value) if both else value
    return result


# --- mappings


def inferred(value):
    if isinstance(value, bool):
        return {"type": "boolean"}
    if isinstance(value, int):
        return {"type": "long"}
    if isinstance(value, float):
        return {"type": "float"}
    if isinstance(value, dict):
        return {"properties": {}}
    if DATE.match(value) and "-" in value:
        return {"type": "date"}
    return {"type": "text", "fields": {"keyword": {"type": "keyword", "ignore_above": 256}}}


def check_value(field, value, path):
    kind = field.get("type", "object")

    def refuse(why):
        if not field.get("ignore_malformed"):
            raise ApiError(400, "document_parsing_exception", f"failed to parse field [{path}] of type [{kind}]: {why}")

    if kind in ("flattened", "flat_object"):
        if not isinstance(value, dict):
            refuse("object expected")
    elif kind == "geo_point" or field.get("enabled") is False:
        pass
    elif isinstance(value, dict):
        refuse("it is an object")
    elif kind in ("keyword", "text", "wildcard", "constant_keyword", "match_only_text"):
        if kind == "keyword" and len(str(value).encode()) > 32766 and "ignore_above" not in field:
            raise illegal(f"Document contains at least one immense term in field=\"{path}\"")
    elif kind == "boolean":
        if value not in (True, False, "true", "false", "") or isinstance(value, (int, float)) and not isinstance(value, bool):
            refuse(f"no boolean: {value!r}")
    elif kind in INTEGERS:
        try:
            number = int(float(value)) if not isinstance(value, int) else value
            if isinstance(value, bool):
                raise ValueError
        except (ValueError, OverflowError):
            return refuse(f"For input string: \"{value}\"")
        low = 0 if kind == "unsigned_long" else -(1 << INTEGERS[kind])
        if not low <= number < 1 << INTEGERS[kind]:
            refuse(f"Value [{value}] is out of range")
    elif kind in FLOATS:
        try:
            if isinstance(value, bool) or float(value) in (float("inf"), float("-inf")) or float(value) != float(value):
                raise ValueError
        except ValueError:
            refuse(f"no finite number: {value!r}")
    elif kind in ("date", "date_nanos"):
        formats = field.get("format", "strict_date_optional_time||epoch_millis")
        is_number = isinstance(value, (int, float)) or str(value).lstrip("-").isdigit()
        if isinstance(value, bool) or is_number and "epoch" not in formats or not is_number and not DATE.match(str(value)):
            refuse(f"failed to parse date field [{value}] with format [{formats}]")
    elif kind == "ip":
        if not re.match(r"[0-9a-fA-F.:]+$", str(value)):
            refuse(f"'{value}' is not an IP string literal.")
    else:
        raise ApiError(400, "mapper_parsing_exception", f"No handler for type [{kind}] declared on field [{path}]")


def check_object(mapping, document, path="", dynamic=True):
    """Against the mapping, which learns what is new where it may."""
    dynamic = mapping.get("dynamic", dynamic)
    properties = mapping.setdefault("properties", {})
    for name, value in document.items():
        here = f"{path}{name}"
        if not name:
            raise ApiError(400, "document_parsing_exception", "field name cannot be an empty string")
        if "." in name:  # a.b means b in a
            first, _, rest = name.partition(".")
            check_object(mapping, {first: {rest: value}}, path, dynamic)
            continue
        items = value if isinstance(value, list) else [value]
        items = [item for item in items if item is not None]
        if not items:
            continue
        field = properties.get(name)
        if field is None:
            if str(dynamic).lower() == "strict":
                where = path.rstrip(".") or "_doc"
                raise ApiError(400, "strict_dynamic_mapping_exception",
                               f"mapping set to strict, dynamic introduction of [{name}] within [{where}] is not allowed")
            if str(dynamic).lower() == "false":
                continue
            field = properties[name] = inferred(items[0][0] if isinstance(items[0], list) else items[0])
        while any(isinstance(item, list) for item in items):
            items = [inner for item in items for inner in (item if isinstance(item, list) else [item])]
        for item in items:
            if "properties" in field or field.get("type") in ("object", "nested"):
                if field.get("enabled") is False:
                    continue
                if not isinstance(item, dict):
                    raise ApiError(400, "document_parsing_exception",
                                   f"object mapping for [{here}] tried to parse field [{name}] as object, but found a concrete value")
                check_object(field, item, here + ".", dynamic)
            else:
                check_value(field, item, here)


# --- storage


class Index:
    def __init__(self, name, body):
        self.name = name
        self.settings, self.mapping = body.get("settings", {}), body.get("mappings", {})
        self.aliases = body.get("aliases", {})
        self.documents = {}  # id → {"_source", "_version", "_seq_no"}
        self.searchable = {}
        self.sequence = 0

    def refresh(self):
        self.searchable = dict(self.documents)


class Store:
    def __init__(self, journal):
        self.indexes, self.journal = {}, journal
        self.objects = {kind: {} for kind in ("index_template", "component_template", "ilm", "ism")}
        self.auto_create = True
        for operation, *arguments in journal.replay():
            getattr(self, operation)(*arguments)

    def put_object(self, kind, name, body):
        self.journal.write("put_object", kind, name, body)
        self.objects[kind][name] = body

    def create_index(self, name, body):
        self.journal.write("create_index", name, body)
        self.indexes[name] = Index(name, body)

    def delete_index(self, name):
        self.journal.write("delete_index", name)
        del self.indexes[name]

    def put(self, index, identity, source, version):
        self.journal.write("put", index, identity, source, version)
        place = self.indexes[index]
        place.documents[identity] = {"_source": source, "_version": version, "_seq_no": place.sequence}
        place.sequence += 1

    def delete(self, index, identity):
        self.journal.write("delete", index, identity)
        del self.indexes[index].documents[identity]

    def effective(self, name, body):
        """What an index of this name begins with: templates, then its own."""
        fitting = [template for template in self.objects["index_template"].values()
                   if any(fnmatch.fnmatchcase(name, pattern) for pattern in template.get("index_patterns", []))]
        result = {}
        if fitting:
            best = max(fitting, key=lambda template: template.get("priority", 0))
            for component in best.get("composed_of", []):
                result = merged(result, self.objects["component_template"][component].get("template", {}))
            result = merged(result, best.get("template", {}))
        return copy.deepcopy(merged(result, body))

    def writable(self, name):
        """The index that a document goes to, made if it may be."""
        if name in self.indexes:
            return self.indexes[name]
        aliased = [index for index in self.indexes.values() if name in index.aliases]
        if aliased:
            writes = [index for index in aliased if index.aliases[name].get("is_write_index")] or aliased
            if len(writes) > 1:
                raise illegal(f"no write index is defined for alias [{name}]")
            return writes[0]
        if not self.auto_create:
            raise ApiError(404, "index_not_found_exception", f"no such index [{name}]")
        self.check_name(name)
        self.create_index(name, self.effective(name, {}))
        return self.indexes[name]

    @staticmethod
    def check_name(name):
        if name != name.lower() or name[:1] in "-_+" or name in (".", "..") or set(name) & set(' "*\\<|,>/?#:') or len(name.encode()) > 255:
            raise ApiError(400, "invalid_index_name_exception", f"Invalid index name [{name}]")

    def matching(self, pattern, ignore_unavailable=False):
        names = pattern.split(",")
        result = []
        for name in names:
            if name == "_all":
                name = "*"
            found = [index for index in self.indexes.values()
                     if fnmatch.fnmatchcase(index.name, name) or any(fnmatch.fnmatchcase(alias, name) for alias in index.aliases)]
            if not found and "*" not in name and not ignore_unavailable:
                raise ApiError(404, "index_not_found_exception", f"no such index [{name}]")
            result += [index for index in found if index not in result]
        return result

    # One item of a bulk request, or a single document.
    def apply(self, action, index_name, identity, meta, body):
        if identity is not None and len(identity.encode()) > 512:
            raise illegal(f"id [{identity}] is too long, must be no longer than 512 bytes but was: {len(identity.encode())}")
        index = self.writable(index_name)
        if identity is None:
            if action in ("update", "delete"):
                raise ApiError(400, "action_request_validation_exception", "Validation Failed: 1: id is missing;")
            identity = uuid.uuid4().hex[:20]
        old = index.documents.get(identity)
        version = old["_version"] + 1 if old else 1
        conflict = f"[{identity}]: version conflict, "
        if "version" in meta:
            kind, given = meta.get("version_type", "internal"), int(meta["version"])
            if kind not in ("external", "external_gte"):
                raise illegal("internal versioning can not be used for optimistic concurrency control")
            if old and (given < old["_version"] or given == old["_version"] and kind == "external"):
                raise ApiError(409, "version_conflict_engine_exception",
                               conflict + f"current version [{old['_version']}] is higher or equal to the one provided [{given}]")
            version = given
        if "if_seq_no" in meta and (not old or old["_seq_no"] != int(meta["if_seq_no"])):
            raise ApiError(409, "version_conflict_engine_exception", conflict + "required seqNo differs")
        result = "updated" if old else "created"
        if action == "delete":
            if not old:
                return 404, self.answer(index, identity, 1, "not_found")
            self.delete(index.name, identity)
            return 200, self.answer(index, identity, version, "deleted")
        if action == "create" and old:
            raise ApiError(409, "version_conflict_engine_exception",
                           conflict + f"document already exists (current version [{old['_version']}])")
        if action == "update":
            unknown = set(body) - {"doc", "doc_as_upsert", "upsert", "detect_noop", "_source"}
            if unknown:
                raise illegal(f"UpdateRequest: this double does not do {', '.join(sorted(unknown))}")
            if old:
                source = merged(old["_source"], body.get("doc", {}))
                if source == old["_source"] and body.get("detect_noop", True):
                    return 200, self.answer(index, identity, old["_version"], "noop")
            elif body.get("doc_as_upsert") or "upsert" in body:
                source = body["doc"] if body.get("doc_as_upsert") else body["upsert"]
            else:
                raise ApiError(404, "document_missing_exception", f"[{identity}]: document missing")
        else:
            source = body
        if not isinstance(source, dict):
            raise ApiError(400, "document_parsing_exception", "failed to parse, document is empty")
        learned = copy.deepcopy(index.mapping) if str(index.mapping.get("dynamic", True)).lower() == "true" else index.mapping
        check_object(learned, source)
        index.mapping = learned
        self.put(index.name, identity, source, version)
        return (201 if result == "created" else 200), self.answer(index, identity, version, result)

    @staticmethod
    def answer(index, identity, version, result):
        document = index.documents.get(identity, {})
        return {"_index": index.name, "_id": identity, "_version": version, "result": result,
                "_shards": {"total": 1, "successful": 1, "failed": 0}, "_seq_no": document.get("_seq_no", index.sequence),
                "_primary_term": 1}
