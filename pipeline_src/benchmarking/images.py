"""The evaluation images that all files of a stage are measured on, decoded and downscaled once."""

from pathlib import Path

import numpy as np

from pipeline_src.datasets import own_lr
from pipeline_src.imaging.images import read_image
from pipeline_src.imaging.imresize import modcrop
from pipeline_src.metrics.protocol import EvaluationImage, evaluation_image


class EvaluationImages:
    """Evaluation images with their LR images, kept uncompressed on disk after the first use.

    Memory holds the one image that the caller has, however large the sets are. An image is decoded once for all scales,
    and downscaled once for each, unless its set has LR images of its own.

    Args:
        sets: the image files of each evaluation set.
        threads: number of threads for the LR images.
        folder: an empty folder for the pixels: height × width × 3 bytes per image, and less for each scale.
    """

    def __init__(self, sets: dict[str, list[Path]], threads: int, folder: Path) -> None:
        self.sets = sets
        self._threads, self._folder = threads, folder
        self._numbers = {file: number for number, file in enumerate(file for files in sets.values() for file in files)}

    def bicubic_sets(self) -> dict[str, list[Path]]:
        """Return the sets that have no LR images of their own."""
        return {name: files for name, files in self.sets.items() if not own_lr.scales_of(files[0].parent)}

    def load(self, file: Path, scale: int) -> EvaluationImage:
        """Return the HR and LR image of a file of the sets, as :func:`evaluation_image` makes them.

        Raises:
            UserError: if the file cannot be read, the image is too small for SSIM at this scale, or its set has LR
                images of its own but none of this image.
        """
        number = self._numbers[file]
        pixels_file, lr_file = self._folder / f"{number}.npy", self._folder / f"{number}_x{scale}.npy"
        if pixels_file.exists():
            pixels = np.load(pixels_file)
        else:
            pixels = read_image(file)
            np.save(pixels_file, pixels)
        if lr_file.exists():
            return EvaluationImage(file.stem, modcrop(pixels, scale), np.load(lr_file), scale)
        own = own_lr.read(file, scale) if own_lr.scales_of(file.parent) else None
        image = evaluation_image(file, pixels, scale, self._threads, own)
        np.save(lr_file, image.lr)
        return image
