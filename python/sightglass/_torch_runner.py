"""Runs a PyTorch model on tensors of one device, on CUDA with channels-last and as a recorded graph.

A model that always gets the same shapes is recorded once: its inputs are then copied to where the recording reads
them, and the whole model is started at once. What cannot be recorded (a model that looks at values on the CPU) runs
as before. Needs nothing but PyTorch.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

Named = list[tuple[str, torch.Tensor]]
_WARM_UP = 3  # runs before the recording, in which libraries choose their algorithms
_log = logging.getLogger("sightglass.torch")


def flat(output: Any, name: str = "output") -> Named:
    """Names and tensors of whatever a model returns."""
    if isinstance(output, torch.Tensor):
        return [(name, output)]
    if isinstance(output, Mapping):
        return [one for key, value in output.items() for one in flat(value, str(key))]
    if isinstance(output, (list, tuple)):
        single = len(output) == 1
        return [one for i, value in enumerate(output) for one in flat(value, name if single else f"{name}{i}")]
    raise TypeError(f"the model returns {type(output).__name__}, not tensors")


def _like(tensor: torch.Tensor) -> tuple:
    return tuple(tensor.shape), tensor.dtype


class Recording:
    """A model at fixed shapes. `record` runs what it is given and gives what repeats it, such as a CUDA graph."""

    def __init__(
        self,
        model: Callable[..., Any],
        inputs: Sequence[torch.Tensor],
        record: Callable[[Callable[[], Any]], tuple[Callable[[], None], Any]],
    ) -> None:
        # A copy in the same order of memory: channels-last stays that.
        self._inputs = [torch.empty_like(one).copy_(one) for one in inputs]
        self._shapes = [_like(one) for one in inputs]
        self._replay, made = record(lambda: model(*self._inputs))
        self._outputs = flat(made)

    def fits(self, inputs: Sequence[torch.Tensor]) -> bool:
        return [_like(one) for one in inputs] == self._shapes

    def __call__(self, inputs: Sequence[torch.Tensor]) -> Named:
        for to, one in zip(self._inputs, inputs):
            to.copy_(one, non_blocking=True)
        self._replay()
        # The next run writes to the same place.
        return [(name, one.clone()) for name, one in self._outputs]


def record_cuda_graph(run: Callable[[], Any]) -> tuple[Callable[[], None], Any]:
    """Warm-up in a stream of its own, as PyTorch wants it, then the recording."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(_WARM_UP):
            run()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    # Others, such as decoders, may allocate meanwhile.
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        made = run()
    return graph.replay, made


class Runner:
    """Thread-compatible: one at a time. Results are in the current stream of the device, like the inputs."""

    def __init__(
        self,
        model: Callable[..., Any],
        device: str,
        channels_last: bool | None = None,
        graphs: bool | None = None,
        record: Callable = record_cuda_graph,
    ) -> None:
        """None: where it helps, which is on CUDA. `model`: a module, or what runs one."""
        on_cuda = torch.device(device).type == "cuda"
        self.device = torch.device(device)
        self.channels_last = on_cuda if channels_last is None else channels_last
        self._graphs = on_cuda if graphs is None else graphs
        self._record = record
        self._recording: Recording | None = None
        self._model = model
        if isinstance(model, torch.nn.Module):
            self._model = model.to(self.device)
            if self.channels_last:
                self._model = self._model.to(memory_format=torch.channels_last)

    @property
    def is_recorded(self) -> bool:
        return self._recording is not None

    def _placed(self, tensor: torch.Tensor) -> torch.Tensor:
        tensor = tensor if tensor.is_floating_point() else tensor.float()
        order = torch.channels_last if self.channels_last and tensor.dim() == 4 else torch.preserve_format
        return tensor.to(self.device, memory_format=order, non_blocking=True)

    def __call__(self, tensors: Sequence[torch.Tensor]) -> Named:
        with torch.inference_mode():
            inputs = [self._placed(one) for one in tensors]
            if self._recording and self._recording.fits(inputs):
                return self._recording(inputs)
            if self._graphs and not self._recording:
                try:
                    self._recording = Recording(self._model, inputs, self._record)
                    return self._recording(inputs)
                except RuntimeError as error:
                    self._graphs = False
                    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
                    _log.warning("runs are not recorded as CUDA graphs: %s", reason)
            return flat(self._model(*inputs))
