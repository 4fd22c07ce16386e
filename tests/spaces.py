"""Small once-for-all spaces, subnets whose quality is known, and a latency table of two blocks."""

import itertools
import random
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from pipeline_src.config import LatencyTable
from pipeline_src.models.once_for_all import build
from pipeline_src.models.once_for_all.blocks import Block
from pipeline_src.searching import costs
from pipeline_src.searching.evolution import Objectives, evolve, unlimited

PLAIN = {"space": "plain", "widths": [4, 6], "depths": [1, 2]}
MOBILE = {"space": "mobile", "widths": [1, 2], "depths": [1, 2], "kernels": [3, 5], "channels": 4, "hr_channels": 3}
WIDE = {"space": "plain", "widths": [4, 8, 12, 16, 20], "depths": [1, 2, 3]}

CONV, ANCHOR = Block("conv", 3, 8), Block("anchor", 8, 3, scale=2)
ROWS = pd.DataFrame(
    [
        asdict(block) | {"runtime": runtime, "precision": "int8", "height": 24, "width": 32, "threads": 1}
        | {"ms": ms, "cpu": "a toaster", "versions": "none"}
        for block, runtime, ms in (
            (CONV, "openvino", 1.5), (ANCHOR, "openvino", -0.25), (CONV, "tflite", 4.0), (ANCHOR, "tflite", 2.0)
        )
    ]
)  # fmt: skip


def latency_spec(**changes: Any) -> LatencyTable:
    """Return the settings of a latency table that takes seconds to measure, with some of them changed."""
    settings = {
        "size": [24, 32],
        "runtimes": ["tflite"],
        "precisions": ["int8"],
        "threads": 1,
        "warmup": 1,
        "runs": 2,
        "interval": 9,
    }
    return LatencyTable.model_validate(settings | {"max_seconds": 0.2, "check": 1} | changes)


class Problem:
    """Subnets of known cost and quality.

    The quality of a layer grows with the square root of its width, and most in the last layers.
    """

    def __init__(self, net: dict[str, Any] = WIDE) -> None:
        self.supernet: Any = build([2], **net)

    def cost(self, subnet: dict[str, int]) -> float:
        return costs.mult_adds(self.supernet.blocks(subnet)) / 1e9

    def quality(self, subnet: dict[str, int]) -> float:
        widths = [choice for gene, choice in subnet.items() if gene.startswith("width")]
        return float(sum((i + 1) * np.sqrt(width) for i, width in enumerate(widths)))

    def points(self, subnets: list[dict[str, int]]) -> list[tuple[float, float]]:
        return [(self.cost(subnet), self.quality(subnet)) for subnet in subnets]

    def all_subnets(self) -> list[dict[str, int]]:
        genes, choices = self.supernet.genes.keys(), self.supernet.genes.values()
        subnets = [self.supernet.subnet(dict(zip(genes, row, strict=True))) for row in itertools.product(*choices)]
        return list({tuple(subnet.values()): subnet for subnet in subnets}.values())

    def evolved(
        self, candidates: int, seed: int = 1, excess: Callable[[dict[str, int]], float] = unlimited
    ) -> list[dict[str, int]]:
        ends = [self.supernet.smallest(2), self.supernet.largest(2)]
        return evolve(self.supernet, 2, Objectives(self.cost, self.quality, excess), candidates, seed, ends)

    def sampled(self, count: int) -> list[dict[str, int]]:
        generator = random.Random(1)
        return [self.supernet.sample_subnet(generator, 2) for _ in range(count)]
