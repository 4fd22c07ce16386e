"""A small ABPN that has learnt a little, so that its ranges are those of a net and not of noise."""

import functools
from typing import Any

import numpy as np
import torch
from shared import photograph
from torch import Tensor, nn

from pipeline_src.compression import quantization
from pipeline_src.models import Description, build
from pipeline_src.models.layers import DepthToSpace


@functools.cache
def trained_net() -> Any:
    """ABPN ×3 of 12 channels after 30 steps on one photograph whose LR is its mean over 3×3 pixels."""
    torch.manual_seed(0)
    hr = torch.tensor(photograph("chelsea.png")[:297, :450]).permute(2, 0, 1)[None].float()
    lr = nn.functional.avg_pool2d(hr, 3).round()
    net = build("abpn", [3], {"channels": 12, "depth": 2})
    optimiser = torch.optim.Adam(net.parameters(), 2e-3)
    for step in range(30):
        y, x = 7 * step % 67, 11 * step % 118
        target = hr[..., 3 * y : 3 * y + 96, 3 * x : 3 * x + 96]
        loss = nn.functional.l1_loss(net(lr[..., y : y + 32, x : x + 32]), target)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return net.eval()


class Cascade(nn.Module):
    """What CARN is made of, in small: grouped convolutions, a residual sum, a concatenation of two nets' outputs."""

    description = Description(scales=(2,))

    def __init__(self) -> None:
        super().__init__()
        self.entry = nn.Conv2d(3, 8, 3, padding=1)
        self.grouped = nn.Conv2d(8, 8, 3, padding=1, groups=4)
        self.merge = nn.Conv2d(16, 8, 1)
        self.widen = nn.Conv2d(8, 32, 3, padding=1)
        self.upscale = DepthToSpace(2)
        self.exit = nn.Conv2d(8, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        entry = self.entry(x)
        residual = torch.relu(self.grouped(entry) + entry)
        merged = torch.relu(self.merge(torch.cat([entry, residual], dim=1)))
        return torch.clamp(self.exit(self.upscale(torch.relu(self.widen(merged)))), 0, 255)

    def at_scale(self, scale: int) -> nn.Module:
        return self


def cascade() -> Cascade:
    torch.manual_seed(1)
    return Cascade().eval()


def images() -> list[np.ndarray]:
    """Four LR images, uint8 H×W×3."""
    pixels = photograph("coffee.png")
    return [np.ascontiguousarray(pixels[y : y + 64, x : x + 80]) for y in (100, 200) for x in (150, 300)]


def tensor(image: np.ndarray) -> Tensor:
    return torch.tensor(image).permute(2, 0, 1)[None].float().contiguous()


def calibrated(net: nn.Module) -> Any:
    prepared = quantization.prepare(net)
    quantization.calibrate(prepared, images())
    return prepared
