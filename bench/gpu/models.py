#!/usr/bin/env python3
"""Makes the models of the GPU benchmark: ImageNet networks with fixed random weights, half precision, 640x640, any
batch.

    models.py FOLDER        writes FOLDER/resnet50.onnx and FOLDER/mobilenet_v3_large.onnx
"""
import sys
from pathlib import Path

import torch
import torchvision

SIZE = 640


def write(name: str, folder: Path) -> None:
    torch.manual_seed(1)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    net = getattr(torchvision.models, name)(weights=None).eval().half().to(device)
    picture = torch.zeros(2, 3, SIZE, SIZE, dtype=torch.half, device=device)
    torch.onnx.export(
        net,
        (picture,),
        str(folder / f"{name}.onnx"),
        input_names=["images"],
        output_names=["scores"],
        dynamic_axes={"images": {0: "batch"}, "scores": {0: "batch"}},
        opset_version=17,
        dynamo=False,
    )


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name in sys.argv[2:] or ["resnet50", "mobilenet_v3_large"]:
        write(name, folder)
        print(name, flush=True)


if __name__ == "__main__":
    main()
