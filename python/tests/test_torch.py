"""PyTorch models through the element in Python."""

import numpy as np
import pytest

import sightglass as sg

torch = pytest.importorskip("torch", reason="python3-torch is not installed")
from sightglass._torch_runner import Recording, Runner  # noqa: E402
from sightglass.torch import PytorchTensorInference  # noqa: E402


class Sum(torch.nn.Module):
    """Two outputs of different shapes."""

    def forward(self, x):
        return x.mean(dim=(2, 3)), x[:, :1] * 2


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    path = tmp_path_factory.mktemp("torch") / "sum.pt2"
    torch.export.save(torch.export.export(Sum().eval(), (torch.zeros(1, 3, 4, 6),)), str(path))
    return path


@pytest.fixture
def tensors():
    array = np.random.default_rng(1).random((1, 3, 4, 6), np.float32)
    return array, sg.Frame.from_tensors([sg.Tensor.from_numpy(array)], pts=7)


def check(array, made):
    mean, double = (t.numpy() for t in made.tensors)
    assert np.allclose(mean, array.mean(axis=(2, 3)), atol=1e-6) and np.allclose(double, array[:, :1] * 2)
    assert made.pts == 7


def test_exported_programs(exported, tensors):
    array, frame = tensors
    infer = PytorchTensorInference(model=exported)
    made = infer.output_format(frame.format)
    assert made.shapes == [(1, 3), (1, 1, 4, 6)] and made.dtypes == ["float32", "float32"]
    check(array, infer(frame)[0])


def test_aot_inductor_packages(tmp_path, tensors):
    array, frame = tensors
    program = torch.export.export(Sum().eval(), (torch.zeros(1, 3, 4, 6),))
    try:
        path = torch._inductor.aoti_compile_and_package(program, package_path=str(tmp_path / "sum.pt2"))
    except Exception as error:  # noqa: BLE001
        pytest.skip(f"this PyTorch cannot compile packages: {str(error).splitlines()[0][:200]}")
    check(array, PytorchTensorInference(model=path)(frame)[0])


def test_models_of_torchvision_and_their_weights(tmp_path):
    torchvision = pytest.importorskip("torchvision", reason="python3-torchvision is not installed")
    reference = torchvision.models.squeezenet1_1(weights=None).eval()
    weights = tmp_path / "weights.pth"
    torch.save(reference.state_dict(), weights)
    array = np.random.default_rng(1).random((1, 3, 64, 64), np.float32)
    infer = PytorchTensorInference(model="torchvision.models.squeezenet1_1", model_weights=weights)
    (made,) = infer(sg.Frame.from_tensors([sg.Tensor.from_numpy(array)]))
    with torch.inference_mode():
        expected = reference(torch.from_numpy(array)).numpy()
    assert np.allclose(made.numpy(), expected, atol=1e-4)


def test_it_runs_in_a_flow(exported):
    class Once(sg.Source):
        done = False

        def formats(self):
            return sg.Format.video("RGB", 6, 4)

        def process(self):
            if self.done:
                return None
            self.done = True
            return sg.Frame.from_numpy(np.full((4, 6, 3), 51, np.uint8), "RGB", pts=7)

    flow = sg.Flow()
    flow.chain(
        Once(), sg.elements.video_to_tensor(width=6, height=4, scale=255), PytorchTensorInference(model=exported)
    )
    (made,) = list(flow)
    assert np.asarray(made.tensors[0]).shape == (1, 3)


@pytest.mark.parametrize(
    "options, error, reason",
    [
        ({"model": "/nowhere.pt2"}, sg.NotFound, "no such file"),
        ({"model": "torchvision.models.no_such_model"}, sg.Error, "no_such_model|torchvision"),
        ({"model": __file__}, sg.InvalidArgument, "pt2"),
    ],
)
def test_wrong_models(options, error, reason, tensors):
    with pytest.raises(error, match=reason):
        PytorchTensorInference(**options)(tensors[1])


def test_a_file_that_is_no_package(tmp_path, tensors):
    path = tmp_path / "bad.pt2"
    path.write_bytes(b"nothing")
    with pytest.raises(sg.InvalidArgument, match="no .pt2 package"):
        PytorchTensorInference(model=path)(tensors[1])


def test_cuda_where_there_is_none(exported, tensors):
    if torch.cuda.is_available():
        check(tensors[0], PytorchTensorInference(model=exported, device="cuda")(tensors[1])[0])
    else:
        with pytest.raises(sg.Unavailable, match="CUDA"):
            PytorchTensorInference(model=exported, device="cuda")(tensors[1])


@pytest.mark.parametrize("name, shown", [("CUDA:0", "cuda:0"), ("gpu.1", "cuda:1"), ("cuda", "cuda:0"), ("CPU", "cpu")])
def test_devices_have_the_names_of_the_library(exported, name, shown):
    infer = PytorchTensorInference(model=exported, device=name)
    assert infer.device == shown
    assert ("tensors(cuda)" in infer.input) == (shown != "cpu")


@pytest.mark.parametrize("name", ["NPU", "CUDA:x", "CUDA:-1", ""])
def test_other_devices_are_refused(exported, name):
    with pytest.raises(sg.InvalidArgument, match="device="):
        PytorchTensorInference(model=exported, device=name)


def test_formats_say_where_tensors_lie():
    assert sg.Format.tensors([("float32", (1, 3))], memory="cuda").memory == "cuda"
    assert sg.Format.tensors([("float32", (1, 3))]).memory == "system"
    with pytest.raises(ValueError, match="system or cuda"):
        sg.Format.tensors([("float32", (1, 3))], memory="opencl")


# ---- the runner: what it does on CUDA, with a recording that a CPU can play


class Counted(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 4, 3)
        self.runs = 0

    def forward(self, x):
        self.runs += 1
        self.is_channels_last = x.is_contiguous(memory_format=torch.channels_last)
        return {"sum": self.conv(x).sum(dim=(2, 3))}


class PlayedOnCpu:
    """As a CUDA graph: what was recorded reads and writes at the same places again and again."""

    def __init__(self):
        self.replays = 0

    def __call__(self, run):
        made = run()

        def replay():
            self.replays += 1
            for name, value in run().items():
                made[name].copy_(value)

        return replay, made


@pytest.fixture
def pictures():
    generator = torch.Generator().manual_seed(1)
    return [torch.rand(1, 3, 8, 8, generator=generator) for _ in range(3)]


def test_a_recording_gives_what_the_model_gives_and_keeps_results_apart(pictures):
    model, played = Counted().eval(), PlayedOnCpu()
    runner = Runner(model, "cpu", channels_last=True, graphs=True, record=played)
    made = [runner([one])[0] for one in pictures]
    assert runner.is_recorded and played.replays == 3 and model.is_channels_last
    for (name, found), picture in zip(made, pictures):
        with torch.inference_mode():
            assert name == "sum" and torch.allclose(found, model(picture)["sum"], atol=1e-5)
    # Other shapes run without it, and it is kept.
    runner([torch.zeros(2, 3, 8, 8)])
    assert played.replays == 3
    runner([pictures[0]])
    assert played.replays == 4


def test_what_cannot_be_recorded_runs_as_it_is(pictures, caplog):
    def refuses(run):
        raise RuntimeError("operation not permitted when stream is capturing\nmore")

    runner = Runner(Counted().eval(), "cpu", graphs=True, record=refuses)
    assert runner([pictures[0]])[0][1].shape == (1, 4) and not runner.is_recorded
    assert len(caplog.records) == 1 and "not recorded as CUDA graphs: operation not permitted" in caplog.text
    runner([pictures[0]])
    assert len(caplog.records) == 1


def test_integers_become_floats_and_other_results_are_refused(pictures):
    assert Runner(Counted().eval(), "cpu")([torch.zeros(1, 3, 8, 8, dtype=torch.uint8)])[0][1].dtype == torch.float32
    with pytest.raises(TypeError, match="returns str"):
        Runner(lambda x: "text", "cpu")([pictures[0]])
    recording = Recording(lambda x: {"y": x + 1}, [pictures[0]], PlayedOnCpu())
    assert recording.fits([pictures[1]]) and not recording.fits([pictures[1].double()])


def test_the_benchmark_measures_the_same_runner():
    import importlib.util
    from pathlib import Path

    pytest.importorskip("torchvision", reason="python3-torchvision is not installed")
    path = Path(__file__).resolve().parents[2] / "bench/gpu/torch_model.py"
    spec = importlib.util.spec_from_file_location("torch_model", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found = module.measure("squeezenet1_1", 1, 1, 0.05, "cpu")
    assert found["fps"] > 0 and not found["graphs"]
    if not torch.cuda.is_available():
        assert "no CUDA device" in module.measure("squeezenet1_1", 1, 1, 0.05, "cuda")["skipped"]
