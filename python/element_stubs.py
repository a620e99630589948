"""Writes the type stub of sightglass.elements from the descriptors: one class per element, its keywords typed."""

import sys
from pathlib import Path

from sightglass import _core


def annotation(param):
    if param["choices"]:
        return "Literal[" + ", ".join(repr(choice) for choice in param["choices"]) + "] | int"
    return {
        "float": "float",
        "int": "int",
        "str": "str | PathLike[str]",
        "list[int]": "Sequence[int]",
        "list[float]": "Sequence[float]",
        "list[str]": "Sequence[str]",
    }.get(param["type"], param["type"])


def main():
    lines = [
        "# Made from the descriptors of the elements.",
        "from collections.abc import Sequence",
        "from os import PathLike",
        "from typing import Any, Literal",
        "",
        "from ._element import Element",
        "",
    ]
    for desc in _core.describe_elements():
        params = [param for param in desc["params"] if not param["readable_only"]]
        keywords = "".join(f", {param['name']}: {annotation(param)} = ..." for param in params)
        star = ", *" if params else ""
        lines.append(f"class {desc['name']}(Element):")
        lines += [f"    {param['name']}: Any" for param in desc["params"]]
        lines.append(f"    def __init__(self{star}{keywords}) -> None: ...")
        lines.append("")
    Path(sys.argv[1]).write_text("\n".join(lines))


if __name__ == "__main__":
    main()
