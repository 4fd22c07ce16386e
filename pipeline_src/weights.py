"""Weights on disk: safetensors with the architecture in the header as JSON. Nothing is ever unpickled."""

import json
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from pipeline_src import downscaling, models, paths
from pipeline_src.config import Degradation, Downscaler, Training
from pipeline_src.downscaling import LearnedDownscaler
from pipeline_src.errors import UserError
from pipeline_src.files import is_of_the_system, whole_file
from pipeline_src.models import SuperResolutionNet, TorchModule

CORRUPT = "delete it and run the command again"
IMPORT = "superres import {} --as SYSTEM -o weights.safetensors"
PICKLE = "a pickle, which can run any code when it is read"
CHECKPOINTS = {  # how the checkpoints of other programs begin
    **{b"PK\x03\x04": PICKLE, b"\x80\x02": PICKLE, b"\x80\x03": PICKLE, b"\x80\x04": PICKLE},
    b"\x89HDF": "an HDF5 file, as Keras writes it",
}


def save_tensors(path: Path, tensors: dict[str, torch.Tensor], metadata: dict[str, Any]) -> None:
    """Write tensors of any dtype and shape, and JSON-able metadata, whole or not at all."""
    copies = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    # One entry, because safetensors writes several in an order that changes from save to save.
    content = save(copies, {"metadata": json.dumps(metadata, sort_keys=True)})
    with whole_file(path) as temporary:
        temporary.write_bytes(content)


def build(model: str, scales: list[int], net: dict[str, Any], where: str) -> SuperResolutionNet:
    """Return an untrained net.

    Args:
        model: the package of ``pipeline_src.models``.
        scales: the factors by which it upscales.
        net: further arguments of the model.
        where: the place that asks for the net, for the message.

    Raises:
        UserError: the model does not exist, or refuses these arguments.
    """
    with _building(f"{where}: the model {model}"):
        return models.build(model, scales, net)


def build_downscaler(model: str, scales: list[int], net: dict[str, Any], where: str) -> LearnedDownscaler:
    """Return an untrained downscaler of ``pipeline_src.downscaling``; arguments and errors as for :func:`build`."""
    with _building(f"{where}: the downscaler {model}"):
        return downscaling.build(model, scales, net)


@contextmanager
def _building(subject: str) -> Iterator[None]:
    try:
        yield
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        raise UserError(f"{subject} cannot be built so: {error}") from None


def load_tensors(path: Path, remedy: str = CORRUPT) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Return the tensors and the metadata that :func:`save_tensors` wrote.

    Args:
        path: the file.
        remedy: the end of the message about a corrupt file: what to do.

    Raises:
        UserError: the file is missing or not whole.
    """
    with _opened(path, remedy) as (file, metadata):
        return {name: file.get_tensor(name) for name in file.keys()}, metadata  # noqa: SIM118 (no iterator)


def load_metadata(path: Path) -> dict[str, Any]:
    """Return what :func:`load_tensors` returns, without reading the tensors; errors as there."""
    with _opened(path, CORRUPT) as (_, metadata):
        return metadata


@contextmanager
def _opened(path: Path, remedy: str) -> Iterator[tuple[Any, dict[str, Any]]]:
    try:
        path.open("rb").close()  # its errors are the system's, which safetensors tells as others
        with safe_open(path, framework="pt") as file:
            yield file, json.loads((file.metadata() or {}).get("metadata", "{}"))
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; run the stage that makes it first") from None
    except (SafetensorError, json.JSONDecodeError, RecursionError, OSError) as error:
        if is_of_the_system(error):
            raise
        refuse_checkpoint(path)
        raise UserError(f"{path} is corrupt ({error}); {remedy}") from None


def refuse_checkpoint(path: Path) -> None:
    """Raise UserError if a file, which is no safetensors, is a checkpoint of another program."""
    with path.open("rb") as file:
        head = file.read(8)
    found = next((what for begin, what in CHECKPOINTS.items() if head.startswith(begin)), None)
    if found:
        raise UserError(
            f"{path} is {found}, and weights are read from safetensors alone; make them of it with "
            f"`{IMPORT.format(path)}`, and give that file"
        )


def origin(recipe: Training) -> str:
    """Return where weights that a recipe trains come from, as tables print it: ``trained here``, or the start files."""
    return begun_from(recipe.start.file if recipe.start else " + ".join(p.file for p in recipe.grow), recipe.steps)


def begun_from(files: str, steps: int) -> str:
    """Return where weights come from that were trained for some steps from those of ``files``, "" for random ones."""
    if steps and files:
        return f"{files}, then trained here"
    return files or "trained here"


def dtype_name(dtype: torch.dtype) -> str:
    """Return the name of a dtype, such as ``float32``."""
    return str(dtype).removeprefix("torch.")


def save_net(path: Path, net: TorchModule, metadata: dict[str, Any]) -> None:
    """Write a net and its ``model``, ``scales`` and ``net`` in the metadata, from which :func:`load_net` builds it."""
    save_tensors(path, net.state_dict(), metadata)


def load_net(path: Path, scales: Sequence[int] | None = None) -> tuple[SuperResolutionNet, dict[str, Any]]:
    """Return the net that :func:`save_net` wrote, in eval mode, and its metadata.

    Args:
        path: the file.
        scales: the scales that the net must have; None for any.

    Raises:
        UserError: the file is missing or corrupt, its weights are no numbers or not of the net that it names, or the
            scales differ.
    """
    tensors, metadata = load_tensors(path)
    missing = [key for key in ("model", "scales", "net") if key not in metadata]
    if missing:
        raise UserError(f"{path} does not say its {', '.join(missing)}; give a file that the stage train wrote")
    if scales and [*scales] != metadata["scales"]:
        raise UserError(f"{path} is of scales {metadata['scales']}, but params.yaml asks for {[*scales]}; retrain it")
    if not all(tensor.isfinite().all() for tensor in tensors.values()):
        raise UserError(f"{path} holds weights that are no numbers, as of a training that has diverged; {CORRUPT}")
    net = build(metadata["model"], metadata["scales"], metadata["net"], str(path))
    if metadata.get("pruned"):
        resize_layers(net, tensors)
    load_state(net, tensors, f"{path} does not fit the net {metadata['model']} that it names")
    return net.eval(), metadata


@dataclass(frozen=True)
class OtherLR:
    """LR images in place of those of ``train.h5``.

    Attributes:
        file: an LR image of every HR image.
        degradation: how they were degraded at random, and training patches are anew; None if a downscaler that was
            trained made them.
    """

    file: Path
    degradation: Degradation | None = None


def other_lr(system: str) -> OtherLR | None:
    """Return the LR images that a system was trained on; None if they are those of train.h5.

    Raises:
        UserError: if the weights of the system are missing or corrupt.
    """
    path, file = paths.weights(system), paths.downscaler(system) / "lr.h5"
    header = load_metadata(path).get("downscaler") or {"model": "bicubic"}
    try:
        spec = Downscaler.model_validate({key: header[key] for key in ("model", "degradation") if key in header})
    except (TypeError, ValueError):
        raise UserError(f"{path} does not say what made its LR images; {CORRUPT}") from None
    if spec.degrades:
        return OtherLR(file, spec.degradation)
    return OtherLR(file) if spec.learns else None


def require_system(path: Path, metadata: dict[str, Any], system: str) -> None:
    """Check that the weights in the place of a system are its own.

    Args:
        path: the file.
        metadata: of the file.
        system: a name in params.yaml.

    Raises:
        UserError: if they say that they are of another system.
    """
    own = str(metadata.get("system", system)).partition("/")[0]
    if own != system:
        raise UserError(f"{path} holds weights of the system {own}, not of {system}; run dvc repro -f train@{system}")


def load_deployed_net(path: Path) -> tuple[SuperResolutionNet, dict[str, Any]]:
    """Return what :func:`load_net` returns, of a net that is quantised and exported.

    Raises:
        UserError: also if the file holds a supernet, whose subnets are exported instead.
    """
    net, metadata = load_net(path)
    if hasattr(net, "sample_subnet"):
        raise UserError(f"{path.parent / 'search/nets'} holds no net; run the stage search first")
    return net, metadata


def load_downscaler(path: Path) -> LearnedDownscaler:
    """Return the learned downscaler of a file, in eval mode.

    Raises:
        UserError: the file is missing or corrupt, or holds no downscaler.
    """
    tensors, metadata = load_tensors(path)
    if not isinstance(metadata.get("downscaler"), str):  # weights of an upscaler have all of what made its LR images
        raise UserError(f"{path} holds no learned downscaler; give downscaler/weights.safetensors of the stage train")
    net = build_downscaler(metadata["downscaler"], metadata["scales"], metadata["net"], str(path))
    load_state(net, tensors, f"{path} does not fit the downscaler {metadata['downscaler']} that it names")
    return net.eval()


def resize_layers(net: TorchModule, state: dict[str, torch.Tensor]) -> None:
    """Give the parameters and buffers of a net the shapes of the tensors in ``state``, which the caller loads next."""
    for name, tensor in state.items():
        where, _, leaf = name.rpartition(".")
        try:
            layer = net.get_submodule(where)
            old = getattr(layer, leaf)
        except AttributeError:
            continue  # loading will name it
        if old.ndim == tensor.ndim and old.shape != tensor.shape:
            new = torch.empty_like(tensor, dtype=old.dtype)
            parameter = isinstance(old, torch.nn.Parameter)
            setattr(layer, leaf, torch.nn.Parameter(new, old.requires_grad) if parameter else new)
            if isinstance(layer, torch.nn.Conv2d) and leaf == "weight":
                layer.out_channels, layer.in_channels = len(new), new.shape[1] * layer.groups


def load_state(net: TorchModule, tensors: dict[str, torch.Tensor], problem: str) -> None:
    """Load all tensors of a net; if they do not fit, raise UserError that begins with ``problem``."""
    try:
        restore(net, tensors)
    except RuntimeError as error:
        raise UserError(f"{problem}: {str(error).splitlines()[-1].strip()}") from None


def restore(module: TorchModule, tensors: dict[str, torch.Tensor]) -> None:
    """Load the tensors of a module's ``state_dict``, which a file of tensors has kept.

    A state dict also says in which version each layer wrote its state, and files of tensors do not keep that. Without
    it layers take their state for one of the first version, and torchao's observers replace their epsilon.

    Raises:
        RuntimeError: if the tensors are not those of the module.
    """
    state = OrderedDict(tensors)
    state._metadata = getattr(module.state_dict(), "_metadata", None)  # type: ignore[attr-defined]  # as torch does
    module.load_state_dict(state)
