"""The same frames inside a GStreamer pipeline, for pad probes.

    def probe(pad, info):
        with sightglass.gst.frame(info.get_buffer(), pad.get_current_caps()) as frame:
            frame.regions = [r for r in frame.regions if r.confidence > 0.5]
        return Gst.PadProbeReturn.OK

Pixels are those of the buffer, not copied; regions and attributes are read from its metadata, and what has changed
is written back at the end of the `with`, where every element downstream finds it.
"""

from contextlib import AbstractContextManager
from typing import Any

import gi

gi.require_version("Gst", "1.0")
from gi.repository import Gst  # noqa: E402

from . import _gst  # noqa: E402
from ._core import Frame  # noqa: E402


def frame(buffer: Any, caps: Any) -> AbstractContextManager[Frame]:
    """The frame in a Gst.Buffer whose format the Gst.Caps say, for the time of a `with`."""
    if not isinstance(buffer, Gst.Buffer):
        raise TypeError(f"needs a Gst.Buffer, not {type(buffer).__name__}")
    if not isinstance(caps, Gst.Caps):
        raise TypeError(f"needs the Gst.Caps of the pad, not {type(caps).__name__}")
    return _gst.BufferFrame(buffer, caps)


__all__ = ["frame"]
