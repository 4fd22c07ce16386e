"""Measure a net on a folder of HR images, by the evaluation protocol and by the variants of it that papers use.

    superres evaluate --model abpn_x3 --hr Set5/HR
    superres evaluate --hr Set14/HR --scale 4 --csv set14.csv --save set14_sr/
    superres evaluate --model carn_m --scale 2 --hr HR --lr LR_x2

LR is MATLAB's bicubic of HR in 8 bits (docs/protocol.md), or what the net's own downscaler makes of it, or the images
of --lr: of the same names, or of names that end in x2, x3 or x4 besides. Images go through the net in one piece, unless
--tile divides them, or the file has one size.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline_src.cli.main import filled, filled_path, run_command
from pipeline_src.cli.models import add_model_arguments, running
from pipeline_src.command import count, threads

if TYPE_CHECKING:
    from pipeline_src.library.evaluation import Row

WHOLE = 2**20  # pixels a side of a tile that no image exceeds


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``superres evaluate``."""
    parser.add_argument(
        "--model", type=filled, help="a name of `superres models`, a model file, or bicubic; default: the best bundled"
    )
    parser.add_argument("--scale", type=count, help="default: 4, or the largest that the model has")
    parser.add_argument("--hr", required=True, type=filled_path, metavar="FOLDER", help="the HR images")
    parser.add_argument("--lr", type=filled_path, metavar="FOLDER", help="LR images; default: made of HR")
    parser.add_argument("--save", type=filled, metavar="FOLDER", help="where to write the SR images")
    parser.add_argument("--csv", type=filled_path, metavar="FILE", help="where to write all figures of every image")
    add_model_arguments(parser)
    parser.add_argument("--threads", type=threads, default=2, help="default 2")
    parser.add_argument("--tile", type=count, default=WHOLE, help="LR pixels a side of a tile; default: one piece")


def run(args: argparse.Namespace) -> None:
    """Print the figures of every image and their means."""
    from pipeline_src.deployment.runtimes import chosen_scale
    from pipeline_src.library import evaluation, places
    from pipeline_src.library.nets import at_scale, resolve
    from pipeline_src.library.upscaler import Tiling
    from pipeline_src.progress import progress_bar
    from pipeline_src.tables import write_table

    net = resolve(args.model, running(args))
    scale = chosen_scale(net.name, net.scales, args.scale or net.default_scale())
    if args.save:
        places.check_folder_name(args.save, "--save")
    save = Path(args.save) if args.save else None
    images = evaluation.pairs(args.hr, args.lr, scale, save)
    evaluation.check_outputs(images, save, args.csv)
    evaluation.check_inputs(images, scale)
    net = at_scale(net, scale)
    runner = net.open(scale)
    values_of = evaluation.in_tiles(runner, Tiling(args.tile, min(32, args.tile - 1)))
    own_lr = None if args.lr else net.downscaler()
    rows = evaluation.evaluate(images, values_of, scale, args.threads, save, own_lr)
    measured = list(progress_bar(rows, "evaluate", "image", total=len(images), leave=False))
    print(
        _report(measured, f"{net.name} ×{scale}", "learned LR" if own_lr else "given LR" if args.lr else "bicubic LR")
    )
    if args.csv:
        with places.writing(args.csv, "--csv"):
            write_table(args.csv, [*measured, evaluation.mean(measured)])


def _report(rows: "list[Row]", net: str, lr: str) -> str:
    """Return the figures of the protocol for every image, their means, and the means by the variants."""
    from pipeline_src.library.evaluation import BICUBIC_COLUMN, mean
    from pipeline_src.metrics.variants import PROTOCOL, VARIANTS

    columns = {**PROTOCOL, BICUBIC_COLUMN: "bicubic, PSNR Y (dB)"}
    means = mean(rows)
    width = max(len(str(row["image"])) for row in [*rows, means])
    lines = [f"{net}, {lr}, by the protocol of docs/protocol.md (shave {net.rpartition('×')[2]}, Y and SR rounded):"]
    lines.append("  ".join(["image".ljust(width), *columns.values()]))
    for row in [*rows, means]:
        cells = (f"{row[key]:.{4 if 'ssim' in key else 2}f}".rjust(len(title)) for key, title in columns.items())
        lines.append("  ".join([str(row["image"]).ljust(width), *cells]))
    count_of_images = "1 image" if len(rows) == 1 else f"{len(rows)} images"
    lines.append(f"Means over {count_of_images} by variants of the protocol, each of which differs in one thing:")
    for key, title in VARIANTS.items():
        lines.append(f"  {means[key]:8.{4 if 'ssim' in key else 2}f}  {title}")
    return "\n".join(lines)


if __name__ == "__main__":
    run_command("evaluate", __doc__, add_arguments, run)
