"""Queries of the double of Elasticsearch. What it does not know is an error, never ignored."""
import re

from elasticsearch_store import ApiError


def values_at(mapping, document, parts, nested):
    """What a document has at a path; behind a nested field only for a query that says so."""
    if not parts:
        flat = document if isinstance(document, list) else [document]
        yield from (value for value in flat if value is not None)
    elif isinstance(document, list):
        for item in document:
            yield from values_at(mapping, item, parts, nested)
    elif isinstance(document, dict):
        for count in range(1, len(parts) + 1):
            name = ".".join(parts[:count])
            if name in document:
                field = mapping.get("properties", {}).get(parts[0], {})
                if field.get("type") != "nested" or nested:
                    yield from values_at(field, document[name], parts[count:], nested)


def field_type(mapping, parts):
    for part in parts:
        mapping = mapping.get("properties", {}).get(part) or mapping.get("fields", {}).get(part) or {}
    return mapping.get("type")


def same(value, wanted):
    if isinstance(value, bool) or isinstance(wanted, bool):
        return str(value).lower() == str(wanted).lower()
    if isinstance(value, (int, float)):
        try:
            return float(value) == float(wanted)
        except ValueError:
            return False
    return str(value) == str(wanted)


def matches(mapping, document, identity, query, nested=False):
    if len(query) != 1:
        raise ApiError(400, "parsing_exception", "a query has one clause")
    (kind, body), = query.items()

    def found(field):
        parts = field.split(".")
        values = list(values_at(mapping, document, parts, nested))
        if not values and field_type(mapping, parts) == "keyword" and len(parts) > 1:  # a sub-field
            values = list(values_at(mapping, document, parts[:-1], nested))
        return values

    if kind == "match_all":
        return True
    if kind == "ids":
        return identity in body["values"]
    if kind == "exists":
        return bool(found(body["field"]))
    if kind == "nested":
        return matches(mapping, document, identity, body["query"], nested=True)
    if kind == "bool":
        unknown = set(body) - {"must", "filter", "must_not", "should", "minimum_should_match"}
        if unknown:
            raise ApiError(400, "parsing_exception", f"[bool] has no {unknown}")
        clauses = {key: value if isinstance(value, list) else [value] for key, value in body.items()}
        every = all(matches(mapping, document, identity, q, nested) for q in clauses.get("must", []) + clauses.get("filter", []))
        none = not any(matches(mapping, document, identity, q, nested) for q in clauses.get("must_not", []))
        should = clauses.get("should")
        return every and none and (not should or any(matches(mapping, document, identity, q, nested) for q in should))
    if kind in ("term", "terms", "match", "range") and len(body) == 1:
        (field, wanted), = body.items()
        values = found(field)
        if kind == "range":
            tests = {"gt": lambda a, b: a > b, "gte": lambda a, b: a >= b, "lt": lambda a, b: a < b, "lte": lambda a, b: a <= b}
            if set(wanted) - set(tests):
                raise ApiError(400, "parsing_exception", f"[range] query does not support {sorted(set(wanted) - set(tests))}")
            return any(all(tests[key](value, limit) for key, limit in wanted.items()) for value in values)
        if isinstance(wanted, dict):
            wanted = wanted["value" if kind == "term" else "query"]
        if kind == "terms":
            return any(same(value, item) for value in values for item in wanted)
        if field_type(mapping, field.split(".")) == "text":
            words = [word for value in values for word in re.findall(r"\w+", str(value).lower())]
            return wanted in words if kind == "term" else any(word in words for word in re.findall(r"\w+", str(wanted).lower()))
        return any(same(value, wanted) for value in values)
    raise ApiError(400, "parsing_exception", f"unknown query [{kind}]")
