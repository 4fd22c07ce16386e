"""Random training patches from ``train.h5``, a pure function of (seed, step): resuming needs no state."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from pipeline_src.data.hdf5 import ImagePairs
from pipeline_src.errors import UserError


@dataclass(frozen=True)
class Batch:
    """LR patches, uint8 N×p×p×3, and the HR patches they came from, uint8 N×sp×sp×3, both C-contiguous."""

    scale: int
    lr: np.ndarray
    hr: np.ndarray


class Patches:
    """Batches of LR patches and the HR patches they came from, of one of ``scales`` per step.

    A patch has ``patch`` LR pixels a side, or with ``patch_of="hr"`` as many as ``patch`` HR pixels have room for.
    Every image is equally likely (``draw="set"``: every image set, then every image in it), and then every position in
    it. An image smaller than a patch is mirrored at its right and bottom edge up to one patch, so none is lost.
    Augmentations are drawn per patch with p = 0.5 each: ``hflip``, ``vflip``, ``transpose``; all three make the eight
    flips and turns.

    Raises UserError if ``images`` has not one of the scales, or fewer different patches than a batch.
    """

    def __init__(
        self,
        images: ImagePairs,
        scales: Sequence[int],
        *,
        patch: int,
        batch: int,
        seed: int,
        patch_of: Literal["lr", "hr"] = "lr",
        draw: Literal["image", "set"] = "image",
        augment: Sequence[str] = (),
    ) -> None:
        self.scales, self.batch, self.seed, self.augment = tuple(scales), batch, seed, tuple(augment)
        self._sides = {scale: patch if patch_of == "lr" else patch // scale for scale in scales}
        self._images, self._names = images, images.names
        self._shares = _equal_sets(self._names) if draw == "set" else None
        self._room: dict[int, np.ndarray] = {}  # per scale and image: the positions of a patch, down and across
        for scale, side in self._sides.items():
            shapes = np.array([images.lr(name, scale).shape[:2] for name in self._names]).reshape(-1, 2)
            self._room[scale] = np.maximum(shapes - side, 0) + 1
            positions = int(self._room[scale].prod(axis=1).sum())
            if positions < batch:
                raise UserError(
                    f"{images.path} has {positions} different {images.part} patches of {side} LR pixels at ×{scale}, "
                    f"fewer than a batch of {batch}; lower the batch or the patch, or add images"
                )

    def side(self, scale: int) -> int:
        """LR pixels a side of a patch of one scale."""
        return self._sides[scale]

    def at(self, step: int, rank: int = 0, of: int = 1) -> Batch:
        """The batch of one step, or of its ``of`` equal shares the one of number ``rank``."""
        random = np.random.default_rng([self.seed, step])
        scale = self.scales[random.integers(len(self.scales))]
        side, room = self._sides[scale], self._room[scale]
        if self._shares is None:
            chosen = random.integers(len(self._names), size=self.batch)
        else:
            chosen = random.choice(len(self._names), self.batch, p=self._shares)
        corners = random.integers(room[chosen])
        draws = random.random((self.batch, 3)) < 0.5
        mine = range(self.batch)[rank * self.batch // of : (rank + 1) * self.batch // of]
        lr = np.empty((len(mine), side, side, 3), np.uint8)
        hr = np.empty((len(mine), side * scale, side * scale, 3), np.uint8)
        for place, i in enumerate(mine):
            a, b = (_whole_pixels(part) for part in self._cut(self._names[chosen[i]], scale, *corners[i]))
            hflip, vflip, transpose = draws[i]
            if hflip and "hflip" in self.augment:
                a, b = a[:, ::-1], b[:, ::-1]
            if vflip and "vflip" in self.augment:
                a, b = a[::-1], b[::-1]
            if transpose and "transpose" in self.augment:
                a, b = a.swapaxes(0, 1), b.swapaxes(0, 1)
            _whole_pixels(lr[place])[...], _whole_pixels(hr[place])[...] = a, b
        return Batch(scale, lr, hr)

    def _cut(self, name: str, scale: int, y: int, x: int) -> tuple[np.ndarray, np.ndarray]:
        side, s = self._sides[scale], scale
        lr = self._images.lr(name, scale)[y : y + side, x : x + side]
        height, width = lr.shape[:2]
        hr = self._images.hr(name)[s * y : s * (y + height), s * x : s * (x + width)]
        if height == width == side:
            return lr, hr
        grow = [[(0, t * (side - height)), (0, t * (side - width)), (0, 0)] for t in (1, s)]
        return np.pad(lr, grow[0], "symmetric"), np.pad(hr, grow[1], "symmetric")


def _equal_sets(names: Sequence[str]) -> np.ndarray:
    """How likely each of the images ``<set>/<file>`` is if every set is equally likely."""
    sets = [name.partition("/")[0] for name in names]
    counts = Counter(sets)
    return np.array([1 / len(counts) / counts[name] for name in sets])


def _whole_pixels(image: np.ndarray) -> np.ndarray:
    """The same memory as H×W pixels of three bytes: a flip then copies pixels, twice as fast as bytes."""
    return image.view(np.dtype((np.void, 3)))[..., 0]
