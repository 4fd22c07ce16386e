"""Running a graph on images while recording the values inside it."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import fx

Record = Callable[[fx.Node, Any], None]  # gets a node and its result


class _Recorder(fx.Interpreter):
    def __init__(self, graph: fx.GraphModule, record: Record) -> None:
        super().__init__(graph)
        self.record = record

    def run_node(self, node: fx.Node) -> Any:
        result = super().run_node(node)
        self.record(node, result)
        return result


def run(graph: fx.GraphModule, images: Sequence[np.ndarray], record: Record) -> None:
    """Run a graph on LR images, uint8 H×W×3, and call ``record`` with every node and its result."""
    with torch.inference_mode():
        for image in images:
            _Recorder(graph, record).run(torch.tensor(image).permute(2, 0, 1)[None].float())
