"""Make weights of a published checkpoint, for `start:` of a system in params.yaml.

    superres import carn_m.pth --as carn_m -o published/carn_m.safetensors
    superres import carn_m.pth --as carn_m --scales 4
    superres import kgn.pth --as car_x4          the downscaler; usn.pth is the net that upscales

The file is one of torch (.pth, .pt, of any version since 0.1.10), Keras (.h5), MindSpore (.ckpt) or safetensors.
Nothing in it is run: a pickle is read by names and numbers alone, and every other object in it stays unbuilt.

--as names a system of params.yaml in this folder, if there is one, or a published net: carn, carn_m, ecdn, ecdn_m,
vdsr, edsr_baseline_x2 (x3, x4), edsr_x2 (x3, x4), abpn_x2 (x3, x4), car_x2 (x4).
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline_src.cli.main import filled, filled_path, run_command
from pipeline_src.errors import UserError

if TYPE_CHECKING:
    from pipeline_src.config import Params
    from pipeline_src.importing.conversion import Imported

SUFFIX = ".safetensors"
DIGITS = 12  # of the SHA-256 that start.sha256 gets


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``superres import``."""
    parser.add_argument("file", type=filled_path, help="the checkpoint")
    parser.add_argument(
        "--as", dest="name", type=filled, required=True, metavar="NET", help="a system, or a published net"
    )
    parser.add_argument("--scales", type=int, nargs="+", help="those to keep of a net of several; default: all it has")
    parser.add_argument(
        "-o", "--output", type=filled, help="the weights, or a folder for them; default: NET.safetensors in this folder"
    )


def run(args: argparse.Namespace) -> None:
    """Import the checkpoint that the arguments name, and print what to write into params.yaml."""
    from pipeline_src import config, paths
    from pipeline_src.files import sha256
    from pipeline_src.importing.conversion import convert
    from pipeline_src.importing.targets import targets

    params = config.load() if paths.PARAMS.is_file() else None
    imported = convert(args.file, targets(args.name, params), args.scales)
    output = output_file(args.output, imported, args.file)
    try:
        imported.save(output)
    except (PermissionError, NotADirectoryError, FileExistsError) as error:
        raise UserError(f"{output} cannot be written ({error.strerror}); name another file by -o") from None
    scales = " ".join(f"×{scale}" for scale in imported.scales)
    count = sum(parameter.numel() for parameter in imported.net.parameters())
    print(f"{output}: {imported.target.title} {scales}, {count:,} parameters, of {args.file}")
    print("\nTo start from it, in params.yaml:\n")
    print(settings(imported, output, sha256(output)[:DIGITS], params))


def output_file(output: str | None, imported: "Imported", source: Path) -> Path:
    """Return the file to write.

    Args:
        output: a file, or a folder for it, which exists or ends in a slash; None for the current folder.
        imported: what is written, which gives the file its name in a folder.
        source: the checkpoint, which is never written over.

    Raises:
        UserError: if the file cannot be that.
    """
    name = imported.target.name + "_downscaler" * imported.target.downscales + SUFFIX
    if not output or output.endswith("/") or Path(output).is_dir():
        file = Path(output or ".") / name
        if file.exists():
            raise UserError(f"{file} exists; name the file to write by -o")
    else:
        file = Path(output)
    if file.suffix != SUFFIX:
        raise UserError(f"-o is {file}, but weights are written as safetensors; name a file that ends in {SUFFIX}")
    if file.resolve() == source.resolve():
        raise UserError(f"{file} is the checkpoint itself; name another file by -o")
    return file


def settings(imported: "Imported", file: Path, digest: str, params: "Params | None") -> str:
    """Return the part of params.yaml with which a system starts from imported weights.

    Args:
        imported: the weights.
        file: where they are.
        digest: how the SHA-256 of that file begins.
        params: params.yaml, which may have the net already; None where there is none.
    """
    import json

    target, net = imported.target, json.dumps(imported.target.net).replace('"', "")
    start = f"start: {{file: {json.dumps(str(file))}, sha256: {json.dumps(digest)}}}"
    lines = ["systems:", f"  {target.name}:"]
    if target.downscales:
        return "\n".join([*lines, f"    downscaler: {{model: {target.model}, net: {net}, {start}}}"])
    system = params.systems.get(target.name) if params else None
    if not target.of_params:
        lines += [f"    model: {target.model}", f"    net: {net}"]
    if not system or [*system.scales] != imported.scales or not target.of_params:
        lines.append(f"    scales: {imported.scales}")
    return "\n".join([*lines, f"    train: {{steps: 0, {start}}}"])


if __name__ == "__main__":
    run_command("import", __doc__, add_arguments, run)
