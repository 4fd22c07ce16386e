"""Quality on validation images while a net is trained, compressed or searched: crops of them, compared with bicubic."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from pipeline_src.datasets.hdf5 import ImagePairs
from pipeline_src.errors import UserError
from pipeline_src.imaging.imresize import imresize_float, round_to_uint8
from pipeline_src.metrics.psnr_ssim import quality
from pipeline_src.models import SuperResolutionNet

Row = dict[str, float]
Crop = tuple[np.ndarray, np.ndarray]  # LR, uint8 h×w×3, and the HR pixels it covers, uint8 H×W×3


def upscale(net: Callable[[torch.Tensor], torch.Tensor], lr: torch.Tensor) -> torch.Tensor:
    """Return SR, uint8 H×W×3, of an LR image, uint8 h×w×3, by a net from float NCHW to float NCHW in 0..255."""
    with torch.inference_mode():
        sr = net(lr.permute(2, 0, 1)[None].float())
    return sr[0].permute(1, 2, 0).clamp(0, 255).round().to(torch.uint8)


def validation_crops(images: ImagePairs, names: Sequence[str], scale: int, crop: int) -> tuple[list[Crop], list[float]]:
    """Return the middle crops of validation images, and the Y PSNR in dB of bicubic upscaling on each of them.

    Flat images, such as a plain wall or sky, are left out: bicubic restores them exactly, so no net can be better.

    Args:
        images: the validation images.
        names: which of them.
        scale: of the LR images.
        crop: height and width of a crop in LR pixels; an image that is smaller is used up to its border.
    """
    crops, bicubic_psnrs = [], []
    for name in names:
        lr, hr = images.middle(name, scale, crop, bicubic=True)
        # Rounded once, like the output of a net: a net whose residual is zero equals bicubic to the last digits.
        psnr_y = quality(hr, round_to_uint8(imresize_float(lr, scale)), scale).psnr_y
        if math.isfinite(psnr_y):
            crops.append(images.middle(name, scale, crop))
            bicubic_psnrs.append(psnr_y)
    return crops, bicubic_psnrs


class BehindDownscaler(nn.Module):
    """An upscaler of the small images of a downscaler, both as they are deployed: HR in, SR out, to be measured.

    Args:
        upscaler: the net from LR to SR.
        downscaler: a module from HR to LR in 0..255.
    """

    def __init__(self, upscaler: SuperResolutionNet, downscaler: nn.Module) -> None:
        super().__init__()
        self.upscaler, self.downscaler = upscaler, downscaler
        self.description = dataclasses.replace(upscaler.description, takes="HR")

    def at_scale(self, scale: int) -> nn.Module:
        """Return a module from HR, whose sides are multiples of the scale, to SR."""
        return nn.Sequential(self.downscaler, _Rounded(), self.upscaler.at_scale(scale))


class _Rounded(nn.Module):
    def forward(self, lr: torch.Tensor) -> torch.Tensor:
        return lr.clamp(0, 255).round()


@dataclass(frozen=True)
class Validator:
    """Measures nets on the same validation crops; made by :func:`validator`.

    Attributes:
        crops: LR and HR crops of each scale.
        bicubic_psnr_y: mean Y PSNR in dB of bicubic upscaling over all of them.
        device: where the nets are.
    """

    crops: dict[int, list[Crop]]
    bicubic_psnr_y: float
    device: torch.device

    def __call__(self, net: SuperResolutionNet) -> Row:
        """Put ``net`` in eval mode and return its figures.

        Returns:
            In dB: ``psnr_y`` and ``psnr_rgb``, the means over images and scales, and ``over_bicubic``, by how much
            ``psnr_y`` is above bicubic's; for several scales also ``psnr_y_x2``, …
        """
        net.eval()
        per_scale = {scale: self._measure(net, scale) for scale in self.crops}
        row = {key: _mean([figures[key] for figures in per_scale.values()]) for key in ("psnr_y", "psnr_rgb")}
        row["over_bicubic"] = row["psnr_y"] - self.bicubic_psnr_y
        if len(per_scale) > 1:
            row |= {f"psnr_y_x{scale}": figures["psnr_y"] for scale, figures in per_scale.items()}
        return row

    def _measure(self, net: SuperResolutionNet, scale: int) -> Row:
        net_at_scale = net.at_scale(scale).eval()
        takes_hr = net.description.takes == "HR"  # a net that is trained with its downscaler
        scores = []
        for lr, hr in self.crops[scale]:
            sr = upscale(net_at_scale, torch.tensor(hr if takes_hr else lr, device=self.device)).cpu().numpy()
            scores.append(quality(hr, sr, scale))
        return {
            "psnr_y": _mean([score.psnr_y for score in scores]),
            "psnr_rgb": _mean([score.psnr_rgb for score in scores]),
        }


def validator(images: ImagePairs, scales: Sequence[int], crop: int, device: torch.device) -> Validator:
    """Return a function from a net to its figures on the middle crops of all validation images.

    Args:
        images: the validation images.
        scales: at which nets are measured.
        crop: height and width of a crop in LR pixels.
        device: where the nets are.

    Raises:
        UserError: if there is no validation image, or every one is flat.
    """
    if not images.names:
        raise UserError(f"{images.path} holds no validation image; lower build_h5.validation_every")
    crops: dict[int, list[Crop]] = {}
    bicubic_psnrs: list[float] = []
    for scale in scales:
        crops[scale], psnrs = validation_crops(images, images.names, scale, crop)
        bicubic_psnrs += psnrs
    if not all(crops.values()):
        raise UserError(
            f"every validation image of {images.path} is flat; lower build_h5.validation_every to have others"
        )
    return Validator(crops, _mean(bicubic_psnrs), device)


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)
