"""The exported files of a learned downscaler: their costs, their LR images, and what the net makes of these."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline_src import config
from pipeline_src.benchmarking.agreement import agreement_row
from pipeline_src.benchmarking.costs import measure_costs
from pipeline_src.benchmarking.images import EvaluationImages
from pipeline_src.benchmarking.keys import KEY_COLUMNS, FileKey, Row
from pipeline_src.benchmarking.learned_lr import LearnedLR
from pipeline_src.deployment import runtimes
from pipeline_src.deployment.cards import Card
from pipeline_src.deployment.interface import Runner
from pipeline_src.imaging.colour import as_rgb, to_grey
from pipeline_src.metrics.downscaled import fidelity
from pipeline_src.metrics.protocol import EvaluationImage, match_channels
from pipeline_src.metrics.psnr_ssim import quality
from pipeline_src.progress import progress_bar

INT8 = ("qat", "ptq")  # the int8 variants of the net that upscales, the better one first


def costs(files: dict[Path, Card], spec: config.Benchmark) -> pd.DataFrame:
    """Return the :class:`~pipeline_src.benchmarking.costs.Costs` of a downscaler's files that run, of an HR image.

    Args:
        files: the files with their cards.
        spec: how they are timed.
    """
    rows = pd.DataFrame(measure_costs(_running(files), spec))
    return rows.rename(columns={"lr_height": "hr_height", "lr_width": "hr_width"})


@dataclass(frozen=True)
class LRScores:
    """What an LR image is worth; columns of ``downscaler.csv``, where they are means over a set.

    Attributes:
        bicubic_psnr_y: PSNR in dB on Y to bicubic's LR.
        psnr_y_float: PSNR in dB on Y of what the fp32 net makes of it.
        psnr_y_int8: the same of the int8 net.
    """

    bicubic_psnr_y: float
    psnr_y_float: float
    psnr_y_int8: float


@dataclass
class Chain:
    """Scores LR images by the nets that upscale them; an LR image that several files give is upscaled once.

    Attributes:
        float_net: the fp32 net.
        int8_net: the int8 net.
        threads: of the metrics.
    """

    float_net: Runner
    int8_net: Runner
    threads: int
    _known: dict[tuple[Path, bytes], LRScores] = field(default_factory=dict)

    @classmethod
    def of(cls, upscalers: dict[Path, Card], threads: int) -> "Chain":
        """Open the fp32 and the int8 net among the exported files of one scale."""
        files = {card.variant: file for file, card in reversed(upscalers.items()) if not card.size}
        int8 = next(files[variant] for variant in INT8 if variant in files)
        return cls(runtimes.load(files["fp32"], threads), runtimes.load(int8, threads), threads)

    def scores(self, file: Path, image: EvaluationImage, lr: np.ndarray) -> LRScores:
        """Return the scores of an LR image, uint8 h×w×3 or grey h×w, of the evaluation image read from ``file``."""
        key = file, lr.tobytes()
        if key not in self._known:
            nets = self.float_net, self.int8_net
            upscaled = (match_channels(net(as_rgb(lr)), image.hr) for net in nets)
            psnrs = [quality(image.hr, sr, image.scale, threads=self.threads).psnr_y for sr in upscaled]
            self._known[key] = LRScores(fidelity(image, lr).psnr_y, *psnrs)
        return self._known[key]


def measure(
    files: dict[Path, Card], upscalers: dict[Path, Card], learned_lr: LearnedLR, images: EvaluationImages, threads: int
) -> Iterator[Row]:
    """Yield the rows of ``downscaler.csv``, without costs: one per set and downscaler file that takes any size.

    Sets that have LR images of their own are left out.

    Args:
        files: the exported files of the downscaler with their cards; those that cannot be run here have no row.
        upscalers: those of the net that upscales its images.
        learned_lr: the LR images that the float downscaler makes in torch, to compare with.
        images: the evaluation sets.
        threads: number of threads of the runtimes.
    """
    chain = Chain.of(upscalers, threads)
    files = _running(files)
    for downscaler, card in files.items():
        if card.size:
            continue
        key, runner = FileKey.of(card), runtimes.load(downscaler, threads)
        agreement = agreement_row(downscaler, runner, files, threads)
        for set_name, image_files in images.bicubic_sets().items():
            scores, errors = [], []
            for file in progress_bar(image_files, f"{key} on {set_name}", "image"):
                image = images.load(file, card.scale)
                lr = _small(runner, image.hr)
                errors.append(float(np.square(lr.astype(np.float64) - learned_lr.image(file, image)).mean()))
                scores.append(chain.scores(file, image, lr))
            means = {str(name): float(mean) for name, mean in pd.DataFrame(scores).mean().items()}
            of_set = {"set": set_name, "images": len(scores), "lr_psnr": _psnr(errors)}
            yield key.columns() | of_set | means | agreement


def table(rows: list[Row], costs_of_files: pd.DataFrame, files: dict[Path, Card]) -> pd.DataFrame:
    """Return ``downscaler.csv``: the rows of :func:`measure` with the costs of the files, and one per file that fails.

    Args:
        rows: of all files.
        costs_of_files: from :func:`costs`.
        files: the exported files of the downscaler with their cards.
    """
    measured = pd.DataFrame(rows).merge(costs_of_files, how="left", on=KEY_COLUMNS).assign(fails="")
    failing = [FileKey.of(card).columns() | {"fails": card.fails} for card in files.values() if card.fails]
    return pd.concat([measured, pd.DataFrame(failing)], ignore_index=True)


def _running(files: dict[Path, Card]) -> dict[Path, Card]:
    """Return the files that could be run at export."""
    return {file: card for file, card in files.items() if not card.fails}


def _small(runner: Runner, hr: np.ndarray) -> np.ndarray:
    lr = runner(as_rgb(hr))
    return lr if hr.ndim == 3 else to_grey(lr)


def _psnr(errors: list[float]) -> float:
    """Return the PSNR in dB of the mean of squared errors; infinite if all images are equal."""
    mean = sum(errors) / len(errors)
    return 10 * float(np.log10(255**2 / mean)) if mean else float("inf")
