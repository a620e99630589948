"""sightglass.functions."""

import math

import pytest

import sightglass as sg
from sightglass import functions


def frame_with(*boxes):
    numpy = pytest.importorskip("numpy")
    frame = sg.Frame.from_numpy(numpy.zeros((100, 200, 3), numpy.uint8))
    frame.regions = [sg.Region(box, "car", score, model="cars") for box, score in boxes]
    return frame


def test_all_are_described():
    found = {function.name: function for function in functions.all()}
    assert len(found) == 13
    assert found["nms"].hook == "decode" and found["nms"].parameters == {"iou_threshold": 0.5, "per_class": True}
    assert found["soft_nms"].parameters["method"] == "gaussian"
    assert all(function.doc for function in found.values())


def test_a_step_changes_a_frame():
    frame = frame_with(((0.1, 0.1, 0.2, 0.2), 0.5), ((0.11, 0.1, 0.2, 0.2), 0.9), ((0.6, 0.6, 0.2, 0.2), 0.3))
    functions.make("nms", iou_threshold=0.4)(frame, model="others")
    assert len(frame.regions) == 3
    functions.make("nms", iou_threshold=0.4)(frame)
    assert [round(region.confidence, 2) for region in frame.regions] == [0.9, 0.3]
    functions.make("top_k", k=1)(frame, model="cars")
    assert len(frame.regions) == 1


def test_mistakes_are_errors():
    with pytest.raises(sg.NotFound, match="nmss"):
        functions.make("nmss")
    with pytest.raises(sg.InvalidArgument, match="out of range"):
        functions.make("nms", iou_threshold=2)
    with pytest.raises(sg.NotFound, match="no parameter"):
        functions.make("nms", threshold=2)
    with pytest.raises(sg.Unsupported, match="prepare"):
        functions.make("letterbox")(frame_with())


def test_plain_functions():
    assert functions.softmax([0, 0]) == [0.5, 0.5]
    assert functions.l2_normalize([3, 4]) == pytest.approx([0.6, 0.8])
    assert functions.rotated_iou((0.2, 0.3, 0.4, 0.2), 0, (0.2, 0.3, 0.4, 0.2), math.pi / 2) == pytest.approx(1 / 3)
    assert tuple(functions.crop_expand((0.4, 0.4, 0.2, 0.2), 2)) == pytest.approx((0.3, 0.3, 0.4, 0.4))
    assert functions.letterbox(200, 100, 50, 50)[1] == [0, 4, -50]
    assert functions.warp_plate([(0, 0), (96, 0), (96, 32), (0, 32)])[0] == pytest.approx([1, 0, 0])
    assert functions.align_face_5pt([(1, 1)] * 5) is None
