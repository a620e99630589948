#!/usr/bin/env python3
"""Holds names.txt, the contract, against what gst-inspect-1.0 shows: names_test.py [PROGRAM] [NAME…].

Names that are not carried must not be registered, for tools look for them.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

DROPPED = """gvainference2 inference_openvino python_object_association gvaanalytics sycl_meta_overlay sycl_tensor_histogram
    gvapython gvanms gvabboxregression video_frames_buffer gvastreammux gvastreamdemux gvagenai gvaaudiodetect
    gvaaudiotranscribe gvamotiondetect gvadeskew gvarealsense g3dradarprocess tensor_postproc_centernet""".split()

TYPES = {
    "Boolean": "b",
    "Integer": "i",
    "Unsigned Integer": "u",
    "Integer64": "i64",
    "Unsigned Integer64": "u64",
    "Float": "f",
    "Double": "d",
    "String": "s",
    "Enum": "e",
    "Fraction": "fr",
    "Object": "element",
    'GstValueArray of GValues of type "gint64"': "ai",
    'GstValueArray of GValues of type "gdouble"': "ad",
    'GstValueArray of GValues of type "gchararray"': "as",
}
# The library's own words for them, of elements that GStreamer does not have.
LIBRARY_TYPES = {"bool": "b", "integer": "iu", "number": "df", "text": "s", "choice": "e", "texts": "as",
                 "numbers": "ad", "integers": "ai", "fraction": "fr"}


def read_contract(path):
    """{name: (is_library, {property: [type, default, values, is_live]})}"""
    contract, current = {}, []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if not line.startswith(" "):
            library = words[0] == "library"
            words = words[library:]
            names = [w for w in words if w not in "=+"]
            properties = {}
            if "+" in words:
                properties.update(contract[names.pop()][1])
            current = properties
            for name in names:
                contract[name] = (library, properties)
            continue
        live = words[-1] == "live"
        words = words[: len(words) - live]
        if len(words) < 2 or len(words) > 4:
            sys.exit(f"{path}:{number}: {line}")
        words += [None] * (4 - len(words))
        current[words[0]] = [words[1], words[2] or "", words[3], live]
    return contract


def inspected(name):
    """{property: (type, default, values, is_live)} or None."""
    result = subprocess.run(["gst-inspect-1.0", "--no-colors", name], capture_output=True, text=True)
    if result.returncode:
        return None
    text = result.stdout[result.stdout.index("Element Properties:"):] if "Element Properties:" in result.stdout else ""
    found = {}
    for block in re.split(r"\n(?=  [a-z][\w-]* *: )", text)[1:]:
        prop = re.match(r"  ([\w-]+)", block)[1]
        live = "PLAYING" in block
        lines = [line.strip() for line in block.splitlines()[1:]]
        kind = next((line for line in lines if not line.startswith(("flags:", "Controllable"))), "")
        # The text of a property may take several lines: what it is stands behind the flags.
        after_flags = next((i for i, line in enumerate(lines) if line.startswith("flags:")), -1) + 1
        kind = " ".join(lines[after_flags:])
        shown = re.search(r"(GstValueArray of GValues of type \"\w+\"|Unsigned Integer64|Unsigned Integer|Integer64|Integer|\w+)", re.sub(r'^Default: ".*?" ', "", kind))
        default = re.search(r"Default: +(\"(?:[^\"]*)\"|\S+)", kind)
        default = default[1].strip('"') if default else ""
        if default == "null":
            default = ""
        kind_name = TYPES.get(shown[1] if shown else "", shown[1] if shown else kind)
        values = None
        if kind_name == "e":
            values = {nick: int(number) for number, nick in re.findall(r"\((-?\d+)\): (\S+)", kind)}
            # Of several names of one number it shows the last one.
            shown_number = re.search(r"Default: (-?\d+),", kind)
            default = next((nick for nick, n in values.items() if shown_number and n == int(shown_number[1])), "")
        elif numbers := re.search(r"Range: +(\S+) - +(\S+)", kind):
            values = (numbers[1], numbers[2])
        found[prop] = (kind_name, default, values, live)
    return found


def from_library(program, name):
    result = subprocess.run([program, "inspect", name], capture_output=True, text=True)
    if result.returncode:
        return None
    found = {}
    for prop, live, body in re.findall(r"^  ([\w-]+)( \*)?\n((?:      .*\n?)+)", result.stdout, re.M):
        kind = re.findall(r"^ +((?:bool|integers?|numbers?|texts?|choice|fraction)\b.*)", body, re.M)[-1:]
        text = " ".join(body[body.rindex(kind[0]):].split()) if kind else ""
        default = re.search(r"default (.*)$", text)
        values = {n: int(v) for n, v in re.findall(r"([\w-]+)=(-?\d+)", text)} or None
        default = "" if not default or default[1] in ("none", "<>") else default[1]
        found[prop] = (LIBRARY_TYPES.get(text.split()[0].rstrip(",")) if text else "?", default, values, bool(live))
    return found


def number(text):
    a, _, b = str(text).partition("/")
    return float(a) / float(b) if b else float(a)


def differences(wanted, found):
    kind, default, values, live = wanted
    if kind == "*":
        return
    if found[0] != kind and not (kind in "iufd" and found[0] in ("iu", "df") and kind in found[0]):
        yield f"type {found[0]}, expected {kind}"
        return
    if default != "*" and kind not in ("ad", "ai", "as", "element"):
        same = default == found[1]
        if not same and kind in ("i", "u", "i64", "f", "d", "fr"):
            same = bool(found[1]) and abs(number(default) - number(found[1])) < 1e-6 * max(1, abs(number(default)))
        if not same:
            yield f"default '{found[1]}', expected '{default}'"
    if values and kind == "e":
        wanted_values = {n: int(v) for n, v in (pair.rsplit("=", 1) for pair in values.split("|"))}
        # New values may be appended, numbers stay.
        missing = {n: v for n, v in wanted_values.items() if (found[2] or {}).get(n) != v}
        if missing:
            yield f"values {found[2]}, expected {missing} among them"
    elif values and found[2]:
        for limit, shown, what in zip(values.split(".."), found[2], ("least", "most")):
            if limit and abs(number(limit) - number(shown)) > 1e-6 * max(1, abs(number(limit))):
                yield f"{what} {shown}, expected {limit}"
    if live and not found[3]:
        yield "cannot be changed while it runs"


def main():
    arguments = sys.argv[1:]
    program = arguments.pop(0) if arguments and "/" in arguments[0] else "sightglass"
    contract = read_contract(Path(__file__).with_name("names.txt"))
    problems, count = [], 0
    for name, (library, properties) in contract.items():
        if arguments and name not in arguments:
            continue
        found = from_library(program, name) if library else inspected(name)
        if found is None:
            problems.append(f"{name}: is not registered")
            continue
        for prop, wanted in properties.items():
            count += 1
            if prop not in found:
                problems.append(f"{name}: no property {prop}")
                continue
            problems += [f"{name} {prop}: {text}" for text in differences(wanted, found[prop])]
    for name in DROPPED if not arguments else []:
        if inspected(name) is not None:
            problems.append(f"{name}: is registered, but not carried")
    print(f"{len(contract)} names, {count} properties, {len(problems)} differences")
    if problems:
        sys.exit("\n".join(problems))


if __name__ == "__main__":
    main()
