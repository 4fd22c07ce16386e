"""One evaluation image: HR and LR by the protocol, its bicubic baseline, and the crop that shows it."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline_src.data.colour import to_grey
from pipeline_src.data.images import read_image
from pipeline_src.data.imresize import imresize, modcrop
from pipeline_src.errors import UserError
from pipeline_src.evaluation.metrics import WINDOW


@dataclass(frozen=True)
class EvaluationImage:
    """HR cropped to a multiple of the scale and its MATLAB-identical LR, uint8 H×W×3, or H×W for a grey image."""

    name: str
    hr: np.ndarray
    lr: np.ndarray
    scale: int

    def bicubic(self, threads: int) -> np.ndarray:
        """The bicubic upscaling of the same uint8 LR image that the nets get."""
        return imresize(self.lr, self.scale, "A", threads)

    def crop(self, side: int) -> tuple[slice, slice]:
        """The most detailed square of ``side`` LR pixels, as slices of HR: where HR has the most gradient energy."""
        grey = self.hr.reshape(*self.hr.shape[:2], -1).mean(axis=2)
        gradient = np.abs(np.diff(grey, axis=0))[:, 1:] + np.abs(np.diff(grey, axis=1))[1:]
        energy = np.pad(gradient, ((1, 0), (1, 0))).cumsum(axis=0).cumsum(axis=1)
        size = [min(side * self.scale, length) for length in self.hr.shape[:2]]
        corners = [np.arange(0, length - s + 1, self.scale) for s, length in zip(size, energy.shape, strict=True)]
        y, x = np.meshgrid(*corners, indexing="ij")
        bottom, right = np.minimum(y + size[0], energy.shape[0] - 1), np.minimum(x + size[1], energy.shape[1] - 1)
        inside = energy[bottom, right] - energy[y, right] - energy[bottom, x] + energy[y, x]
        best = np.unravel_index(inside.argmax(), inside.shape)
        top, left = int(y[best]), int(x[best])
        return slice(top, top + size[0]), slice(left, left + size[1])


def load(file: Path, scale: int, threads: int) -> EvaluationImage:
    """Read an image and make its LR by ``docs/protocol.md``."""
    hr = modcrop(read_image(file), scale)
    if min(hr.shape[:2]) < WINDOW + 2 * scale:
        raise UserError(
            f"{file} is {hr.shape[1]}×{hr.shape[0]} pixels; SSIM at ×{scale} needs {WINDOW + 2 * scale} each way: "
            "remove it from its set"
        )
    return EvaluationImage(file.stem, hr, imresize(hr, 1 / scale, "A", threads), scale)


def like(image: np.ndarray, hr: np.ndarray) -> np.ndarray:
    """``image`` (H×W×3) in the colours of ``hr``: grey if ``hr`` is."""
    return image if hr.ndim == 3 else to_grey(image)
