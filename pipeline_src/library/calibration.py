"""Images to calibrate the int8 form of a bundled net with: the user's own, or photographs of scikit-image."""

import importlib.util
from pathlib import Path

import numpy as np

from pipeline_src.errors import UserError
from pipeline_src.library.small_images import small_image

# In colour, of the set samples, none of samples_heldout.
PHOTOGRAPHS = ("coffee.png", "hubble_deep_field.jpg", "ihc.png", "motorcycle_left.png", "retina.jpg")
SIDE = 96  # pixels of the middle of an image that are used
MOST = 16  # images of a user's folder


def calibration_images(folder: Path | None, scale: int, lr: str) -> list[np.ndarray]:
    """Return the middles of LR images, uint8 H×W×3.

    Args:
        folder: images as they will be upscaled; None for photographs of scikit-image, made smaller.
        scale: upscaling factor of the net.
        lr: the LR images that the net was trained on: ``degraded``, or others.

    Raises:
        UserError: if the folder holds no image, or scikit-image is not installed.
    """
    from pipeline_src.imaging.colour import as_rgb
    from pipeline_src.imaging.images import read_image
    from pipeline_src.library.places import images_in

    if folder is None:
        files = sample_files(PHOTOGRAPHS)
        return [_middle(small_image(as_rgb(read_image(file)), scale, lr, file.name)) for file in files]
    return [_middle(as_rgb(read_image(file))) for file in _some_of(images_in(folder))]


def hr_calibration_images(folder: Path | None, scale: int) -> list[np.ndarray]:
    """Return the middles of HR images, uint8 H×W×3 with sides that are multiples of ``scale``, for a downscaler.

    Args:
        folder: images as they will be downscaled; None for photographs of scikit-image.
        scale: of the downscaler.

    Raises:
        UserError: if the folder holds no image, or scikit-image is not installed.
    """
    from pipeline_src.imaging.colour import as_rgb
    from pipeline_src.imaging.images import read_image
    from pipeline_src.imaging.imresize import modcrop
    from pipeline_src.library.places import images_in

    files = sample_files(PHOTOGRAPHS) if folder is None else _some_of(images_in(folder))
    return [modcrop(_middle(as_rgb(read_image(file)), scale * SIDE), scale) for file in files]


def _some_of(files: list[Path]) -> list[Path]:
    return [files[i * len(files) // MOST] for i in range(MOST)] if len(files) > MOST else files


def sample_files(names: tuple[str, ...]) -> list[Path]:
    """Return photographs of the installed scikit-image.

    Raises:
        UserError: if they are not there.
    """
    spec = importlib.util.find_spec("skimage")
    folder = Path(spec.submodule_search_locations[0]) / "data" if spec and spec.submodule_search_locations else Path()
    files = [folder / name for name in names]
    if not all(file.is_file() for file in files):
        raise UserError("scikit-image and its photographs are not installed; install it, or give a folder of images")
    return files


def _middle(image: np.ndarray, side: int = SIDE) -> np.ndarray:
    y, x = (max(0, length - side) // 2 for length in image.shape[:2])
    return np.ascontiguousarray(image[y : y + side, x : x + side])
