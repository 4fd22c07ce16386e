"""What makes small images: the learned downscaler of a net, or MATLAB's bicubic."""

from collections.abc import Callable
from fractions import Fraction
from functools import partial

import numpy as np

from pipeline_src.errors import UserError
from pipeline_src.library.entries import BICUBIC, Entry
from pipeline_src.library.finding import find
from pipeline_src.library.nets import TORCH, Running

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


def by_file(entry: Entry, runtime: str, variant: str, threads: int) -> Downscale:
    """Return the learned downscaler of a net as an exported file, which is made first of that of a bundled net.

    Args:
        entry: the net.
        runtime: a key of ``FORMATS``.
        variant: fp32 or ptq.
        threads: of the runtime.

    Raises:
        UserError: if the net has no learned downscaler, or there is no such file of it.
    """
    from pipeline_src import downscaling, paths
    from pipeline_src.deployment import runtimes
    from pipeline_src.deployment.formats import FORMATS
    from pipeline_src.library import files, run
    from pipeline_src.weights import load_downscaler

    of_entry(entry)
    assert entry.downscaler is not None
    wanted = files.Wanted(variant, runtime, entry.scales[0], downscaler=True)
    files.check(entry, wanted)
    if entry.source == "run":
        name = paths.downscaler_name(entry.name.partition("/")[0])
        file = run.exported_file(name, variant, FORMATS[runtime].SUFFIX, wanted.scale)
    else:
        file = files.cached(entry, wanted)
    return partial(downscaling.in_tiles, runtimes.load(file, threads), load_downscaler(entry.downscaler))


def resolve(model: str, scale: Fraction | None, running: Running) -> tuple[Downscale, Fraction, bool]:
    """Return a downscaler, its factor, and whether a net learned it.

    Args:
        model: ``bicubic``, or a net with a learned downscaler.
        scale: by how much the image gets smaller; None for that of the net.
        running: how a learned downscaler is to run: its runtime is torch, or TFLite of the variant ptq, by default.

    Raises:
        UserError: if the net has no learned downscaler, no such file or another scale, or bicubic has no scale.
    """
    import torch

    from pipeline_src.imaging.imresize import imresize

    if model == BICUBIC:
        if running.runtime or running.variant:
            raise UserError(f"{BICUBIC} is no net, and has no runtime or variant; leave these options out")
        if scale is None:
            raise UserError("bicubic makes images smaller by any factor; choose one with --scale")
        return partial(imresize, scale=1 / scale, threads=running.threads), scale, False
    entry, variant = find(model), running.variant or "fp32"
    runtime = running.runtime or (TORCH if variant == "fp32" else "tflite")
    if runtime == TORCH and variant != "fp32":
        raise UserError("torch runs the variant fp32 only; choose another --runtime or --variant fp32")
    torch.set_num_threads(running.threads)
    downscale = of_entry(entry) if runtime == TORCH else by_file(entry, runtime, variant, running.threads)
    own = Fraction(entry.scales[0])
    if scale not in (None, own):
        raise UserError(f"{model} makes images ×{own} smaller, not ×{float(scale or 0):g}; choose another --scale")
    return downscale, own, True
