"""A graph run on images while somebody looks at the values inside it."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import fx

See = Callable[[fx.Node, Any], None]


class _Seen(fx.Interpreter):
    def __init__(self, graph: fx.GraphModule, see: See) -> None:
        super().__init__(graph)
        self.see = see

    def run_node(self, node: fx.Node) -> Any:
        result = super().run_node(node)
        self.see(node, result)
        return result


def run(graph: fx.GraphModule, images: Sequence[np.ndarray], see: See) -> None:
    """Run a graph on LR images, uint8 H×W×3, and call ``see`` with every node and what it gave."""
    with torch.inference_mode():
        for image in images:
            _Seen(graph, see).run(torch.tensor(image).permute(2, 0, 1)[None].float())
