"""Delivered functions around a model: those that YAML and elements take by name, and the plain ones behind them.

    nms = sightglass.functions.make("nms", iou_threshold=0.4)
    nms(frame)                                  # drops objects of the frame

    for function in sightglass.functions.all():
        print(function.name, function.hook, function.parameters)
"""

from ._core import FunctionInfo, FunctionStep
from ._core import function_align_face_5pt as align_face_5pt
from ._core import function_all as all
from ._core import function_crop_expand as crop_expand
from ._core import function_l2_normalize as l2_normalize
from ._core import function_letterbox as letterbox
from ._core import function_make as make
from ._core import function_rotated_iou as rotated_iou
from ._core import function_softmax as softmax
from ._core import function_warp_plate as warp_plate

__all__ = [
    "FunctionInfo",
    "FunctionStep",
    "align_face_5pt",
    "all",
    "crop_expand",
    "l2_normalize",
    "letterbox",
    "make",
    "rotated_iou",
    "softmax",
    "warp_plate",
]
