"""Models of PyTorch as an element: AOTInductor packages, exported programs, and torchvision's models.

    from sightglass.torch import PytorchTensorInference

    infer = PytorchTensorInference(model="resnet18.pt2")            # AOTInductor or torch.export
    infer = PytorchTensorInference(model="torchvision.models.resnet18", model_weights="resnet18.pth", device="cuda")

Tensors go in and come out by DLPack, on the CPU without a copy. TorchScript (.pt) is run by the element
pytorch_tensor_inference of the library, which needs no Python.
"""

import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from ._core import Format, Frame, Tensor
from ._errors import InvalidArgument, NotFound, Unavailable, Unsupported
from ._user import Transform

_TORCHVISION = "torchvision.models."


def _is_aot_package(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as package:
            return any("aotinductor" in name for name in package.namelist())
    except zipfile.BadZipFile as error:
        raise InvalidArgument(f"{path} is no .pt2 package: {error}") from error


def _from_torchvision(name: str, weights: str) -> torch.nn.Module:
    try:
        import torchvision
    except ImportError as error:
        raise Unavailable(f"{_TORCHVISION}{name} needs torchvision: {error}") from error
    try:
        # Nothing is downloaded: weights come from the file, or the model starts with random ones.
        options = {"weights": None, "weights_backbone": None} if "." in name else {"weights": None}
        model = torchvision.models.get_model(name.rpartition(".")[2], **options)
    except ValueError as error:
        raise NotFound(f"torchvision has no model {name}: {error}") from error
    if weights:
        model.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    return model


def _load(model: str, weights: str, device: str) -> Any:
    if model.startswith(_TORCHVISION):
        return _from_torchvision(model[len(_TORCHVISION) :], weights).eval().to(device)
    path = Path(model)
    if not path.exists():
        raise NotFound(f"{model}: no such file; a model of torchvision is written torchvision.models.NAME")
    if path.suffix != ".pt2":
        raise InvalidArgument(f"{model}: this element runs .pt2 packages; .pt is for the library's own")
    if _is_aot_package(path):
        return torch._inductor.aoti_load_package(str(path))
    return torch.export.load(str(path)).module().to(device)


def _flat(output: Any, name: str = "output") -> list[tuple[str, torch.Tensor]]:
    """Names and tensors of whatever a model returns."""
    if isinstance(output, torch.Tensor):
        return [(name, output)]
    if isinstance(output, Mapping):
        return [one for key, value in output.items() for one in _flat(value, str(key))]
    if isinstance(output, (list, tuple)):
        single = len(output) == 1
        return [one for i, value in enumerate(output) for one in _flat(value, name if single else f"{name}{i}")]
    raise Unsupported(f"the model returns {type(output).__name__}, not tensors")


class PytorchTensorInference(Transform):
    """Runs a PyTorch model on tensors; makes one tensor per output of the model."""

    name = "pytorch_tensor_inference"
    input = "tensors"
    output = "tensors"

    def __init__(self, model: str, model_weights: str = "", device: str = "cpu") -> None:
        self.model, self.model_weights, self.device = str(model), str(model_weights), device
        self._module: Any = None
        self._formats: dict[str, Format] = {}

    def start(self) -> None:
        if self.device.startswith("cuda") and not torch.cuda.is_available():
            raise Unavailable(f"device={self.device}: this PyTorch has no CUDA device")
        if self._module is None:
            self._module = _load(self.model, self.model_weights, self.device)

    def stop(self) -> None:
        self._module = None
        self._formats.clear()

    def _run(self, tensors: Iterable[torch.Tensor]) -> list[tuple[str, torch.Tensor]]:
        inputs = [t if t.is_floating_point() else t.float() for t in tensors]
        with torch.inference_mode():
            return _flat(self._module(*(t.to(self.device) for t in inputs)))

    def output_format(self, input: Format) -> Format:
        """Found by a dry run on zeros."""
        key = repr(input)
        if key not in self._formats:
            self.start()
            zeros = [
                torch.zeros(shape, dtype=getattr(torch, dtype))
                for shape, dtype in zip(input.shapes, input.dtypes)
            ]
            made = self._run(zeros)
            self._formats[key] = Format.tensors(
                [(str(t.dtype).removeprefix("torch."), tuple(t.shape)) for _, t in made],
                [name for name, _ in made],
                Path(self.model).stem if not self.model.startswith(_TORCHVISION) else self.model.split(".")[-1],
            )
        return self._formats[key]

    def process(self, frame: Frame) -> Frame:
        made = self._run(torch.from_dlpack(tensor) for tensor in frame.tensors)
        tensors = [Tensor.from_dlpack(t.detach().cpu().contiguous()) for _, t in made]
        return Frame.from_tensors(tensors, [name for name, _ in made], like=frame)


__all__ = ["PytorchTensorInference"]
