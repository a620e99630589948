"""Elements of the registry as classes, on single frames."""

import inspect
import os
import subprocess
import sys
import threading
import warnings

import numpy as np
import pytest

import sightglass as sg
from sightglass import elements


def test_every_element_is_a_class_with_help():
    assert {"video_to_tensor", "onnx_tensor_inference", "tensor_postproc_detection"} <= set(elements.__all__)
    for name in elements.__all__:
        made = getattr(elements, name)
        assert issubclass(made, sg.Element) and made.__name__ == name
        assert len(made.__doc__) > 40
        for parameter in made.parameters:
            assert f"{parameter}: " in made.__doc__


def test_keywords_come_from_the_descriptor():
    signature = inspect.signature(elements.video_to_tensor)
    assert {"width", "height", "pad_value"} <= set(signature.parameters)
    assert elements.video_to_tensor(width=32).width == 32
    assert "width='32'" in repr(elements.video_to_tensor(width=32))


def test_wrong_keywords_say_what_was_meant():
    with pytest.raises(TypeError, match="did you mean width"):
        elements.video_to_tensor(widht=3)
    with pytest.raises(AttributeError, match="did you mean video_to_tensor"):
        elements.video_to_tensr  # noqa: B018
    with pytest.raises(AttributeError, match="did you mean width"):
        elements.video_to_tensor().widht  # noqa: B018


@pytest.mark.parametrize("value", ["wide", -1, 1e99, [1, 2], object(), None, 10**30])
def test_wrong_values_are_value_errors(value):
    with pytest.raises(ValueError):
        elements.video_to_tensor(width=value)


def test_choices_lists_and_numpy_numbers():
    made = elements.video_to_tensor(width=np.int64(8), height=8, resize="letterbox", mean=[1, 2, 3], std=(1.0, 1.0, 1.0))
    assert made.resize == "letterbox" and made.mean == [1, 2, 3]
    with pytest.raises(ValueError, match="one of"):
        elements.video_to_tensor(resize="shrink")


def test_it_configures_itself_from_the_frame_and_again_when_that_changes(picture):
    element = elements.video_to_tensor(width=48, height=32)
    for array in (picture, picture[:32, :48].copy(), np.zeros((40, 30, 3), np.uint8)):
        (made,) = element(sg.Frame.from_numpy(array, "BGR", pts=5))
        assert made.numpy().shape == (1, 3, 32, 48) and made.pts == 5
    grey = sg.Frame.from_numpy(picture[..., 0].copy(), "GRAY8")
    assert element(grey)[0].numpy().shape == (1, 3, 32, 48)


def test_formats_that_it_does_not_take_are_refused():
    tensors = sg.Frame.from_tensors([sg.Tensor.empty((1, 4), "float32")])
    with pytest.raises(sg.NotNegotiated, match="video_to_tensor: takes .*I420.*, not float32 1x4"):
        elements.video_to_tensor(width=8, height=8)(tensors)
    with pytest.raises(sg.NotNegotiated):
        elements.video_to_tensor()(tensors)
    with pytest.raises(TypeError):
        elements.video_to_tensor()("frame")


def test_a_detector_in_steps(models, frame):
    steps = [
        elements.video_to_tensor(width=96, height=64, color="bgr"),
        elements.onnx_tensor_inference(model=models / "ssd_f32.onnx"),
        elements.tensor_postproc_detection(threshold=0.3),
    ]
    frames = [frame]
    for step in steps:
        frames = [made for one in frames for made in step(one)]
    frame.add_results(frames[0])
    (region,) = frame.regions
    assert region.box.pixels(96, 64) == pytest.approx((40, 24, 12, 16), abs=2)


def test_a_missing_model_is_an_error_with_the_path(frame):
    element = elements.onnx_tensor_inference(model="/nowhere.onnx")
    tensors = sg.Frame.from_tensors([sg.Tensor.empty((1, 3, 64, 96), "float32")])
    with pytest.raises(sg.Error, match="nowhere.onnx") as raised:
        element(tensors)
    assert raised.value.element == "onnx_tensor_inference"


def test_live_parameters_are_attributes(frame):
    element = elements.tensor_postproc_detection(threshold=0.9)
    element.threshold = 0.25
    assert element.threshold == 0.25
    element = elements.video_to_tensor(width=8, height=8)
    element(frame)
    with pytest.raises(ValueError, match="before the first frame"):
        element.width = 16
    element.stop()
    element.width = 16
    assert element(frame)[0].numpy().shape == (1, 3, 8, 16)


def test_elements_in_place_give_the_very_frame(frame):
    element = elements.opencv_meta_overlay()
    frame.regions = [sg.Region((0.1, 0.1, 0.5, 0.5), "cup")]
    before = frame.numpy().copy()
    (made,) = element(frame)
    assert made is frame and not np.array_equal(before, frame.numpy()) and frame.regions[0].id == 0


def test_results_as_text(frame):
    frame.regions = [sg.Region((0.1, 0.1, 0.5, 0.5), "cup")]
    (made,) = elements.gvametaconvert()(frame)
    assert '"cup"' in made.json


def test_a_plugin_that_does_not_load_is_a_warning(tmp_path):
    broken = tmp_path / "libbroken.so"
    broken.write_text("nothing")
    done = subprocess.run(
        [sys.executable, "-c", "import sightglass; print(len(sightglass.elements.__all__) > 10)"],
        env={**os.environ, "SIGHTGLASS_PLUGIN_PATH": str(broken)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "True\n" and "libbroken.so" in done.stderr, done.stderr


def test_threads_take_turns(frame):
    element = elements.video_to_tensor(width=48, height=32)
    errors = []

    def work():
        try:
            for _ in range(50):
                assert element(frame.copy())[0].numpy().shape == (1, 3, 32, 48)
        except Exception as error:  # noqa: BLE001
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors


def test_outputs_outlive_their_element(models, frame):
    element = elements.video_to_tensor(width=24, height=32)
    infer = elements.onnx_tensor_inference(model=models / "mood.onnx")
    with element, infer, warnings.catch_warnings():
        (tensors,) = element(frame)
        outputs = [infer(tensors)[0] for _ in range(8)]
        views = [output.tensors[0].numpy() for output in outputs]  # waits for the model
    del element, infer, tensors, outputs
    assert len({float(view.sum()) for view in views}) == 1
