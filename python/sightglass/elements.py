"""Every element of the library as a class: sightglass.elements.video_to_tensor(width=416, height=416).

help(sightglass.elements.video_to_tensor) says what it does and what its parameters are.
"""

import difflib

from . import _core
from ._element import Element, make_class

_classes = {desc["name"]: make_class(desc) for desc in _core.describe_elements()}
globals().update(_classes)

__all__ = sorted(_classes)  # pyright: ignore


def __getattr__(name: str) -> type[Element]:
    near = difflib.get_close_matches(name, _classes, 1)
    hint = f"; did you mean {near[0]}?" if near else ""
    raise AttributeError(f"there is no element {name}{hint}")
