"""The classes of sightglass.elements, made from the descriptors of the library."""

import difflib
import inspect
import textwrap
from collections.abc import Iterator
from typing import Any, ClassVar, Self

from . import _core
from ._core import Frame

_TYPES = {"bool": bool, "int": int, "float": float, "str": str}


class Element:
    """One operation on frames, by keyword arguments.

    Called with a frame it gives a list of the frames that it makes of it; it starts at the first one and follows
    changes of format. An element that works in place changes the very frame and gives it back, or nothing where it
    drops it. Sources are iterated over. Parameters are attributes; those that are live may change between two frames.
    """

    element_name: ClassVar[str] = ""
    kind: ClassVar[str] = ""
    parameters: ClassVar[dict[str, dict[str, Any]]] = {}
    """What the descriptor says of each parameter."""

    _native: _core.NativeElement

    def __init__(self, **parameters: Any) -> None:
        for name in parameters:
            if name not in self.parameters:
                raise TypeError(_unknown(self.element_name, name, self.parameters))
        object.__setattr__(self, "_native", _core.NativeElement(self.element_name, parameters))

    def __call__(self, frame: Frame) -> list[Frame]:
        return self._native.process(frame)

    def drain(self) -> list[Frame]:
        """The end of the stream: what was held back."""
        return self._native.drain()

    def __iter__(self) -> Iterator[Frame]:
        if self.kind != "source":
            raise TypeError(f"{self.element_name} is no source; call it with a frame")
        while (frame := self._native.read()) is not None:
            yield frame

    def stop(self) -> None:
        """Ends the element: files are closed, models let go. The next frame starts it anew."""
        self._native.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.drain()
        finally:
            self.stop()

    def __getattr__(self, name: str) -> Any:
        if name in self.parameters:
            return self._native.get(name)
        raise AttributeError(_unknown(self.element_name, name, self.parameters))

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in self.parameters:
            raise AttributeError(_unknown(self.element_name, name, self.parameters))
        self._native.set(name, value)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self.parameters})

    def __repr__(self) -> str:
        given = ", ".join(f"{name.replace('-', '_')}={text!r}" for name, text in self._native.settings())
        return f"{self.element_name}({given})"


def _unknown(element: str, name: str, known: dict[str, Any]) -> str:
    near = difflib.get_close_matches(name, known, 1)
    hint = f"; did you mean {near[0]}?" if near else f"; it has {', '.join(known) or 'none'}"
    return f"{element} has no parameter {name}{hint}"


def _line(param: dict[str, Any]) -> str:
    facts = [param["type"]]
    if param["choices"]:
        facts = ["one of " + ", ".join(repr(choice) for choice in param["choices"])]
    if param["range"]:
        facts.append("{:g} to {:g}".format(*param["range"]))
    if param["unit"]:
        facts.append(param["unit"])
    if not param["readable_only"]:
        facts.append(f"default {param['default']!r}")
    facts += ["live"] * param["live"] + ["read only"] * param["readable_only"]
    text = f"{param['name']}: {param['doc']} ({'; '.join(facts)})"
    return textwrap.fill(text, 96, initial_indent="    ", subsequent_indent="        ")


def _doc(desc: dict[str, Any]) -> str:
    parts = [desc["title"], "\n".join(textwrap.wrap(desc["doc"], 100))]
    if desc["params"]:
        parts.append("Parameters:\n" + "\n".join(_line(param) for param in desc["params"]))
    return "\n\n".join(parts)


def _signature(desc: dict[str, Any]) -> inspect.Signature:
    return inspect.Signature(
        [
            inspect.Parameter(
                param["name"],
                inspect.Parameter.KEYWORD_ONLY,
                default=param["default"],
                annotation=_TYPES.get(param["type"], param["type"]),
            )
            for param in desc["params"]
            if not param["readable_only"]
        ]
    )


def make_class(desc: dict[str, Any]) -> type[Element]:
    return type(
        desc["name"],
        (Element,),
        {
            "__doc__": _doc(desc),
            "__module__": "sightglass.elements",
            "__signature__": _signature(desc),
            "element_name": desc["name"],
            "kind": desc["kind"],
            "parameters": {param["name"]: param for param in desc["params"]},
        },
    )
