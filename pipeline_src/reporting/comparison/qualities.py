"""Quality of two states, compared by the images that both have.

The mean difference of the pairs counts if it reaches a tolerance and its 95 % confidence interval does not reach 0. The
interval is Student's t of paired differences (Student, "The probable error of a mean", Biometrika 6, 1908), because an
evaluation set may have five images. The Wilcoxon signed-rank test cannot reach 5 % with fewer than six pairs: its least
p-value is 2/2ⁿ. The percentile bootstrap of five differences is too narrow (Efron and Tibshirani, "An Introduction to
the Bootstrap", 1993, section 13.4).
"""

from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline_src.reporting.comparison.changes import INCOMPARABLE, SAME, Change, File, verdict
from pipeline_src.reporting.comparison.measurements import BICUBIC, IMAGE, KEY, METRICS, State
from pipeline_src.reporting.comparison.tolerances import Tolerances

FloatArray = npt.NDArray[np.float64]

CONFIDENCE = 0.95
SAME_IMAGE = 0.001  # dB: if bicubic's PSNR of an image differs by more between two states, it is not one image
OTHER_IMAGES = "bicubic has another PSNR on images of these names, so they are other images"
NO_IMAGES = "the two states have no image of it in common"


def qualities(base: State, new: State, tolerances: Tolerances) -> dict[File, list[Change]]:
    """Return PSNR and SSIM of the files that both states have, per image set."""
    pairs = base.images.merge(new.images, on=[*KEY, *IMAGE], suffixes=("_base", "_new"))
    is_bicubic = pairs["variant"] == BICUBIC
    moved = is_bicubic & ((pairs["psnr_y_new"] - pairs["psnr_y_base"]).abs() > SAME_IMAGE)
    of_images = ["device", "system", "scale", "set"]
    other = {*pairs.loc[moved, of_images].itertuples(index=False, name=None)}
    changes: dict[File, list[Change]] = {}
    groups: Iterable[Any] = pairs[~is_bicubic].groupby([*KEY, "set"], sort=False)
    for (*key, name), rows in groups:
        file = File(*key)
        is_other = (file.device, file.system, file.scale, name) in other
        for metric, tolerance in zip(METRICS, (tolerances.psnr, tolerances.ssim), strict=True):
            change = Change(file, metric, INCOMPARABLE, name, reason=OTHER_IMAGES)
            if not is_other:
                before, after = (rows[f"{metric}_{state}"].to_numpy(float) for state in ("base", "new"))
                change = _paired(change, before, after, tolerance)
            changes.setdefault(file, []).append(change)
    for file, name in sorted(_sets(base.images) | _sets(new.images), key=str):
        if not any(change.set == name for change in changes.get(file, ())):
            changes.setdefault(file, []).append(Change(file, METRICS[0], INCOMPARABLE, name, reason=NO_IMAGES))
    return changes


def interval(differences: FloatArray) -> tuple[float, float]:
    """Return the confidence interval of the mean of paired differences; NaN with fewer than two."""
    count = len(differences)
    if count < 2:
        return np.nan, np.nan
    mean, half = float(differences.mean()), _quantile(count - 1) * float(differences.std(ddof=1)) / count**0.5
    return mean - half, mean + half


@cache
def _quantile(freedom: int) -> float:
    from scipy.stats import t

    return float(t.ppf((1 + CONFIDENCE) / 2, freedom))


def _paired(change: Change, base: FloatArray, new: FloatArray, tolerance: float) -> Change:
    """Return the change of a metric, of which larger is better, from its figures of the same images."""
    differences = np.zeros_like(base)  # where both are without an error, PSNR is infinite
    np.subtract(new, base, out=differences, where=new != base)
    mean = float(differences.mean())
    change = replace(change, base=float(base.mean()), new=float(new.mean()), images=len(differences), reason="")
    if not np.isfinite(mean):
        return replace(change, reason="an image is without an error in one of the two states")
    low, high = interval(differences)
    change = replace(change, difference=mean, low=low, high=high)
    if abs(mean) < tolerance or low <= 0 <= high:
        return replace(change, verdict=SAME)
    if len(differences) < 2:
        return replace(change, reason="a single image has no confidence interval")
    return replace(change, verdict=verdict(mean, tolerance))


def _sets(images: pd.DataFrame) -> set[tuple[File, str]]:
    """Return the image sets of each file."""
    rows = images.loc[images["variant"] != BICUBIC, [*KEY, "set"]].drop_duplicates()
    return {(File(*key), name) for *key, name in rows.itertuples(index=False, name=None)}
