"""Writes a CUDA source with its own headers put in, for NVRTC: kernel_text.py SOURCE ROOT OUT."""

import re
import sys
from pathlib import Path


def expanded(file: Path, root: Path, seen: set[Path]) -> str:
    if file in seen:
        return ""
    seen.add(file)
    text = file.read_text().replace("#pragma once\n", "")
    return re.sub(
        r'^#include "(.+)"\n', lambda found: expanded(root / found[1], root, seen), text, flags=re.MULTILINE
    )


source, root, out = map(Path, sys.argv[1:])
text = expanded(source, root, set())
if found := re.search(r"^#include .*", text, flags=re.MULTILINE):
    sys.exit(f"{source}: {found[0]}: kernels include our own headers only, since NVRTC has no others")
out.write_text(text)
