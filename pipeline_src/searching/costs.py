"""Costs of a subnet besides time, and the limits of a budget."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pipeline_src.config import Budget
from pipeline_src.errors import UserError
from pipeline_src.metrics.complexity import HR_HEIGHT, HR_WIDTH
from pipeline_src.models.once_for_all.blocks import Block
from pipeline_src.searching.latency import Table

TOO_SHORT = "the blocks of the net take no time that can be told from none; raise search's latency.size"
BYTES = {"int8": 1, "float32": 4}


def parameters(blocks: Sequence[Block]) -> int:
    """Return the number of weights and biases."""
    return sum(conv.parameters for block in blocks for conv in block.convolutions)


def mult_adds(blocks: Sequence[Block]) -> float:
    """Return the multiply-accumulates of the convolutions for a 1280×720 HR image."""
    scale = blocks[-1].scale
    return sum(conv.mult_adds for block in blocks for conv in block.convolutions) * HR_HEIGHT * HR_WIDTH / scale**2


def memory_mb(blocks: Sequence[Block], precision: str, size: Sequence[int]) -> float:
    """Return the MB (10⁶ bytes) of the weights and of the activations alive at once, for an LR image of ``size``.

    Alive at once are a layer's input and output (at the end: the difference, the anchor and their sum), the LR image,
    and the mobile space's long skip until it is added. The runtime's own memory is not included.
    """
    skip = blocks[0].outputs if blocks[0].kind == "entry" else 0
    elements_of_layers = [
        (conv.inputs + conv.outputs) * conv.factor**2
        + (block.inputs if block.kind == "mobile" else 0)
        + (skip if block.kind != "tail" else 0)
        for block in blocks
        for conv in block.convolutions
    ]
    elements_of_end = 3 * 3 * blocks[-1].scale ** 2  # three SR images: difference, anchor and sum
    elements = (max(*elements_of_layers, elements_of_end) + 3) * size[0] * size[1] + parameters(blocks)
    return BYTES[precision] * elements / 1e6


@dataclass(frozen=True)
class Limit:
    """A cost that must not exceed ``most``."""

    name: str
    most: float
    cost: Callable[[Sequence[Block]], float]

    def excess(self, blocks: Sequence[Block]) -> float:
        """Return by what share of the limit a subnet exceeds it; 0 or less where it meets it."""
        return self.cost(blocks) / self.most - 1


def limits(budget: Budget, table: Table, largest: Sequence[Block], size: Sequence[int]) -> list[Limit]:
    """Return the limits of a budget.

    Args:
        budget: its runtime and precision choose the column of the latency table.
        table: the latency table.
        largest: the blocks of the largest subnet of the budget's scale.
        size: height and width of the LR image in pixels.

    Raises:
        UserError: the budget is a share of a time that the table measures as none.
    """
    device = budget.runtime, budget.precision
    where = " ".join(device)
    limits_of_budget = []
    if budget.ms is not None:
        limits_of_budget.append(Limit(f"ms in {where}", budget.ms, lambda blocks: table.ms(blocks, device)))
    if budget.share is not None:
        ms_of_largest = table.ms(largest, device)
        if ms_of_largest <= 0:
            raise UserError(TOO_SHORT)
        name = f"of the largest subnet's ms in {where}"
        limits_of_budget.append(Limit(name, budget.share, lambda blocks: table.ms(blocks, device) / ms_of_largest))
    if budget.mult_adds is not None:
        limits_of_budget.append(Limit("Mult-Adds", budget.mult_adds, mult_adds))
    if budget.parameters is not None:
        limits_of_budget.append(Limit("parameters", budget.parameters, parameters))
    if budget.memory_mb is not None:

        def memory(blocks: Sequence[Block]) -> float:
            return memory_mb(blocks, budget.precision, size)

        limits_of_budget.append(Limit(f"MB in {where}", budget.memory_mb, memory))
    return limits_of_budget
