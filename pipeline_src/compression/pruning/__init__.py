"""Pruning: the filters or weights that a pruner selects are removed from a net."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pipeline_src.compression.pruning.channels import Channels, Filter, read
from pipeline_src.compression.pruning.importance import weight_importance
from pipeline_src.config import Pruning
from pipeline_src.datasets.hdf5 import ImagePairs
from pipeline_src.errors import UserError
from pipeline_src.models.layers.batch_norm import ScaleBatchNorm
from pipeline_src.pruners import PRUNERS, removes_weights
from pipeline_src.weights import resize_layers

EXAMPLES, EXAMPLE_CROP = 16, 48  # number of images, and the side of each in LR pixels


@dataclass(frozen=True)
class Layer:
    """The size of a convolution before and after pruning.

    Attributes:
        layer: Name of the convolution in the net.
        before: Number of filters, or of weights if the pruner removes single weights.
        after: The same after pruning.
    """

    layer: str
    before: int
    after: int


def prune(
    net: Any, spec: Pruning, images: Mapping[int, Sequence[np.ndarray]], channels: Channels | None = None
) -> list[Layer]:
    """Prune a net in place.

    Removing filters makes the convolutions smaller. The net then computes what it would compute with those filters set
    to 0. Removing weights sets them to 0 and masks their gradients. The other weights keep their values, unless
    ``spec.initialise`` is ``random``: then they are drawn from torch's global generator.

    Args:
        net: A net of ``pipeline_src.models``.
        spec: What to prune, and how.
        images: A few LR images of each scale, uint8 H×W×3; see :func:`examples`.
        channels: What :func:`read` returns of the net, for a caller that prunes it more than once.

    Returns:
        The sizes of the convolutions, in the order of the net.

    Raises:
        UserError: As :func:`channels_to_remove`.
    """
    channels, state = channels or read(net), net.state_dict()
    scores = pruner_input(net, channels, spec, images)
    masks: dict[str, Tensor] = {}
    if removes_weights(spec.pruner):
        masks = weight_masks(net, scores, spec)
        layers = [Layer(_layer_name(name), mask.numel(), int(mask.sum())) for name, mask in masks.items()]
    else:
        removed = channels_to_remove(channels, scores, spec)
        layers = layer_sizes(channels, removed)
        smaller = channels.remove(state, removed)
        resize_layers(net, smaller)
        net.load_state_dict(smaller)
    if spec.initialise == "random":
        _initialise(net)
    for name, mask in masks.items():
        net.get_parameter(name).data *= mask
    if masks:
        keep_zeros(net)
    return layers


def keep_zeros(net: nn.Module) -> None:
    """Mask the gradients of trained convolution weights that are 0, so that training leaves them at 0."""
    weight: Any  # Tensor.register_hook has no annotations
    for weight in net.parameters():
        if weight.requires_grad and weight.ndim == 4 and not weight.all():
            mask = weight != 0
            weight.register_hook(lambda gradient, mask=mask: gradient * mask.to(gradient.device))


def examples(training: ImagePairs, scales: Iterable[int]) -> dict[int, list[np.ndarray]]:
    """Return the LR images of each scale on which importance is measured: centre crops of training images.

    Args:
        training: The training images, never evaluation images.
        scales: The scales of the net.

    Returns:
        Images of each scale, uint8 H×W×3.
    """
    return {scale: list(training.middles(scale, EXAMPLES, EXAMPLE_CROP).values()) for scale in scales}


def pruner_input(
    net: Any, channels: Channels, spec: Pruning, images: Mapping[int, Sequence[np.ndarray]]
) -> dict[str, Tensor]:
    """Return the state of a net as the pruner compares it.

    Args:
        net: A net of ``pipeline_src.models``.
        channels: Its channels, from :func:`channels.read`.
        spec: ``spec.criterion`` chooses between the weights and their importance.
        images: LR images of each scale, uint8 H×W×3; unused if the weights themselves are compared.

    Returns:
        The net's state, in which the weights of convolutions are replaced by their importance if that is the criterion.
    """
    scores: dict[str, Tensor] = net.state_dict()
    return scores | (weight_importance(net, channels, images) if spec.criterion == "importance" else {})


def _initialise(net: nn.Module) -> None:
    """Draw weights by Glorot's scheme, and reset biases and batch norms."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d) and module.weight.requires_grad:
            nn.init.xavier_normal_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, ScaleBatchNorm):
            module.reset()


def channels_to_remove(channels: Channels, scores: Mapping[str, Tensor], spec: Pruning) -> set[int]:
    """Return the channels that a pruner of filters removes.

    In the mode ``dependency_aware`` the filters that make one channel are one row to the pruner, and the share
    ``spec.sparsity`` of each layer is removed, rounded down. In the mode ``normal`` the pruner sees each convolution by
    itself, and a channel is removed if all of its filters were selected, so less than that share is removed. In both
    modes the groups of a grouped convolution stay equally large, and every layer keeps at least one filter.

    Args:
        channels: The channels of the net.
        scores: Weights or importance by name, from :func:`pruner_input`.
        spec: What to prune, and how.

    Raises:
        UserError: If a pattern of ``spec`` matches no convolution, or nothing can be removed.
    """
    chosen = _chosen(channels.convolutions, spec)
    candidates = {
        channel: filters
        for channel, filters in channels.filters().items()
        if all(name in chosen for name, _ in filters)
    }
    families = channels.families(candidates)
    if spec.mode == "dependency_aware":
        removed = _select_by_family(families, scores, spec, candidates)
    else:
        removed = _select_by_convolution(channels, scores, spec, candidates)
    strength = {channel: float(_rows(scores, [filters]).abs().sum()) for channel, filters in candidates.items()}
    _keep_one_of_each(families, removed, strength)
    _balance_groups(channels, removed, strength)
    if not removed:
        raise UserError(
            f"{spec.pruner} at sparsity {spec.sparsity:g}, mode {spec.mode}, removes no filter of this net; "
            "raise the sparsity, choose more layers or the mode dependency_aware"
        )
    return removed


def _select_by_family(
    families: Sequence[list[int]],
    scores: Mapping[str, Tensor],
    spec: Pruning,
    candidates: Mapping[int, list[Filter]],
) -> set[int]:
    """Return the selected channels when all filters of a channel are one row."""
    rows = {str(index): _rows(scores, [candidates[c] for c in family]) for index, family in enumerate(families)}
    masks = _select(spec, rows)
    return {
        channel
        for index, family in enumerate(families)
        for channel, row in zip(family, masks[str(index)], strict=True)
        if not row.any()
    }


def _select_by_convolution(
    channels: Channels, scores: Mapping[str, Tensor], spec: Pruning, candidates: Mapping[int, list[Filter]]
) -> set[int]:
    """Return the channels of which every filter is selected when each group of each convolution is a layer."""
    rows: dict[str, Tensor] = {}
    filters_of: dict[str, list[Filter]] = {}
    for name, conv in channels.convolutions.items():
        indices = range(len(conv.outputs))
        for group in torch.tensor(indices).chunk(conv.groups):
            free = [index for index in group.tolist() if conv.outputs[index] in candidates]
            if free:
                filters_of[f"{name}:{free[0]}"] = [(name, index) for index in free]
                rows[f"{name}:{free[0]}"] = scores[name][free].flatten(1)
    selected = {
        one
        for key, mask in _select(spec, rows).items()
        for one, row in zip(filters_of[key], mask, strict=True)
        if not row.any()
    }
    return {channel for channel, filters in candidates.items() if selected.issuperset(filters)}


def weight_masks(net: nn.Module, scores: Mapping[str, Tensor], spec: Pruning) -> dict[str, Tensor]:
    """Return which weights a pruner of single weights keeps.

    Args:
        net: The net.
        scores: Weights or importance by name, from :func:`pruner_input`.
        spec: What to prune, and how.

    Returns:
        A bool mask for the weights of each chosen and trained convolution, by the name of the weights.

    Raises:
        UserError: If a pattern of ``spec`` matches no convolution.
    """
    names = [f"{name}.weight" for name, module in net.named_modules() if isinstance(module, nn.Conv2d)]
    trained = {name: scores[name] for name in names if net.get_parameter(name).requires_grad}
    masks = _select(spec, {name: trained[name].flatten(1) for name in _chosen(trained, spec)})
    return {name: mask.view_as(trained[name]) for name, mask in masks.items()}


def _select(spec: Pruning, rows: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return PRUNERS[spec.pruner].select(rows, spec.sparsity, spec.scope)


def _chosen(names: Iterable[str], spec: Pruning) -> list[str]:
    """Return the names of weights whose convolutions ``spec`` includes and does not exclude."""
    layers = {name: _layer_name(name) for name in names}
    for pattern in (*spec.layers, *spec.exclude):
        if not any(fnmatch(layer, pattern) for layer in layers.values()):
            some = ", ".join(sorted(layers.values())[:4])
            raise UserError(f"{pattern!r} matches no convolution that is trained; the net has {some}, …")
    return [
        name
        for name, layer in layers.items()
        if any(fnmatch(layer, pattern) for pattern in spec.layers)
        and not any(fnmatch(layer, pattern) for pattern in spec.exclude)
    ]


def _layer_name(weights: str) -> str:
    return weights.removesuffix(".weight")


def _rows(scores: Mapping[str, Tensor], channels: Iterable[list[Filter]]) -> Tensor:
    """Return a row for each channel: the scores of all filters that make it."""
    return torch.stack([torch.cat([scores[name][index].flatten() for name, index in filters]) for filters in channels])


def _keep_one_of_each(families: Iterable[list[int]], removed: set[int], strength: Mapping[int, float]) -> None:
    for family in families:
        if removed.issuperset(family):
            removed.remove(max(family, key=strength.__getitem__))


def _balance_groups(channels: Channels, removed: set[int], strength: Mapping[int, float]) -> None:
    """Restore the strongest removed channels until all groups of each grouped convolution are equally large."""
    grouped = [(name, conv) for name, conv in channels.convolutions.items() if conv.groups > 1]
    before = -1
    while before != len(removed):
        before = len(removed)
        for name, conv in grouped:
            for side in ("in", "out"):
                _balance([members.tolist() for key, members in conv.blocks(name) if key[1] == side], removed, strength)


def _balance(blocks: Sequence[list[int]], removed: set[int], strength: Mapping[int, float]) -> None:
    """Restore channels of each block until it keeps as many as the largest one."""
    largest = max(sum(channel not in removed for channel in block) for block in blocks)
    for block in blocks:
        candidates = sorted({c for c in block if c in removed}, key=lambda c: -strength[c])
        while sum(channel not in removed for channel in block) < largest:
            removed.remove(candidates.pop(0))


def layer_sizes(channels: Channels, removed: set[int]) -> list[Layer]:
    """Return the number of filters of each convolution before and after channels are removed."""
    return [
        Layer(_layer_name(name), len(conv.outputs), sum(c not in removed for c in conv.outputs.tolist()))
        for name, conv in channels.convolutions.items()
    ]
