"""Functions of one's own in a module: code that sees every frame of every stream."""

import functools
import importlib
import importlib.util
import inspect
import json
import os
import pathlib
import sys
import traceback
from collections.abc import Callable, Iterator, MutableSet
from dataclasses import dataclass, field
from typing import Any, ClassVar

from ._core import Attribute, Box, Frame, Region

PROTOCOL = "1"
HOOKS = ("process", "accept", "region", "prepare", "draw", "map")


@dataclass
class StreamInfo:
    """A stream, as start() is told of it."""

    source_id: str
    codec: str = ""
    epoch: int = 0
    width: int = 0
    height: int = 0
    framerate: tuple[int, int] = (0, 1)
    parameters: dict[str, Any] = field(default_factory=dict)
    """Of the module, for this stream."""


class Tags(MutableSet[str]):
    """The tags of a frame, a set that changes it."""

    def __init__(self, frame: Frame) -> None:
        self._frame = frame

    def __contains__(self, tag: object) -> bool:
        return any(a.model == "tag" and a.name == tag for a in self._frame.attributes)

    def __iter__(self) -> Iterator[str]:
        return iter([a.name for a in self._frame.attributes if a.model == "tag"])

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def add(self, value: str) -> None:
        self._frame.add(Attribute(value, 1, model="tag"))

    def discard(self, value: str) -> None:
        if value in self:
            self._frame.attributes = [  # type: ignore[assignment]
                a for a in self._frame.attributes if a.model != "tag" or a.name != value
            ]

    def __repr__(self) -> str:
        return f"Tags({', '.join(self)})"


class FunctionFrame:
    """A frame for the time of one call: what is to be kept has to be copied, pixels above all."""

    def __init__(self, call: Any, info: StreamInfo | None = None) -> None:
        self._call = call
        self._image: Any = None
        self.frame: Frame = call.frame
        """The frame as everywhere else in the package."""
        self.stream = info

    @property
    def objects(self) -> list[Region]:
        """The objects found: a list, to be changed at will."""
        return self.frame.regions

    @objects.setter
    def objects(self, objects: list[Region]) -> None:
        self.frame.regions = objects

    @property
    def attributes(self) -> tuple[Attribute, ...]:
        """Of the whole frame."""
        return self.frame.attributes

    @attributes.setter
    def attributes(self, attributes: Any) -> None:
        self.frame.attributes = attributes

    def add(self, attribute: Attribute) -> None:
        """Adds an attribute of the whole frame, in place of one of the same name and model."""
        self.frame.add(attribute)

    def attribute(self, name: str, model: str | None = None) -> Attribute | None:
        for found in self.frame.attributes:
            if found.name == name and (model is None or found.model == model):
                return found
        return None

    @property
    def tags(self) -> Tags:
        return Tags(self.frame)

    @property
    def source_id(self) -> str:
        return self.stream.source_id if self.stream else ""

    @property
    def keyframe(self) -> bool:
        return bool(self._call.keyframe)

    @property
    def seq(self) -> int:
        return int(self._call.seq)

    @property
    def pts(self) -> int | None:
        """Nanoseconds, as the first adapter gave it."""
        pts: int | None = self._call.pts
        return pts

    @property
    def param_revision(self) -> int:
        return int(self._call.param_revision)

    @property
    def queue_fill(self) -> float:
        """How full the stream's queue is, 0..1."""
        return float(self._call.queue_fill)

    @property
    def width(self) -> int:
        return self.frame.width

    @property
    def height(self) -> int:
        return self.frame.height

    @property
    def image(self) -> Any:
        """The picture as an array (height, width, channels): without a copy for packed formats, and to be written to
        where the function says `writes_pixels`; of others, such as NV12, a copy in BGR. `frame.planes` has those
        without a copy."""
        if self._image is None:
            if not self.frame.tensors:
                raise ValueError("there is no picture: the function says `pixels = False`, or the frame has none")
            if len(self.frame.tensors) == 1:
                self._image = self.frame.numpy(writable=self._writes())
            else:
                with self.frame.map(format="BGR") as mapped:
                    self._image = mapped.numpy().copy()
        return self._image

    @property
    def planes(self) -> tuple[Any, ...]:
        """The planes as arrays, without a copy."""
        return self.frame.writable_planes() if self._writes() else self.frame.planes

    def _writes(self) -> bool:
        if self._call.writes_pixels:
            self._call.pixels_changed = True
        return bool(self._call.writes_pixels)

    def drop(self) -> None:
        """The frame ends here."""
        self._call.drops = True

    def __repr__(self) -> str:
        return f"FunctionFrame({self.source_id or '?'} {self.frame!r})"


class Function:
    """A function of a module; it may derive from this class, but need not.

        class Report(sightglass.Function):
            pixels = False

            def __init__(self, line=0.5):
                self.line = line

            def process(self, frame):
                if any(o.label == "face" and o.box.bottom > self.line for o in frame.objects):
                    frame.tags.add("crossing")

    `function: {language: python, path: report.py, symbol: Report, args: {line: 0.6}}` makes one object per element and
    stream. What an exception leaves of the frame does not count: it goes on with the tag `error.ELEMENT`, or as
    `on_error` says.
    """

    pixels: ClassVar[bool] = True
    """Whether it looks at pictures; without them a call costs far less."""
    writes_pixels: ClassVar[bool] = False

    def start(self, info: StreamInfo) -> None:
        """Before the first frame of the stream. What takes long (a model) belongs into the file, where it is loaded
        once per worker and before the module is ready."""

    def process(self, frame: FunctionFrame) -> None:
        """Changes objects, attributes, tags, or drops the frame."""

    def apply(self, parameters: dict[str, Any]) -> None:
        """Parameters of the module have changed; between two frames, must not block."""

    def stop(self, reason: str) -> None:
        """After the last frame, also when start() has failed."""


class _Plain:
    """A function without a class: any hook is a call of it."""

    def __init__(self, function: Callable[..., Any]) -> None:
        for hook in HOOKS:
            setattr(self, hook, function)


class Code:
    """What a file has been loaded as."""

    def __init__(self, description: dict[str, Any]) -> None:
        self.path: str = description["path"]
        self.args: dict[str, Any] = description.get("args") or {}
        self.made_by = self._find(self._load(), description.get("symbol", ""))
        if inspect.isclass(self.made_by):
            try:
                inspect.signature(self.made_by).bind(**self.args)
            except TypeError as error:
                raise TypeError(f"{self.made_by.__name__}: {error}") from None
        if not self.hooks():
            raise TypeError(f"{self.made_by.__name__} has no method process(frame)")

    def _load(self) -> Any:
        if not self.path.endswith(".py"):
            return importlib.import_module(self.path)
        path = pathlib.Path(self.path).resolve()
        if not path.is_file():
            raise FileNotFoundError(f"there is no file {path}")
        folder = str(path.parent)
        if folder not in sys.path:
            sys.path.append(folder)  # what it imports from beside it
        name = f"sightglass_function_{path.stem}"
        # Not from the cache, which goes by whole seconds.
        spec = importlib.util.spec_from_loader(name, loader=None, origin=str(path))
        assert spec is not None
        module = importlib.util.module_from_spec(spec)
        module.__file__ = str(path)
        sys.modules[name] = module  # dataclasses and pickle look there
        exec(compile(path.read_bytes(), str(path), "exec"), module.__dict__)
        return module

    def _find(self, module: Any, symbol: str) -> Any:
        if symbol:
            found = getattr(module, symbol, None)
            if found is None:
                raise AttributeError(f"{self.path} has no {symbol}")
            if not callable(found):
                raise TypeError(f"{symbol} in {self.path} is neither a class nor a function")
            return found
        classes = [
            value
            for value in vars(module).values()
            if inspect.isclass(value) and value.__module__ == module.__name__ and issubclass(value, Function)
        ]
        if len(classes) != 1:
            raise AttributeError(f"{self.path} has {len(classes)} functions; `symbol` says which one")
        return classes[0]

    def hooks(self) -> list[str]:
        if not inspect.isclass(self.made_by):
            name = getattr(self.made_by, "__name__", "")
            return [name] if name in HOOKS else list(HOOKS)
        base = Function if issubclass(self.made_by, Function) else object
        return [
            hook
            for hook in HOOKS
            if callable(getattr(self.made_by, hook, None))
            and getattr(self.made_by, hook) is not getattr(base, hook, None)
        ]

    def describe(self) -> str:
        words = [name for name in ("pixels", "writes_pixels") if getattr(self.made_by, name, name == "pixels")]
        return " ".join(words + self.hooks())

    def make(self) -> Any:
        if inspect.isclass(self.made_by):
            return self.made_by(**self.args)
        return _Plain(functools.partial(self.made_by, **self.args) if self.args else self.made_by)


class Target:
    """One object of the user's for one stream."""

    def __init__(self, code: Code) -> None:
        self.code = code
        self.made: Any = None
        self.info: StreamInfo | None = None

    def call(self, call: Any) -> None:
        hook = call.hook
        if hook == "process":
            if self.made.process(FunctionFrame(call, self.info)) is False:
                call.drops = True
        elif hook == "start":
            self.start(call)
        elif hook == "stop":
            if self.made is not None and hasattr(self.made, "stop"):
                made, self.made = self.made, None
                made.stop(call.text)
        elif hook == "apply":
            if hasattr(self.made, "apply"):
                self.made.apply(json.loads(call.text))
        elif hook == "accept":
            call.accepted = bool(self._made().accept(FunctionFrame(call, self.info)))
        elif hook == "region":
            frame = FunctionFrame(call, self.info)
            region = frame.objects[call.region]
            box = self._made().region(region, frame)
            call.box = region.box if box is None else box if isinstance(box, Box) else Box(*box)
        elif hook == "prepare":
            self.prepare(call)
        elif hook == "draw":
            frame = FunctionFrame(call, self.info)
            self._made().draw(frame.image if len(frame.frame.tensors) == 1 else frame.planes, frame)
        elif hook == "map":
            record = self._made().map(json.loads(call.text))
            call.answer = "" if record is None else json.dumps(record, separators=(",", ":"))

    def prepare(self, call: Any) -> None:
        """The picture of one object, changed in place or given anew."""
        frame = FunctionFrame(call, self.info)
        image = frame.image
        made = self._made().prepare(image, frame.objects[call.region] if call.region >= 0 else None)
        if made is None or made is image:
            return
        shape, kind = getattr(made, "shape", None), getattr(made, "dtype", None)
        if shape != image.shape or kind != image.dtype:
            what = f"an array {shape} of {kind}" if shape is not None else f"a value of type {type(made).__name__}"
            raise TypeError(f"prepare gave {what}, the model is to see an array {image.shape} of {image.dtype}")
        image[...] = made

    def _made(self) -> Any:
        """Hooks outside of a stream need no start."""
        if self.made is None:
            self.made = self.code.make()
        return self.made

    def start(self, call: Any) -> None:
        self.info = StreamInfo(
            call.source_id,
            call.codec,
            call.epoch,
            call.width,
            call.height,
            call.framerate,
            json.loads(call.text or "{}"),
        )
        self.made = self.code.make()
        if not hasattr(self.made, "start"):
            return
        try:
            self.made.start(self.info)
        except BaseException:
            made, self.made = self.made, None
            if hasattr(made, "stop"):
                try:
                    made.stop("start failed")
                except BaseException:
                    pass  # the failure of start() is what counts
            raise


def error_line(error: BaseException, path: str = "") -> str:
    """The exception in one line, with the place in the user's code where it came from."""
    where = ""
    frames = traceback.extract_tb(error.__traceback__)
    if frames:
        package = os.path.dirname(__file__)
        own = [f for f in frames if os.path.basename(f.filename) == os.path.basename(path)]
        theirs = [f for f in frames if not f.filename.startswith(package)]
        last = (own or theirs or frames)[-1]
        where = f" ({os.path.basename(last.filename)}:{last.lineno})"
    if isinstance(error, SyntaxError) and error.filename:
        where = f" ({os.path.basename(error.filename)}:{error.lineno})"
        text = error.msg
    else:
        try:
            text = str(error)
        except Exception:
            text = "an exception without a readable message"
    text = " ".join(text.split())[:400]
    return f"{type(error).__name__}{': ' + text if text else ''}{where}"


def dispatch(target: Target, call: Any) -> str | None:
    """Runs a call; gives the text of an error, or None."""
    try:
        target.call(call)
    except BaseException as error:  # SystemExit too: a function does not end the process
        return error_line(error, target.code.path)
    return None


def open_inline(path: str, symbol: str, args: str) -> Code:
    """For functions in the process of the module."""
    try:
        return Code({"path": path, "symbol": symbol, "args": json.loads(args)})
    except BaseException as error:
        raise RuntimeError(error_line(error, path)) from error


__all__ = ["Code", "Function", "FunctionFrame", "StreamInfo", "Tags", "Target", "dispatch", "error_line", "open_inline"]
