"""List the nets that can be used here: those bundled with superres, and those that a run has made in this folder.

    superres models
    superres models abpn_x4      all that is known of one
    superres models --json       the same for programs

PSNR Y is by the protocol (docs/protocol.md), beside it by how many dB it is above bicubic. p50 is the median latency of
the fastest file that a run has measured, for the LR image beside it, on the machine that is named.
"""

import argparse
from typing import TYPE_CHECKING

from pipeline_src.cli.main import filled, run_command
from pipeline_src.deployment.formats import FORMATS

if TYPE_CHECKING:
    from pipeline_src.library.nets import Running


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that say how a net runs, which several commands share."""
    parser.add_argument(
        "--runtime",
        choices=("torch", *FORMATS),
        help="default: torch for a bundled net (tflite for its ptq), onnx for an exported net of a run",
    )
    parser.add_argument("--variant", choices=("fp32", "ptq", "qat"), help="default: fp32, or that of the model file")
    parser.add_argument(
        "--device",
        type=str.lower,
        default="cpu",
        help="cpu (default); cuda or mps in torch; an execution provider of ONNX Runtime, such as cuda or coreml",
    )


def running(args: argparse.Namespace) -> "Running":
    """Return how the net is to run, from the arguments of :func:`add_model_arguments` and ``--threads``."""
    from pipeline_src.library.nets import Running

    return Running(args.runtime, args.variant, args.device, args.threads)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``superres models``."""
    parser.add_argument("model", nargs="?", type=filled, help="the net to describe")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> None:
    """Print the nets."""
    import json

    from pipeline_src.library import bundled, finding, listing
    from pipeline_src.library import run as of_run

    entries = [finding.find(args.model)] if args.model else [*bundled.entries(), *of_run.entries()]
    if args.json:
        print(json.dumps([listing.as_record(entry) for entry in entries], indent=2))
    elif args.model:
        print(listing.description(entries[0]))
    else:
        print(listing.table(entries))


if __name__ == "__main__":
    run_command("models", __doc__, add_arguments, run)
