"""The costs of subnets, by hand, and the limits of a budget."""

from typing import Any

import pytest
from spaces import ANCHOR, CONV, MOBILE, PLAIN, ROWS

from pipeline_src.config import Budget
from pipeline_src.models.once_for_all import build
from pipeline_src.models.once_for_all.blocks import Block
from pipeline_src.searching import costs, latency


def plain_blocks() -> tuple[Block, ...]:
    """Return the blocks of a plain net ×2 of 4, 6 and 6 filters."""
    supernet: Any = build([2], **PLAIN)
    return tuple(supernet.blocks(supernet.subnet(supernet.largest(2) | {"depth": 1, "width1": 4})))


def test_costs_of_a_plain_net_by_hand() -> None:
    weights = 9 * (3 * 4 + 4 * 6 + 6 * 6 + 6 * 12)
    assert costs.parameters(plain_blocks()) == weights + 4 + 6 + 6 + 12
    assert costs.mult_adds(plain_blocks()) == weights * 640 * 360
    elements = (3 * 12 + 3) * 10 * 20 + costs.parameters(plain_blocks())
    assert costs.memory_mb(plain_blocks(), "int8", [10, 20]) == pytest.approx(elements / 1e6)
    assert costs.memory_mb(plain_blocks(), "float32", [10, 20]) == pytest.approx(4 * elements / 1e6)


def test_costs_of_a_mobile_net_by_hand() -> None:
    supernet: Any = build([4], **MOBILE)
    subnet = {gene: choices[-1] for gene, choices in supernet.genes.items()} | {f"depth{i}": 1 for i in (1, 2, 3, 4)}
    blocks = supernet.blocks(supernet.subnet(subnet))
    block = 4 * 8 + 8 * 5**2 + 8 * 4
    ends = 9 * (3 * 4 + 4 * 12 + 3 * 12 + 3 * 3)
    assert costs.parameters(blocks) == ends + 4 * (block + 8 + 8 + 4) + 4 + 12 + 12 + 3
    mult_adds_of_a_pixel = 9 * (3 * 4 + 4 * 12 + 4 * 3 * 12 + 16 * 3 * 3) + 4 * block
    assert costs.mult_adds(blocks) == mult_adds_of_a_pixel * 320 * 180
    elements = (16 * 3 * 3 + 3) * 10 * 20 + costs.parameters(blocks)
    assert costs.memory_mb(blocks, "int8", [10, 20]) == pytest.approx(elements / 1e6)


def test_a_budget_gives_its_limits() -> None:
    net = (CONV, ANCHOR)
    table, largest = latency.Table(ROWS), [CONV, CONV, ANCHOR]
    budget = {"scale": 2, "ms": 3.0, "share": 0.5, "mult_adds": 1e9, "parameters": 2000.0, "memory_mb": 0.01}
    limits = costs.limits(Budget.model_validate(budget), table, largest, [10, 20])
    assert [limit.name for limit in limits] == [
        "ms in tflite int8",
        "of the largest subnet's ms in tflite int8",
        "Mult-Adds",
        "parameters",
        "MB in tflite int8",
    ]
    net_costs = [limit.cost(net) for limit in limits]
    assert net_costs == [6.0, 0.6, costs.mult_adds(net), costs.parameters(net), costs.memory_mb(net, "int8", [10, 20])]
    assert [limit.excess(net) for limit in limits[:2]] == pytest.approx([1.0, 0.2])
    assert limits[0].excess([ANCHOR, CONV][:1]) < 0
    (share,) = costs.limits(Budget(scale=2, runtime="openvino", share=0.5), table, largest, [10, 20])
    assert share.cost(net) == pytest.approx(1.25 / 2.75)
