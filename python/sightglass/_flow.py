"""Flow, with what is more natural to write in Python."""

from typing import Any

from . import _core
from ._element import Element
from ._user import UserElement


class Flow(_core.Flow):
    """A graph of elements that runs in threads of its own, from the text of a pipeline or call by call.

        flow = Flow("ffmpeg_multi_source inputs=a.mp4 ! object_detect model=yolox.onnx ! frame_sink name=out")

        flow = Flow()
        flow.chain(flow.add("ffmpeg_multi_source", inputs="a.mp4"), flow.add(MyElement()))

    Iterate over it for the frames that leave the last element, or run(). Ctrl-C ends it.
    """

    def add(self, element: str | Element | UserElement, name: str = "", **parameters: Any) -> int:
        """Adds an element, by its name and parameters or as an object, and gives its node."""
        if isinstance(element, UserElement):
            if parameters:
                raise TypeError("an element of one's own has its parameters already")
            return self._add_user(element, name or element.name)
        if isinstance(element, Element):
            if parameters:
                raise TypeError("an element that is made already takes no further parameters")
            return self._add(element.element_name, element._native.settings(), name)
        return self._add(element, [(key, _text(value)) for key, value in parameters.items()], name)

    def link(self, source: int, target: int) -> None:
        """From the output of one node to an input of the other."""
        self._link(source, target)

    def chain(self, *elements: int | str | Element | UserElement) -> int:
        """Adds what is no node yet, links them one behind the other, and gives the last node."""
        nodes = [one if isinstance(one, int) else self.add(one) for one in elements]
        for source, target in zip(nodes, nodes[1:]):
            self._link(source, target)
        return nodes[-1]

    def set(self, name: str, **parameters: Any) -> None:
        """Live parameters of the element of that name, while it runs."""
        for parameter, value in parameters.items():
            self._set(name, parameter, _text(value))


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple)):
        return "<" + ",".join(str(item) for item in value) + ">"
    return str(value)
