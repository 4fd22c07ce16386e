"""Where files of the pipeline lie, relative to the root of the repository."""

from collections.abc import Sequence
from pathlib import Path

from pipeline_src.errors import UserError

PARAMS = Path("params.yaml")
RESULTS = Path("results")
FOLDER_OF_DEVICES = "devices"  # in results/benchmark, beside those of the systems
SCRATCH = Path(".cache")  # resume checkpoints: outside the outs, because both launchers delete those before a run


def results(stage: str, item: str = "") -> Path:
    """Return the folder a stage writes to: ``results/<stage>`` or ``results/<stage>/<item>``."""
    return RESULTS / stage / item


def measured(device: str) -> Path:
    """Return the folder that ``measure@<device>`` writes to.

    It lies with the results of the stage benchmark, because the report depends on them all, however many devices there
    are: DVC has no dependency that may be missing.
    """
    return results("benchmark", FOLDER_OF_DEVICES) / device


def remedy(stage: str, item: str = "") -> str:
    """Return what to do where a file that a stage writes is missing or damaged, as the end of a message."""
    return f"run `python -m pipeline_src.stages.{f'{stage} {item}'.strip()}`, or `dvc repro`"


BENCHMARK_TABLE, BENCHMARK_IMAGES, DEVICE_TABLE, MACHINE = "benchmark.csv", "images.csv", "measure.csv", "machine.json"
COMPARED = (BENCHMARK_TABLE, BENCHMARK_IMAGES, MACHINE)  # of each net, by which two states are compared
COMPARED_OF_DEVICE = (DEVICE_TABLE, MACHINE)
TRAIN_H5 = results("build_h5") / "train.h5"
DOWNSCALER = "downscaler"  # the name of a system's learned downscaler among its nets
MANIFEST = "manifest.csv"  # in the folder of each image set
OWN_LR = "LR"  # in that of a set with LR images of the user's own


def images_folder(role: str, name: str) -> Path:
    """Return where ``fetch@<name>`` puts its images and ``manifest.csv``; ``role`` is "training" or "evaluation"."""
    return results("fetch", role) / name


def manifest(role: str, name: str) -> Path:
    """Return the list of the images of a set, whose hash stands for the set."""
    return images_folder(role, name) / MANIFEST


def own_lr_folder(images: Path, scale: int) -> Path:
    """Return where the stage fetch puts LR images of the user's own for the set in ``images``."""
    return images / OWN_LR / f"X{scale}"


def weights(system: str) -> Path:
    """Return the file of a system's trained float weights, as the stage train writes them."""
    return results("nets", system) / "weights.safetensors"


def smaller_nets(maker: str, system: str) -> Path:
    """Return the folder of what ``maker``, the stage prune or search, makes of a system; its nets are in ``nets/``."""
    return results("nets", system) / maker


def nets(system: str) -> dict[str, Path]:
    """Float weights of the nets of a system that are quantised, exported and measured, by name.

    The system itself (``abpn_x3``) and what it is pruned to (``abpn_x3/l1_50``). Of a once-for-all system the subnets
    that the stage search has extracted (``ofa_sr/half``), and not the supernet.

    Raises:
        UserError: if the stage train has not run.
    """
    if not weights(system).is_file():
        raise UserError(f"{weights(system)} does not exist; run the stage train first")
    searched, pruned = (
        {f"{system}/{file.stem}": file for file in sorted(smaller_nets(maker, system).glob("nets/*.safetensors"))}
        for maker in ("search", "prune")
    )
    return searched or {system: weights(system), **pruned}


def all_nets(system: str, names: Sequence[str]) -> dict[str, Path]:
    """Return :func:`nets`, which must be those of params.yaml.

    Args:
        system: of params.yaml.
        names: of its nets there.

    Raises:
        UserError: if one is missing, or the stage train has not run.
    """
    found = nets(system)
    if missing := [name for name in names if name not in found]:
        maker = "prune" if system in names else "search"
        file = smaller_nets(maker, system) / "nets" / f"{missing[0].partition('/')[2]}.safetensors"
        raise UserError(f"{file} does not exist; {remedy(maker, system)}")
    return found


def quantized(net: str, variant: str) -> Path:
    """Return the state file of an int8 net of :func:`nets`, or downscaler; ``variant`` is "ptq" or "qat"."""
    system, _, name = net.partition("/")
    return results("quantize", system) / "nets" / name / f"{variant}.safetensors"


def downscaler(system: str) -> Path:
    """Return the folder of a system's downscaler, which is empty if bicubic makes the LR images.

    It holds ``lr.h5``, the LR images that the downscaler makes of the HR of ``train.h5``; and ``weights.safetensors``
    if it learns.
    """
    return results("train", system) / "downscaler"


def downscaler_weights(system: str) -> Path:
    """Return the weights of a system's learned downscaler; no file if the downscaler learns nothing."""
    return downscaler(system) / "weights.safetensors"


def downscaler_name(system: str) -> str:
    """Return the name of a system's learned downscaler, such as ``conv_x4/downscaler``, among those of nets."""
    return f"{system}/{DOWNSCALER}"
