"""Write ``cards.json`` of the bundled nets: their quality by docs/protocol.md, in torch and fp32.

Every net is measured on the held-out photographs of scikit-image, and on each folder of HR images that is named, with
LR images of the kind it is for: bicubic's, those of its own downscaler, or degraded ones (``<set>_degraded``); sets
that an earlier call has measured stay, unless the weights are others now.

Example: python -m pipeline_src.library.measuring "$SR_DATA_MIRROR"/{Set5,Set14}/HR
"""

import argparse
import sys
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from pipeline_src import command
from pipeline_src.files import sha256, write_json
from pipeline_src.library import bundled
from pipeline_src.library.bundled import Card
from pipeline_src.library.entries import DEGRADED, DEGRADED_END, HELD_OUT, Entry, Measurement

if TYPE_CHECKING:
    from pipeline_src.library.evaluation import ImagePair

THREADS = 2


def main(folders: list[Path]) -> None:
    """Measure the bundled nets, and write their cards."""
    before = bundled.read_cards(bundled.FOLDER)
    cards = {entry.name: card(entry, folders, before.get(entry.name, Card())) for entry in bundled.entries()}
    write_json(bundled.FOLDER / bundled.CARDS, cards)


def card(entry: Entry, folders: list[Path], before: Card) -> dict[str, Any]:
    """Return the card of a net.

    Args:
        entry: the net.
        folders: of HR images, besides the held-out photographs.
        before: its card so far, of whose measurements those of other sets are kept if the weights are the same.
    """
    from pipeline_src.imaging.images import list_images
    from pipeline_src.library.calibration import sample_files

    digest = sha256(entry.weights)
    sets = {HELD_OUT: sample_files(held_out_names())}
    sets |= {_set_name(folder): list_images(folder) for folder in folders}
    known = before.measurements if before.sha256 == digest else []
    measured = [measure(entry, name, files, scale) for name, files in sets.items() for scale in entry.scales]
    anew = {measurement.set_name for measurement in measured}
    kept = [measurement for measurement in known if measurement.set_name not in anew]
    rows = [_row(measurement) for measurement in kept + measured]
    return {"file": entry.weights.name, "sha256": digest, "measurements": rows}


def measure(entry: Entry, set_name: str, files: list[Path], scale: int) -> Measurement:
    """Return the quality of a net on an image set at one scale."""
    from pipeline_src.deployment import runtimes
    from pipeline_src.library import downscaling
    from pipeline_src.library.entries import BICUBIC
    from pipeline_src.library.evaluation import BICUBIC_COLUMN, ImagePair, evaluate, mean

    runner = runtimes.load(entry.weights, THREADS, scale=scale)
    own_lr = downscaling.of_entry(entry) if entry.downscaler else None
    with TemporaryDirectory() as folder:
        degraded = _degraded(files, scale, Path(folder)) if entry.lr == DEGRADED else None
        images = degraded or [ImagePair(file) for file in files]
        means = mean(list(evaluate(images, runner.values, scale, THREADS, own_lr=own_lr)))
    if degraded:
        set_name += DEGRADED_END
    psnr_y = float(means["psnr_y"])
    sys.stderr.write(f"{entry.name} ×{scale} {set_name}: {psnr_y:.3f} dB ({BICUBIC} {means[BICUBIC_COLUMN]:.3f})\n")
    over_bicubic = psnr_y - float(means[BICUBIC_COLUMN])
    return Measurement(set_name, scale, "fp32", "torch", round(psnr_y, 4), round(over_bicubic, 4))


def _degraded(files: list[Path], scale: int, folder: Path) -> "list[ImagePair]":
    """Write LR images that are degraded as photographs on the web to a folder, and return the pairs."""
    from pipeline_src.imaging.images import read_image, write_png
    from pipeline_src.library.evaluation import ImagePair
    from pipeline_src.library.small_images import small_image

    images = []
    for file in files:
        lr_file = folder / f"{file.stem}.png"
        write_png(lr_file, small_image(read_image(file), scale, DEGRADED, file.name))
        images.append(ImagePair(file, lr_file))
    return images


def _row(measurement: Measurement) -> dict[str, Any]:
    return {key: value for key, value in asdict(measurement).items() if value is not None}


def held_out_names() -> tuple[str, ...]:
    """Return the names of the held-out photographs in scikit-image."""
    from pipeline_src.datasets.catalogue import read_catalogue

    return tuple(read_catalogue()[HELD_OUT])


def _set_name(folder: Path) -> str:
    return folder.resolve().parent.name if folder.name == "HR" else folder.resolve().name


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", type=Path, help="folders of HR images, such as Set5/HR")
    sys.exit(command.exit_status(main, parser.parse_args().folders))
