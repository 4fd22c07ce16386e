"""PSNR and SSIM of exported files on the evaluation images, and the crops that the report shows."""

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from pipeline_src.benchmarking.agreement import agreement_row
from pipeline_src.benchmarking.images import EvaluationImages
from pipeline_src.benchmarking.keys import FileKey, Row
from pipeline_src.benchmarking.learned_lr import LearnedLR
from pipeline_src.deployment import runtimes
from pipeline_src.deployment.cards import Card
from pipeline_src.errors import UserError
from pipeline_src.imaging.colour import as_rgb
from pipeline_src.imaging.images import write_png
from pipeline_src.metrics.protocol import EvaluationImage, match_channels
from pipeline_src.metrics.psnr_ssim import psnr, quality
from pipeline_src.progress import progress_bar

CROPS_FORMAT = "tflite"  # the format whose images are shown in the report


@dataclass(frozen=True)
class Crops:
    """Writes ``<folder>/<set>_<image>_x<scale>/<variant>.png`` for the first images of each set.

    Attributes:
        folder: where the crops of one net go.
        images: number of images of each set that are cropped.
        side: height and width of a crop in LR pixels.
    """

    folder: Path
    images: int
    side: int

    def save(self, set_name: str, index: int, image: EvaluationImage, **versions: np.ndarray) -> None:
        """Write the same crop of each version, uint8 H×W×3 or H×W, of image number ``index`` of a set."""
        if index < self.images:
            window, folder = image.crop(self.side), self.folder / f"{set_name}_{image.name}_x{image.scale}"
            for name, version in versions.items():
                write_png(folder / f"{name}.png", version[window])


@dataclass(frozen=True)
class Evaluator:
    """Measures one upscaler at a time on the evaluation sets, by ``docs/protocol.md``.

    Attributes:
        images: the evaluation sets.
        threads: number of threads for bicubic and the metrics.
        learned_lr: LR images of a learned downscaler; None for those of the protocol.
    """

    images: EvaluationImages
    threads: int
    learned_lr: LearnedLR | None = None

    def bicubic_rows(self, net: str, scale: int, crops: Crops | None) -> Iterator[Row]:
        """Yield the row of every image for bicubic upscaling of bicubic LR, the baseline of the tables.

        Raises:
            UserError: if an image is flat, since the mean PSNR of its set would be infinite.
        """
        key = FileKey(net, "bicubic", "", scale)
        for set_name, index, file, image in self._images(key):
            sr = image.bicubic(self.threads)
            row = self._row(key, set_name, image, sr)
            if math.isinf(row["psnr_y"]):
                raise UserError(f"{file} is flat, so that even bicubic reproduces it exactly; remove it from its set")
            yield row
            if crops:
                crops.save(set_name, index, image, bicubic=sr, hr=image.hr)

    def file_rows(self, key: FileKey, runner: runtimes.Runner, crops: Crops | None) -> Iterator[Row]:
        """Yield the row of every image for an exported file that accepts images of any size."""
        for set_name, index, file, image in self._images(key):
            lr = self.learned_lr.image(file, image) if self.learned_lr else image.lr
            sr = match_channels(runner(as_rgb(lr)), image.hr)
            yield self._row(key, set_name, image, sr)
            if crops:
                crops.save(set_name, index, image, **{key.variant: sr})

    def _images(self, key: FileKey) -> Iterator[tuple[str, int, Path, EvaluationImage]]:
        for set_name, files in self.images.sets.items():
            for index, file in enumerate(progress_bar(files, f"{key} on {set_name}", "image")):
                yield set_name, index, file, self.images.load(file, key.scale)

    def _row(self, key: FileKey, set_name: str, image: EvaluationImage, sr: np.ndarray) -> Row:
        scores = asdict(quality(image.hr, sr, image.scale, threads=self.threads))
        # The figure of the Mobile AI challenges, which leave out one pixel at each side whatever the scale.
        scores["psnr_rgb_shave1"] = psnr(image.hr, sr, shave=1, threads=self.threads)
        return key.columns() | {"set": set_name, "image": image.name} | scores


def measure_files(
    files: dict[Path, Card], evaluator: Evaluator, main_net: str, crops: Crops
) -> tuple[list[Row], list[Row]]:
    """Measure bicubic and every file that accepts images of any size.

    Each file is opened once, and closed before the next, since a runtime keeps the memory for its largest image.

    Args:
        files: the exported files with their cards.
        evaluator: measures an upscaler.
        main_net: the net whose name the bicubic rows get and whose crops are written.
        crops: writes them.

    Returns:
        One row per image of each upscaler (``images.csv``), and one row per file on its agreement with the reference
        image (see :func:`~pipeline_src.benchmarking.agreement.agreement_row`).
    """
    images: list[Row] = []
    agreements: list[Row] = []
    for scale in sorted({card.scale for card in files.values()}):
        has_crops = any(card.system == main_net and card.scale == scale for card in files.values())
        images += evaluator.bicubic_rows(main_net, scale, crops if has_crops else None)
        for file, card in files.items():
            if card.scale == scale and not card.size:
                key, runner = FileKey.of(card), runtimes.load(file, evaluator.threads)
                agreements.append(agreement_row(file, runner, files, evaluator.threads))
                is_shown = key.net == main_net and key.runtime == CROPS_FORMAT
                images += evaluator.file_rows(key, runner, crops if is_shown else None)
    return images, agreements
