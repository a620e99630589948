#!/usr/bin/env python3
"""A model of models.py in PyTorch, alone, with CUDA graphs and channels-last: what sightglass.torch does with it.

    torch_model.py NAME BATCH ROUNDS SECONDS     prints one JSON object; {"skipped": why} without PyTorch or CUDA
    torch_model.py NAME BATCH ROUNDS SECONDS cpu on the CPU, to see that it works
"""

import importlib.util
import json
import statistics
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent


def load_runner():
    """The runner of the Python package, which needs nothing of it."""
    for path in (HERE / "_torch_runner.py", HERE.parents[1] / "python/sightglass/_torch_runner.py"):
        if path.exists():
            spec = importlib.util.spec_from_file_location("_torch_runner", path)
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            return module
    raise FileNotFoundError("_torch_runner.py")


def measure(name: str, batch: int, rounds: int, seconds: float, device: str) -> dict:
    try:
        import torch
        import torchvision
    except ImportError as error:
        return {"skipped": str(error)}
    if device == "cuda" and not torch.cuda.is_available():
        return {"skipped": f"PyTorch {torch.__version__} has no CUDA device"}
    torch.manual_seed(1)
    half = device == "cuda"
    size = 640 if half else 64
    net = getattr(torchvision.models, name)(weights=None).eval()
    runner = load_runner().Runner(net.half() if half else net, device)
    pictures = torch.zeros(batch, 3, size, size, dtype=torch.half if half else torch.float32, device=device)

    def wait() -> None:
        if device == "cuda":
            torch.cuda.synchronize()

    for _ in range(5):
        runner([pictures])
    wait()
    rates = []
    for _ in range(rounds):
        count, begun = 0, time.monotonic()
        while time.monotonic() - begun < seconds:
            runner([pictures])
            count += 1
            if count % 8 == 0:
                wait()
        wait()
        rates.append(count * batch / (time.monotonic() - begun))
    return {"fps": statistics.median(rates), "version": torch.__version__, "graphs": runner.is_recorded}


def main() -> None:
    name, batch, rounds, seconds = sys.argv[1:5]
    print(json.dumps(measure(name, int(batch), int(rounds), float(seconds), sys.argv[5] if len(sys.argv) > 5 else "cuda")))


if __name__ == "__main__":
    main()
