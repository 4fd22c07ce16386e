"""One evaluation image by ``docs/protocol.md``: HR and LR, the bicubic baseline, and the crop that shows it."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline_src.errors import UserError
from pipeline_src.imaging.colour import as_rgb, to_grey
from pipeline_src.imaging.images import read_image
from pipeline_src.imaging.imresize import imresize, modcrop
from pipeline_src.metrics.psnr_ssim import WINDOW


@dataclass(frozen=True)
class EvaluationImage:
    """HR cropped to a multiple of the scale and its LR, MATLAB-identical unless it is the user's own.

    Attributes:
        name: of the file, without suffix.
        hr: uint8 H×W×3, or H×W for a grey image.
        lr: uint8 of 1/scale of the size, with the channels of ``hr``.
        scale: by how much LR is to be upscaled.
    """

    name: str
    hr: np.ndarray
    lr: np.ndarray
    scale: int

    def bicubic(self, threads: int) -> np.ndarray:
        """Return the bicubic upscaling of the same uint8 LR image that the nets get."""
        return imresize(self.lr, self.scale, "uint8", threads)

    def crop(self, side: int) -> tuple[slice, slice]:
        """Return the most detailed square of ``side`` LR pixels, where gradient energy is highest, as slices of HR."""
        grey = self.hr.reshape(*self.hr.shape[:2], -1).mean(axis=2)
        gradient = np.abs(np.diff(grey, axis=0))[:, 1:] + np.abs(np.diff(grey, axis=1))[1:]
        energy = np.pad(gradient, ((1, 0), (1, 0))).cumsum(axis=0).cumsum(axis=1)  # a summed-area table
        height, width = (min(side * self.scale, length) for length in self.hr.shape[:2])
        tops = np.arange(0, energy.shape[0] - height + 1, self.scale)
        lefts = np.arange(0, energy.shape[1] - width + 1, self.scale)
        y, x = np.meshgrid(tops, lefts, indexing="ij")
        bottom, right = np.minimum(y + height, energy.shape[0] - 1), np.minimum(x + width, energy.shape[1] - 1)
        inside = energy[bottom, right] - energy[y, right] - energy[bottom, x] + energy[y, x]
        best = np.unravel_index(inside.argmax(), inside.shape)
        top, left = int(y[best]), int(x[best])
        return slice(top, top + height), slice(left, left + width)


def load_evaluation_image(file: Path, scale: int, threads: int) -> EvaluationImage:
    """Read an image and make its LR image by ``docs/protocol.md``.

    Raises:
        UserError: if the file cannot be read, or the image is too small for SSIM at this scale.
    """
    return evaluation_image(file, read_image(file), scale, threads)


def evaluation_image(
    file: Path, pixels: np.ndarray, scale: int, threads: int, own_lr: np.ndarray | None = None
) -> EvaluationImage:
    """Make the HR and LR image of a decoded image by ``docs/protocol.md``.

    Args:
        file: where the image comes from, which gives it its name.
        pixels: uint8 H×W×3, or H×W for a grey image.
        scale: by how much LR is to be upscaled.
        threads: number of threads for the LR image.
        own_lr: uint8 h×w×3 or grey h×w, the user's own LR image in place of bicubic's.

    Raises:
        UserError: if the image is too small for SSIM at this scale.
    """
    hr = modcrop(pixels, scale)
    if min(hr.shape[:2]) < WINDOW + 2 * scale:
        raise UserError(
            f"{file} is {hr.shape[1]}×{hr.shape[0]} pixels; SSIM at ×{scale} needs {WINDOW + 2 * scale} each way: "
            "remove it from its set"
        )
    lr = imresize(hr, 1 / scale, "uint8", threads) if own_lr is None else match_channels(as_rgb(own_lr), hr)
    return EvaluationImage(file.stem, hr, lr, scale)


def match_channels(sr: np.ndarray, hr: np.ndarray) -> np.ndarray:
    """Return ``sr``, uint8 H×W×3, as it is compared with ``hr``: grey (the mean of its channels) if ``hr`` is grey."""
    return sr if hr.ndim == 3 else to_grey(sr)
