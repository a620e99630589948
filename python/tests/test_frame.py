"""Frames: pictures as arrays, regions and attributes, mapping, lifetimes."""

import gc

import numpy as np
import pytest

import sightglass as sg


@pytest.mark.parametrize("pixels, channels", [("BGR", 3), ("RGB", 3), ("RGBA", 4), ("BGRx", 4)])
def test_packed_pictures_share_the_array(pixels, channels):
    array = np.random.default_rng(1).integers(0, 255, (5, 7, channels), np.uint8)
    frame = sg.Frame.from_numpy(array, pixels)
    assert (frame.pixels, frame.width, frame.height) == (pixels, 7, 5)
    assert frame.numpy().ctypes.data == array.ctypes.data and np.array_equal(frame.numpy(), array)
    rgb = frame.rgb()
    assert rgb.shape == (5, 7, 3) and np.shares_memory(rgb, array)
    order = [2, 1, 0] if pixels.startswith("B") else [0, 1, 2]
    assert np.array_equal(rgb, array[..., order])


def test_grey_pictures():
    array = np.arange(12, dtype=np.uint8).reshape(3, 4)
    assert np.array_equal(sg.Frame.from_numpy(array, "GRAY8").numpy(), array)
    wide = np.arange(12, dtype=np.uint16).reshape(3, 4)
    assert np.array_equal(sg.Frame.from_numpy(wide, "GRAY16_LE").numpy(), wide)


def test_planar_rgb_is_three_planes_in_one_array():
    array = np.random.default_rng(2).integers(0, 255, (3, 5, 7), np.uint8)
    frame = sg.Frame.from_numpy(array, "RGBP")
    assert np.array_equal(frame.numpy(), array)
    assert np.array_equal(frame.rgb(), array.transpose(1, 2, 0))


def test_nv12_in_one_array_and_as_planes():
    array = np.random.default_rng(3).integers(0, 255, (12, 10), np.uint8)
    frame = sg.Frame.from_numpy(array, "NV12")
    assert (frame.width, frame.height) == (10, 8)
    luma, chroma = frame.planes
    assert np.array_equal(luma, array[:8]) and np.array_equal(chroma, array[8:].reshape(4, 5, 2))
    again = sg.Frame.from_numpy([luma, chroma], "NV12")
    assert np.shares_memory(again.planes[1], array)


def test_i420_in_one_array_has_three_planes():
    array = np.random.default_rng(4).integers(0, 255, (12, 10), np.uint8)
    planes = sg.Frame.from_numpy(array, "I420").planes
    assert [p.shape for p in planes] == [(8, 10), (4, 5), (4, 5)]
    assert np.array_equal(np.concatenate([p.ravel() for p in planes]), array.ravel())


def test_odd_sizes_are_given_as_planes():
    planes = [np.zeros((5, 7), np.uint8), np.zeros((3, 4), np.uint8), np.ones((3, 4), np.uint8)]
    frame = sg.Frame.from_numpy(planes, "I420")
    assert (frame.width, frame.height) == (7, 5) and frame.planes[2].sum() == 12
    with pytest.raises(ValueError, match="both even"):
        sg.Frame.from_numpy(np.zeros((7, 7), np.uint8), "I420")


def test_padded_rows_are_kept():
    array = np.random.default_rng(5).integers(0, 255, (4, 16, 3), np.uint8)[:, :6]
    frame = sg.Frame.from_numpy(array, "BGR")
    assert frame.tensors[0].strides == (48, 1) and np.array_equal(frame.numpy(), array)


@pytest.mark.parametrize(
    "array, pixels, error, reason",
    [
        (np.zeros((4, 4, 3), np.float32), "BGR", TypeError, "uint8"),
        (np.zeros((4, 4, 4), np.uint8), "BGR", ValueError, "4x4x3"),
        (np.zeros((4, 4), np.uint8), "BGR", ValueError, ""),
        (np.zeros((4, 4, 3), np.uint8), "BGRQ", ValueError, "one of"),
        (np.zeros((3, 4, 4), np.uint8).transpose(1, 2, 0), "BGR", ValueError, "next to each other"),
        (np.zeros((4, 4, 3), np.uint8)[::-1], "BGR", ValueError, "negative"),
        (np.zeros((4, 4, 3), np.uint8), "NV12", ValueError, "two axes"),
        (np.zeros(4, np.uint8), "GRAY8", ValueError, "two axes"),
        ([np.zeros((4, 4), np.uint8)], "I420", ValueError, "3 planes"),
    ],
)
def test_wrong_pictures_are_refused_with_the_reason(array, pixels, error, reason):
    with pytest.raises(error, match=reason):
        sg.Frame.from_numpy(array, pixels)


def test_yuv_has_no_rgb_view():
    with pytest.raises(ValueError, match="map"):
        sg.Frame.empty("NV12", 8, 8).rgb()
    with pytest.raises(ValueError, match="planes"):
        sg.Frame.empty("NV12", 8, 8).numpy()


def test_regions_are_a_list_that_writes_through(frame):
    assert frame.regions == []
    frame.regions.append(sg.Region((0.1, 0.2, 0.3, 0.4), "person", 0.9, label_id=3, track=7))
    region = frame.regions[0]
    region.box.x = 0.5
    region.label = "car"
    region.add(sg.Attribute("colour", "red", confidence=0.5))
    region.add(sg.Attribute("colour", "blue", confidence=0.6))
    kept = frame.copy().regions[0]
    assert (kept.label, kept.track, kept.label_id) == ("car", 7, 3) and kept.box.x == 0.5
    assert kept.attribute("colour").text == "blue" and len(kept.attributes) == 1
    del frame
    gc.collect()
    assert region.box.x == 0.5


def test_a_box_lives_without_its_region(frame):
    frame.regions = [sg.Region((0, 0, 0.5, 0.5))]
    box = frame.regions[0].box
    frame.regions.clear()
    del frame
    gc.collect()
    assert box.area == 0.25 and box.iou(sg.Box(0, 0, 0.5, 0.25)) == 0.5
    assert box.pixels(100, 50) == (0, 0, 50, 25) and list(box) == [0, 0, 0.5, 0.5]


def test_only_regions_go_into_the_list(frame):
    with pytest.raises(TypeError):
        frame.regions = [1]
    frame.regions.append("text")
    with pytest.raises(TypeError, match="Region"):
        frame.copy()
    with pytest.raises(TypeError):
        sg.Region("box")


@pytest.mark.parametrize(
    "value, options, kind",
    [
        ("word", {}, "text"),
        ("red", {"confidence": 0.5}, "class"),
        (2.5, {}, "number"),
        ([1.0, 2.0], {}, "vector"),
        ([0.1, 0.2, 0.9], {"kind": "keypoints"}, "keypoints"),
        (sg.Box(0, 0, 1, 1), {}, "box"),
    ],
)
def test_attributes_are_typed_by_their_value(value, options, kind):
    attribute = sg.Attribute("name", value, **options)
    assert attribute.kind == kind
    assert attribute.value == (pytest.approx(value) if isinstance(value, list) else value)


def test_attributes_hold_tensors():
    tensor = sg.Tensor.from_numpy(np.arange(3, dtype=np.float32))
    assert sg.Attribute("raw", tensor).value.numpy().tolist() == [0, 1, 2]
    with pytest.raises(TypeError):
        sg.Attribute("raw", object())


def test_times_and_crop(frame):
    assert frame.pts == 0 and frame.duration is None and frame.crop is None
    frame.pts, frame.crop = 40_000_000, (1, 2, 3, 4)
    assert (frame.pts, frame.crop) == (40_000_000, (1, 2, 3, 4))
    frame.pts = None
    assert frame.pts is None
    with pytest.raises(ValueError):
        frame.pts = -5
    with pytest.raises(ValueError):
        frame.crop = (0, 0, 1000, 1000)


def test_a_part_of_the_picture_is_not_a_copy(frame, picture):
    part = frame.view(40, 24, 12, 16)
    assert part.numpy().shape == (16, 12, 3) and np.shares_memory(part.numpy(), picture)
    assert (part.numpy()[..., 2] == 255).all()
    with pytest.raises(sg.InvalidArgument):
        frame.view(90, 0, 12, 16)


def test_mapping_to_the_same_form_shares_the_pixels(frame, picture):
    with frame.map() as mapped:
        assert np.shares_memory(mapped.numpy(), picture) and mapped.pts == 0
    with frame.map(access="read_write") as mapped:
        mapped.numpy(writable=True)[0, 0] = 9
    assert (picture[0, 0] == 9).all()


def test_mapping_to_opencv_shares_the_pixels(frame):
    try:
        with frame.map("opencv", "BGR", strict=True) as mapped:
            assert mapped.tensors[0].memory == "opencv"
    except sg.Error as error:
        pytest.skip(f"no OpenCV module: {error}")


def test_impossible_mappings_say_what_is_missing(frame):
    with pytest.raises(ValueError, match="kind of memory"):
        frame.map("nowhere")
    with pytest.raises(ValueError, match="pixel format"):
        frame.map(format="nothing")
    with pytest.raises(ValueError, match="access"):
        frame.map(access="all")
    with pytest.raises(sg.Error), frame.map("va"):
        pass
    with pytest.raises(sg.Error):
        sg.plan("system:BGR", "nowhere:BGR")


def test_views_outlive_frames_and_mappings(frame):
    with frame.map() as mapped:
        view = mapped.numpy()
    other = frame.view(0, 0, 8, 8).numpy()
    del frame, mapped
    gc.collect()
    assert view.shape == (64, 96, 3) and other.shape == (8, 8, 3)


def test_results_of_a_part_move_to_where_they_belong(frame):
    part = sg.Frame.from_tensors([sg.Tensor.empty((1, 2), "float32")], ["out"], "model", like=frame)
    part.regions = [sg.Region((0.1, 0.1, 0.2, 0.2), "a")]
    part.add(sg.Attribute("scene", "street"))
    frame.add_results(part)
    assert frame.regions[0].label == "a" and frame.attributes[0].text == "street"
    assert part.format.names == ["out"] and part.format.model == "model"


def test_gc_stress(picture):
    for i in range(300):
        frame = sg.Frame.from_numpy(picture, "BGR")
        frame.regions.append(sg.Region((0, 0, 1, 1)))
        views = [frame.numpy(), frame.rgb(), frame.tensors[0].numpy()]
        del frame
        if i % 50 == 0:
            gc.collect()
        assert views[0][0, 0, 0] == 60


def test_repr_says_what_it_is(frame):
    frame.regions = [sg.Region((0, 0, 1, 1), "cup")]
    assert repr(frame) == "Frame(BGR 96x64, pts 0.000 s, 1 region)"
    assert "cup" in repr(frame.regions[0])
