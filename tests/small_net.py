"""Small nets that are trained for a few steps, so that their activations have realistic ranges."""

import functools
from typing import Any

import numpy as np
import torch
from shared import photograph
from torch import Tensor, nn

from pipeline_src.compression import quantization
from pipeline_src.compression.calibration import calibrate
from pipeline_src.downscaling.conv.network import Downscaler
from pipeline_src.graph.folding import GraphNet, fold
from pipeline_src.models import Description, build
from pipeline_src.models.layers import add_mean, subtract_mean
from pipeline_src.models.layers.operators import DepthToSpace

# One net of every kind: model, scales, arguments. ×4 upscales in two steps, in ECDN-M with a strided convolution.
NETS: dict[str, tuple[str, list[int], dict[str, Any]]] = {
    "abpn": ("abpn", [3], {"channels": 12, "depth": 2}),
    "abpn_nearest": ("abpn", [3], {"channels": 12, "depth": 2, "residual": "nearest"}),
    "abpn_bilinear": ("abpn", [2], {"channels": 12, "depth": 2, "residual": "bilinear"}),
    "vdsr": ("vdsr", [2, 3], {"channels": 12, "depth": 4}),
    "carn_m": ("carn", [2], {"mobile": True, "groups": 4}),
    "ecdn_m": ("ecdn", [4], {"mobile": True}),
    "edsr": ("edsr", [2], {"channels": 12, "blocks": 2, "residual_scale": 0.1}),
}
GENES = {f"{gene}{stage}{layer}": choice for stage in range(1, 5) for gene, layer, choice in (
    ("depth", "", 1), ("kernel", "_1", 5), ("width", "_1", 2))}  # fmt: skip
SPACE = {"space": "mobile", "channels": 8, "hr_channels": 4, "depths": [1], "widths": [2], "kernels": [3, 5]}
NETS["mobile_subnet"] = ("once_for_all", [4], SPACE | {"subnet": {"scale": 4, **GENES}})
PATCH = 12  # LR pixels


def trained_net() -> Any:
    """Return ABPN ×3 with 12 channels."""
    return trained("abpn")


@functools.cache
def trained(name: str) -> Any:
    """Return a net of ``NETS`` in eval mode, trained for 30 steps on one photograph.

    Its LR is the mean over scale×scale pixels.
    """
    torch.manual_seed(0)
    model, scales, arguments = NETS[name]
    net = build(model, scales, arguments)
    image = torch.tensor(photograph("chelsea.png")[:300, :450]).permute(2, 0, 1)[None].float()
    optimiser = torch.optim.Adam([p for p in net.parameters() if p.requires_grad], 2e-3)
    for step in range(30):
        scale = scales[step % len(scales)]
        y, x = 7 * step % 251, 11 * step % 401
        hr = image[..., y : y + PATCH * scale, x : x + PATCH * scale]
        lr = nn.functional.avg_pool2d(hr, scale).round()
        loss = nn.functional.l1_loss(net.at_scale(scale).train()(lr), hr)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return net.eval()


def downscaler(scale: int) -> Downscaler:
    """Return a downscaler of convolutions with 8 channels that adds something to bicubic, the same at every call."""
    torch.manual_seed(0)
    net = Downscaler(scale, channels=8, depth=1)
    nn.init.normal_(net.body[-1].weight, std=0.02)
    return net.eval()


class Cascade(nn.Module):
    """A small net of CARN's parts: grouped convolutions, a residual sum, a concatenation of two layers' outputs."""

    description = Description(scales=(2,))

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Conv2d(3, 8, 3, padding=1)
        self.grouped = nn.Conv2d(8, 8, 3, padding=1, groups=4)
        self.merge = nn.Conv2d(16, 8, 1)
        self.widen = nn.Conv2d(8, 32, 3, padding=1)
        self.upscale = DepthToSpace(2)
        self.tail = nn.Conv2d(8, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Upscale images, N×3×H×W in 0..255."""
        features = self.head(x)
        residual = torch.relu(self.grouped(features) + features)
        merged = torch.relu(self.merge(torch.cat([features, residual], dim=1)))
        return torch.clamp(self.tail(self.upscale(torch.relu(self.widen(merged)))), 0, 255)

    def at_scale(self, scale: int) -> nn.Module:
        """Return the net itself, which has one scale."""
        return self


@functools.cache
def cascade() -> Cascade:
    """Return a :class:`Cascade` in eval mode with random weights, the same at every call."""
    torch.manual_seed(1)
    return Cascade().eval()


def images() -> list[np.ndarray]:
    """Return four LR images, uint8 H×W×3."""
    pixels = photograph("coffee.png")
    return [np.ascontiguousarray(pixels[y : y + 40, x : x + 48]) for y in (100, 200) for x in (150, 300)]


def tensor(image: np.ndarray) -> Tensor:
    """Return an image, uint8 H×W×3, as a tensor, float32 1×3×H×W in 0..255."""
    return torch.tensor(image).permute(2, 0, 1)[None].float().contiguous()


class OneScale(nn.Module):
    """Any module as a net of one scale."""

    def __init__(self, net: nn.Module, scale: int) -> None:
        super().__init__()
        self.net = net
        self.description = Description(scales=(scale,))

    def at_scale(self, scale: int) -> nn.Module:
        """Return the module."""
        return self.net


class Identity(nn.Module):
    """The first and last layers of all nets of the CARN family, with an identity convolution between them."""

    def __init__(self) -> None:
        super().__init__()
        self.sub_mean = subtract_mean()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)
        nn.init.dirac_(self.conv.weight)
        nn.init.zeros_(self.conv.bias)  # type: ignore[arg-type]
        self.add_mean = add_mean()

    def forward(self, x: Tensor) -> Tensor:
        """Return images, N×3×H×W in 0..255, unchanged but for rounding."""
        return torch.clamp(self.add_mean(self.conv(self.sub_mean(x))), 0, 255)


def prepared(net: Any) -> GraphNet:
    """Return the graphs of a net with quantisers that are not calibrated yet."""
    return quantization.prepare(fold(net))


@functools.cache
def calibrated(net: Any) -> GraphNet:
    """Return the graphs of a net calibrated on :func:`images`; callers share them and must not change them."""
    graphs = prepared(net)
    calibrate(graphs, {scale: images() for scale in net.description.scales})
    return graphs
