"""What every training stage sets up alike."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from pipeline_src.data.hdf5 import ImagePairs
from pipeline_src.data.imresize import imresize_float, round_to_uint8
from pipeline_src.data.patches import Patches
from pipeline_src.errors import UserError
from pipeline_src.evaluation.metrics import quality
from pipeline_src.files import whole_file
from pipeline_src.params import Recipe
from pipeline_src.training.loop import Row


def torch_device(device: str, threads: int) -> torch.device:
    """The torch device of ``train.device`` (auto, cpu, cuda), with deterministic algorithms and ``threads`` set."""
    if device == "cuda" and not torch.cuda.is_available():
        raise UserError("params.yaml: train.device is cuda, but torch sees no CUDA device here; set it to auto or cpu")
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True, warn_only=True)
    return torch.device("cuda" if device != "cpu" and torch.cuda.is_available() else "cpu")


def precision_of(precision: str, device: torch.device) -> torch.dtype:
    """The dtype that convolutions compute in for ``train.precision``: auto is bfloat16 where the hardware has it.

    A CPU that has to emulate bfloat16 is several times slower with it.
    """
    if precision == "fp32":
        return torch.float32
    if precision == "bf16":
        return torch.bfloat16
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float32
    able = torch.cpu.get_capabilities()
    return torch.bfloat16 if able.get("avx512_bf16") or able.get("amx_bf16") or able.get("bf16") else torch.float32


def patches_of(images: ImagePairs, scales: Sequence[int], recipe: Recipe, seed: int) -> Patches:
    """The batches that a recipe trains on."""
    return Patches(
        images,
        scales,
        patch=recipe.patch,
        patch_of=recipe.patch_of,
        batch=recipe.batch,
        seed=seed,
        draw=recipe.draw,
        augment=recipe.augment,
    )


def upscale(net: Callable[[torch.Tensor], torch.Tensor], lr: torch.Tensor) -> torch.Tensor:
    """SR image, uint8 H×W×3, of an LR image, uint8 H×W×3, by a net that maps float NCHW to float NCHW in 0..255."""
    with torch.inference_mode():
        sr = net(lr.permute(2, 0, 1)[None].float())
    return sr[0].permute(1, 2, 0).clamp(0, 255).round().to(torch.uint8)


def beside_bicubic(
    images: ImagePairs, names: Sequence[str], scale: int, crop: int
) -> tuple[list[tuple[np.ndarray, np.ndarray]], list[float]]:
    """Middle crops, LR and HR, that nets are judged on, and the PSNR Y in dB of bicubic upscaling on each.

    Without those that are flat: of a plain wall or sky nothing can be better than bicubic.
    """
    pairs, figures = [], []
    for name in names:
        lr, hr = images.middle(name, scale, crop, bicubic=True)
        # Rounded once, as the output of a net is: a net whose residual is zero is level with it to the last digits.
        figure = quality(hr, round_to_uint8(imresize_float(lr, scale)), scale).psnr_y
        if math.isfinite(figure):
            pairs.append(images.middle(name, scale, crop))
            figures.append(figure)
    return pairs, figures


def validator(images: ImagePairs, scales: Sequence[int], crop: int, device: torch.device) -> Callable[[Any], Row]:
    """A function from a net with ``at_scale`` to its figures on the images' middle crops, in eval mode.

    Mean ``psnr_y`` and ``psnr_rgb`` and ``over_bicubic`` (by how much ``psnr_y`` beats bicubic's), all in dB, over the
    images and scales; of several scales ``psnr_y_x2`` … too.
    """
    if not images.names:
        raise UserError(f"{images.path} holds no validation image; lower build_h5.validation_every")
    pairs: dict[int, list[tuple[np.ndarray, np.ndarray]]] = {}
    of_bicubic: list[float] = []
    for scale in scales:
        pairs[scale], figures = beside_bicubic(images, images.names, scale, crop)
        of_bicubic += figures
    if not all(pairs.values()):
        raise UserError(
            f"every validation image of {images.path} is flat; lower build_h5.validation_every to have others"
        )
    bicubic = _mean(of_bicubic)

    def validate(net: Any) -> Row:
        net.eval()
        rows = {}
        for scale in scales:
            at_scale = net.at_scale(scale).eval()
            takes_hr = net.description.takes == "HR"
            found = [
                quality(hr, upscale(at_scale, torch.tensor(hr if takes_hr else lr, device=device)).cpu().numpy(), scale)
                for lr, hr in pairs[scale]
            ]
            rows[scale] = {key: _mean([getattr(one, key) for one in found]) for key in ("psnr_y", "psnr_rgb")}
        whole = {key: _mean([row[key] for row in rows.values()]) for key in ("psnr_y", "psnr_rgb")}
        whole["over_bicubic"] = whole["psnr_y"] - bicubic
        return whole | ({f"psnr_y_x{s}": row["psnr_y"] for s, row in rows.items()} if len(rows) > 1 else {})

    return validate


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def write_curve(path: Path, curve: list[Row]) -> None:
    """Write a training curve as CSV, a row per validation."""
    with whole_file(path) as aside:
        pd.DataFrame(curve).to_csv(aside, index=False)
