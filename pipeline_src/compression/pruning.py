"""Which filters or weights of a net may go, as the pruners of NNI choose them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pipeline_src.compression.channels import Channels, read
from pipeline_src.compression.importance import weight_importance
from pipeline_src.config import Pruning
from pipeline_src.datasets.hdf5 import ImagePairs
from pipeline_src.errors import UserError
from pipeline_src.models.batch_norm import ScaleBatchNorm
from pipeline_src.weights import resize_layers

PRUNERS = {"l1": "L1NormPruner", "l2": "L2NormPruner", "fpgm": "FPGMPruner", "level": "LevelPruner"}
EXAMPLES, EXAMPLE_CROP = 16, 48  # images, and LR pixels of each

Filter = tuple[str, int]  # the name of a convolution's weights, and which of its filters


@dataclass(frozen=True)
class Layer:
    """What became of a convolution: its filters, or with the pruner ``level`` its weights, and those that are left."""

    layer: str
    before: int
    after: int


def prune(net: Any, spec: Pruning, images: Mapping[int, Sequence[np.ndarray]]) -> list[Layer]:
    """Leave out what a pruner takes of ``net``, in place; returns what became of its layers.

    ``images`` are a few LR images of each scale, uint8 H×W×3, as :func:`pruner_input` takes them.
    The pruners of filters make the convolutions themselves smaller; the net gives the images it would give with those
    filters at 0. ``level`` sets weights to 0, and keeps their gradients there. The others keep their values, or with
    ``spec.initialise: random`` are drawn anew from torch's global generator. UserError as :func:`channels_to_go`.
    """
    channels, state = read(net), net.state_dict()
    seen = pruner_input(net, channels, spec, images)
    if spec.pruner == "level":
        masks = weights_to_keep(net, seen, spec)
        layers = [Layer(_layer(name), mask.numel(), int(mask.sum())) for name, mask in masks.items()]
    else:
        masks = {}
        gone = channels_to_go(channels, seen, spec)
        layers = layers_of(channels, gone)
        smaller = channels.cut(state, gone)
        resize_layers(net, smaller)
        net.load_state_dict(smaller)
    if spec.initialise == "random":
        _draw_anew(net)
    for name, mask in masks.items():
        net.get_parameter(name).data *= mask
    if masks:
        keep_zeros(net)
    return layers


def keep_zeros(net: nn.Module) -> None:
    """Keep those weights of convolutions that are trained at 0 where they are 0."""
    for weight in net.parameters():
        if weight.requires_grad and weight.ndim == 4 and not weight.all():
            mask = weight != 0
            weight.register_hook(lambda gradient, mask=mask: gradient * mask.to(gradient.device))


def examples(training: ImagePairs, scales: Iterable[int]) -> dict[int, list[np.ndarray]]:
    """What :func:`prune` looks at: the middles of some training images, so never of an evaluation image."""
    return {scale: list(training.middles(scale, EXAMPLES, EXAMPLE_CROP).values()) for scale in scales}


def pruner_input(
    net: Any, channels: Channels, spec: Pruning, images: Mapping[int, Sequence[np.ndarray]]
) -> dict[str, Tensor]:
    """The state of ``net`` as a pruner sees it: the weights themselves, or by ``spec.criterion`` their importance."""
    return net.state_dict() | (weight_importance(net, channels, images) if spec.criterion == "importance" else {})


def _draw_anew(net: nn.Module) -> None:
    """Glorot's weights, and batch norms that have seen nothing: what a net starts from that knows nothing."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d) and module.weight.requires_grad:
            nn.init.xavier_normal_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, ScaleBatchNorm):
            module.reset()


def channels_to_go(channels: Channels, state: Mapping[str, Tensor], spec: Pruning) -> set[int]:
    """The channels that a pruner of filters takes out of a net, of ``state`` as :func:`pruner_input` gives it.

    ``dependency_aware``: what hangs together is one filter to the pruner, and of each layer the share
    ``spec.sparsity`` goes, rounded down. ``normal``: the pruner looks at each convolution for itself, and a channel
    goes if it took all that hangs together, so that less than the share goes. Either way the groups of a grouped
    convolution stay alike, and of every layer a filter is left.

    Raises UserError if a name of ``spec`` matches no convolution, or nothing can go.
    """
    chosen = _selected(channels.convolutions, spec)
    made_by = {
        channel: filters
        for channel, filters in channels.filters().items()
        if all(name in chosen for name, _ in filters)
    }
    families = channels.families(made_by)
    if spec.mode == "dependency_aware":
        rows = {str(i): _together(state, [made_by[c] for c in family]) for i, family in enumerate(families)}
        masks = nni_masks(spec, rows)
        gone = {
            c
            for i, family in enumerate(families)
            for c, kept in zip(family, masks[str(i)], strict=True)
            if not kept.any()
        }
    else:
        gone = _gone_by_layer(channels, state, spec, made_by)
    strength = {c: float(_together(state, [filters]).abs().sum()) for c, filters in made_by.items()}
    _leave_one_of_each(families, gone, strength)
    _keep_groups_alike(channels, gone, strength)
    if not gone:
        raise UserError(
            f"{spec.pruner} at sparsity {spec.sparsity:g}, mode {spec.mode}, takes no filter of this net; "
            "raise the sparsity, choose more layers or the mode dependency_aware"
        )
    return gone


def _gone_by_layer(
    channels: Channels, state: Mapping[str, Tensor], spec: Pruning, made_by: Mapping[int, list[Filter]]
) -> set[int]:
    """The channels of which the pruner takes every filter, looking at each group of each convolution for itself."""
    rows: dict[str, Tensor] = {}
    of: dict[str, list[Filter]] = {}
    for name, weights in channels.convolutions.items():
        filters = range(len(weights.filters))
        for group in torch.tensor(filters).chunk(weights.groups):
            free = [i for i in group.tolist() if weights.filters[i] in made_by]
            if free:
                of[f"{name}:{free[0]}"] = [(name, i) for i in free]
                rows[f"{name}:{free[0]}"] = state[name][free].flatten(1)
    masks = nni_masks(spec, rows)
    taken = {one for key, mask in masks.items() for one, kept in zip(of[key], mask, strict=True) if not kept.any()}
    return {channel for channel, filters in made_by.items() if taken.issuperset(filters)}


def weights_to_keep(net: nn.Module, state: Mapping[str, Tensor], spec: Pruning) -> dict[str, Tensor]:
    """Of each convolution that is chosen and trained, by the name of its weights, the mask of the pruner ``level``."""
    names = [f"{name}.weight" for name, module in net.named_modules() if isinstance(module, nn.Conv2d)]
    trained = {name: state[name] for name in names if net.get_parameter(name).requires_grad}
    chosen = _selected(trained, spec)
    masks = nni_masks(spec, {name: trained[name].flatten(1) for name in chosen})
    return {name: mask.view_as(trained[name]) for name, mask in masks.items()}


def _selected(names: Iterable[str], spec: Pruning) -> list[str]:
    """Those of the convolutions, by the names of their weights, that ``spec`` names and does not exclude."""
    layers = {name: _layer(name) for name in names}
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


def _layer(weights: str) -> str:
    return weights.removesuffix(".weight")


def _together(state: Mapping[str, Tensor], channels: Iterable[list[Filter]]) -> Tensor:
    """A row for each channel: the weights of all the filters that make it."""
    return torch.stack([torch.cat([state[name][index].flatten() for name, index in filters]) for filters in channels])


def nni_masks(spec: Pruning, layers: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What NNI's pruner leaves of each layer, a matrix with a row of weights for each filter: bool of the same shape.

    To the pruners of filters a row is as strong as its weights are in the mean, however many they are: in the scope
    ``global`` rows of different lengths are compared.
    """
    from nni.compression import pruning

    # Each matrix stands in a 1×1 convolution, so that NNI sees filters, whatever the layer is and whatever it shares.
    net = nn.Module()
    for index, rows in enumerate(layers.values()):
        filters, length = rows.shape
        conv = nn.Conv2d(length, filters, 1, bias=False)
        share = {"l1": length, "l2": length**0.5, "fpgm": length**0.5, "level": 1}[spec.pruner]
        conv.weight.data = (rows.detach().float() / share)[:, :, None, None]
        net.add_module(f"layer{index}", conv)
    config: dict[str, Any] = {"op_types": ["Conv2d"], "sparse_ratio": spec.sparsity}
    if spec.scope == "global":
        config["global_group_id"] = "all"
    _, masks = getattr(pruning, PRUNERS[spec.pruner])(net, [config]).compress()
    return {name: masks[f"layer{index}"]["weight"][:, :, 0, 0] > 0 for index, name in enumerate(layers)}


def _leave_one_of_each(families: Iterable[list[int]], gone: set[int], strength: Mapping[int, float]) -> None:
    for family in families:
        if gone.issuperset(family):
            gone.remove(max(family, key=strength.__getitem__))


def _keep_groups_alike(channels: Channels, gone: set[int], strength: Mapping[int, float]) -> None:
    """Take the strongest channels back until the groups of each grouped convolution have equally many."""
    grouped = [weights for weights in channels.convolutions.items() if weights[1].groups > 1]
    before = -1
    while before != len(gone):
        before = len(gone)
        for name, weights in grouped:
            for side in ("in", "out"):
                blocks = [members.tolist() for (_, its, _), members in weights.blocks(name) if its == side]
                most = max(sum(channel not in gone for channel in block) for block in blocks)
                for block in blocks:
                    lost = sorted({c for c in block if c in gone}, key=lambda c: -strength[c])
                    while sum(channel not in gone for channel in block) < most:
                        gone.remove(lost.pop(0))


def layers_of(channels: Channels, gone: set[int]) -> list[Layer]:
    """How many filters each convolution had and has."""
    return [
        Layer(_layer(name), len(of.filters), sum(c not in gone for c in of.filters.tolist()))
        for name, of in channels.convolutions.items()
    ]
