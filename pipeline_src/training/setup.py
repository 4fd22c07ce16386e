"""What every training stage sets up alike."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import torch
from torch import nn

from pipeline_src.data.hdf5 import ImagePairs
from pipeline_src.errors import UserError
from pipeline_src.evaluation.metrics import quality
from pipeline_src.files import whole_file
from pipeline_src.training.loop import Row


def torch_device(device: str, threads: int) -> torch.device:
    """The torch device of ``train.device`` (auto, cpu, cuda), with deterministic algorithms and ``threads`` set."""
    if device == "cuda" and not torch.cuda.is_available():
        raise UserError("params.yaml: train.device is cuda, but torch sees no CUDA device here; set it to auto or cpu")
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True, warn_only=True)
    return torch.device("cuda" if device != "cpu" and torch.cuda.is_available() else "cpu")


def upscale(net: nn.Module, lr: torch.Tensor) -> torch.Tensor:
    """SR image, uint8 H×W×3, of an LR image, uint8 H×W×3, by a net that maps float NCHW to float NCHW in 0..255."""
    with torch.inference_mode():
        sr = net(lr.permute(2, 0, 1)[None].float())
    return sr[0].permute(1, 2, 0).clamp(0, 255).round().to(torch.uint8)


def validator(images: ImagePairs, scale: int, crop: int, device: torch.device) -> Callable[[nn.Module], Row]:
    """A function from a net to its mean ``psnr_y`` and ``psnr_rgb`` (dB), in eval mode, on the images' middle crops."""
    pairs = [images.middle(name, scale, crop) for name in images.names]
    if not pairs:
        raise UserError(f"{images.path} holds no validation image; lower build_h5.validation_every")

    def validate(net: nn.Module) -> Row:
        net.eval()
        scores = [quality(hr, upscale(net, torch.tensor(lr, device=device)).cpu().numpy(), scale) for lr, hr in pairs]
        return {key: sum(getattr(score, key) for score in scores) / len(scores) for key in ("psnr_y", "psnr_rgb")}

    return validate


def write_curve(path: Path, curve: list[Row]) -> None:
    """Write a training curve as CSV, a row per validation."""
    with whole_file(path) as aside:
        pd.DataFrame(curve).to_csv(aside, index=False)
