"""Write every training image and its MATLAB-identical bicubic LR images into one HDF5."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline_src import command, tracking
from pipeline_src import params as settings
from pipeline_src.errors import UserError

if TYPE_CHECKING:
    import numpy as np

    from pipeline_src.data.hdf5 import Part

SMALLEST = 32  # HR pixels a side: what SSIM needs of a validation image at every scale, and some


def build_h5() -> None:
    params = settings.load()
    from pipeline_src.data import hdf5
    from pipeline_src.data.images import list_images
    from pipeline_src.data.manifests import refuse_overlap

    spec = params.build_h5
    folders = {role: [settings.images_folder(role, name) for name in params.sets_for(role)] for role in settings.ROLES}
    refuse_overlap(folders["training"], folders["evaluation"])
    files = [file for folder in folders["training"] for file in list_images(folder)]
    with tracking.stage_run("build_h5", None, {"images": len(files), **spec.model_dump()}):
        pairs = _pairs(files, spec, params.threads)
        hdf5.write(settings.TRAIN_H5, pairs)


def _pairs(
    files: list[Path], spec: settings.BuildH5, threads: int
) -> Iterator[tuple["Part", str, "np.ndarray", dict[int, "np.ndarray"]]]:
    """The images in the order of ``files``; decoding runs ahead in threads, resizing has threads of its own.

    Of a training image there is a copy for each of ``spec.shrink`` that leaves ``SMALLEST`` pixels, called
    ``<name>@<factor>`` where it is smaller; a validation image stays as it is.
    """
    from tqdm import tqdm

    from pipeline_src.data.colour import as_rgb
    from pipeline_src.data.images import read_image
    from pipeline_src.data.imresize import imresize, modcrop

    ahead = 2 * threads
    with ThreadPoolExecutor(threads) as decoders, tqdm(total=len(files), desc="build_h5", unit="image") as progress:
        decoding = [decoders.submit(read_image, file) for file in files[:ahead]]
        for index, file in enumerate(files):
            hr = as_rgb(decoding.pop(0).result())
            if index + ahead < len(files):
                decoding.append(decoders.submit(read_image, files[index + ahead]))
            part: Part = "validation" if index % spec.validation_every == spec.validation_every - 1 else "training"
            if min(hr.shape[:2]) < SMALLEST:
                raise UserError(f"{file} is smaller than {SMALLEST} pixels; remove it from its set")
            name = f"{file.parent.name}/{file.name}"
            for factor in spec.shrink if part == "training" else [1.0]:
                small = hr if factor == 1 else imresize(hr, factor, spec.convention, threads)
                if min(small.shape[:2]) >= SMALLEST:
                    lr = {s: imresize(modcrop(small, s), 1 / s, spec.convention, threads) for s in spec.scales}
                    yield part, name if factor == 1 else f"{name}@{factor:g}", small, lr
            progress.update()


if __name__ == "__main__":
    command.stage(build_h5)
