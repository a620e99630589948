"""Decoders of one's own in Python, for the element tensor_postproc_user."""

import importlib
import importlib.util
import inspect
import pathlib
from collections.abc import Iterable
from typing import Any

from ._core import Attribute, Region, Tensor
from ._core import _decode as decode


class Decoder:
    """What a decoder looks like; it may derive from this class, but need not.

        class Plates(sightglass.Decoder):
            def __init__(self, labels=(), scale="1"):
                self.scale = float(scale)

            def decode(self, tensors):
                for x, y, w, h, score in tensors["boxes"].numpy()[0]:
                    yield sightglass.Region((x, y, w, h), "plate", score)

    `tensor_postproc_user decoder=plates:Plates config=scale=0.5` makes one: arguments that its __init__ names are
    given to it, `labels` as a list of names, entries of `config` as text. decode() gets the outputs of the model by
    name, one frame at a time, and gives regions, in 0..1 of the model's input, and attributes of the whole frame.
    """

    def decode(self, tensors: dict[str, Tensor]) -> Iterable[Region | Attribute] | None:
        raise NotImplementedError(f"{type(self).__name__} has no decode()")


def _load(name: str) -> Any:
    if not name.endswith(".py"):
        return importlib.import_module(name)
    path = pathlib.Path(name).resolve()
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None or not path.exists():
        raise FileNotFoundError(f"there is no file {name}")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _settings(config: str) -> dict[str, str]:
    settings = {}
    for entry in filter(None, config.split(",")):
        key, equals, value = entry.partition("=")
        if not equals:
            raise ValueError(f"config: {entry!r} is not KEY=VALUE")
        settings[key.strip()] = value
    return settings


def open_decoder(name: str, labels: list[str], config: str) -> Any:
    """The decoder that "module:Class" or "file.py:Class" names."""
    module_name, _, class_name = name.rpartition(":")
    made_by = getattr(_load(module_name), class_name)
    settings = _settings(config)
    parameters = inspect.signature(made_by).parameters
    takes_all = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    if not takes_all and (unknown := sorted(settings.keys() - parameters.keys())):
        raise TypeError(f"{class_name} takes no {', '.join(unknown)}; it takes {', '.join(parameters) or 'nothing'}")
    if takes_all or "labels" in parameters:
        settings.setdefault("labels", labels)  # type: ignore[arg-type]
    decoder = made_by(**settings)
    if not callable(getattr(decoder, "decode", None)):
        raise TypeError(f"{class_name} has no method decode(tensors)")
    return decoder


__all__ = ["Decoder", "decode", "open_decoder"]
