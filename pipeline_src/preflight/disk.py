"""Estimates the space on the disk that a run will take, and compares it with what is free."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from pipeline_src import paths
from pipeline_src.config import Params
from pipeline_src.errors import UserError
from pipeline_src.preflight.image_sets import Download, SetNeeds

COPIES = 2  # of every result: in results/ and in DVC's cache, unless the file system shares their blocks


def downloads_of(needs: Sequence[SetNeeds]) -> list[Download]:
    """Return the archives to be downloaded, each once."""
    return list({need.download.url: need.download for need in needs if need.download}.values())


def needed_bytes(params: Params, needs: Sequence[SetNeeds]) -> int:
    """Estimate the bytes that archives, images, ``train.h5`` and the LR images of other downscalers will take.

    Archives are kept, and unpacked once more while their images are copied. Nets and exported files are not counted.
    """
    archives = sum(download.size or 0 for download in downloads_of(needs))
    images = sum(need.size * (COPIES + bool(need.download)) for need in needs)
    hr_bytes = int(3 * sum(need.pixels * _copies(params, need.name) for need in needs if need.role == "training"))
    train_h5 = int(hr_bytes * (1 + sum(1 / scale**2 for scale in params.build_h5.scales)))
    learned = {
        paths.downscaler(name) / "lr.h5": sum(hr_bytes // scale**2 for scale in system.scales)
        for name, system in params.systems.items()
        if system.downscaler.learns or system.downscaler.degrades
    }
    made = sum(max(0, size - _size(path)) for path, size in ({paths.TRAIN_H5: train_h5} | learned).items())
    return archives + images + COPIES * made


def _copies(params: Params, name: str) -> float:
    """Return the pixels of the resized copies of a training set, as a multiple of its own."""
    spec = params.sets[name]
    return (
        1.0 if spec.has_own_lr else sum(factor**2 for factor in spec.resize_factors or params.build_h5.resize_factors)
    )


def refuse_full_disk(needed: int) -> int:
    """Return the bytes that are free where the results go; UserError if fewer than are needed."""
    folder = paths.RESULTS if paths.RESULTS.is_dir() else Path()
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise UserError(
            f"the image sets and what is made of them take about {gigabytes(needed)} of disk, but {folder.resolve()} "
            f"has {gigabytes(free)} free; free some space, or take sets out of sets in params.yaml"
        )
    return free


def gigabytes(size: float) -> str:
    """Return a number of bytes in GB, in words."""
    return f"{size / 1e9:.1f} GB" if size < 1e10 else f"{size / 1e9:.0f} GB"


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0
