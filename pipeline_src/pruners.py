"""The pruners that ``params.yaml`` can name: one entry of ``PRUNERS`` each.

``config`` validates names against this table, so nothing here imports torch or NNI before a pruner runs.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from torch import Tensor

Layers = Mapping[str, "Tensor"]  # F×K by name: one row per filter, its K weights or their importance
Scope = Literal["layer", "global"]
Select = Callable[[Layers, float, Scope], "dict[str, Tensor]"]


@dataclass(frozen=True)
class Pruner:
    """A way to choose filters or single weights.

    Attributes:
        label: Name in the report.
        description: What it removes, for the reference of ``params.yaml``.
        select: Function of the layers, the sparsity (0..1) and the scope of the sparsity. Returns a bool mask F×K for
            each layer, True where a weight stays. A filter is removed if its row of the mask has no True.
        removes: ``filters`` makes the convolutions smaller. ``weights`` sets single weights to 0.
    """

    label: str
    description: str
    select: Select
    removes: Literal["filters", "weights"] = "filters"


def nni_pruner(name: str, length_exponent: float) -> Select:
    """Return a function that selects with a pruner of NNI.

    Args:
        name: A class of ``nni.compression.pruning`` that needs a model and a configuration, and no evaluator.
        length_exponent: How the pruner's norm of K equal weights grows with K: 1 for L1, 0.5 for L2, and 0 if it
            compares single weights. Rows are divided by K to this power first, because the scope ``global`` compares
            rows of different lengths.
    """
    return partial(_select_with_nni, name, length_exponent)


def _select_with_nni(
    name: str, length_exponent: float, layers: Layers, sparsity: float, scope: Scope
) -> "dict[str, Tensor]":
    from nni.compression import pruning
    from torch import nn
    from torch.nn.functional import pad

    # Each matrix becomes a 1×1 convolution, so that NNI sees its rows as filters, whatever the layer is.
    net = nn.Module()
    longest = max((rows.shape[1] for rows in layers.values()), default=0)
    for index, rows in enumerate(layers.values()):
        length = rows.shape[1]
        rows = rows.detach().float() / length**length_exponent
        if scope == "global" and length_exponent:
            # NNI counts weights, not filters. If the lengths differ, how many it removes depends on the order of the
            # layers, which comes from a set of strings and so differs between processes. Zeros change no norm.
            rows = pad(rows, (0, longest - length))
        conv = nn.Conv2d(rows.shape[1], len(rows), 1, bias=False)
        conv.weight.data = rows[:, :, None, None]
        net.add_module(f"layer{index}", conv)
    config: dict[str, Any] = {"op_types": ["Conv2d"], "sparse_ratio": sparsity}
    if scope == "global":
        config["global_group_id"] = "all"
    _, masks = getattr(pruning, name)(net, [config]).compress()
    return {
        layer: masks[f"layer{index}"]["weight"][:, : rows.shape[1], 0, 0] > 0
        for index, (layer, rows) in enumerate(layers.items())
    }


PRUNERS: dict[str, Pruner] = {
    "l1": Pruner("L1 norm", "filters of smallest L1 norm", nni_pruner("L1NormPruner", 1)),
    "l2": Pruner("L2 norm", "filters of smallest L2 norm", nni_pruner("L2NormPruner", 0.5)),
    "fpgm": Pruner("FPGM", "the most redundant filters", nni_pruner("FPGMPruner", 0.5)),
    "level": Pruner("single weights", "the smallest single weights", nni_pruner("LevelPruner", 0), removes="weights"),
}


def removes_weights(name: str) -> bool:
    """Return whether a pruner sets single weights to 0, so that later training has to keep them there."""
    return name in PRUNERS and PRUNERS[name].removes == "weights"
