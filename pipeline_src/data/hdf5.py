"""``train.h5``: every training image once as HR and once per scale as LR, laid out so that a patch is one small read.

Groups ``training`` and ``validation`` hold ``HR``, ``X2``, ``X3``, ``X4``; each of those holds one contiguous,
uncompressed uint8 H×W×3 dataset per image, named ``<set>/<file>``. HR is whole; the LR of scale s is made from HR
cropped to a multiple of s, so LR pixel (y, x) covers the HR pixels from (s·y, s·x).
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np

from pipeline_src.errors import UserError
from pipeline_src.files import whole_file

Part = Literal["training", "validation"]


class ImagePairs:
    """The images of one part of ``train.h5`` as memory maps: nothing is read before it is indexed.

    ``learned`` is a file of LR images that a trained downscaler made of the same HR images: they stand for the bicubic
    ones.
    """

    def __init__(self, path: Path, part: Part, learned: Path | None = None) -> None:
        self.path, self.part = path, part
        self._maps = _maps(path, part, "build_h5")
        self._learned = _maps(learned, part, "train") if learned else None
        for name, images in (self._learned or {}).items():
            if images.keys() != self._maps.get("HR", {}).keys():
                raise UserError(f"{learned} holds other images than {path} at {part}/{name}; train the system again")

    @property
    def names(self) -> list[str]:
        """Image names, ``<set>/<file>``, sorted."""
        return sorted(self._maps.get("HR", {}))

    def lr(self, name: str, scale: int, *, bicubic: bool = False) -> np.ndarray:
        """LR image, uint8 H×W×3, read-only memory map: the learned one unless ``bicubic``, where there is one.

        UserError if the file was built without this scale.
        """
        group = f"X{scale}"
        if group not in self._maps:
            raise UserError(f"{self.path} has no scale ×{scale}; add {scale} to build_h5.scales and build it again")
        if bicubic or self._learned is None:
            return self._maps[group][name]
        if group not in self._learned:
            raise UserError(f"the learned downscaler has made no LR image at ×{scale}; train the system again")
        return self._learned[group][name]

    def hr(self, name: str) -> np.ndarray:
        """HR image, uint8 H×W×3, read-only memory map."""
        return self._maps["HR"][name]

    def middle(self, name: str, scale: int, crop: int, *, bicubic: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """The middle ``crop``×``crop`` LR pixels of an image, or as many as it has, and their HR pixels."""
        lr, hr = self.lr(name, scale, bicubic=bicubic), self.hr(name)
        y, x = (max(0, side - crop) // 2 for side in lr.shape[:2])
        lr = lr[y : y + crop, x : x + crop]
        height, width = lr.shape[:2]
        return lr, hr[y * scale : (y + height) * scale, x * scale : (x + width) * scale]

    def middles(self, scale: int, count: int, crop: int) -> dict[str, np.ndarray]:
        """The LR middles, as :meth:`middle` has them, of ``count`` images spread evenly over all, by name."""
        return {name: self.middle(name, scale, crop)[0] for name in self.spread(count)}

    def spread(self, count: int) -> list[str]:
        """The names of ``count`` images spread evenly over all, or of all if there are fewer."""
        count = min(count, len(self.names))
        return [self.names[i * len(self.names) // count] for i in range(count)]


def _maps(path: Path, part: Part, stage: str) -> dict[str, dict[str, np.ndarray]]:
    """Of each group of a file its images, by name; UserError, which names the ``stage`` that makes it, if it is bad."""
    import h5py

    try:
        whole = np.memmap(path, np.uint8, "r")  # one for all images, because each takes a file descriptor
        with h5py.File(path, "r") as file:
            groups = file.get(part, {}).items()
            maps = {name: {image: _view(whole, data) for image, data in _datasets(group)} for name, group in groups}
        for name, images in maps.items():
            if images.keys() != next(iter(maps.values())).keys():
                raise ValueError(f"{part}/{name} has other images than {part}/{next(iter(maps))}")
        return maps
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; run the stage {stage} first") from None
    except (OSError, KeyError, ValueError) as error:
        raise UserError(f"{path} is not a whole training file ({error}); delete it and run {stage} again") from None


def _datasets(group: Any) -> Iterator[tuple[str, Any]]:
    for image_set, images in group.items():
        for file, data in images.items():
            yield f"{image_set}/{file}", data


def _view(whole: np.ndarray, data: Any) -> np.ndarray:
    offset = data.id.get_offset()
    if offset is None or data.chunks or data.dtype != np.uint8:
        raise ValueError(f"{data.name} is not contiguous uint8")
    return whole[offset : offset + data.size].reshape(data.shape)


@contextmanager
def _writer(path: Path) -> Iterator[Any]:
    import h5py

    # track_times=False and the fixed order of the images make equal content an equal file, byte for byte.
    with whole_file(path) as aside, h5py.File(aside, "w", libver="latest") as file:
        yield file


def write(path: Path, images: Iterable[tuple[Part, str, np.ndarray, dict[int, np.ndarray]]]) -> None:
    """Write ``train.h5`` from (part, ``<set>/<file>``, HR uint8 H×W×3, LR per scale), in the order given."""
    _write(path, ((part, name, {"HR": hr} | _by_group(lr)) for part, name, hr, lr in images))


def write_learned(path: Path, images: Iterable[tuple[Part, str, dict[int, np.ndarray]]]) -> None:
    """Write the file of learned LR images from (part, ``<set>/<file>``, LR uint8 per scale), in the order given."""
    _write(path, ((part, name, _by_group(lr)) for part, name, lr in images))


def _by_group(lr: dict[int, np.ndarray]) -> dict[str, np.ndarray]:
    return {f"X{scale}": image for scale, image in lr.items()}


def _write(path: Path, images: Iterable[tuple[Part, str, dict[str, np.ndarray]]]) -> None:
    with _writer(path) as file:
        for part, name, of_group in images:
            for group, image in of_group.items():
                parent = file.require_group(f"{part}/{group}/{Path(name).parent}")
                parent.create_dataset(Path(name).name, data=np.ascontiguousarray(image), track_times=False)
