"""Sightglass: streaming video analytics.

Frames and tensors that share their memory with numpy, torch and others; every element as a class; elements of
one's own; flows that run graphs of elements in threads.

    import sightglass as sg

    for frame in sg.Flow("ffmpeg_multi_source inputs=street.mp4 ! object_detect model=yolox.onnx"):
        print(frame.pts, frame.regions)
"""

import atexit as _atexit

from . import elements, functions
from ._core import Attribute, Box, Format, Frame, FrameMapping, Region, Tensor, _end_all_flows, plan
from ._decoder import Decoder
from ._element import Element
from ._errors import (
    Cancelled,
    Corrupt,
    Error,
    Exhausted,
    InvalidArgument,
    IOFailed,
    NotFound,
    NotNegotiated,
    Unavailable,
    Unsupported,
)
from ._flow import Flow
from ._function import Function, FunctionFrame, StreamInfo
from ._module import Module
from ._user import Sink, Source, Transform, TransformInplace

# Threads that call into Python must be gone before the interpreter is.
_atexit.register(_end_all_flows)

__all__ = [
    "Attribute",
    "Box",
    "Cancelled",
    "Corrupt",
    "Decoder",
    "Element",
    "Error",
    "Exhausted",
    "Flow",
    "Format",
    "Frame",
    "FrameMapping",
    "Function",
    "FunctionFrame",
    "IOFailed",
    "InvalidArgument",
    "Module",
    "NotFound",
    "NotNegotiated",
    "Region",
    "Sink",
    "Source",
    "StreamInfo",
    "Tensor",
    "Transform",
    "TransformInplace",
    "Unavailable",
    "Unsupported",
    "elements",
    "functions",
    "plan",
]
