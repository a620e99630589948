"""PyTorch models through the element in Python."""

import numpy as np
import pytest

import sightglass as sg

torch = pytest.importorskip("torch", reason="python3-torch is not installed")
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
