"""An upscaler and a learned downscaler as one net: HR images in, and through small 8-bit ones out again."""

import dataclasses
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor, nn

from pipeline_src import downscaling
from pipeline_src.config import Downscaler
from pipeline_src.datasets import hdf5
from pipeline_src.datasets.hdf5 import ImagePairs
from pipeline_src.downscaling import LearnedDownscaler
from pipeline_src.imaging.images import through_jpeg
from pipeline_src.imaging.imresize import modcrop
from pipeline_src.models import SuperResolutionNet
from pipeline_src.progress import progress_bar
from pipeline_src.starts import load_into
from pipeline_src.training.shrinking import Shrinkable
from pipeline_src.weights import begun_from, build_downscaler, save_net


class Joint(nn.Module):
    """An upscaler and its learned downscaler: it takes HR, and adds the downscaler's regularisers to the loss.

    Args:
        upscaler: the net from LR to SR.
        downscaler: from HR to LR.
        spec: how LR is rounded, whether it goes through JPEG, and the weights of the regularisers.
    """

    def __init__(self, upscaler: SuperResolutionNet, downscaler: LearnedDownscaler, spec: Downscaler) -> None:
        super().__init__()
        self.upscaler, self.downscaler, self.spec = upscaler, downscaler, spec
        self.description = dataclasses.replace(upscaler.description, takes="HR")
        # A buffer, so that a training that goes on compresses its next LR image as if it had never stopped.
        self.steps: Tensor
        self.register_buffer("steps", torch.zeros(()), persistent=bool(spec.jpeg))

    def smallest(self) -> "Joint":
        """Return the smallest subnet of an upscaler that is being shrunk, with the same downscaler."""
        assert isinstance(self.upscaler, Shrinkable)
        return Joint(self.upscaler.smallest(), self.downscaler, self.spec)

    def at_scale(self, scale: int) -> nn.Module:
        """Return a module from HR to SR, which in train mode also returns a scalar to be added to the loss."""
        return _ThroughLR(self, self.upscaler.at_scale(scale))

    def next_step(self) -> int:
        """Return the number of the training step and count it."""
        step = int(self.steps)
        self.steps += 1
        return step


class _ThroughLR(nn.Module):
    def __init__(self, joint: Joint, upscaler: nn.Module) -> None:
        super().__init__()
        self.downscaler, self.upscaler, self.spec = joint.downscaler, upscaler, joint.spec
        self._next_step = joint.next_step  # the method, so that the counter stays a buffer of the joint net alone

    def forward(self, hr: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        lr, sampling = self.downscaler(hr)
        lr = (round_soft if self.spec.rounding == "soft" else round_straight)(lr)
        if not self.training:
            sr: Tensor = self.upscaler(lr)
            return sr[..., : hr.shape[2], : hr.shape[3]]
        if self.spec.jpeg:
            lr = _through_jpeg(lr, self.spec.jpeg, self._next_step())
        penalty = self.spec.offset_weight * sampling.offset_distance()
        penalty = penalty + self.spec.tv_weight * sampling.partial_variation()
        if self.spec.bicubic_weight:
            penalty = penalty + self.spec.bicubic_weight * sampling.distance_to_bicubic()
        output = self.upscaler(lr)
        sr, upscaler_penalty = output if isinstance(output, tuple) else (output, 0.0)
        return sr, penalty + upscaler_penalty


def untrained_downscaler(spec: Downscaler, scales: list[int], where: str) -> LearnedDownscaler | None:
    """Return the downscaler that ``spec`` describes, with its start weights if it has some; None if it learns nothing.

    Raises:
        UserError: which names ``where`` in params.yaml, if it cannot be built.
    """
    if not spec.learns:
        return None
    downscaler = build_downscaler(spec.model, scales, spec.net, where)
    if spec.start:
        load_into(downscaler, spec.start)
    return downscaler


def save_downscaler(
    downscaler: LearnedDownscaler, spec: Downscaler, steps: int, images: Iterable[ImagePairs], folder: Path
) -> None:
    """Write a trained downscaler, and ``lr.h5``, the LR images that it makes of all images of train.h5.

    Later stages train and calibrate on these LR images.

    Args:
        downscaler: the downscaler.
        spec: what it was built from.
        steps: for how many it was trained.
        images: of train.h5.
        folder: where the two files go.
    """
    scale, origin = downscaler.scale, begun_from(spec.start.file if spec.start else "", steps)
    metadata = {"downscaler": spec.model, "scales": [scale], "net": spec.net, "origin": origin}
    save_net(folder / "weights.safetensors", downscaler, metadata)
    downscaler.eval()
    named = [(pairs, name) for pairs in images for name in pairs.names]
    lr_images = (
        (pairs.split, name, {scale: downscaling.downscale(downscaler, modcrop(pairs.hr(name), scale))})
        for pairs, name in progress_bar(named, "downscale", "image")
    )
    hdf5.write_lr(folder / "lr.h5", lr_images)


def round_soft(lr: Tensor) -> Tensor:
    """LR clipped to 0..255 and rounded; its gradient is that of x − sin(2πx)/2π, none where it was clipped."""
    clipped = lr.clamp(0, 255)
    soft = clipped - torch.sin(2 * torch.pi * clipped) / (2 * torch.pi)
    return soft + (clipped.round() - soft).detach()


def round_straight(lr: Tensor) -> Tensor:
    """LR clipped to 0..255 and rounded; its gradient passes as if it had only been clipped."""
    clipped = lr.clamp(0, 255)
    return clipped + (clipped.round() - clipped).detach()


def _through_jpeg(lr: Tensor, qualities: list[int], step: int) -> Tensor:
    """Each LR image of the batch as a JPEG file gives it back, of one quality after the other; the gradient of ``lr``.

    Quality 100 stands for no JPEG at all.
    """
    pixels = lr.detach().permute(0, 2, 3, 1).to(torch.uint8).cpu().numpy()
    back = pixels.copy()
    for i, image in enumerate(pixels):
        quality = qualities[(step * len(pixels) + i) % len(qualities)]
        if quality < 100:
            back[i] = through_jpeg(image, quality)
    return lr + (torch.from_numpy(back).permute(0, 3, 1, 2).to(lr) - lr).detach()
