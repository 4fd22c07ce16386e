"""What makes small images: the learned downscaler of a net, or MATLAB's bicubic."""

from collections.abc import Callable
from fractions import Fraction
from functools import partial

import numpy as np

from pipeline_src.errors import UserError
from pipeline_src.library.entries import BICUBIC, Entry
from pipeline_src.library.finding import find

Downscale = Callable[[np.ndarray], np.ndarray]  # from uint8 H×W×3 or H×W to uint8 ⌈H/scale⌉×⌈W/scale⌉, same channels


def of_entry(entry: Entry) -> Downscale:
    """Return the learned downscaler of a net.

    Raises:
        UserError: if it has none.
    """
    if entry.downscaler is None:
        raise UserError(
            f"{entry.name} was trained on {entry.lr} LR images, and no learned downscaler is beside it; "
            f"choose --model {BICUBIC}, or a net whose downscaler learns (`superres models NAME` says so)"
        )
    from pipeline_src import downscaling
    from pipeline_src.weights import load_downscaler

    return partial(downscaling.downscale, load_downscaler(entry.downscaler))


def resolve(model: str, scale: Fraction | None, threads: int) -> tuple[Downscale, Fraction, bool]:
    """Return a downscaler, its factor, and whether a net learned it.

    Args:
        model: ``bicubic``, or a net with a learned downscaler.
        scale: by how much the image gets smaller; None for that of the net.
        threads: of the computation.

    Raises:
        UserError: if the net has no learned downscaler or another scale, or bicubic has no scale.
    """
    import torch

    from pipeline_src.imaging.imresize import imresize

    if model == BICUBIC:
        if scale is None:
            raise UserError("bicubic makes images smaller by any factor; choose one with --scale")
        return partial(imresize, scale=1 / scale, threads=threads), scale, False
    entry = find(model)
    downscale = of_entry(entry)
    torch.set_num_threads(threads)
    own = Fraction(entry.scales[0])
    if scale not in (None, own):
        raise UserError(f"{model} makes images ×{own} smaller, not ×{float(scale or 0):g}; choose another --scale")
    return downscale, own, True
