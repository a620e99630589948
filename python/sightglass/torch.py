"""Models of PyTorch as an element: AOTInductor packages, exported programs, and torchvision's models.

    from sightglass.torch import PytorchTensorInference

    infer = PytorchTensorInference(model="resnet18.pt2")            # AOTInductor or torch.export
    infer = PytorchTensorInference(model="torchvision.models.resnet18", model_weights="resnet18.pth", device="CUDA:0")

Tensors go in and come out by DLPack, without a copy: those of the CPU to models there, those of a CUDA device to models
on it, in the order of their streams. TorchScript (.pt) is run by the element
pytorch_tensor_inference of the library, which needs no Python.
"""

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch

from ._core import Format, Frame, Tensor
from ._errors import InvalidArgument, NotFound, Unavailable, Unsupported
from ._torch_runner import Runner
from ._user import Transform

_TORCHVISION = "torchvision.models."
_Made = TypeVar("_Made")


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


def _torch_device(name: str) -> str:
    """'CUDA:0', as elements of the library call it, or 'cuda', as PyTorch does."""
    kind, _, number = name.strip().lower().replace(".", ":").partition(":")
    kind = "cuda" if kind == "gpu" else kind
    if kind not in ("cpu", "cuda") or (number and not number.isdecimal()):
        raise InvalidArgument(f"device={name}: there are cpu and CUDA[:n]")
    return f"cuda:{int(number or 0)}" if kind == "cuda" else "cpu"


class _Stream:
    """A stream of a CUDA device: what is done in it does not wait for anybody, and nobody for it."""

    def __init__(self, device: str) -> None:
        self._stream = torch.cuda.Stream(device)
        self._done = torch.cuda.Event(blocking=True)  # who waits for it sleeps

    def run(self, work: Callable[[], _Made]) -> _Made:
        with torch.cuda.stream(self._stream):
            made = work()
            self._done.record()
        # Until then inputs are being read, and results on their way to the host.
        self._done.synchronize()
        return made


class PytorchTensorInference(Transform):
    """Runs a PyTorch model on tensors; makes one tensor per output of the model.

    On CUDA it takes tensors in CUDA memory as well, as they are, in the order of its own stream. Models run with
    channels-last, and as a CUDA graph at the shapes that come first; other shapes run without. Of AOTInductor packages
    neither is done: they are compiled for what they were exported with. Results are brought to the host, unless
    results_on_device says that the next element takes them where they are.
    """

    name = "pytorch_tensor_inference"
    input = "tensors"
    output = "tensors"

    def __init__(
        self,
        model: str,
        model_weights: str = "",
        device: str = "cpu",
        channels_last: bool | None = None,
        graphs: bool | None = None,
        results_on_device: bool = False,
    ) -> None:
        self.model, self.model_weights, self.device = str(model), str(model_weights), _torch_device(device)
        self._on_cuda = self.device != "cpu"
        self._channels_last, self._graphs = channels_last, graphs
        self._results_on_device = results_on_device and self._on_cuda
        if self._on_cuda:
            self.input = ["tensors(cuda)", "tensors"]
        if self._results_on_device:
            self.output = "tensors(cuda)"
        self._runner: Runner | None = None
        self._stream: _Stream | None = None
        self._formats: dict[str, Format] = {}

    def start(self) -> None:
        if self._on_cuda and not torch.cuda.is_available():
            raise Unavailable(f"device={self.device}: this PyTorch has no CUDA device")
        if self._on_cuda and int(self.device[5:]) >= torch.cuda.device_count():
            raise Unavailable(f"device={self.device}: there are {torch.cuda.device_count()} CUDA devices")
        if self._runner is not None:
            return
        module = _load(self.model, self.model_weights, self.device)
        is_module = isinstance(module, torch.nn.Module)
        self._runner = Runner(
            module,
            self.device,
            self._channels_last if is_module else False,
            self._graphs if is_module else False,
        )
        self._stream = _Stream(self.device) if self._on_cuda else None

    def stop(self) -> None:
        self._runner = self._stream = None
        self._formats.clear()

    @property
    def is_recorded(self) -> bool:
        """Whether runs are a CUDA graph."""
        return self._runner is not None and self._runner.is_recorded

    def _run(self, tensors: Callable[[], list[torch.Tensor]]) -> list[tuple[str, torch.Tensor]]:
        """`tensors` is called in the stream that the model runs in, so that they are ordered for that."""

        def work() -> list[tuple[str, torch.Tensor]]:
            try:
                made = self._runner(tensors())
            except TypeError as error:
                raise Unsupported(str(error)) from error
            return [(name, self._given(tensor.detach())) for name, tensor in made]

        return self._stream.run(work) if self._stream else work()

    def _given(self, tensor: torch.Tensor) -> torch.Tensor:
        tensor = tensor.contiguous()
        if not self._on_cuda or self._results_on_device:
            return tensor
        host = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
        return host.copy_(tensor, non_blocking=True)

    def output_format(self, input: Format) -> Format:
        """Found by a dry run on zeros."""
        key = repr(input)
        if key not in self._formats:
            self.start()
            made = self._run(
                lambda: [
                    torch.zeros(shape, dtype=getattr(torch, dtype), device=self.device)
                    for shape, dtype in zip(input.shapes, input.dtypes)
                ]
            )
            self._formats[key] = Format.tensors(
                [(str(t.dtype).removeprefix("torch."), tuple(t.shape)) for _, t in made],
                [name for name, _ in made],
                Path(self.model).stem if not self.model.startswith(_TORCHVISION) else self.model.split(".")[-1],
                "cuda" if self._results_on_device else "system",
            )
        return self._formats[key]

    def process(self, frame: Frame) -> Frame:
        # PyTorch says to each tensor which stream it is going to read it in.
        made = self._run(lambda: [torch.from_dlpack(tensor) for tensor in frame.tensors])
        tensors = [Tensor.from_dlpack(t) for _, t in made]
        return Frame.from_tensors(tensors, [name for name, _ in made], like=frame)


__all__ = ["PytorchTensorInference"]
