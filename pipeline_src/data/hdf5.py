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
    """The images of one part of ``train.h5`` as memory maps: nothing is read before it is indexed."""

    def __init__(self, path: Path, part: Part) -> None:
        import h5py

        self.path, self.part = path, part
        self._maps: dict[str, dict[str, np.ndarray]] = {}
        try:
            whole = np.memmap(path, np.uint8, "r")  # one for all images, because each takes a file descriptor
            with h5py.File(path, "r") as file:
                for name, group in file.get(part, {}).items():
                    self._maps[name] = {image: _view(whole, data) for image, data in _datasets(group)}
            for name, images in self._maps.items():
                if images.keys() != self._maps["HR"].keys():
                    raise ValueError(f"{part}/{name} has other images than {part}/HR")
        except FileNotFoundError:
            raise UserError(f"{path} does not exist; run the stage build_h5 first") from None
        except (OSError, KeyError, ValueError) as error:
            raise UserError(
                f"{path} is not a whole training file ({error}); delete it and run build_h5 again"
            ) from None

    @property
    def names(self) -> list[str]:
        """Image names, ``<set>/<file>``, sorted."""
        return sorted(self._maps.get("HR", {}))

    def lr(self, name: str, scale: int) -> np.ndarray:
        """LR image, uint8 H×W×3, read-only memory map; UserError if the file was built without this scale."""
        if f"X{scale}" not in self._maps:
            raise UserError(f"{self.path} has no scale ×{scale}; add {scale} to build_h5.scales and build it again")
        return self._maps[f"X{scale}"][name]

    def hr(self, name: str) -> np.ndarray:
        """HR image, uint8 H×W×3, read-only memory map."""
        return self._maps["HR"][name]

    def middle(self, name: str, scale: int, crop: int) -> tuple[np.ndarray, np.ndarray]:
        """The middle ``crop``×``crop`` LR pixels of an image, or as many as it has, and their HR pixels."""
        lr, hr = self.lr(name, scale), self.hr(name)
        y, x = (max(0, side - crop) // 2 for side in lr.shape[:2])
        lr = lr[y : y + crop, x : x + crop]
        height, width = lr.shape[:2]
        return lr, hr[y * scale : (y + height) * scale, x * scale : (x + width) * scale]

    def middles(self, scale: int, count: int, crop: int) -> dict[str, np.ndarray]:
        """The LR middles, as :meth:`middle` has them, of ``count`` images spread evenly over all, by name."""
        count = min(count, len(self.names))
        chosen = [self.names[i * len(self.names) // count] for i in range(count)]
        return {name: self.middle(name, scale, crop)[0] for name in chosen}


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
    with _writer(path) as file:
        for part, name, hr, lr in images:
            for group, image in {"HR": hr, **{f"X{scale}": small for scale, small in lr.items()}}.items():
                parent = file.require_group(f"{part}/{group}/{Path(name).parent}")
                parent.create_dataset(Path(name).name, data=np.ascontiguousarray(image), track_times=False)
