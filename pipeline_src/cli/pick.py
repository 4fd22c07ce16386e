"""Pick the best file of a run within a budget of milliseconds, on the machine that ran the benchmark or on a device.

    superres pick --scale 3 --ms 25
    superres pick --scale 3 --ms 25 --device pi
    superres pick --scale 3 --ms 25 --size 360x640 --max-kib 60 --runtime tflite --copy-to app/

Prints the file with its figures, and the next ones that are faster and that are better. The quality is the mean PSNR Y
over the image sets that the run was measured on (--set: over some of them). Figures that have not settled take no part,
nor do nets that rebuild the images of their own downscaler.
"""

import argparse
from typing import TYPE_CHECKING

from pipeline_src.cli.export import size
from pipeline_src.cli.main import filled_path, run_command
from pipeline_src.command import count, positive
from pipeline_src.deployment.formats import FORMATS

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline_src.budgets import Candidate, Choice

SIZE = (180, 320)  # height and width of the LR image that most nets are timed at


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``superres pick``."""
    parser.add_argument("--scale", type=count, required=True, help="upscaling factor")
    parser.add_argument("--device", default="here", help="device of params.yaml that has measured (here)")
    parser.add_argument("--ms", type=positive, help="greatest median latency of an image")
    parser.add_argument(
        "--size", type=size, default=SIZE, metavar="HxW", help="height and width of the LR image (180x320)"
    )
    parser.add_argument("--max-kib", type=positive, help="greatest size of the file in KiB")
    parser.add_argument("--min-psnr", type=positive, metavar="DB", help="least mean PSNR Y in dB")
    parser.add_argument("--runtime", choices=tuple(FORMATS), help="the runtime that the device has")
    parser.add_argument("--variant", choices=("fp32", "ptq", "qat"), help="float32, or one of the two int8 forms")
    parser.add_argument("--set", action="append", default=[], help="image set that the quality is of; may be repeated")
    parser.add_argument("--copy-to", type=filled_path, metavar="FOLDER", help="copy the file, its card and an example")


def run(args: argparse.Namespace) -> None:
    """Print the file to ship."""
    from pipeline_src.budgets import Budget, pick
    from pipeline_src.library.picking import candidates, file_of

    budget = Budget(args.ms, args.max_kib, args.min_psnr, args.runtime, args.variant)
    choice = pick(candidates(args.scale, args.size, args.set, args.device), budget)
    file = file_of(choice.best)
    print("\n".join(_report(choice, args.size, args.device, file)))
    if args.copy_to:
        from pipeline_src.library.shipping import ship

        print("\n".join(str(copy) for copy in ship(file, args.copy_to)))


def _report(choice: "Choice", size: tuple[int, int], device: str, file: "Path") -> list[str]:
    from pipeline_src.config import HERE
    from pipeline_src.library import machines

    best, (height, width) = choice.best, size
    machine = machines.read(best.net, device)
    estimated = "" if best.timed == size else f", in proportion from {best.timed[1]}×{best.timed[0]}"
    lines = [
        f"{best.name}: {best.psnr_y:.2f} dB, {best.gain:+.2f} dB over bicubic",
        f"  {best.ms:.1f} ms for {width}×{height} to {width * best.scale}×{height * best.scale}{estimated}; "
        f"median of {best.runs} calls on {machine}",
        f"  {best.kib:.0f} KiB, {best.memory_mb:.0f} MB peak memory",
        f"  {file}",
    ]
    if device == HERE and not machine.is_like_this_one:
        lines.append(f"  that is {machines.not_this_one([best.net])}")
    if not best.compared:
        lines.append(f"  whether {device} computes the same net is not known: its image was not compared")
    for title, other in (("faster", choice.faster), ("better", choice.better)):
        lines.append(f"{title}: {_short(other, best) if other else 'none'}")
    return lines


def _short(other: "Candidate", best: "Candidate") -> str:
    return f"{other.name}: {other.ms:.1f} ms, {other.psnr_y:.2f} dB ({other.psnr_y - best.psnr_y:+.2f})"


if __name__ == "__main__":
    run_command("pick", __doc__, add_arguments, run)
