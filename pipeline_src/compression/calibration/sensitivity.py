"""The PSNR that each layer loses in int8: all other layers compute in float, on a few images."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from fnmatch import fnmatch
from typing import Any

import numpy as np
import torch
from torch import fx

from pipeline_src.errors import UserError
from pipeline_src.graph.folding import MOVES, RELUS, layer_of, rectified
from pipeline_src.metrics.psnr_ssim import quality
from pipeline_src.metrics.validation import upscale

aten = torch.ops.aten

Pair = tuple[np.ndarray, np.ndarray]  # LR and HR, uint8 H×W×3


class _PartlyQuantized(fx.Interpreter):
    """Runs a prepared graph with fake quantisation at some nodes only."""

    def __init__(self, graph: fx.GraphModule, nodes: set[fx.Node]) -> None:
        super().__init__(graph)
        self.nodes = nodes

    def run_node(self, node: fx.Node) -> Any:
        if node.op == "call_module" and node not in self.nodes:
            (x,), _ = self.fetch_args_kwargs_from_env(node)
            return x
        return super().run_node(node)


def layers(graph: fx.GraphModule) -> dict[str, set[fx.Node]]:
    """Return the fake quantisation nodes of each layer: those of its weights and of its output.

    A ReLU behind a convolution or a sum belongs to its layer. Operators that only move values belong to no layer, as
    these values are quantised already.

    Args:
        graph: One scale of a prepared net.

    Returns:
        Nodes by the layer names of :func:`folding.layer_of`.
    """
    nodes: dict[str, set[fx.Node]] = {}
    node: Any
    for node in graph.graph.nodes:
        if node.op == "call_module":
            source = node.args[0]
            if source.target in RELUS and rectified(source.args[0]):
                source = source.args[0]
            if source.op == "get_attr":
                nodes.setdefault(layer_of(next(iter(node.users))), set()).add(node)
            elif source.op == "call_function" and source.target not in (*MOVES, aten.cat.default):
                nodes.setdefault(layer_of(source), set()).add(node)
    return nodes


def lost_by_layer(graph: fx.GraphModule, pairs: Sequence[Pair], scale: int) -> Iterator[dict[str, Any]]:
    """Measure how much PSNR Y is lost when one layer is int8 and all others are float.

    Args:
        graph: One scale of a prepared net, calibrated.
        pairs: LR and HR images, uint8 H×W×3.
        scale: The scale of the graph.

    Yields:
        A row for each layer: ``scale``, ``layer`` and ``lost_db``, in dB.
    """

    def psnr_y(nodes: set[fx.Node]) -> float:
        net = _PartlyQuantized(graph, nodes)
        upscaled = [(hr, upscale(net.run, torch.tensor(lr)).numpy()) for lr, hr in pairs]
        return sum(quality(hr, sr, scale).psnr_y for hr, sr in upscaled) / len(pairs)

    float_psnr_y = psnr_y(set())
    for layer, nodes in layers(graph).items():
        yield {"scale": scale, "layer": layer, "lost_db": float_psnr_y - psnr_y(nodes)}


def layers_to_keep(wanted: int | Sequence[str], lost: Sequence[Mapping[str, Any]], names: Collection[str]) -> list[str]:
    """Return the layers that stay in float.

    Args:
        wanted: How many of the layers that lose most, or patterns of names with ``*`` and ``?``.
        lost: Rows of :func:`lost_by_layer`; at several scales the largest loss of a layer counts.
        names: The layers of the net.

    Raises:
        UserError: If a pattern matches no layer.
    """
    if isinstance(wanted, int):
        worst: dict[str, float] = {}
        for row in lost:
            worst[row["layer"]] = max(row["lost_db"], worst.get(row["layer"], row["lost_db"]))
        return sorted(worst, key=worst.__getitem__, reverse=True)[:wanted]
    for pattern in wanted:
        if not any(fnmatch(name, pattern) for name in names):
            raise UserError(f"float_layers names {pattern!r}, but the layers are {', '.join(names)}; correct it")
    return [name for name in names if any(fnmatch(name, pattern) for pattern in wanted)]
