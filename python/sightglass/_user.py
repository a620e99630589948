"""Base classes for elements written in Python. They run in a Flow, and on single frames by calling them."""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, ClassVar

from ._core import Format, Frame

Formats = str | Format | Sequence[str | Format] | None
"""The name of a pixel format, 'tensors', a Format, a list of these; None: anything."""


class UserElement:
    """What the four kinds have in common.

    A flow calls start(), configure() whenever the format is agreed anew, process() for each frame, drain() at the
    end and stop(), one at a time. An exception ends the flow with an Error that names the element.
    """

    name: str = ""
    """In messages; from the name of the class where nothing is said."""
    input: Formats = None
    """What it takes."""
    output: Formats = None
    """What it makes; None: what it takes."""
    writes_pixels: ClassVar[bool] = False
    """For elements that work in place: the picture is changed, not only the results."""
    _kind: ClassVar[str] = ""
    _exception: BaseException | None = None

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        if "name" not in cls.__dict__:
            cls.name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", cls.__name__).lower()

    def start(self) -> None:
        """Before the first frame: what takes long belongs here."""

    def stop(self) -> None:
        """After the last frame."""

    def configure(self, input: Format, output: Format) -> None:
        """The formats are agreed."""

    def drain(self) -> Any:
        """The end of the stream."""


class _Called(UserElement):
    """Runs on single frames as well, without a flow."""

    _running: bool = False
    _agreed: str = ""

    def _prepare(self, frame: Frame) -> None:
        if not self._running:
            self.start()
            self._running = True
        if repr(frame.format) != self._agreed:
            made = self.output_format(frame.format) if isinstance(self, Transform) else frame.format
            self.configure(frame.format, made)
            self._agreed = repr(frame.format)


class Transform(_Called):
    """Makes new frames: process() gives a Frame, None, or an iterable of frames."""

    _kind = "transform"

    def output_format(self, input: Format) -> Format:
        """What it makes of frames of this format; as it stands, the same."""
        return input

    def process(self, frame: Frame) -> Frame | None | Iterable[Frame]:
        raise NotImplementedError(f"{type(self).__name__} has no process()")

    def drain(self) -> Frame | None | Iterable[Frame]:
        return None

    def __call__(self, frame: Frame) -> list[Frame]:
        self._prepare(frame)
        made = self.process(frame)
        return [] if made is None else [made] if isinstance(made, Frame) else list(made)


class TransformInplace(_Called):
    """Changes results, or pixels where writes_pixels says so. process() gives nothing or the frame; False drops it."""

    _kind = "transform_inplace"

    def process(self, frame: Frame) -> Frame | bool | None:
        raise NotImplementedError(f"{type(self).__name__} has no process()")

    def __call__(self, frame: Frame) -> list[Frame]:
        self._prepare(frame)
        return [] if self.process(frame) is False else [frame]


class Source(UserElement):
    """Makes frames from nothing: process() gives the next one, None at the end."""

    _kind = "source"

    def formats(self) -> Format | list[Format]:
        """What it can deliver, best first; asked after start()."""
        raise NotImplementedError(f"{type(self).__name__} has no formats()")

    def process(self) -> Frame | None:
        raise NotImplementedError(f"{type(self).__name__} has no process()")

    def cancel(self) -> None:
        """From another thread: makes a process() that waits return."""

    def __iter__(self) -> Iterator[Frame]:
        self.start()
        try:
            while (frame := self.process()) is not None:
                yield frame
        finally:
            self.stop()


class Sink(_Called):
    """Takes frames to wherever they go."""

    _kind = "sink"

    def process(self, frame: Frame) -> None:
        raise NotImplementedError(f"{type(self).__name__} has no process()")

    def __call__(self, frame: Frame) -> list[Frame]:
        self._prepare(frame)
        self.process(frame)
        return []
