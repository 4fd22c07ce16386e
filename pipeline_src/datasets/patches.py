"""Random training patches from ``train.h5``. They depend only on seed and step, so that resuming needs no state."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from pipeline_src.datasets.hdf5 import ImagePairs
from pipeline_src.errors import UserError
from pipeline_src.imaging.degradation import degraded_patch


@dataclass(frozen=True)
class Batch:
    """LR patches, uint8 N×p×p×3, and the HR pixels they cover, uint8 N×sp×sp×3, both C-contiguous."""

    scale: int
    lr: np.ndarray
    hr: np.ndarray


class Patches:
    """Random batches of LR patches and the HR pixels they cover; each step has one scale.

    A patch comes from a random image, and from any position in it with equal probability. An image smaller than a patch
    is mirrored at its right and bottom edge to the size of a patch. If the images are degraded, so is every patch anew.

    Args:
        images: the images that patches are cut from.
        scales: each step has a random one of them.
        patch: height and width of a patch in pixels.
        batch: patches per step.
        seed: of the random numbers, together with the step.
        patch_of: whether ``patch`` counts LR or HR pixels.
        sample_by: "image": every image is equally likely; "set": every image set, and then every image in it.
        augment: any of ``hflip``, ``vflip`` and ``transpose``, each applied to a patch with p = 0.5; all three make the
            eight flips and rotations.

    Raises:
        UserError: if ``images`` lacks one of the scales, or has fewer patches than a batch.
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
        sample_by: Literal["image", "set"] = "image",
        augment: Sequence[str] = (),
    ) -> None:
        self.scales, self.batch, self.seed, self.augment = tuple(scales), batch, seed, tuple(augment)
        self._sides = {scale: patch if patch_of == "lr" else patch // scale for scale in scales}
        self._images, self._names = images, images.names
        self._probabilities = _equal_sets(self._names) if sample_by == "set" else None
        self._positions: dict[int, np.ndarray] = {}  # number of positions down and across, by scale and image
        for scale, side in self._sides.items():
            shapes = np.array([images.lr(name, scale).shape[:2] for name in self._names]).reshape(-1, 2)
            self._positions[scale] = np.maximum(shapes - side, 0) + 1
            positions = int(self._positions[scale].prod(axis=1).sum())
            if positions < batch:
                raise UserError(
                    f"{images.path} has {positions} different {images.split} patches of {side} LR pixels at ×{scale}, "
                    f"fewer than a batch of {batch}; lower the batch or the patch, or add images"
                )

    def side(self, scale: int) -> int:
        """Return the height and width of a patch of one scale in LR pixels."""
        return self._sides[scale]

    def at(self, step: int, rank: int = 0, world_size: int = 1) -> Batch:
        """Return the batch of one step; with several processes, the share of process ``rank`` of ``world_size``."""
        random = np.random.default_rng([self.seed, step])
        scale = self.scales[random.integers(len(self.scales))]
        side = self._sides[scale]
        if self._probabilities is None:
            chosen = random.integers(len(self._names), size=self.batch)
        else:
            chosen = random.choice(len(self._names), self.batch, p=self._probabilities)
        corners = random.integers(self._positions[scale][chosen])
        augmentations = random.random((self.batch, 3)) < 0.5
        share = range(self.batch)[rank * self.batch // world_size : (rank + 1) * self.batch // world_size]
        lr = np.empty((len(share), side, side, 3), np.uint8)
        hr = np.empty((len(share), side * scale, side * scale, 3), np.uint8)
        for row, i in enumerate(share):
            pair = self._cut(self._names[chosen[i]], scale, corners[i], [self.seed, step, 1 + i])
            a, b = (_as_pixels(image) for image in pair)
            hflip, vflip, transpose = augmentations[i]
            if hflip and "hflip" in self.augment:
                a, b = a[:, ::-1], b[:, ::-1]
            if vflip and "vflip" in self.augment:
                a, b = a[::-1], b[::-1]
            if transpose and "transpose" in self.augment:
                a, b = a.swapaxes(0, 1), b.swapaxes(0, 1)
            _as_pixels(lr[row])[...], _as_pixels(hr[row])[...] = a, b
        return Batch(scale, lr, hr)

    def _cut(self, name: str, scale: int, corner: np.ndarray, seed: list[int]) -> tuple[np.ndarray, np.ndarray]:
        """Return one LR patch and its HR pixels, mirrored if the image is smaller; the seed is of degradation."""
        side, s, (y, x) = self._sides[scale], scale, corner.tolist()
        lr, hr = self._images.lr(name, scale)[y : y + side, x : x + side], self._images.hr(name)
        height, width = lr.shape[:2]
        if self._images.degradation:
            random = np.random.default_rng(seed)
            lr = degraded_patch(hr, scale, (y, x), (height, width), self._images.degradation, random)
        hr = hr[s * y : s * (y + height), s * x : s * (x + width)]
        if height == width == side:
            return lr, hr
        lr_padding, hr_padding = ([(0, f * (side - height)), (0, f * (side - width)), (0, 0)] for f in (1, s))
        return np.pad(lr, lr_padding, "symmetric"), np.pad(hr, hr_padding, "symmetric")


def _equal_sets(names: Sequence[str]) -> np.ndarray:
    """Return the probability of each image ``<set>/<file>`` if every set is equally likely."""
    sets = [name.partition("/")[0] for name in names]
    counts = Counter(sets)
    return np.array([1 / len(counts) / counts[name] for name in sets])


def _as_pixels(image: np.ndarray) -> np.ndarray:
    """View H×W×3 bytes as H×W pixels of three bytes, because a flip copies pixels twice as fast as bytes."""
    return image.view(np.dtype((np.void, 3)))[..., 0]
