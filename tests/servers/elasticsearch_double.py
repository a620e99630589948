#!/usr/bin/env python3
"""Elasticsearch or OpenSearch, as far as something that stores documents in bulk can tell.

    elasticsearch_double.py [--opensearch] [--user NAME --password TEXT] [--api-key ID:KEY] [--tls-cert …] [--data FILE]

Speaks `GET /`, index, component and life-cycle templates, indexes with mappings (strict, dynamic or off, with the types
checked), `_bulk` (create, index, update, delete), single documents, `_refresh`, `_count` and `_search` with simple queries.
What it does not know it refuses: it never ignores a part of a request.

Faults with scope `item`, by `_id`, in an answer that is 200 as a whole:
    400 (mapping), 409 (there already: it is stored first), 429, 503
Faults with scope `request`, by method and path:
    401, 403, 413, 429, 500, 503, cut_before (connection reset, nothing stored), cut_after (stored, no answer),
    truncated (half an answer), garbage (no HTTP), slow (`seconds`), silence (no answer at all)

Control commands beside those of serving.py:
    documents {"index": pattern}, ids {"index": pattern}: by index, searchable or not
    indices: settings and mappings; requests: how many by method and path, and the sizes of bulks
    settings {"max_body": bytes}
"""
import asyncio
import base64
import fnmatch
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import serving  # noqa: E402
from elasticsearch_query import matches, values_at  # noqa: E402
from elasticsearch_store import ApiError, Store, illegal  # noqa: E402

ITEM_FAULTS = {
    "400": ApiError(400, "document_parsing_exception", "failed to parse field [injected] of type [long]"),
    "409": ApiError(409, "version_conflict_engine_exception", "version conflict, document already exists (injected)"),
    "429": ApiError(429, "es_rejected_execution_exception", "rejected execution of coordinating operation (injected)"),
    "503": ApiError(503, "unavailable_shards_exception", "primary shard is not active (injected)"),
}
REQUEST_FAULTS = {
    "401": ApiError(401, "security_exception", "unable to authenticate (injected)"),
    "403": ApiError(403, "security_exception", "action is unauthorized (injected)"),
    "413": ApiError(413, "content_too_long_exception", "entity content is too long (injected)"),
    "429": ApiError(429, "es_rejected_execution_exception", "rejected execution (injected)"),
    "500": ApiError(500, "exception", "it went wrong (injected)"),
    "503": ApiError(503, "cluster_block_exception", "blocked by: no master (injected)"),
}


def filtered(value, paths):
    """`filter_path`: only what the paths name."""
    if isinstance(value, list):
        kept = [filtered(item, paths) for item in value]
        return [item for item in kept if item not in ({}, [], None)]
    if not isinstance(value, dict):
        return value
    result = {}
    for key, item in value.items():
        rest = [path[1:] for path in paths if path and fnmatch.fnmatchcase(key, path[0])]
        if any(not path for path in rest):
            result[key] = item
        elif rest and isinstance(item, (dict, list)):
            kept = filtered(item, rest)
            if kept not in ({}, []):
                result[key] = kept
    return result


class ElasticsearchDouble(serving.Server):
    def __init__(self, options):
        super().__init__(options)
        self.faults = serving.Faults(list(ITEM_FAULTS),
                                     [*REQUEST_FAULTS, "cut_before", "cut_after", "truncated", "garbage", "slow", "silence"])
        self.store = Store(serving.Journal(options.data))
        self.store.auto_create = not options.no_auto_create
        self.requests, self.bulks = {}, []
        self.max_body = options.max_body
        for index in self.store.indexes.values():
            index.refresh()

    # --- control

    def control_state(self, _):
        return {"indices": {name: len(index.documents) for name, index in self.store.indexes.items()}}

    def control_documents(self, arguments):
        return {index.name: {key: document["_source"] for key, document in index.documents.items()}
                for index in self.store.matching(arguments.get("index", "*"))}

    def control_ids(self, arguments):
        return {index.name: list(index.documents) for index in self.store.matching(arguments.get("index", "*"))}

    def control_indices(self, _):
        return {index.name: {"settings": index.settings, "mappings": index.mapping, "aliases": index.aliases}
                for index in self.store.indexes.values()}

    def control_requests(self, _):
        return {"requests": self.requests, "bulks": self.bulks}

    def control_settings(self, arguments):
        if set(arguments) - {"max_body"}:
            raise ValueError("settings: max_body")
        self.max_body = arguments.get("max_body", self.max_body)
        return {}

    # --- HTTP

    async def connection(self, reader, writer):
        while (request := await serving.read_request(reader, writer, self.max_body)) is not None:
            key = f"{request.method} {request.path}"
            self.requests[key] = self.requests.get(key, 0) + 1
            fault = self.faults.pick("request", key) or {"fault": ""}
            name = fault["fault"]
            if name == "slow":
                await asyncio.sleep(fault.get("seconds", 1))
            elif name == "silence":
                await asyncio.sleep(3600)
            elif name == "cut_before":
                return serving.reset(writer)
            elif name == "garbage":
                writer.write(b"\x00\xff no HTTP at all \r\n\r\n")
                await writer.drain()
                return
            extra = []
            try:
                if name in REQUEST_FAULTS:
                    raise REQUEST_FAULTS[name].with_traceback(None)
                self.authorize(request)
                self.check_body(request)
                status, answer = self.route(request)
            except ApiError as error:
                status, answer = error.status, error.body()
                if status == 401:
                    extra.append(("WWW-Authenticate", 'Basic realm="security", charset="UTF-8"'))
                if status == 429:
                    extra.append(("Retry-After", "0"))
            except (KeyError, TypeError, AttributeError, ValueError) as error:
                wrong = ApiError(400, "x_content_parse_exception", f"{type(error).__name__}: {error}")
                status, answer = 400, wrong.body()
            self.store.journal.flush()
            if name == "cut_after":
                return serving.reset(writer)
            if "filter_path" in request.query and isinstance(answer, dict):
                answer = filtered(answer, [path.split(".") for path in request.query["filter_path"].split(",")])
            if not self.options.opensearch:
                extra.append(("X-Elastic-Product", "Elasticsearch"))
                if "vnd.elasticsearch+json" in request.headers.get("accept", ""):
                    extra.append(("content-type", "application/vnd.elasticsearch+json;compatible-with=8"))
            data = serving.response(status, answer, extra, request.method == "HEAD")
            if name == "truncated":
                writer.write(data[:len(data) // 2])
                await writer.drain()
                return
            writer.write(data)
            await writer.drain()
            if request.headers["connection"].lower() == "close":
                return

    def authorize(self, request):
        options = self.options
        allowed = []
        if options.user:
            allowed.append("Basic " + base64.b64encode(f"{options.user}:{options.password}".encode()).decode())
        if options.api_key:
            allowed.append("ApiKey " + base64.b64encode(options.api_key.encode()).decode())
        given = request.headers.get("authorization")
        if allowed and given not in allowed:
            why = "missing authentication credentials" if given is None else "unable to authenticate"
            raise ApiError(401, "security_exception", f"{why} for REST request [{request.path}]")

    def check_body(self, request):
        if len(request.body) > self.max_body:
            raise ApiError(413, "content_too_long_exception", f"entity content is too long [{len(request.body)}]")
        if not request.body:
            return
        kind = request.headers.get("content-type", "").split(";")[0].strip()
        known = ["application/json", "application/x-ndjson"]
        if not self.options.opensearch:
            known += ["application/vnd.elasticsearch+json", "application/vnd.elasticsearch+x-ndjson"]
        if kind not in known:
            raise ApiError(406, "media_type_header_exception", f"Content-Type header [{kind}] is not supported")

    def route(self, request):
        method, parts = request.method, [part for part in request.path.split("/") if part]
        body = json.loads(request.body) if request.body and "_bulk" not in parts else {}
        if not parts:
            version = {"number": "2.19.0", "distribution": "opensearch"} if self.options.opensearch else {
                "number": "8.17.0", "build_flavor": "default"}
            return 200, {"name": "double", "cluster_name": "double", "cluster_uuid": "double",
                         "version": {**version, "lucene_version": "9.12.0"}, "tagline": "You Know, for Search"}
        if parts[-1] == "_bulk" and len(parts) <= 2 and method in ("POST", "PUT"):
            return 200, self.bulk(request, parts[0] if len(parts) == 2 else None)
        if parts == ["_cluster", "health"]:
            return 200, {"cluster_name": "double", "status": "green", "timed_out": False, "number_of_nodes": 1}
        if parts[0].startswith("_"):
            objects = {("_index_template",): "index_template", ("_component_template",): "component_template"}
            objects[("_plugins", "_ism", "policies") if self.options.opensearch else ("_ilm", "policy")] = (
                "ism" if self.options.opensearch else "ilm")
            for prefix, kind in objects.items():
                if tuple(parts[:len(prefix)]) == prefix and len(parts) in (len(prefix), len(prefix) + 1):
                    return self.object(kind, method, parts[len(prefix)] if len(parts) > len(prefix) else "*", body, request)
            if parts == ["_refresh"]:
                parts = ["_all", "_refresh"]
            elif parts in (["_search"], ["_count"]):
                parts = ["_all"] + parts
            elif parts[0] != "_all":
                raise illegal(f"no handler found for uri [{request.path}] and method [{method}]")
        if len(parts) == 1:
            return self.index(method, parts[0], body, request.query)
        if parts[1] == "_refresh":
            for index in self.store.matching(parts[0]):
                index.refresh()
            return 200, {"_shards": {"total": 1, "successful": 1, "failed": 0}}
        if parts[1] in ("_search", "_count"):
            return 200, self.search(parts[0], body, request.query, parts[1] == "_count")
        if parts[1] in ("_mapping", "_settings") and method == "GET":
            what = parts[1][1:]
            return 200, {index.name: {"mappings": index.mapping} if what == "mapping" else {"settings": index.settings}
                         for index in self.store.matching(parts[0])}
        if parts[1] in ("_doc", "_create", "_update", "_source") and len(parts) in (2, 3):
            return self.document(method, parts[0], parts[1], parts[2] if len(parts) == 3 else None, body, request.query)
        raise illegal(f"no handler found for uri [{request.path}] and method [{method}]")

    def object(self, kind, method, name, body, request):
        objects = self.store.objects[kind]
        if method == "PUT":
            wanted = {"ilm": "policy", "ism": "policy", "index_template": "index_patterns", "component_template": "template"}[kind]
            if wanted not in body:
                raise illegal(f"[{wanted}] is missing")
            allowed = {"index_template": {"index_patterns", "template", "composed_of", "priority", "version", "_meta", "data_stream",
                                          "allow_auto_create"}, "component_template": {"template", "version", "_meta"}}
            if kind in allowed and set(body) - allowed[kind]:
                raise illegal(f"unknown field {sorted(set(body) - allowed[kind])}")
            missing = [part for part in body.get("composed_of", []) if part not in self.store.objects["component_template"]]
            if missing:
                raise ApiError(400, "invalid_index_template_exception", f"component templates {missing} do not exist")
            if kind == "ism" and name in objects and "if_seq_no" not in request.query:
                raise ApiError(409, "version_conflict_engine_exception", f"[{name}]: version conflict, document already exists")
            if request.query.get("create") == "true" and name in objects:
                raise illegal(f"index template [{name}] already exists")
            self.store.put_object(kind, name, body)
            return (201, {"_id": name, "_version": 1, **body}) if kind == "ism" else (200, {"acknowledged": True})
        if method not in ("GET", "HEAD"):
            raise ApiError(405, "illegal_argument_exception", f"Incorrect HTTP method [{method}]")
        found = {key: value for key, value in objects.items() if fnmatch.fnmatchcase(key, name)}
        if not found and "*" not in name:
            raise ApiError(404, "resource_not_found_exception", f"{kind} matching [{name}] not found")
        if kind == "ilm":
            return 200, {key: {"version": 1, "policy": value["policy"]} for key, value in found.items()}
        if kind == "ism":
            return 200, {"_id": name, "_seq_no": 1, "_primary_term": 1, **found.get(name, {})}
        return 200, {kind + "s": [{"name": key, kind: value} for key, value in found.items()]}

    def index(self, method, name, body, query):
        store = self.store
        if method == "PUT":
            store.check_name(name)
            if name in store.indexes:
                raise ApiError(400, "resource_already_exists_exception", f"index [{name}] already exists")
            if set(body) - {"settings", "mappings", "aliases"}:
                raise ApiError(400, "parse_exception", f"unknown key {sorted(set(body) - {'settings', 'mappings', 'aliases'})}")
            store.create_index(name, store.effective(name, body))
            return 200, {"acknowledged": True, "shards_acknowledged": True, "index": name}
        found = store.matching(name, query.get("ignore_unavailable") == "true")
        if method == "DELETE":
            for index in found:
                store.delete_index(index.name)
            return 200, {"acknowledged": True}
        if method in ("GET", "HEAD"):
            return 200, {index.name: {"aliases": index.aliases, "mappings": index.mapping, "settings": index.settings}
                         for index in found}
        raise ApiError(405, "illegal_argument_exception", f"Incorrect HTTP method [{method}]")

    def document(self, method, name, verb, identity, body, query):
        if method in ("GET", "HEAD"):
            found = [index for index in self.store.matching(name) if identity in index.documents]
            if not found:
                return 404, {"_index": name, "_id": identity, "found": False}
            document = found[0].documents[identity]
            if verb == "_source":
                return 200, document["_source"]
            return 200, {"_index": found[0].name, "_id": identity, "_primary_term": 1, "found": True, **document}
        if method == "DELETE":
            action = "delete"
        else:
            action = {"_create": "create", "_update": "update", "_doc": query.get("op_type", "index")}[verb]
        fault = self.faults.pick("item", identity or "")
        if fault:
            raise ITEM_FAULTS[fault["fault"]].with_traceback(None)
        status, answer = self.store.apply(action, name, identity, query, body)
        if query.get("refresh", "false") != "false":
            self.store.indexes[answer["_index"]].refresh()
        return status, answer

    def bulk(self, request, default_index):
        if not request.body.endswith(b"\n"):
            raise illegal("The bulk request must be terminated by a newline [\\n]")
        lines = request.body.split(b"\n")[:-1]
        if self.options.discard:
            took = b"" if "filter_path" in request.query else b'"took":0,'
            items = b",".join([b'{"create":{"status":201}}'] * (len(lines) // 2))
            return b"{" + took + b'"errors":false,"items":[' + items + b"]}"
        operations, at = [], 0
        while at < len(lines):  # the whole request is read before anything is done
            if not lines[at].strip():
                at += 1
                continue
            (action, meta), = json.loads(lines[at]).items()
            if action not in ("create", "index", "update", "delete"):
                raise illegal(f"Malformed action/metadata line [{at + 1}], expected field [create], [delete], [index] or [update] but "
                              f"found [{action}]")
            known = {"_index", "_id", "routing", "version", "version_type", "if_seq_no", "if_primary_term", "require_alias",
                     "retry_on_conflict", "pipeline"}
            if set(meta) - known:
                raise illegal(f"Action/metadata line [{at + 1}] contains an unknown parameter {sorted(set(meta) - known)}")
            source = None
            if action != "delete":
                at += 1
                if at >= len(lines):
                    raise illegal("Validation Failed: 1: no requests added;")
                source = lines[at]
            operations.append((action, meta, source))
            at += 1
        if not operations:
            raise ApiError(400, "parse_exception", "request body is required")
        items, touched = [], set()
        for action, meta, source in operations:
            name, identity = meta.get("_index", default_index), meta.get("_id")
            fault = self.faults.pick("item", identity or "")
            try:
                if name is None:
                    raise ApiError(400, "action_request_validation_exception", "Validation Failed: 1: index is missing;")
                if fault and fault["fault"] != "409":
                    raise ITEM_FAULTS[fault["fault"]].with_traceback(None)
                try:
                    body = json.loads(source) if source is not None else None
                except ValueError as error:
                    raise ApiError(400, "document_parsing_exception", f"failed to parse: {error}") from error
                status, answer = self.store.apply(action, name, identity, meta, body)
                touched.add(answer["_index"])
                if fault:
                    raise ITEM_FAULTS["409"].with_traceback(None)
                items.append({action: {**answer, "status": status}})
            except ApiError as error:
                items.append({action: {"_index": name, "_id": identity, "status": error.status, "error": error.error()}})
        if request.query.get("refresh", "false") != "false":
            for name in touched:
                self.store.indexes[name].refresh()
        self.bulks.append(len(items))
        return {"took": 1, "errors": any("error" in item for entry in items for item in entry.values()), "items": items}

    def search(self, pattern, body, query, only_count):
        unknown = set(body) - {"query", "size", "from", "sort", "_source", "track_total_hits"}
        if unknown:
            raise ApiError(400, "parsing_exception", f"unknown key {sorted(unknown)}")
        wanted = body.get("query", {"match_all": {}})
        if "q" in query:
            raise illegal("this double has no query strings")
        hits = [(index, key, document) for index in self.store.matching(pattern) for key, document in index.searchable.items()
                if matches(index.mapping, document["_source"], key, wanted)]
        shards = {"total": 1, "successful": 1, "skipped": 0, "failed": 0}
        if only_count:
            return {"count": len(hits), "_shards": shards}
        size, first = int(query.get("size", body.get("size", 10))), int(query.get("from", body.get("from", 0)))
        if size + first > 10000:
            raise illegal("Result window is too large, from + size must be less than or equal to: [10000]")
        sort = body.get("sort", [])
        for clause in reversed(sort if isinstance(sort, list) else [sort]):
            (field, order), = clause.items() if isinstance(clause, dict) else [(clause, "asc")]
            order = order if isinstance(order, str) else order.get("order", "asc")
            hits.sort(reverse=order == "desc", key=lambda hit: next(
                iter(values_at(hit[0].mapping, hit[2]["_source"], field.split("."), False)), 0))
        return {"took": 1, "timed_out": False, "_shards": shards, "hits": {
            "total": {"value": len(hits), "relation": "eq"}, "max_score": 1.0 if hits else None,
            "hits": [{"_index": index.name, "_id": key, "_score": 1.0, "_source": document["_source"]}
                     for index, key, document in hits[first:first + size]]}}


def add_options(parser):
    parser.add_argument("--opensearch", action="store_true", help="without Elasticsearch's product header and media types")
    parser.add_argument("--user")
    parser.add_argument("--password", default="")
    parser.add_argument("--api-key", metavar="ID:KEY")
    parser.add_argument("--max-body", type=int, default=100 << 20, help="larger requests: 413")
    parser.add_argument("--no-auto-create", action="store_true", help="documents for an index that is not there: 404")
    parser.add_argument("--data", help="file that keeps everything, for restarts")
    parser.add_argument("--discard", action="store_true", help="only acknowledges, for measuring")
    serving.add_tls_options(parser)


if __name__ == "__main__":
    serving.serve(ElasticsearchDouble, __doc__.splitlines()[0], add_options)
