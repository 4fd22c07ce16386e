"""Exports small nets as the stage export does, and compares the images of their files."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from shared import photograph
from small_net import calibrated, tensor, trained

from pipeline_src import exporting
from pipeline_src.compression import quantization
from pipeline_src.deployment.cards import Facts
from pipeline_src.graph.folding import fold

SIZE = (24, 40)  # of the files of one size


def facts(**changes: Any) -> Facts:
    """Return the facts for the cards of a small net, with some fields changed."""
    defaults = Facts(
        system="small",
        model="m",
        variant="ptq",
        scale=1,
        colour="RGB",
        lr="bicubic",
        origin="trained here",
        dtype="float32",
        parameters=1,
        mult_adds=1,
        float_layers=[],
        validation={"psnr_y": 30.0},
        weights={"weights.safetensors": "0" * 64},
    )
    return replace(defaults, **changes)


def export(name: str, folder: Path, size: tuple[int, int]) -> None:
    """Export a net of ``small_net.NETS``, fp32 and ptq, at all its scales."""
    net = trained(name)
    variants = {"fp32": fold(net), "ptq": quantization.convert(calibrated(net))}
    for variant, graphs in variants.items():
        for scale in net.description.scales:
            card_facts = facts(model=name, variant=variant, scale=scale, colour=net.description.colour)
            exporting.export(graphs.at_scale(scale), folder, f"{variant}_x{scale}", size, card_facts)


def lr_images() -> Iterator[np.ndarray]:
    """Yield LR images of three shapes, uint8 H×W×3."""
    pixels = photograph("rocket.jpg")
    for y, x, height, width in ((50, 250, 64, 96), (120, 300, 37, 51), (200, 200, 51, 37)):
        yield np.ascontiguousarray(pixels[y : y + height, x : x + width])


def by_torch(net: Any, lr: np.ndarray) -> np.ndarray:
    """Return the SR image, uint8 sH×sW×3, that torch computes with a net."""
    with torch.no_grad():
        return net(tensor(lr))[0].permute(1, 2, 0).clamp(0, 255).round().to(torch.uint8).numpy()


def assert_close(image: np.ndarray, expected: np.ndarray, levels: int, decibels: float) -> None:
    """Assert that two uint8 images differ by at most ``levels``, and by a PSNR of at least ``decibels``."""
    assert image.shape == expected.shape
    assert image.dtype == expected.dtype == np.uint8
    difference = image.astype(float) - expected
    assert abs(difference).max() <= levels
    assert 10 * np.log10(255**2 / max((difference**2).mean(), 1e-10)) >= decibels
