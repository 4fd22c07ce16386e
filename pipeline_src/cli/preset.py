"""Check params.yaml, layer presets over it, or take them off again.

    superres preset                          checks params.yaml, and prints this help
    superres preset check                    checks that a run can finish on this machine, too
    superres preset list                     the presets there are, and those that are layered
    superres preset add reference pretrained
    superres preset add results/tune/carn_m/best.yaml
    superres preset remove pretrained
    superres preset remove --all

`check` asks whether each image set is here or its address answers, and whether the disk has room. Before long
trainings it also measures a step of each, and says how long they will take and how much memory of the GPU.

A preset is a part of params.yaml, in workflow/presets or in any YAML file. Your own edits of params.yaml stay, whether
you make them before or after. What the file was without presets is kept in params.base.yaml, which git ignores.
"""

import argparse

from pipeline_src.cli.main import filled, run_command
from pipeline_src.errors import UserError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``superres preset``."""
    parser.set_defaults(help=parser.format_help)
    actions = parser.add_subparsers(dest="action", metavar="action")
    actions.add_parser("check", help="check params.yaml, and that a run can finish on this machine")
    actions.add_parser("list", help="show the presets there are, and those that are layered")
    add = actions.add_parser("add", help="layer presets over params.yaml, in this order")
    add.add_argument("presets", nargs="+", type=filled, help="names of presets, or YAML files")
    remove = actions.add_parser("remove", help="take presets off again")
    remove.add_argument("presets", nargs="*", type=filled, help="names or files, as they were added")
    remove.add_argument("--all", action="store_true", help="all presets")


def run(args: argparse.Namespace) -> None:
    """Do what the arguments say."""
    from pipeline_src import config
    from pipeline_src.config import presets

    if args.action == "add":
        _print_layered(presets.add(args.presets))
    elif args.action == "remove":
        if bool(args.presets) == args.all:
            raise UserError("name the presets to remove, or give --all")
        _print_layered(presets.remove(None if args.all else args.presets))
    elif args.action == "list":
        for name, summary in presets.available().items():
            print(f"{name:<12} {summary}")
        _print_layered(presets.layered())
    elif args.action == "check":
        from pipeline_src.preflight.check import check

        for sentence in check(config.load()):
            print(sentence)
    else:
        config.load()
        print(args.help())


def _print_layered(names: list[str]) -> None:
    print(f"params.yaml with {', '.join(names)}" if names else "params.yaml without presets")


if __name__ == "__main__":
    run_command("preset", __doc__, add_arguments, run)
