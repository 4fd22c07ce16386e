"""Quality of two states by paired images: a known loss is found, and noise is not."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_states import FILES, compared, found, image_rows, only, write_state
from scipy.stats import ttest_1samp

from pipeline_src.reporting import tables
from pipeline_src.reporting.comparison import qualities
from pipeline_src.reporting.comparison.changes import BETTER, INCOMPARABLE, SAME, WORSE
from pipeline_src.reporting.comparison.measurements import METRICS, State
from pipeline_src.reporting.comparison.tolerances import Tolerances

NETS = 1000


def drawn(differences: np.ndarray) -> tuple[State, State]:
    """Return two states of as many nets as there are rows, whose images differ by the cells.

    Images of a set differ by decibels, which the pairs take out.
    """
    images = np.random.default_rng(1).normal(30, 4, differences.shape)
    return table(images), table(images + differences)


def table(psnr: np.ndarray) -> State:
    nets, images = psnr.shape
    rows = {
        "device": "here", "system": np.repeat([f"net{number}" for number in range(nets)], images), "variant": "qat",
        "runtime": "tflite", "scale": 3, "set": "Set5", "image": np.tile(range(images), nets), "psnr_y": psnr.ravel(),
        "ssim_y": 0.9,
    }  # fmt: skip
    return State("made", pd.DataFrame(), pd.DataFrame(rows), "")


def shares(differences: np.ndarray, **tolerances: float) -> dict[str, float]:
    """Return the share of the nets whose PSNR has each verdict."""
    changes = qualities.qualities(*drawn(differences), Tolerances(**tolerances))
    verdicts = [change.verdict for of_file in changes.values() for change in of_file if change.figure == "psnr_y"]
    assert len(verdicts) == len(differences)
    return {verdict: verdicts.count(verdict) / len(verdicts) for verdict in (WORSE, BETTER, SAME, INCOMPARABLE)}


@pytest.mark.parametrize("images", [4, 5, 14])
def test_noise_is_worse_in_one_case_of_forty_at_most(images: int) -> None:
    """Two draws of one net: 2.5 % at either end of the interval, and fewer where the tolerance is larger."""
    noise = np.random.default_rng(2).normal(0, 0.05, (NETS, images))
    found = shares(noise, psnr=1e-9)
    assert found[WORSE] < 0.04  # 2.5 % and three standard errors of 1000 draws
    assert found[BETTER] < 0.04
    assert shares(noise)[WORSE] <= found[WORSE]


@pytest.mark.parametrize("images", [4, 5, 14])
def test_skewed_noise_is_worse_in_one_case_of_eight_at_most(images: int) -> None:
    """As skewed as an exponential distribution: most images lose a little, and few gain much."""
    noise = 0.05 * (np.random.default_rng(4).exponential(size=(NETS, images)) - 1)
    assert shares(noise, psnr=1e-9)[WORSE] < 0.145  # one in eight, and two standard errors of 1000 draws


@pytest.mark.parametrize(("images", "least"), [(4, 0.75), (5, 0.9), (14, 1.0)])
def test_a_loss_of_0_05_dB_is_found(images: int, least: float) -> None:
    loss = np.random.default_rng(3).normal(-0.05, 0.02, (NETS, images))
    found = shares(loss)
    assert found[WORSE] >= least
    assert found[BETTER] == 0
    assert shares(-loss)[BETTER] == found[WORSE]


def test_a_certain_difference_below_the_tolerance_is_none() -> None:
    assert shares(np.full((1, 5), -0.019))[SAME] == 1
    assert shares(np.full((1, 5), -0.021))[WORSE] == 1
    assert shares(np.full((1, 5), -0.021), psnr=0.03)[SAME] == 1


def test_the_tolerance_is_the_loss_that_the_report_takes_for_none() -> None:
    assert Tolerances().psnr == tables.WORSE


def test_the_interval_is_that_of_a_paired_t_test() -> None:
    differences = np.array([0.1, -0.3, 0.2, 0.05, 0.4])
    expected = ttest_1samp(differences, 0).confidence_interval(0.95)
    assert qualities.interval(differences) == pytest.approx((expected.low, expected.high))


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return write_state(tmp_path / "base")


def test_a_loss_in_every_image_is_worse_and_says_how_much(base: Path, tmp_path: Path) -> None:
    images = image_rows(qat=-0.05)
    for row in images:
        row["ssim_y"] += 0.002 * (row["variant"] == "fp32")
    comparison = compared(base, write_state(tmp_path / "new", images=images))
    assert found(comparison, WORSE) == [("qat", "tflite", "psnr_y")]
    assert found(comparison, BETTER) == [(*file, "ssim_y") for file in FILES[:2]]
    change = only(comparison, "psnr_y", name="Set5")
    assert (change.base, change.new, change.images) == (pytest.approx(33.9), pytest.approx(33.85), 5)
    assert (change.difference, change.low, change.high) == pytest.approx((-0.05, -0.05, -0.05))


def test_a_single_image_tells_only_that_nothing_has_changed(base: Path, tmp_path: Path) -> None:
    worse = only(compared(base, write_state(tmp_path / "new", images=image_rows(qat=-0.5))), "psnr_y", name="one")
    assert (worse.verdict, worse.reason) == (INCOMPARABLE, "a single image has no confidence interval")
    alike = only(compared(base, write_state(tmp_path / "new", images=image_rows(qat=-0.01))), "psnr_y", name="one")
    assert alike.verdict == SAME


def test_other_images_of_the_same_name_are_found_out_by_bicubic(base: Path, tmp_path: Path) -> None:
    images = [
        row | ({"psnr_y": 25.0} if (row["variant"], row["image"]) == ("bicubic", "Set5_3") else {})
        for row in image_rows(qat=-0.5)
    ]
    comparison = compared(base, write_state(tmp_path / "new", images=images))
    assert found(comparison, WORSE) == []
    assert {only(comparison, metric, name="Set5").reason for metric in METRICS} == {qualities.OTHER_IMAGES}


def test_only_the_images_that_both_have_are_compared(base: Path, tmp_path: Path) -> None:
    fewer = [row for row in image_rows(qat=-0.5) if row["image"] not in ("Set5_0", "one_0")]
    comparison = compared(base, write_state(tmp_path / "new", images=fewer))
    change = only(comparison, "psnr_y", name="Set5")
    assert (change.images, change.base, change.verdict) == (4, pytest.approx(34.4), WORSE)
    assert only(comparison, "psnr_y", name="one").reason == qualities.NO_IMAGES


def test_images_without_an_error_are_alike_or_told(base: Path, tmp_path: Path) -> None:
    exact = write_state(tmp_path / "exact", images=image_rows(qat=float("inf")))
    assert only(compared(exact, exact), "psnr_y", name="Set5").verdict == SAME
    assert "without an error" in only(compared(base, exact), "psnr_y", name="Set5").reason
