"""Weights on disk: safetensors with the architecture in the header as JSON. Nothing is ever unpickled."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from pipeline_src import downscaling, models, paths
from pipeline_src.config import Downscaler, PinnedFile
from pipeline_src.errors import UserError
from pipeline_src.files import sha256, whole_file

CORRUPT = "delete it and run the command again"


def save_tensors(path: Path, tensors: dict[str, torch.Tensor], metadata: dict[str, Any]) -> None:
    """Write tensors of any dtype and shape, and JSON-able metadata, whole or not at all."""
    apart = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    # One entry, because safetensors writes several in an order that changes from save to save.
    content = save(apart, {"metadata": json.dumps(metadata, sort_keys=True)})
    with whole_file(path) as aside:
        aside.write_bytes(content)


def build(model: str, scales: list[int], net: dict[str, Any], where: str) -> Any:
    """``models.build``; UserError, which names ``where`` this was asked for, of arguments that the model refuses."""
    try:
        return models.build(model, scales, net)
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        raise UserError(f"{where}: the model {model} cannot be built so: {error}") from None


def load_tensors(path: Path, remedy: str = CORRUPT) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Tensors and metadata of :func:`save_tensors`; UserError if the file is missing or not whole."""
    with _opened(path, remedy) as (file, metadata):
        return {name: file.get_tensor(name) for name in file.keys()}, metadata  # noqa: SIM118 (no iterator)


def load_metadata(path: Path) -> dict[str, Any]:
    """Metadata of :func:`save_tensors`, without the tensors; UserError if the file is missing or not whole."""
    with _opened(path, CORRUPT) as (_, metadata):
        return metadata


@contextmanager
def _opened(path: Path, remedy: str) -> Iterator[tuple[Any, dict[str, Any]]]:
    try:
        with safe_open(path, framework="pt") as file:
            yield file, json.loads((file.metadata() or {}).get("metadata", "{}"))
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; run the stage that makes it first") from None
    except (SafetensorError, json.JSONDecodeError, OSError) as error:
        raise UserError(f"{path} is corrupt ({error}); {remedy}") from None


def save_net(path: Path, net: torch.nn.Module, metadata: dict[str, Any]) -> None:
    """Write a net; ``metadata`` must hold ``model``, ``scales`` and ``net``, from which it can be built again."""
    save_tensors(path, net.state_dict(), metadata)


def load_net(path: Path, scales: Sequence[int] | None = None) -> tuple[Any, dict[str, Any]]:
    """The net of :func:`save_net` in eval mode, and its metadata.

    UserError if the weights are of another net than the file says, or it has other ``scales`` than these.
    """
    tensors, metadata = load_tensors(path)
    missing = [key for key in ("model", "scales", "net") if key not in metadata]
    if missing:
        raise UserError(f"{path} does not say its {', '.join(missing)}; give a file that the stage train wrote")
    if scales and [*scales] != metadata["scales"]:
        raise UserError(f"{path} is of scales {metadata['scales']}, but params.yaml asks for {[*scales]}; retrain it")
    net = build(metadata["model"], metadata["scales"], metadata["net"], str(path))
    if metadata.get("pruned"):
        resize_layers(net, tensors)
    _load(net, tensors, f"{path} does not fit the net {metadata['model']} that it names")
    return net.eval(), metadata


def learned_lr(system: str) -> Path | None:
    """Return ``lr.h5`` of the downscaler that a system was trained with; None if its LR images are those of train.h5.

    Raises:
        UserError: if the weights of the system are missing or corrupt.
    """
    spec = load_metadata(paths.weights(system)).get("downscaler", {"model": "bicubic"})
    return paths.downscaler(system) / "lr.h5" if Downscaler(model=spec["model"]).learns else None


def load_deployed_net(path: Path) -> tuple[Any, dict[str, Any]]:
    """Return what :func:`load_net` returns, of a net that is quantised and exported.

    Raises:
        UserError: also if the file holds a supernet, whose subnets are exported instead.
    """
    net, metadata = load_net(path)
    if hasattr(net, "sample_subnet"):
        raise UserError(f"{path.parent / 'search/nets'} holds no net; run the stage search first")
    return net, metadata


def load_downscaler(path: Path) -> tuple[Any, str]:
    """The learned downscaler of a file, in eval mode, and its kind (``car``); UserError if it is none."""
    tensors, metadata = load_tensors(path)
    if not isinstance(metadata.get("downscaler"), str):  # weights of an upscaler have all of what made its LR images
        raise UserError(f"{path} holds no learned downscaler; give downscaler/weights.safetensors of the stage train")
    net = build_downscaler(metadata["downscaler"], metadata["scales"], metadata["net"], str(path))
    _load(net, tensors, f"{path} does not fit the downscaler {metadata['downscaler']} that it names")
    return net.eval(), metadata["downscaler"]


def build_downscaler(model: str, scales: list[int], net: dict[str, Any], where: str) -> Any:
    """``downscaling.build``; errors as :func:`build`."""
    try:
        return downscaling.build(model, scales, net)
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        raise UserError(f"{where}: the downscaler {model} cannot be built so: {error}") from None


def resize_layers(net: torch.nn.Module, state: dict[str, torch.Tensor]) -> None:
    """Make the layers of ``net`` as small as the tensors of ``state``, which are yet to be loaded into it."""
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


def load_into(net: torch.nn.Module, start: PinnedFile) -> None:
    """Load weights to start from into ``net``.

    Raises:
        UserError: if the file is missing or another one, or its weights are of another architecture or scale.
    """
    path, digest = Path(start.file), start.sha256
    if not path.is_file():
        raise UserError(f"{path}, the weights to start from, does not exist; correct start.file")
    tensors, metadata = load_tensors(path, "correct start.file")
    if not (found := sha256(path)).startswith(digest):
        raise UserError(f"{path} has the SHA-256 {found[:12]}…, not start.sha256, {digest}; correct one of the two")
    scales = " ".join(f"×{scale}" for scale in metadata.get("scales", []))
    theirs = " ".join(str(part) for part in (metadata.get("model", "another net"), scales) if part)
    _load(net, tensors, f"{path} holds weights of {theirs}, which do not fit this system")


def _load(net: torch.nn.Module, tensors: dict[str, torch.Tensor], trouble: str) -> None:
    try:
        net.load_state_dict(tensors)
    except RuntimeError as error:
        raise UserError(f"{trouble}: {str(error).splitlines()[-1].strip()}") from None
