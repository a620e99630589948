"""A module inside a Python program."""

import atexit
import json
import os
import sys
import weakref
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

from ._core import _set_worker_python

if TYPE_CHECKING:
    from ._module_runner import Record


_living: "weakref.WeakSet[Module]" = weakref.WeakSet()


@atexit.register
def _end_all_modules() -> None:
    """Threads that call into Python must be gone before the interpreter is."""
    for module in list(_living):
        module.shutdown(now=True)


class Module:
    """Models loaded once, any number of streams that come and go.

        import sightglass as sg

        module = sg.Module({
            "name": "gate",
            "models": {"face": {"path": "face.onnx"}},
            "pipeline": {"elements": [{"name": "faces", "type": "detector", "model": "face"}]},
        })
        module.subscribe(lambda record: print(record.source_id, record.results.regions))
        with module:                                   # loads the models; at the end, lets frames finish
            for picture in pictures:
                module.push("cam-1", picture, codec="jpeg")
            module.end_stream("cam-1")

    The description is what a YAML file of a module says, as a dict or as the path of such a file.
    """

    def __init__(self, description: Mapping[str, Any] | str | os.PathLike[str], folder: str = "") -> None:
        from ._module_runner import ModuleRunner  # loads GStreamer

        # Workers of functions run what this program runs.
        _set_worker_python(sys.executable)
        if isinstance(description, Mapping):
            text = json.dumps({"version": 1, **description})
            self._runner = ModuleRunner.from_text(text, "Module()", folder)
        else:
            self._runner = ModuleRunner.from_file(os.fspath(description))
        _living.add(self)

    def start(self) -> None:
        """Loads the models and binds sockets."""
        self._runner.start()

    def push(
        self,
        source_id: str,
        data: Any,
        codec: str = "jpeg",
        keyframe: bool | None = None,
        pts: int | None = None,
        duration: int | None = None,
        width: int = 0,
        height: int = 0,
        framerate: tuple[int, int] | None = None,
        tags: Sequence[str] = (),
        timeout: float | None = None,
    ) -> str:
        """An encoded picture of a stream, which begins with its first one; gives the uuid by which results name it.
        Waits while the stream's queue is full, `timeout` seconds or for ever. Times are nanoseconds."""
        return self._runner.push(
            source_id, data, codec, keyframe, pts, duration, width, height, framerate, list(tags), timeout
        )

    def end_stream(self, source_id: str, timeout: float | None = None) -> None:
        """Behind what was pushed; the next picture begins another life of the stream."""
        self._runner.end_stream(source_id, timeout)

    def subscribe(self, callback: "Callable[[Record], object]") -> Callable[[], None]:
        """Calls it with every record, on threads of the module: it must not block. Gives what ends that."""
        number = self._runner.subscribe(callback)
        return lambda: self._runner.unsubscribe(number)

    def set_parameters(self, values: Mapping[str, Any], source_id: str = "") -> None:
        """Live, all of them or, with an error that says why, none; for the module or for one stream."""
        self._runner.set_parameters(json.dumps(dict(values)), source_id)

    def parameter(self, name: str, source_id: str = "") -> Any:
        return self._runner.parameter(name, source_id)

    def status(self) -> dict[str, Any]:
        """What only counts: streams with their states, rates and drops by reason."""
        return self._runner.status()

    @property
    def ready(self) -> bool:
        return self._runner.ready()

    def reasons(self) -> list[str]:
        """Why it is not ready."""
        return self._runner.reasons()

    def wait_for_sources(self) -> None:
        """Until all sources of the description have ended and every stream is gone."""
        self._runner.wait_for_sources()

    def shutdown(self, now: bool = False, deadline: float = 30.0) -> int:
        """Lets frames finish, `deadline` seconds at most; gives what a process would exit with, 0: all is well."""
        return self._runner.shutdown(now, deadline)

    def __enter__(self) -> "Module":
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.shutdown(now=kind is not None)


__all__ = ["Module"]
