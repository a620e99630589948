"""The networks of write_torch_models() in make.py: TorchScript wants their sources in a file."""

from typing import Dict, List, NamedTuple, Tuple

import torch
from torch import Tensor, nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, stride=2)
        self.linear = nn.Linear(4, 3)

    def forward(self, image: Tensor) -> Tensor:
        return self.linear(torch.relu(self.conv(image)).mean(dim=[2, 3]))


class Mood(nn.Module):
    """mood() of make.py, for pictures of any size."""

    def forward(self, data: Tensor) -> Dict[str, Tensor]:
        b, g, r = torch.unbind(data / 255.0, dim=1)
        lead = torch.stack(
            [r - torch.maximum(g, b), g - torch.maximum(r, b), b - torch.maximum(r, g)], dim=1
        )
        total = (torch.relu(lead - 0.1) / 0.9).sum(dim=[2, 3])
        mean = total / torch.clamp(total.sum(dim=1, keepdim=True), min=0.001)
        return {"prob": torch.softmax(mean * 6.0, dim=1)}


class Heads(nn.Module):
    """Two inputs, a dictionary out."""

    def forward(self, left: Tensor, right: Tensor, scale: float = 2.0) -> Dict[str, Tensor]:
        return {"difference": (left - right) * scale, "sum": (left + right).sum(dim=[2, 3])}


class Result(NamedTuple):
    boxes: Tensor
    counts: Tensor


class Named(nn.Module):
    def forward(self, image: Tensor) -> Result:
        return Result(image[:, :2] * 2.0, (image > 0).sum(dim=[1, 2, 3]))


class Nested(nn.Module):
    def forward(self, image: Tensor) -> Tuple[Tensor, List[Tensor]]:
        return image.mean(), [image[:, :1].contiguous(), image.flip(3)]


class Same(nn.Module):
    """Hands its input on."""

    def forward(self, image: Tensor) -> Tensor:
        return image


class Words(nn.Module):
    def forward(self, image: Tensor) -> Tuple[Tensor, str]:
        return image, "not a tensor"


class Complex(nn.Module):
    def forward(self, image: Tensor) -> Tensor:
        return torch.complex(image, image)


class Picky(nn.Module):
    """Takes one size only, and says nothing of it."""

    def forward(self, image: Tensor) -> Tensor:
        if image.shape[-1] != 7:
            raise ValueError("seven columns are wanted")
        return image * 2.0


class Listed(nn.Module):
    def forward(self, images: List[Tensor]) -> Tensor:
        return images[0]
