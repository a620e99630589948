"""The same frames inside a GStreamer pipeline, in pad probes."""

import gc

import numpy as np
import pytest

import sightglass as sg

gi = pytest.importorskip("gi", reason="python3-gst-1.0 is not installed")
gi.require_version("Gst", "1.0")
gi.require_version("GstApp", "1.0")
from gi.repository import GLib, Gst  # noqa: E402

Gst.init(None)
import sightglass.gst  # noqa: E402

SOURCE = "videotestsrc num-buffers=5 pattern=black ! video/x-raw,format=BGR,width=96,height=64,framerate=25/1"


def run(text, **probes):
    """Runs the pipeline with a probe on the source pad of each element named; what a probe raises comes out."""
    pipeline = Gst.parse_launch(text)
    raised = []

    def guarded(probe):
        def call(pad, info):
            try:
                probe(pad, info)
            except BaseException as error:  # noqa: BLE001
                raised.append(error)
            return Gst.PadProbeReturn.OK

        return call

    for name, probe in probes.items():
        pad = pipeline.get_by_name(name).get_static_pad("src") or pipeline.get_by_name(name).get_static_pad("sink")
        pad.add_probe(Gst.PadProbeType.BUFFER, guarded(probe))
    pipeline.set_state(Gst.State.PLAYING)
    message = pipeline.get_bus().timed_pop_filtered(30 * Gst.SECOND, Gst.MessageType.EOS | Gst.MessageType.ERROR)
    pipeline.set_state(Gst.State.NULL)
    if raised:
        raise raised[0]
    assert message and message.type == Gst.MessageType.EOS, message and message.parse_error()


def test_pixels_and_times_of_a_buffer():
    seen = []

    def probe(pad, info):
        with sightglass.gst.frame(info.get_buffer(), pad.get_current_caps()) as frame:
            seen.append((frame.pixels, frame.width, frame.height, frame.pts, frame.numpy().shape, frame.numpy().max()))

    run(f"{SOURCE} ! identity name=here ! fakesink", here=probe)
    assert seen == [("BGR", 96, 64, i * 40_000_000, (64, 96, 3), 0) for i in range(5)]


def test_regions_travel_from_probe_to_probe():
    seen = []

    def write(pad, info):
        with sightglass.gst.frame(info.get_buffer(), pad.get_current_caps()) as frame:
            region = sg.Region((0.25, 0.25, 0.5, 0.5), "cup", 0.75, label_id=4, track=9)
            region.add(sg.Attribute("colour", "red", confidence=0.5))
            frame.regions.append(region)
            frame.add(sg.Attribute("scene", "kitchen"))

    def read(pad, info):
        with sightglass.gst.frame(info.get_buffer(), pad.get_current_caps()) as frame:
            seen.append((frame.regions, frame.attributes))

    run(f"{SOURCE} ! identity name=first ! identity name=second ! fakesink", first=write, second=read)
    assert len(seen) == 5
    for regions, attributes in seen:
        (region,) = regions
        assert (region.label, region.label_id, region.track, region.confidence) == ("cup", 4, 9, 0.75)
        assert region.box == sg.Box(0.25, 0.25, 0.5, 0.5)
        assert region.attribute("colour").text == "red"
        assert [a.value for a in attributes if a.name == "scene"] == ["kitchen"]


def test_regions_can_be_changed_and_removed():
    counts = []

    def add(pad, info):
        with sightglass.gst.frame(info.get_buffer(), pad.get_current_caps()) as frame:
            frame.regions = [sg.Region((0.1 * i, 0, 0.1, 0.1), f"class{i}") for i in range(4)]

    def thin_out(pad, info):
        with sightglass.gst.frame(info.get_buffer(), pad.get_current_caps()) as frame:
            frame.regions = frame.regions[1:3]
            frame.regions[0].label = "renamed"

    def read(pad, info):
        with sightglass.gst.frame(info.get_buffer(), pad.get_current_caps()) as frame:
            counts.append([r.label for r in frame.regions])

    run(
        f"{SOURCE} ! identity name=a ! identity name=b ! identity name=c ! fakesink", a=add, b=thin_out, c=read
    )
    assert counts == [["renamed", "class2"]] * 5


def test_masks_travel_from_probe_to_probe():
    seen = []
    scores = np.array([[0, 0.25, 1], [0.5, 0.75, 0]], np.float32)
    labels = np.array([[0, 1], [255, 1]], np.uint8)

    def write(pad, info):
        with sightglass.gst.frame(info.get_buffer(), pad.get_current_caps()) as frame:
            region = sg.Region((0.25, 0.25, 0.5, 0.5), "cup", 0.75)
            region.add(sg.Attribute("mask", sg.Tensor.from_numpy(scores), kind="mask", box=(0.25, 0.25, 0.5, 0.5)))
            frame.regions.append(region)
            frame.add(sg.Attribute("areas", sg.Tensor.from_numpy(labels), kind="mask"))

    def read(pad, info):
        with sightglass.gst.frame(info.get_buffer(), pad.get_current_caps()) as frame:
            mask = frame.regions[0].attribute("mask")
            (areas,) = [a for a in frame.attributes if a.kind == "mask"]
            seen.append((mask.kind, mask.value.numpy().copy(), list(mask.values), areas.value.numpy().copy()))

    run(f"{SOURCE} ! identity name=first ! identity name=second ! fakesink", first=write, second=read)
    assert len(seen) == 5
    for kind, cells, box, areas in seen:
        assert kind == "mask" and np.array_equal(cells, scores) and box == [0.25, 0.25, 0.5, 0.5]
        assert np.array_equal(areas, labels)


def analytics():
    try:
        gi.require_version("GstAnalytics", "1.0")
    except ValueError:
        pytest.skip("GstAnalytics has no typelib here")
    from gi.repository import GstAnalytics

    return GstAnalytics


def test_gstreamers_own_bindings_see_what_was_written():
    library = analytics()
    seen = []

    def write(pad, info):
        with sightglass.gst.frame(info.get_buffer(), pad.get_current_caps()) as frame:
            region = sg.Region((0.25, 0.25, 0.5, 0.5), "cup", 0.75, track=9)
            region.add(sg.Attribute("colour", "red", confidence=0.5))
            cells = sg.Tensor.from_numpy(np.ones((2, 2), np.float32))
            region.add(sg.Attribute("mask", cells, kind="mask", box=(0.25, 0.25, 0.5, 0.5)))
            frame.regions.append(region)

    def read(pad, info):
        meta = library.buffer_get_analytics_relation_meta(info.get_buffer())
        found, od = meta.get_od_mtd(0)
        _, x, y, w, h, confidence = od.get_location()
        masks = 0
        for i in range(library.relation_get_length(meta)):
            is_mask, mask = meta.get_segmentation_mtd(i)
            if is_mask:
                masks += 1
                place = mask.get_mask()[1:]
        seen.append((found, GLib.quark_to_string(od.get_obj_type()), (x, y, w, h), confidence, masks, place))

    run(f"{SOURCE} ! identity name=first ! identity name=second ! fakesink", first=write, second=read)
    assert seen == [(True, "cup", (24, 16, 48, 32), 0.75, 1, (24, 16, 48, 32))] * 5


def test_what_gstreamers_own_bindings_wrote_is_seen_here_and_by_our_elements():
    library = analytics()
    tracks = Gst.ElementFactory.find("object_track") is not None
    text = "appsrc name=source format=time caps=video/x-raw,format=GRAY8,width=96,height=64,framerate=25/1 "
    tracker = "! object_track " if tracks else ""
    pipeline = Gst.parse_launch(f"{text}{tracker}! identity name=here ! fakesink sync=false")
    seen, raised = [], []

    def read(pad, info):
        try:
            with sightglass.gst.frame(info.get_buffer(), pad.get_current_caps()) as frame:
                seen.append(
                    [(r.label, r.box.x, r.box.w, r.track, [a.text for a in r.attributes]) for r in frame.regions]
                )
        except BaseException as error:  # noqa: BLE001
            raised.append(error)
        return Gst.PadProbeReturn.OK

    pipeline.get_by_name("here").get_static_pad("src").add_probe(Gst.PadProbeType.BUFFER, read)
    pipeline.set_state(Gst.State.PLAYING)
    source = pipeline.get_by_name("source")
    for i in range(4):
        buffer = Gst.Buffer.new_allocate(None, 96 * 64, None)
        buffer.pts, buffer.duration = i * 40_000_000, 40_000_000
        meta = library.buffer_add_analytics_relation_meta(buffer)
        _, od = meta.add_od_mtd(GLib.quark_from_string("cup"), 24, 16, 48, 32, 0.9)
        _, cls = meta.add_one_cls_mtd(0.8, GLib.quark_from_string("red"))
        meta.set_relation(library.RelTypes.CONTAIN, od.id, cls.id)
        source.emit("push-buffer", buffer)
    source.emit("end-of-stream")
    message = pipeline.get_bus().timed_pop_filtered(30 * Gst.SECOND, Gst.MessageType.EOS | Gst.MessageType.ERROR)
    pipeline.set_state(Gst.State.NULL)
    if raised:
        raise raised[0]
    assert message and message.type == Gst.MessageType.EOS, message and message.parse_error()
    assert seen == [[("cup", 0.25, 0.5, 1 if tracks else 0, ["red"])]] * 4


def test_our_elements_see_what_python_wrote(tmp_path):
    if not Gst.ElementFactory.find("gvametaconvert"):
        pytest.skip("the GStreamer plug-in is not built")
    out = tmp_path / "out.json"

    def write(pad, info):
        with sightglass.gst.frame(info.get_buffer(), pad.get_current_caps()) as frame:
            frame.regions.append(sg.Region((0.25, 0.25, 0.5, 0.5), "cup", 0.75))

    run(
        f"{SOURCE} ! identity name=here ! gvametaconvert ! "
        f"gvametapublish file-format=json-lines file-path={out} ! fakesink",
        here=write,
    )
    assert [line.count('"label":"cup"') for line in out.read_text().splitlines()] == [1] * 5


def test_pixels_can_be_written_and_views_outlive_the_buffer():
    views = []

    def paint(pad, info):
        with sightglass.gst.frame(info.get_buffer(), pad.get_current_caps()) as frame:
            frame.numpy(writable=True)[:8] = 200

    def look(pad, info):
        with sightglass.gst.frame(info.get_buffer(), pad.get_current_caps()) as frame:
            views.append(frame.numpy())

    run(f"{SOURCE} ! identity name=a ! identity name=b ! fakesink", a=paint, b=look)
    gc.collect()
    assert all(np.array_equal(np.unique(view[:8]), [200]) and view[8:].max() == 0 for view in views)


def test_a_shared_buffer_is_refused_with_the_reason():
    kept = []

    def probe(pad, info):
        buffer = info.get_buffer()
        kept.append(info.get_buffer())
        with pytest.raises(sg.InvalidArgument, match="in use elsewhere"):
            with sightglass.gst.frame(buffer, pad.get_current_caps()) as frame:
                frame.regions.append(sg.Region((0, 0, 1, 1)))

    run(f"{SOURCE} ! identity name=here ! fakesink", here=probe)
    assert len(kept) == 5


def test_nothing_is_written_when_the_block_raises():
    counts = []

    def fail(pad, info):
        with pytest.raises(KeyError):
            with sightglass.gst.frame(info.get_buffer(), pad.get_current_caps()) as frame:
                frame.regions.append(sg.Region((0, 0, 1, 1)))
                raise KeyError

    def read(pad, info):
        with sightglass.gst.frame(info.get_buffer(), pad.get_current_caps()) as frame:
            counts.append(len(frame.regions))

    run(f"{SOURCE} ! identity name=a ! identity name=b ! fakesink", a=fail, b=read)
    assert counts == [0] * 5


def test_elements_of_python_run_on_buffers():
    shapes = []
    to_tensor = sg.elements.video_to_tensor(width=48, height=32)

    def probe(pad, info):
        with sightglass.gst.frame(info.get_buffer(), pad.get_current_caps()) as frame:
            shapes.append(to_tensor(frame)[0].numpy().shape)

    run(f"{SOURCE} ! videoconvert ! video/x-raw,format=NV12 ! identity name=here ! fakesink", here=probe)
    assert shapes == [(1, 3, 32, 48)] * 5


def test_wrong_arguments():
    with pytest.raises(TypeError, match="Gst.Buffer"):
        sightglass.gst.frame(5, Gst.Caps.from_string("video/x-raw"))
    with pytest.raises(TypeError, match="Gst.Caps"):
        sightglass.gst.frame(Gst.Buffer.new(), "caps")
    short = Gst.Buffer.new_allocate(None, 16, None)
    caps = Gst.Caps.from_string("video/x-raw,format=BGR,width=96,height=64,framerate=25/1")
    with pytest.raises(sg.Corrupt), sightglass.gst.frame(short, caps):
        pass
