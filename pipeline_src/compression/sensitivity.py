"""What int8 costs layer by layer: the net in float but for one layer, on a few images."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from fnmatch import fnmatch
from typing import Any

import numpy as np
import torch
from torch import fx

from pipeline_src.compression.quantizer import MOVES
from pipeline_src.errors import UserError
from pipeline_src.graph.folding import RELUS, layer_of, rectified
from pipeline_src.metrics.psnr_ssim import quality
from pipeline_src.metrics.validation import upscale

aten = torch.ops.aten

Pair = tuple[np.ndarray, np.ndarray]  # LR and HR, uint8 H×W×3


class _OnlyThese(fx.Interpreter):
    """Runs a prepared graph with the fake quantisations at ``nodes`` alone."""

    def __init__(self, graph: fx.GraphModule, nodes: set[fx.Node]) -> None:
        super().__init__(graph)
        self.nodes = nodes

    def run_node(self, node: fx.Node) -> Any:
        if node.op == "call_module" and node not in self.nodes:
            (x,), _ = self.fetch_args_kwargs_from_env(node)
            return x
        return super().run_node(node)


def layers(graph: fx.GraphModule) -> dict[str, set[fx.Node]]:
    """Of each layer of a prepared graph its fake quantisations: of its weights, if it has some, and of what it gives.

    By the names of :func:`folding.layer_of`; a ReLU behind a convolution or a sum is part of it. What only moves values
    has no layer: they are quantised already.
    """
    found: dict[str, set[fx.Node]] = {}
    node: Any
    for node in graph.graph.nodes:
        if node.op == "call_module":
            maker = node.args[0]
            if maker.target in RELUS and rectified(maker.args[0]):
                maker = maker.args[0]
            if maker.op == "get_attr":
                found.setdefault(layer_of(next(iter(node.users))), set()).add(node)
            elif maker.op == "call_function" and maker.target not in (*MOVES, aten.cat.default):
                found.setdefault(layer_of(maker), set()).add(node)
    return found


def lost_by_layer(graph: fx.GraphModule, pairs: Sequence[Pair], scale: int) -> Iterator[dict[str, Any]]:
    """A row per layer: ``scale``, ``layer`` and ``lost_db``, the PSNR Y that is lost when only this layer is int8.

    ``graph`` is the prepared one of a scale, calibrated; ``pairs`` are LR and HR images, uint8 H×W×3.
    """

    def psnr_y(nodes: set[fx.Node]) -> float:
        net = _OnlyThese(graph, nodes)
        upscaled = [(hr, upscale(net.run, torch.tensor(lr)).numpy()) for lr, hr in pairs]
        return sum(quality(hr, sr, scale).psnr_y for hr, sr in upscaled) / len(pairs)

    whole = psnr_y(set())
    for layer, nodes in layers(graph).items():
        yield {"scale": scale, "layer": layer, "lost_db": whole - psnr_y(nodes)}


def layers_to_keep(wanted: int | Sequence[str], lost: Sequence[Mapping[str, Any]], names: Collection[str]) -> list[str]:
    """The layers, of ``names``, that are to stay in float: the ``wanted`` worst, or those whose names match.

    ``lost`` are the rows of :func:`lost_by_layer`; of several scales a layer counts by the one where it costs most.
    Raises UserError for a name (it may hold ``*`` and ``?``) that matches none.
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
