"""Flows, and elements written in Python inside them."""

import gc
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pytest

import sightglass as sg


class Numbers(sg.Source):
    """Pictures whose pixels are their number."""

    def __init__(self, count, size=(8, 6)):
        self.count, self.size, self.next = count, size, 0

    def formats(self):
        return sg.Format.video("BGR", *self.size, frame_rate=(25, 1))

    def process(self):
        if self.next == self.count:
            return None
        array = np.full((self.size[1], self.size[0], 3), self.next % 256, np.uint8)
        self.next += 1
        return sg.Frame.from_numpy(array, "BGR", pts=(self.next - 1) * 40_000_000)


class Mark(sg.TransformInplace):
    """Adds an object to every frame; a decoder in small."""

    def process(self, frame):
        frame.regions.append(sg.Region((0.1, 0.1, 0.5, 0.5), "mark", confidence=0.5))
        frame.add(sg.Attribute("brightness", float(frame.numpy()[0, 0, 0])))


class Collect(sg.Sink):
    def __init__(self):
        self.frames = []

    def process(self, frame):
        self.frames.append(frame)


def flow_of(*elements):
    flow = sg.Flow()
    flow.chain(*elements)
    return flow


def test_a_source_is_iterated_over():
    frames = list(flow_of(Numbers(20)))
    assert [int(f.numpy()[0, 0, 0]) for f in frames] == list(range(20))
    assert [f.pts for f in frames] == [i * 40_000_000 for i in range(20)]


def test_elements_of_both_languages_in_a_row():
    collect = Collect()
    element = sg.elements.video_to_tensor(width=4, height=2)
    flow = flow_of(Numbers(5), Mark(), element, collect)
    flow.run()
    assert [f.numpy().shape for f in collect.frames] == [(1, 3, 2, 4)] * 5
    names = [node["element"] for node in flow.stats()]
    assert "mark" in names and "video_to_tensor" in names
    assert all(node["frames_in"] == 5 for node in flow.stats() if node["element"] == "collect")
    assert "video_to_tensor" in flow.explain()


def test_results_of_a_python_element_travel_on():
    for i, frame in enumerate(flow_of(Numbers(3), Mark())):
        assert [r.label for r in frame.regions] == ["mark"]
        assert frame.attributes[0].value == i


def test_transforms_give_none_one_or_many():
    class Repeat(sg.Transform):
        def process(self, frame):
            return [frame] * (int(frame.numpy()[0, 0, 0]) % 3)

    values = [int(f.numpy()[0, 0, 0]) for f in flow_of(Numbers(6), Repeat())]
    assert values == [1, 2, 2, 4, 5, 5]


def test_transforms_say_what_they_make():
    class Half(sg.Transform):
        input = "BGR"

        def output_format(self, input):
            return sg.Format.video("BGR", input.width // 2, input.height // 2)

        def process(self, frame):
            return sg.Frame.from_numpy(np.ascontiguousarray(frame.numpy()[::2, ::2]), "BGR")

    frames = list(flow_of(Numbers(4), Half()))
    assert [(f.width, f.height) for f in frames] == [(4, 3)] * 4
    assert [f.pts for f in frames] == [i * 40_000_000 for i in range(4)]


def test_a_frame_that_was_not_agreed_is_an_error():
    class Liar(sg.Transform):
        def process(self, frame):
            return sg.Frame.empty("BGR", 2, 2)

    with pytest.raises(sg.NotNegotiated, match="liar.*agreed"):
        flow_of(Numbers(3), Liar()).run()


def test_in_place_elements_write_pixels_and_drop():
    class Invert(sg.TransformInplace):
        writes_pixels = True

        def process(self, frame):
            if frame.numpy()[0, 0, 0] == 1:
                return False
            pixels = frame.numpy(writable=True)
            np.subtract(255, pixels, out=pixels)

    assert [int(f.numpy()[0, 0, 0]) for f in flow_of(Numbers(3), Invert())] == [255, 253]


@pytest.mark.parametrize("method", ["start", "configure", "process", "drain"])
def test_an_exception_names_the_element_and_keeps_its_traceback(method):
    class Broken(sg.TransformInplace):
        def process(self, frame):
            pass

    def fail(self, *_):
        raise KeyError("no such thing")

    setattr(Broken, method, fail)
    with pytest.raises(sg.Error, match="broken.*KeyError.*no such thing") as raised:
        flow_of(Numbers(3), Broken()).run()
    assert isinstance(raised.value.__cause__, KeyError)


def test_wrong_returns_are_errors():
    class Wrong(sg.Transform):
        def process(self, frame):
            return 5

    with pytest.raises(sg.Error, match="wrong.*iterable"):
        flow_of(Numbers(3), Wrong()).run()

    class Endless(sg.Source):
        def formats(self):
            return "BGR"

    with pytest.raises(sg.Error, match="endless"):
        flow_of(Endless(), Collect()).run()


def test_a_source_that_raises_in_the_middle():
    class Ends(Numbers):
        def process(self):
            if self.next == 3:
                raise OSError("cable pulled")
            return super().process()

    seen = []
    with pytest.raises(sg.Error, match="cable pulled"):
        for frame in flow_of(Ends(10)):
            seen.append(frame)
    assert len(seen) <= 3


def test_unknown_elements_and_bad_text():
    with pytest.raises(sg.Error, match="no_such_element"):
        sg.Flow("no_such_element ! fakesink")
    with pytest.raises(sg.Error):
        sg.Flow("video_to_tensor width=oops ! frame_sink name=out").run()
    with pytest.raises(sg.Error):
        sg.Flow().add("no_such_element")


def test_push_and_pull():
    flow = sg.Flow("frame_source name=in ! video_to_tensor width=4 height=2 ! frame_sink name=out")
    flow.start()
    for i in range(3):
        flow.push("in", sg.Frame.from_numpy(np.full((6, 8, 3), i, np.uint8), "BGR", pts=i))
    flow.end("in")
    made = []
    while (frame := flow.pull("out")) is not None:
        made.append(frame)
    flow.wait()
    assert [f.pts for f in made] == [0, 1, 2] and made[0].numpy().shape == (1, 3, 2, 4)
    with pytest.raises(sg.Error):
        flow.push("nowhere", made[0])


def test_frames_outlive_their_flow():
    flow = flow_of(Numbers(10))
    frames = list(flow)
    views = [f.numpy() for f in frames]
    del flow, frames
    gc.collect()
    assert [int(v[0, 0, 0]) for v in views] == list(range(10))


def test_leaving_a_loop_early_ends_the_flow():
    source = Numbers(10**9)
    flow = flow_of(source)
    for frame in flow:
        if frame.pts >= 200_000_000:
            break
    del flow
    gc.collect()
    stopped_at = source.next
    time.sleep(0.05)
    assert source.next == stopped_at


def when_running(flow, call, collect=None):
    """Calls from another thread, once the flow runs, and has put something into `collect`."""

    def wait():
        while not flow.running or (collect and not collect.frames):
            time.sleep(0.01)
        call()

    threading.Thread(target=wait, daemon=True).start()


def test_cancel_from_another_thread():
    flow = flow_of(Numbers(10**9), Collect())
    when_running(flow, flow.cancel)
    with pytest.raises(sg.Cancelled):
        flow.run()
    assert not flow.running


def test_finish_ends_the_sources_and_keeps_what_is_under_way():
    collect = Collect()
    flow = flow_of(Numbers(10**9), collect)
    when_running(flow, flow.finish, collect)
    flow.run()
    assert len(collect.frames) > 0


def test_a_limit_of_frames():
    flow = sg.Flow(frame_limit=7)
    flow.chain(Numbers(100))
    assert len(list(flow)) == 7


def test_live_parameters_of_a_running_flow():
    flow = sg.Flow("frame_source name=in ! tensor_postproc_detection name=decoder ! frame_sink name=out")
    with pytest.raises(sg.Error, match="nowhere"):
        flow.set("nowhere", threshold=0.5)


def test_callbacks_run_while_python_computes():
    seen = []
    flow = flow_of(Numbers(50))
    flow.on_frame(lambda frame: seen.append(frame.pts))
    flow.start()
    while len(seen) < 50:
        sum(range(1000))
    flow.wait()
    assert seen == sorted(seen)


def test_an_exception_in_a_callback_ends_the_flow():
    flow = flow_of(Numbers(50))
    flow.on_frame(lambda frame: 1 / 0)
    with pytest.raises(sg.Error, match="ZeroDivisionError"):
        flow.run()


def run_script(text, **options):
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(text)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
    )


ENDLESS = """
    import sightglass as sg, numpy as np
    class Endless(sg.Source):
        def formats(self): return sg.Format.video("BGR", 8, 8)
        def process(self): return sg.Frame.from_numpy(np.zeros((8, 8, 3), np.uint8), "BGR")
    class Sink(sg.Sink):
        def process(self, frame): pass
    flow = sg.Flow()
"""


def test_ctrl_c_ends_a_running_flow():
    process = run_script(
        ENDLESS
        + """
    flow.chain(Endless(), Sink())
    print("running", flush=True)
    try:
        flow.run()
    except KeyboardInterrupt:
        print("interrupted", flow.running, flush=True)
    """
    )
    assert process.stdout.readline() == "running\n"
    time.sleep(0.3)
    os.kill(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert out == "interrupted False\n" and process.returncode == 0, err


@pytest.mark.parametrize("ending", ["", "del flow", "import sys; sys.exit(0)", "raise SystemExit"])
def test_the_interpreter_ends_while_a_flow_runs(ending):
    process = run_script(ENDLESS + "    flow.chain(Endless(), Sink()); flow.start()\n    import time; time.sleep(0.2)\n    " + ending)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 0, err


def test_many_flows_in_threads():
    results = []

    def work():
        results.append([f.pts for f in flow_of(Numbers(20), Mark())])

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4 and all(len(r) == 20 for r in results)
