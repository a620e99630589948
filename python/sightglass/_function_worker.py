"""A worker: a process that runs functions for a module, started by it with the numbers of a socket and of shared
memory as its last arguments."""

import json
import sys

from ._core import _FunctionCall, _FunctionWorker
from ._function import PROTOCOL, Code, Target, dispatch, error_line


def load(call: _FunctionCall) -> Code | str:
    """The code, or why there is none."""
    description = json.loads(call.text)
    if description["protocol"] != PROTOCOL:
        return (
            f"the Python package sightglass in {__file__} speaks version {PROTOCOL} of the workers' protocol, "
            f"the module {description['protocol']}: they belong to different installations"
        )
    try:
        return Code(description)
    except BaseException as error:
        return error_line(error, description["path"])


def main() -> None:
    worker = _FunctionWorker(int(sys.argv[-2]), int(sys.argv[-1]))
    sys.argv = sys.argv[:1]
    code: Code | str = "nothing has been loaded"
    targets: dict[int, Target] = {}
    while (call := worker.receive()) is not None:
        error: str | None = None
        if call.hook == "load":
            code = load(call)
            if isinstance(code, Code):
                call.answer = code.describe()
            else:
                error = code
        elif isinstance(code, str):
            error = code
        else:
            if call.object not in targets:
                targets[call.object] = Target(code)
            error = dispatch(targets[call.object], call)
            if call.hook == "stop" or (call.hook == "start" and error):
                del targets[call.object]
        try:
            worker.answer(call, error or "")
        except Exception as failure:  # what it left in frame.objects or frame.attributes is of no use
            worker.answer(call, error_line(failure, code.path if isinstance(code, Code) else ""))
        sys.stdout.flush()
