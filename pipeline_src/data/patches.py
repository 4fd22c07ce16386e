"""Random training patches from ``train.h5``, a pure function of (seed, step): resuming needs no state."""

from collections.abc import Sequence

import numpy as np

from pipeline_src.data.hdf5 import ImagePairs
from pipeline_src.errors import UserError


class Patches:
    """Batches of LR patches and the HR patches they came from.

    Every image is equally likely, as in the papers, and then every position in it. An image smaller than a patch is
    mirrored at its right and bottom edge up to one patch, so none is lost. Augmentations are drawn per patch with
    p = 0.5 each: ``hflip``, ``vflip``, ``transpose``.
    """

    def __init__(
        self, images: ImagePairs, scale: int, *, patch: int, batch: int, seed: int, augment: Sequence[str] = ()
    ) -> None:
        self.scale, self.patch, self.batch, self.seed, self.augment = scale, patch, batch, seed, tuple(augment)
        if not images.names:
            raise UserError(f"{images.path} holds no {images.part} image; give a larger set and run build_h5 again")
        self._pairs = [_at_least(images.lr(name, scale), images.hr(name), scale, patch) for name in images.names]
        self._room = np.array([[lr.shape[0] - patch + 1, lr.shape[1] - patch + 1] for lr, _ in self._pairs])

    def at(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """The batch of one step: LR uint8 N×3×p×p and HR uint8 N×3×sp×sp, C-contiguous."""
        random = np.random.default_rng([self.seed, step])
        p, s = self.patch, self.scale
        lr = np.empty((self.batch, p, p, 3), np.uint8)
        hr = np.empty((self.batch, p * s, p * s, 3), np.uint8)
        chosen = random.integers(len(self._pairs), size=self.batch)
        corners = random.integers(self._room[chosen])
        draws = random.random((self.batch, 3)) < 0.5
        for i, (image, (y, x), (hflip, vflip, transpose)) in enumerate(zip(chosen, corners, draws, strict=True)):
            small, large = self._pairs[image]
            a = small[y : y + p, x : x + p]
            b = large[s * y : s * (y + p), s * x : s * (x + p)]
            if hflip and "hflip" in self.augment:
                a, b = a[:, ::-1], b[:, ::-1]
            if vflip and "vflip" in self.augment:
                a, b = a[::-1], b[::-1]
            if transpose and "transpose" in self.augment:
                a, b = a.swapaxes(0, 1), b.swapaxes(0, 1)
            lr[i], hr[i] = a, b
        return np.ascontiguousarray(lr.transpose(0, 3, 1, 2)), np.ascontiguousarray(hr.transpose(0, 3, 1, 2))


def _at_least(lr: np.ndarray, hr: np.ndarray, scale: int, patch: int) -> tuple[np.ndarray, np.ndarray]:
    short = [max(0, patch - side) for side in lr.shape[:2]]
    if not any(short):
        return lr, hr
    hr = hr[: lr.shape[0] * scale, : lr.shape[1] * scale]
    grow = [[(0, short[0] * s), (0, short[1] * s), (0, 0)] for s in (1, scale)]
    return np.pad(lr, grow[0], "symmetric"), np.pad(hr, grow[1], "symmetric")
