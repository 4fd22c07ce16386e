"""Random patches from train.h5."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline_src.config import Degradation
from pipeline_src.datasets import hdf5
from pipeline_src.datasets.hdf5 import ImagePairs
from pipeline_src.datasets.patches import Patches
from pipeline_src.errors import UserError


def patches_of(located: Path, scales: Sequence[int] = (3,), **how: Any) -> Patches:
    return Patches(ImagePairs(located, "training"), scales, **{"patch": 16, "batch": 32, "seed": 1} | how)


def test_hr_and_lr_patches_cover_the_same_region(located: Path) -> None:
    batch = patches_of(located).at(0)
    assert batch.scale == 3
    assert batch.lr.shape == (32, 16, 16, 3)
    assert batch.hr.shape == (32, 48, 48, 3)
    assert np.array_equal(np.repeat(np.repeat(batch.lr, 3, axis=1), 3, axis=2), batch.hr)


@pytest.mark.parametrize("augment", ["hflip", "vflip", "transpose"])
def test_augmentation_moves_lr_and_hr_alike(located: Path, augment: str) -> None:
    plain, moved = patches_of(located).at(5), patches_of(located, augment=[augment]).at(5)
    turn = {"hflip": lambda a: a[:, ::-1], "vflip": lambda a: a[::-1], "transpose": lambda a: a.swapaxes(0, 1)}
    changed = 0
    for a, b in ((plain.lr, moved.lr), (plain.hr, moved.hr)):
        for before, after in zip(a, b, strict=True):
            assert np.array_equal(after, before) or np.array_equal(after, turn[augment](before))
            changed += not np.array_equal(after, before)
    assert 0 < changed < 64


def test_a_batch_depends_on_seed_and_step_alone(located: Path) -> None:
    def batch_bytes(seed: int, step: int) -> bytes:
        return patches_of(located, patch=8, batch=4, seed=seed).at(step).lr.tobytes()

    assert batch_bytes(1, 7) == batch_bytes(1, 7)
    assert len({batch_bytes(1, 7), batch_bytes(1, 8), batch_bytes(2, 7)}) == 3


def test_every_image_is_equally_likely_and_small_ones_are_included(located: Path) -> None:
    lr = patches_of(located, batch=1000).at(0).lr[..., 0]
    small = (lr.max(axis=(1, 2)) == 9) & (lr[:, -1, 0] < 9)
    assert abs(small.mean() - 0.5) < 4 * np.sqrt(0.25 / 1000)


def test_a_step_has_one_scale_and_all_scales_are_equally_likely(located: Path) -> None:
    patches = patches_of(located, (2, 3), batch=2)
    batches = [patches.at(step) for step in range(400)]
    assert all(b.hr.shape[1] == b.scale * b.lr.shape[1] == b.scale * 16 for b in batches)
    twos = np.mean([batch.scale == 2 for batch in batches])
    assert abs(twos - 0.5) < 4 * np.sqrt(0.25 / 400)


def test_the_patch_size_may_be_in_hr_pixels(located: Path) -> None:
    patches = patches_of(located, (2, 3), batch=2, patch=42, patch_of="hr")
    assert {(b.scale, b.lr.shape[1], b.hr.shape[1]) for b in map(patches.at, range(20))} == {(2, 21, 42), (3, 14, 42)}


def test_the_shares_of_all_processes_form_the_batch(located: Path) -> None:
    patches = patches_of(located, augment=["hflip"])
    shares = [patches.at(3, rank, 4) for rank in range(4)]
    assert np.array_equal(np.concatenate([share.lr for share in shares]), patches.at(3).lr)
    assert np.array_equal(np.concatenate([share.hr for share in shares]), patches.at(3).hr)


def test_a_batch_larger_than_the_set_is_refused(located: Path) -> None:
    with pytest.raises(UserError, match="1150 different training patches of 16 LR pixels at ×3, fewer than a batch"):
        patches_of(located, batch=1151)


def test_the_error_for_a_scale_that_was_not_built_names_it(located: Path) -> None:
    with pytest.raises(UserError, match="has no scale ×4; add 4 to build_h5"):
        patches_of(located, (4,))


@pytest.mark.parametrize(("sample_by", "share"), [("image", 1 / 4), ("set", 1 / 2)])
def test_every_image_or_every_set_is_equally_likely(tmp_path: Path, sample_by: str, share: float) -> None:
    def flat(value: int) -> tuple[np.ndarray, dict[int, np.ndarray]]:
        return np.full((48, 48, 3), value, np.uint8), {3: np.full((16, 16, 3), value, np.uint8)}

    images = {"many/a": 0, "many/b": 1, "many/c": 2, "one/d": 3}
    path = tmp_path / "train.h5"
    hdf5.write(path, [("training", name, *flat(value)) for name, value in images.items()])
    pairs = ImagePairs(path, "training")
    patches = Patches(pairs, [3], patch=8, batch=64, seed=1, sample_by=sample_by)  # type: ignore[arg-type]
    drawn = np.concatenate([patches.at(step).lr[:, 0, 0, 0] for step in range(40)])
    shares = np.bincount(drawn, minlength=4) / len(drawn)
    assert shares[3] == pytest.approx(share, abs=0.03)
    assert shares[:3] == pytest.approx((1 - share) / 3, abs=0.03)


def test_degraded_patches_are_new_in_every_step_and_the_same_in_each_run(train_h5: Path, tmp_path: Path) -> None:
    plain = ImagePairs(train_h5, "training")
    fixed = tmp_path / "lr.h5"
    hdf5.write_lr(fixed, (("training", name, {3: np.zeros_like(plain.lr(name, 3))}) for name in plain.names))
    images = ImagePairs(train_h5, "training", fixed, Degradation())
    how = {"patch": 16, "batch": 4, "seed": 1}
    clean, degraded, again = Patches(plain, [3], **how), Patches(images, [3], **how), Patches(images, [3], **how)
    for step in (0, 1):
        batch = degraded.at(step)
        assert np.array_equal(batch.hr, clean.at(step).hr), "the same places"
        assert np.array_equal(batch.lr, again.at(step).lr)
        difference = np.abs(batch.lr - clean.at(step).lr.astype(int)).mean(axis=(1, 2, 3))
        assert (difference > 0.5).sum() >= 3
        assert difference.max() < 60
    halves = [degraded.at(1, rank, 2).lr for rank in (0, 1)]
    assert np.array_equal(np.concatenate(halves), degraded.at(1).lr), "whichever process makes them"
    assert not images.lr(plain.names[0], 3).any()
    assert not images.lr(plain.names[0], 3, bicubic=True).any(), "bicubic is measured on degraded images too"


def test_faults_are_not_tied_to_where_a_patch_comes_from(train_h5: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``default_rng([seed, step])`` and ``default_rng([seed, step, 0])`` draw the same numbers."""
    drawn = [np.random.default_rng(key).random() for key in ([1, 5], [1, 5, 0], [1, 5, 1])]
    assert drawn[0] == drawn[1] != drawn[2]
    seeds: list[list[int]] = []
    patches = Patches(ImagePairs(train_h5, "training"), [3], patch=16, batch=3, seed=1)
    cut = patches._cut

    def recording_cut(*arguments: Any) -> Any:
        seeds.append(arguments[-1])
        return cut(*arguments)

    monkeypatch.setattr(patches, "_cut", recording_cut)
    patches.at(5)
    assert seeds == [[1, 5, 1], [1, 5, 2], [1, 5, 3]]
