"""The LR images that a learned downscaler makes for the benchmark, and their comparison with bicubic LR."""

from dataclasses import asdict
from pathlib import Path

import numpy as np

from pipeline_src.benchmarking.images import EvaluationImages
from pipeline_src.benchmarking.keys import Row
from pipeline_src.deployment import runtimes
from pipeline_src.deployment.cards import Card
from pipeline_src.imaging.colour import as_rgb
from pipeline_src.imaging.images import write_png
from pipeline_src.imaging.imresize import imresize
from pipeline_src.metrics.downscaled import RoundTrip, fidelity, jpeg_curve
from pipeline_src.metrics.protocol import EvaluationImage
from pipeline_src.tables import write_table


class LearnedLR:
    """The evaluation images downscaled by a trained downscaler and rounded to 8 bits; each is made once and cached.

    Args:
        weights: ``downscaler/weights.safetensors`` of a system.
        threads: number of threads of torch.
    """

    def __init__(self, weights: Path, threads: int) -> None:
        import torch

        from pipeline_src.weights import load_downscaler

        torch.set_num_threads(threads)
        self._net = load_downscaler(weights)
        self._images: dict[tuple[Path, int], np.ndarray] = {}

    def image(self, file: Path, image: EvaluationImage) -> np.ndarray:
        """Return the LR image, uint8 h×w×3 or grey h×w, of the evaluation image that was read from ``file``."""
        key = file, image.scale
        if key not in self._images:
            from pipeline_src import downscaling  # imports torch, which other systems can do without

            self._images[key] = downscaling.downscale(self._net, image.hr)
        return self._images[key]


def write_comparison(
    learned_lr: LearnedLR, files: dict[Path, Card], images: EvaluationImages, threads: int, folder: Path
) -> None:
    """Write the images and tables about learned LR images that the report shows.

    ``lr/<set>/<image>_x<scale>.png`` are the images. ``lr.csv`` compares them and bicubic LR with the protocol's LR
    (:func:`~pipeline_src.metrics.downscaled.fidelity`). ``jpeg.csv`` has the quality of SR if LR is stored as JPEG, for
    the fp32 net with learned LR and for bicubic upscaling with bicubic LR. Sets that have LR images of their own are
    left out.

    Args:
        learned_lr: makes the learned LR images.
        files: the exported files of the net that upscales them, with their cards.
        images: the evaluation sets.
        threads: number of threads of the runtime and of bicubic.
        folder: where the images and tables go.
    """
    (fp32,) = (file for file, card in files.items() if (card.variant, card.format) == ("fp32", "onnx"))
    runner, scale = runtimes.load(fp32, threads), files[fp32].scale
    lr_rows: list[Row] = []
    jpeg_rows: list[Row] = []
    for set_name, image_files in images.bicubic_sets().items():
        for file in image_files:
            image = images.load(file, scale)
            learned, key = learned_lr.image(file, image), {"set": set_name, "image": image.name, "scale": scale}
            write_png(folder / "lr" / set_name / f"{image.name}_x{scale}.png", learned)
            for kind, lr in (("learned", learned), ("bicubic", image.lr)):
                lr_rows.append(key | {"lr": kind} | asdict(fidelity(image, lr)))
            round_trips = {
                "learned": RoundTrip(as_rgb(learned), runner),
                "bicubic": RoundTrip(as_rgb(image.lr), lambda lr: imresize(lr, scale, "uint8", threads)),
            }
            for kind, round_trip in round_trips.items():
                jpeg_rows += (key | {"lr": kind} | asdict(scores) for scores in jpeg_curve(image, round_trip))
    write_table(folder / "lr.csv", lr_rows)
    write_table(folder / "jpeg.csv", jpeg_rows)
