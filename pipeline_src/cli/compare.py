"""Say what became better or worse between two states of the pipeline, beyond noise.

    superres compare main workspace            # a revision of git, and the results in this folder
    superres compare HEAD~3 HEAD --csv all.csv
    superres compare ../other/results workspace --fail-on quality
    superres compare 3f2a…c1 9b07…4e           # the runs of two states in MLflow

BASE and NEW are each `workspace`, a folder (a checkout, its results or its results/benchmark), a revision of git, whose
results DVC has in its cache or a remote, or the id of the run of a state in MLflow. Each exported file is compared with
the one of the same net, variant, runtime and scale: the quality by the differences of the images that both have, the
latency by its confidence intervals, if it has settled and was measured on the same machine.

The status is 0 if nothing is worse, 1 if something is, and 2 after a mistake.
"""

import argparse

from pipeline_src.cli.main import filled, filled_path, run_command
from pipeline_src.command import positive
from pipeline_src.reporting.comparison.tolerances import Tolerances

MISTAKE = 2  # the status, because 1 says that something is worse
LEAST = Tolerances()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``superres compare``."""
    parser.add_argument("base", type=filled, metavar="BASE", help="the state that was")
    parser.add_argument("new", type=filled, metavar="NEW", help="the state that is compared with it")
    parser.add_argument("--format", choices=("text", "markdown"), default="text", help="default: text")
    parser.add_argument("--csv", type=filled_path, metavar="FILE", help="where to write every figure that was compared")
    parser.add_argument(
        "--fail-on", choices=("any", "quality", "latency"), default="any", help="what gives status 1; default: any"
    )
    least = parser.add_argument_group("the smallest differences that count")
    for name, unit, what in (
        ("psnr", "DB", "mean PSNR Y of an image set, in dB"),
        ("ssim", "SSIM", "mean SSIM Y of an image set"),
        ("latency", "PERCENT", "median latency"),
        ("memory", "PERCENT", "peak memory"),
        ("size", "PERCENT", "size of the file"),
    ):
        default = getattr(LEAST, name)
        least.add_argument(f"--{name}", type=positive, default=default, metavar=unit, help=f"{what} ({default:g})")


def run(args: argparse.Namespace) -> int:
    """Print the comparison, and return the status."""
    from pipeline_src.reporting.comparison import compared, measurements, texts
    from pipeline_src.tables import write_table

    tolerances = Tolerances(args.psnr, args.ssim, args.latency, args.size, args.memory)
    comparison = compared.compare(measurements.read(args.base), measurements.read(args.new), tolerances)
    if args.csv:
        write_table(args.csv, texts.table(comparison))
    print(texts.markdown(comparison) if args.format == "markdown" else texts.text(comparison))
    return int(comparison.has_worse(args.fail_on))


if __name__ == "__main__":
    run_command("compare", __doc__, add_arguments, run, mistake=MISTAKE)
