"""The client library in Python, and the sample that stands between two modules."""

import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import sightglass as sg
from sightglass.stream import Attribute, FrameSender, ResultReceiver

MIDDLE = Path(__file__).parents[2] / "samples" / "split" / "middle.py"


def other(url, kind):
    """What connects to a bound url."""
    return f"{kind}+connect:" + url.split(":", 1)[1]


def send(sender, source="cam-1", number=0, **more):
    picture = bytes([number]) * (8 * 4 * 3)
    return sender.send_frame(source, picture, codec="raw", keyframe=True, pts=number * 40_000_000, width=8, height=4, **more)


@pytest.fixture
def pair(tmp_path):
    receiver = ResultReceiver(f"router+bind:ipc://{tmp_path}/in", sources=["cam-1"])
    return FrameSender(other(receiver.url, "dealer")), receiver


def test_frames_arrive_as_they_were_sent(pair):
    sender, receiver = pair
    uuid = send(
        sender,
        number=3,
        framerate=(25, 1),
        attributes=[Attribute("sensor", "lux", 40.0, confidence=0.5), Attribute("sensor", "door", [1, 2])],
        tags=["night"],
    )
    result = receiver.next(timeout=30)
    assert result.kind == "frame" and result.is_frame and not result.end_of_stream
    assert (result.uuid, result.source_id, result.seq, result.missing) == (uuid, "cam-1", 0, 0)
    assert (result.width, result.height, result.codec, result.keyframe) == (8, 4, "raw", True)
    assert result.pts == 120_000_000
    assert result.tags == ["night"]
    assert result.attribute("sensor", "lux") == 40.0
    assert result.attribute("sensor", "door") == [1, 2]
    assert result.attribute("sensor", "none") is None
    assert result.attributes[0].confidence == 0.5
    payload = result.payload
    assert payload.dtype == np.uint8 and (payload == 3).all() and len(payload) == 96
    assert not payload.flags.writeable


def test_an_end_closes_what_was_sent(pair):
    sender, receiver = pair
    send(sender)
    sender.send_user_data("cam-1", [Attribute("gate", "state", "open")])
    sender.end_stream("cam-1")
    kinds = [receiver.next(timeout=30).kind for _ in range(3)]
    assert kinds == ["frame", "user_data", "end_of_stream"]
    reading = threading.Thread(target=lambda: receiver.next(timeout=5))
    reading.start()
    sender.finish(30)  # acknowledged, since the last one is asked for
    receiver.interrupt()
    reading.join()
    assert sender.statistics["acknowledged"] == 3


def test_close_acknowledges_the_last_result(pair):
    sender, receiver = pair
    send(sender)
    sender.end_stream("cam-1")
    with receiver:
        assert [receiver.next(timeout=30).kind for _ in range(2)] == ["frame", "end_of_stream"]
    sender.finish(30)
    assert sender.statistics["acknowledged"] == 2
    receiver.close()  # again
    receiver.interrupt()
    with pytest.raises(ValueError, match="closed"):
        receiver.next(timeout=0)


def test_nothing_comes_in_time(pair):
    assert pair[1].next(timeout=0.01) is None


def test_bad_urls_and_values_are_refused(pair):
    with pytest.raises(sg.InvalidArgument, match="sub"):
        FrameSender("sub+connect:tcp://127.0.0.1:5560")
    with pytest.raises(sg.Error):
        ResultReceiver("nothing")
    with pytest.raises(TypeError):
        Attribute("a", "b", object())
    with pytest.raises(ValueError, match="UUID"):
        send(pair[0], uuid="12")
    with pytest.raises(sg.InvalidArgument, match="width and height"):
        pair[0].send_frame("cam-1", b"123", codec="raw", keyframe=True)


def test_forwarding_changes_only_what_is_said(pair, tmp_path):
    sender, receiver = pair
    uuid = send(sender, number=7, attributes=[Attribute("a", "x", 1), Attribute("a", "y", 2)], tags=["one"])
    result = receiver.next(timeout=30)
    last = ResultReceiver(f"pull+bind:ipc://{tmp_path}/out")
    onward = FrameSender(other(last.url, "push"))
    assert onward.forward(result, attributes=[Attribute("a", "y", 3), Attribute("b", "z", "new")], tags=["one", "two"]) == uuid
    arrived = last.next(timeout=30)
    assert (arrived.uuid, arrived.pts, arrived.tags) == (uuid, result.pts, ["one", "two"])
    assert {a.name: a.value for a in arrived.attributes} == {"x": 1, "y": 3, "z": "new"}
    assert (arrived.payload == result.payload).all()


def test_split_sample_forwards_without_touching_uuids_times_and_pictures(tmp_path):
    """What module A sends arrives at module B through a program of thirty lines; empty pictures do not."""
    at_b = ResultReceiver(f"router+bind:ipc://{tmp_path}/b")
    middle = subprocess.Popen(
        [sys.executable, str(MIDDLE), f"router+bind:ipc://{tmp_path}/a", other(at_b.url, "dealer"), "door=open"]
    )
    try:
        module_a = FrameSender(f"dealer+connect:ipc://{tmp_path}/a")
        picture = bytes([255, 216, 255, 192, 0, 17, 8, 0, 4, 0, 8, 3, 1, 34, 0, 2, 17, 1, 3, 17, 1, 255, 217])
        sent = [module_a.send_frame("cam-1", picture + bytes([i]), pts=i * 40_000_000) for i in range(5)]
        module_a.end_stream("cam-1")
        arrived = []
        while not (result := at_b.next(timeout=60)).end_of_stream:
            arrived.append(result)
            assert result.attribute("site", "door") == "open"
            assert result.tags == ["seen"]
        assert [r.uuid for r in arrived] == sent
        assert [r.pts for r in arrived] == [i * 40_000_000 for i in range(5)]
        assert [bytes(r.payload) for r in arrived] == [picture + bytes([i]) for i in range(5)]
        at_b.next(timeout=0.5)  # acknowledges the end
        assert middle.wait(60) == 0
    finally:
        middle.kill()
        middle.wait()
