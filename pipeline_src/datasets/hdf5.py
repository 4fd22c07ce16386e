"""The file ``train.h5``, which holds the HR and LR images for training such that reading a patch is fast.

The groups ``training`` and ``validation`` hold ``HR``, ``X2``, ``X3`` and ``X4``; each of these holds one contiguous,
uncompressed uint8 H×W×3 dataset per image, named ``<set>/<file>``. HR has its full size. The LR of scale s is made from
HR cropped to a multiple of s, or is an LR image of the set's own. So LR pixel (y, x) covers the HR pixels from
(s·y, s·x). The attributes ``training`` and ``validation`` of the file are the numbers of images, so that a damaged file
is not taken for a smaller one.
"""

import io
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np

from pipeline_src.config import Degradation
from pipeline_src.errors import UserError
from pipeline_src.files import is_of_the_system, whole_file

Split = Literal["training", "validation"]
ImageRecord = tuple[Split, str, np.ndarray, dict[int, np.ndarray]]  # split, <set>/<file>, HR, LR of each scale


class ImagePairs:
    """The images of the training or the validation split as memory maps, from which only the pixels used are read.

    Args:
        path: ``train.h5``.
        split: training or validation.
        lr: a file of other LR images of the same HR images, to use in place of those of ``train.h5``.
        degradation: by which they were made; None if a downscaler that was trained made them.

    Raises:
        UserError: if a file is missing or damaged, or the two do not hold the same images.
    """

    def __init__(
        self, path: Path, split: Split, lr: Path | None = None, degradation: Degradation | None = None
    ) -> None:
        self.path, self.split, self.degradation = path, split, degradation
        self._maps = _map_images(path, split, "build_h5")
        self._other = _map_images(lr, split, "train") if lr else None
        for name, images in (self._other or {}).items():
            if images.keys() != self._maps.get("HR", {}).keys():
                raise UserError(f"{lr} holds other images than {path} at {split}/{name}; train the system again")

    @property
    def names(self) -> list[str]:
        """The image names, ``<set>/<file>``, sorted."""
        return sorted(self._maps.get("HR", {}))

    def lr(self, name: str, scale: int, *, bicubic: bool = False) -> np.ndarray:
        """Return an LR image, uint8 h×w×3, as a read-only memory map.

        Args:
            name: of the image.
            scale: of the LR image.
            bicubic: return the LR image that bicubic upscaling is measured on: bicubic's even if there is learned LR.

        Raises:
            UserError: if the file was built without this scale.
        """
        group = f"X{scale}"
        if group not in self._maps:
            raise UserError(f"{self.path} has no scale ×{scale}; add {scale} to build_h5.scales and build it again")
        if self._other is None or (bicubic and not self.degradation):
            return self._maps[group][name]
        if group not in self._other:
            raise UserError(f"the downscaler of the system has made no LR image at ×{scale}; train the system again")
        return self._other[group][name]

    def hr(self, name: str) -> np.ndarray:
        """Return an HR image, uint8 H×W×3, as a read-only memory map."""
        return self._maps["HR"][name]

    def middle(self, name: str, scale: int, crop: int, *, bicubic: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """Return the middle ``crop``×``crop`` LR pixels of an image, or fewer if it is smaller, and their HR pixels."""
        lr, hr = self.lr(name, scale, bicubic=bicubic), self.hr(name)
        y, x = (max(0, side - crop) // 2 for side in lr.shape[:2])
        lr = lr[y : y + crop, x : x + crop]
        height, width = lr.shape[:2]
        return lr, hr[y * scale : (y + height) * scale, x * scale : (x + width) * scale]

    def middles(self, scale: int, count: int, crop: int) -> dict[str, np.ndarray]:
        """Return the LR crops of :meth:`middle` for the images of :meth:`spread`, by name."""
        return {name: self.middle(name, scale, crop)[0] for name in self.spread(count)}

    def spread(self, count: int) -> list[str]:
        """Return the names of ``count`` images at even intervals, or all names if there are fewer."""
        count = min(count, len(self.names))
        return [self.names[i * len(self.names) // count] for i in range(count)]


def _map_images(path: Path, split: Split, stage: str) -> dict[str, dict[str, np.ndarray]]:
    """Return the memory maps by group and name. Errors name the ``stage`` that writes the file."""
    import h5py

    try:
        content = np.memmap(path, np.uint8, "r")  # one for all images, because each needs a file descriptor
        with h5py.File(path, "r") as file:
            groups, count = file.get(split, {}).items(), int(file.attrs[split])
            maps = {name: {image: _view(content, data) for image, data in _datasets(group)} for name, group in groups}
        for name, images in maps.items():
            if images.keys() != next(iter(maps.values())).keys():
                raise ValueError(f"{split}/{name} has other images than {split}/{next(iter(maps))}")
        if (found := len(next(iter(maps.values()), {}))) != count:
            raise ValueError(f"{split} has {found} of {count} images")
        return maps
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; run the stage {stage} first") from None
    except (OSError, KeyError, TypeError, ValueError) as error:
        if is_of_the_system(error):
            raise
        raise UserError(f"{path} is not a complete training file ({error}); delete it and run {stage} again") from None


def _datasets(group: Any) -> Iterator[tuple[str, Any]]:
    for image_set, images in group.items():
        for file, data in images.items():
            yield f"{image_set}/{file}", data


def _view(content: np.ndarray, data: Any) -> np.ndarray:
    offset = data.id.get_offset()
    if offset is None or data.chunks or data.dtype != np.uint8:
        raise ValueError(f"{data.name} is not contiguous uint8")
    return content[offset : offset + data.size].reshape(data.shape)


@contextmanager
def _writer(path: Path) -> Iterator[Any]:
    import h5py

    # With track_times=False and images in a fixed order, files of equal content are equal byte for byte.
    with whole_file(path) as temporary, _ErrorKeepingFile(temporary, "w+") as target:
        try:
            with h5py.File(target, "w", libver="latest") as file:
                yield file
        except (OSError, RuntimeError):
            if target.error:
                raise target.error from None
            raise
        if target.error:
            raise target.error


class _ErrorKeepingFile(io.FileIO):
    """A file that keeps the first error of a write or of a new size, and tells HDF5 nothing of it.

    If one fails because the disk is full, HDF5 cannot close its file, prints a traceback for each object in it, and
    sometimes ends the process.

    Attributes:
        error: the first one.
    """

    error: OSError | None = None

    def write(self, data: Any) -> int:
        """Write all bytes of a buffer, if no write has failed yet, and return their number in any case."""
        rest = memoryview(data).cast("B")
        size = len(rest)
        while rest and not self.error:
            try:
                rest = rest[super().write(rest) :]
            except OSError as error:
                self._keep(error)
        return size

    def truncate(self, size: int | None = None) -> int:
        """Give the file a new size, if no write has failed yet, and return that size in any case."""
        wanted = self.tell() if size is None else size
        if not self.error:
            try:
                super().truncate(wanted)
            except OSError as error:
                self._keep(error)
        return wanted

    def _keep(self, error: OSError) -> None:
        self.error = OSError(error.errno, error.strerror, self.name)


def write(path: Path, images: Iterable[ImageRecord]) -> None:
    """Write ``train.h5`` from (split, ``<set>/<file>``, HR uint8 H×W×3, LR per scale), in the order given."""
    _write(path, ((split, name, {"HR": hr} | _by_group(lr)) for split, name, hr, lr in images))


def write_lr(path: Path, images: Iterable[tuple[Split, str, dict[int, np.ndarray]]]) -> None:
    """Write a file of other LR images from (split, ``<set>/<file>``, LR uint8 per scale), in the order given."""
    _write(path, ((split, name, _by_group(lr)) for split, name, lr in images))


def _by_group(lr: dict[int, np.ndarray]) -> dict[str, np.ndarray]:
    return {f"X{scale}": image for scale, image in lr.items()}


def _write(path: Path, images: Iterable[tuple[Split, str, dict[str, np.ndarray]]]) -> None:
    names: dict[Split, set[str]] = {"training": set(), "validation": set()}
    with _writer(path) as file:
        for split, name, groups in images:
            names[split].add(name)
            for group, image in groups.items():
                parent = file.require_group(f"{split}/{group}/{Path(name).parent}")
                parent.create_dataset(Path(name).name, data=np.ascontiguousarray(image), track_times=False)
        for split, images_of_split in names.items():
            file.attrs[split] = len(images_of_split)
