"""What a test file can expect of a run; README.md lists the words.

Each function is expect_WORD(run, case, folder, argument, text) for a line `WORD argument: text`, and raises
Failure.
"""

import json
import os
import re
import sys
from pathlib import Path

import results

RATE = 10  # frames per second of the generated videos
LABELS = ["person", "car", "bike"]


class Failure(Exception):
    pass


def tail(text, lines=25):
    return "\n".join("  | " + line for line in text.rstrip().splitlines()[-lines:])


def published(run):
    match = re.search(r"gvametapublish\b[^!]*\bfile-path=(\S+)", run.text)
    return match[1] if match else None


def frames_of(run, folder):
    layout = "dlstreamer" if re.search(r"layout=(dlstreamer|1)\b", run.text) else "sightglass"
    path = folder / (published(run) or f"{run.name}.jsonl")
    if not path.exists():
        raise Failure(f"has written no {path.name}\n{tail(run.output)}")
    return results.read(path, layout)


def in_range(value, text, what):
    """`text`: 5, 5..8, >=5 or <=8."""
    match = re.fullmatch(r"(\d+)\.\.(\d+)|>= ?(\d+)|<= ?(\d+)|(\d+)", text.strip())
    if not match:
        raise SystemExit(f"'{text}' is no number or range")
    a, b, least, most, exact = (int(m) if m else None for m in match.groups())
    low = next((v for v in (a, least, exact) if v is not None), 0)
    high = next((v for v in (b, most, exact) if v is not None), sys.maxsize)
    if not low <= value <= high:
        raise Failure(f"{what}: {value}, expected {text}")


def named(obj):
    """The label, also where the pipeline knows only its number."""
    return obj.label or (LABELS[obj.label_id] if 0 <= obj.label_id < len(LABELS) else "?")


def expect_output(run, case, folder, _, text):
    if text not in run.output:
        raise Failure(f"does not print '{text}'\n{tail(run.output)}")


def expect_output_lacks(run, case, folder, _, text):
    if text in run.output:
        raise Failure(f"prints '{text}'\n{tail(run.output)}")


def expect_frames(run, case, folder, _, text):
    in_range(len(frames_of(run, folder)), text, "records")


def expect_objects(run, case, folder, label, text):
    found = [o for f in frames_of(run, folder) for o in f.objects if label is None or named(o) == label]
    in_range(len(found), text, f"objects{f' called {label}' if label else ''}")


def expect_truth(run, case, folder, label, text):
    """`NAME within N [frames A..B] [of C]`: NAME.json's objects are found, within N pixels, and no others (labelled C)."""
    match = re.fullmatch(r"(\w+) within ([\d.]+)(?: frames (\d+)\.\.(\d+))?(?: of (\w+))?", text)
    if not match:
        raise SystemExit(f"truth: '{text}'")
    truth = json.loads(Path(os.environ["SIGHTGLASS_TEST_INPUTS"], match[1] + ".json").read_text())
    first, last = (int(match[3]), int(match[4])) if match[3] else (0, len(truth) - 1)
    frames = {round(f.time * RATE / 1e9): f for f in frames_of(run, folder)}
    for n in range(first, last + 1):
        wanted = [o for o in truth[n] if o[0] in LABELS]
        found = frames[n].objects if n in frames else []
        found = [o for o in found if match[5] in (None, named(o))]
        box = lambda t: (t[2], t[3], t[2] + t[4], t[3] + t[5])
        same = lambda o, t: results.corner_distance(o.box, box(t)) + (
            0 if named(o) == (label or t[0]) else 1e6
        )
        matched = results.pairs(found, wanted, same, float(match[2]))
        if len(matched) != len(wanted) or len(found) != len(wanted):
            show = lambda items: "\n".join("    " + item for item in items) or "    nothing"
            raise Failure(
                f"frame {n}: {len(matched)} of {len(wanted)} objects within {match[2]} px, {len(found)} found\n"
                + "  expected\n"
                + show(f"{label or t[0]} {[round(v, 1) for v in box(t)]}" for t in wanted)
                + "\n  found\n"
                + show(f"{named(o)} {o.score:.2f} {[round(v, 1) for v in o.box]}" for o in found)
            )


def expect_attribute(run, case, folder, name, text):
    """`label=value …`, where the label of the object decides, or one value for all. Each label has to occur."""
    by_label = dict(pair.split("=") for pair in text.split()) if "=" in text else None
    seen = set()
    for f in frames_of(run, folder):
        for o in f.objects:
            wanted = text if by_label is None else by_label.get(named(o))
            if wanted is None:
                continue
            if str(o.attributes.get(name)) != wanted:
                raise Failure(
                    f"at {f.time / 1e9:.3f} s {named(o)} has {name}={o.attributes.get(name)}, expected {wanted}"
                )
            seen.add(named(o))
    if not seen:
        raise Failure("no objects at all")
    if by_label and (missing := by_label.keys() - seen):
        raise Failure(f"no object is a {', '.join(sorted(missing))}")


def expect_attribute_at(run, case, folder, name, text):
    """The attribute `name` is what the colour of the true object at that place asks for: `VIDEO label=value
    …`.
    """
    video, *rest = text.split()
    wanted = dict(pair.split("=") for pair in rest)
    truth = json.loads(Path(os.environ["SIGHTGLASS_TEST_INPUTS"], video + ".json").read_text())
    seen = 0
    for f in frames_of(run, folder):
        for o in f.objects:
            box = lambda t: (t[2], t[3], t[2] + t[4], t[3] + t[5])
            near = min(
                truth[round(f.time * RATE / 1e9)], key=lambda t: results.corner_distance(o.box, box(t))
            )
            if o.attributes.get(name) != wanted[near[0]]:
                raise Failure(
                    f"at {f.time / 1e9:.3f} s the {near[0]} at {o.box} has {name}={o.attributes.get(name)}"
                )
            seen += 1
    if not seen:
        raise Failure("no objects at all")


def expect_tracks(run, case, folder, video, text):
    """`tracks: 4`: that many ids. `tracks v: 4`: and each true object of v.json keeps one id for itself."""
    frames = frames_of(run, folder)
    ids = {o.track for f in frames for o in f.objects if o.track}
    in_range(len(ids), text, "track ids")
    if video:
        truth = json.loads(Path(os.environ["SIGHTGLASS_TEST_INPUTS"], video + ".json").read_text())
        owner = {}
        for f in frames:
            box = lambda t: (t[2], t[3], t[2] + t[4], t[3] + t[5])
            wanted = truth[round(f.time * RATE / 1e9)]
            for i, j in results.pairs(
                f.objects, wanted, lambda o, t: results.corner_distance(o.box, box(t)), 20
            ):
                if f.objects[i].track and owner.setdefault(f.objects[i].track, wanted[j][1]) != wanted[j][1]:
                    raise Failure(f"at {f.time / 1e9:.3f} s track {f.objects[i].track} changes its object")
        if len(set(owner.values())) != len(owner):
            raise Failure(f"an object has several track ids: {owner}")


def expect_aged(run, case, folder, name, text):
    """So many of the objects' attributes of that name are repeated ones."""
    ages = [
        a.get("age", 0)
        for f in frames_of(run, folder)
        for o in f.objects
        for a in o.raw.get("attributes", [])
        if a["name"] == name
    ]
    in_range(sum(age > 0 for age in ages), text, f"repeated {name}")


def expect_counter(run, case, folder, name, text):
    """The value of a number of the whole frame, in the last frame that has it."""
    values = [
        a["value"]
        for f in frames_of(run, folder)
        for a in f.attributes
        if a["name"] == name and a["kind"] == "number"
    ]
    if not values:
        raise Failure(f"no frame has a number {name}")
    in_range(int(values[-1]), text, name)


def expect_events(run, case, folder, name, text):
    """So many numbers of that name on frames in all; `N with TEXT`: with that text."""
    match = re.fullmatch(r"(\S+)(?: with (.+))?", text)
    found = [a for f in frames_of(run, folder) for a in f.attributes if a["name"] == name]
    in_range(sum(match[2] in (None, a.get("label")) for a in found), match[1], f"{name} {match[2] or ''}")


def expect_same(run, case, folder, _, text):
    """`NAME exactly` or `NAME within N`: the objects of another pipeline of this file."""
    match = re.fullmatch(r"(\S+) (?:exactly|within ([\d.]+))", text)
    if not match:
        raise SystemExit(f"same: '{text}'")
    ours, theirs = frames_of(run, folder), frames_of(case.run(match[1]), folder)
    if [f.time for f in ours] != [f.time for f in theirs]:
        raise Failure(f"{len(ours)} and {len(theirs)} records, or other times")
    for a, b in zip(ours, theirs):
        if match[2] is None:
            same = [o.raw for o in a.objects] == [o.raw for o in b.objects]
        else:
            cost = lambda o, p: results.corner_distance(o.box, p.box) + (0 if named(o) == named(p) else 1e6)
            same = (
                len(a.objects)
                == len(b.objects)
                == len(results.pairs(a.objects, b.objects, cost, float(match[2])))
            )
        if not same:
            lines = lambda f: "".join(
                f"\n    {named(o)} {o.score:.4f} {[round(v, 2) for v in o.box]}" for o in f.objects
            )
            raise Failure(f"at {a.time / 1e9:.3f} s {run.name}:{lines(a)}\n  {match[1]}:{lines(b)}")


def expect_file(run, case, folder, _, text):
    """`PATH`, `PATH lines N`, `PATH bytes N`, `PATH contains TEXT`, `PATH equals PATH` or `PATH absent`."""
    name, _, rest = text.partition(" ")
    what, _, value = rest.partition(" ")
    path = folder / name
    if what == "absent":
        if path.exists():
            raise Failure(f"{name} exists")
        return
    if not path.exists():
        raise Failure(f"{name} does not exist")
    data = path.read_bytes()
    if what == "lines":
        in_range(len(data.splitlines()), value, f"lines of {name}")
    elif what == "bytes":
        in_range(len(data), value, f"bytes of {name}")
    elif what == "contains" and value.encode() not in data:
        raise Failure(f"{name} does not contain '{value}'")
    elif what == "equals" and data != (folder / value).read_bytes():
        raise Failure(f"{name} and {value} differ")


def expect_changed(run, case, folder, _, text):
    """`A B LOW%..HIGH%`: share of the bytes in which two files of one size differ."""
    a, b, span = text.split()
    low, high = (float(v) for v in span.replace("%", "").split(".."))
    left, right = (folder / a).read_bytes(), (folder / b).read_bytes()
    if len(left) != len(right) or not left:
        raise Failure(f"{a} has {len(left)} bytes, {b} {len(right)}")
    import numpy

    share = 100 * float(
        numpy.mean(numpy.frombuffer(left, numpy.uint8) != numpy.frombuffer(right, numpy.uint8))
    )
    if not low <= share <= high:
        raise Failure(f"{share:.3f} % of {a} and {b} differ, expected {span}")


OBJECT_EXPECTATIONS = {
    "frames": expect_frames,
    "objects": expect_objects,
    "truth": expect_truth,
    "attribute": expect_attribute,
    "attribute-at": expect_attribute_at,
    "tracks": expect_tracks,
    "aged": expect_aged,
    "counter": expect_counter,
    "events": expect_events,
    "same": expect_same,
}
EXPECTATIONS = {
    "exit": None,
    "output": expect_output,
    "output-lacks": expect_output_lacks,
    "file": expect_file,
    "changed": expect_changed,
    **OBJECT_EXPECTATIONS,
}
