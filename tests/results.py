"""Reads what gvametapublish file-format=json-lines wrote, in either layout, and compares boxes. Our own layout is held
against its published schema."""

import json
from dataclasses import dataclass, field
from pathlib import Path

import jsonschema

SCHEMA = jsonschema.Draft202012Validator(
    json.loads((Path(__file__).resolve().parent.parent / "docs/schema/frame.schema.json").read_text())
)

# Keys of an object in the dlstreamer layout that are not attributes.
FIXED = {
    "x",
    "y",
    "w",
    "h",
    "region_id",
    "parent_id",
    "id",
    "roi_type",
    "detection",
    "angle",
    "attributes",
    "tensors",
}


@dataclass
class Object:
    label: str
    label_id: int
    score: float
    box: tuple  # x1, y1, x2, y2 in pixels, unrounded
    track: int = 0
    attributes: dict = field(default_factory=dict)  # name → label, or value where there is no label
    raw: dict = field(default_factory=dict)


@dataclass
class Frame:
    time: int  # ns
    width: int
    height: int
    objects: list
    attributes: list = field(default_factory=list)  # of the whole frame, as in the record


class Malformed(Exception):
    pass


def read_object(record, width, height):
    detection = record["detection"]
    unit = detection["bounding_box"]
    box = (unit["x_min"] * width, unit["y_min"] * height, unit["x_max"] * width, unit["y_max"] * height)
    for key, value in zip("xywh", (box[0], box[1], box[2] - box[0], box[3] - box[1])):
        if abs(record[key] - value) > 1.01:
            raise Malformed(f"{key}={record[key]} is not what its bounding_box says ({value:.2f})")
    attributes = {
        name: value.get("label")
        for name, value in record.items()
        if name not in FIXED and isinstance(value, dict)
    }
    for item in record.get("attributes", []):
        attributes[item["name"]] = item.get("label", item.get("value"))
    label = detection.get("label") or record.get("roi_type") or ""
    return Object(
        label,
        detection.get("label_id", -1),
        detection["confidence"],
        box,
        record.get("id", 0),
        attributes,
        record,
    )


def read_frame(record, layout="sightglass"):
    if layout == "sightglass":
        if next(iter(record), None) != "schema":
            raise Malformed("the record does not begin with its schema")
        error = jsonschema.exceptions.best_match(SCHEMA.iter_errors(record))
        if error:
            raise Malformed(f"at {error.json_path}: {error.message}")
    if layout == "dlstreamer" and "schema" in record:
        raise Malformed("the dlstreamer layout has no schema")
    size = record["resolution"]
    objects = [read_object(o, size["width"], size["height"]) for o in record.get("objects", [])]
    return Frame(
        record["timestamp"], size["width"], size["height"], objects, record.get("attributes", [])
    )


def read(path, layout="sightglass"):
    frames = []
    with open(path, encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            try:
                frames.append(read_frame(json.loads(line), layout))
            except (ValueError, KeyError, TypeError, Malformed) as error:
                raise Malformed(
                    f"{path}:{number}: {type(error).__name__} {error}: {line[:200].rstrip()}"
                ) from error
    return frames


def iou(a, b):
    w, h = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    if w <= 0 or h <= 0:
        return 0.0
    area = lambda box: (box[2] - box[0]) * (box[3] - box[1])
    return w * h / (area(a) + area(b) - w * h)


def corner_distance(a, b):
    """Largest difference of the two boxes' sides, pixels."""
    return max(abs(p - q) for p, q in zip(a, b))


def pairs(ours, theirs, cost, limit):
    """Greedy one-to-one matches (i, j) of cost at most `limit`, cheapest first."""
    candidates = sorted((cost(a, b), i, j) for i, a in enumerate(ours) for j, b in enumerate(theirs))
    used_i, used_j, found = set(), set(), []
    for c, i, j in candidates:
        if c <= limit and i not in used_i and j not in used_j:
            used_i.add(i)
            used_j.add(j)
            found.append((i, j))
    return found
