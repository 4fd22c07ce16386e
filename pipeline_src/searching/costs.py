"""Costs of a subnet besides latency, and the limits of a budget."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pipeline_src.config import Budget
from pipeline_src.errors import UserError
from pipeline_src.metrics.complexity import HR_HEIGHT, HR_WIDTH
from pipeline_src.models.once_for_all.blocks import Block
from pipeline_src.searching.latency import Table

TOO_FAST = "the blocks of the net are too fast to measure with LR images of this size; raise search's latency.size"
BYTES = {"int8": 1, "float32": 4}


def parameters(blocks: Sequence[Block]) -> int:
    """Return the number of weights and biases."""
    return sum(conv.parameters for block in blocks for conv in block.convolutions)


def mult_adds(blocks: Sequence[Block]) -> float:
    """Return the multiply-accumulates of the convolutions for a 1280×720 HR image."""
    scale = blocks[-1].scale
    return sum(conv.mult_adds for block in blocks for conv in block.convolutions) * HR_HEIGHT * HR_WIDTH / scale**2


def memory_mb(blocks: Sequence[Block], precision: str, size: Sequence[int]) -> float:
    """Return the memory of the weights and of the most activations that are alive at the same time.

    These are the input and the output of a layer (at the end: the difference, the anchor and their sum), the LR image,
    and the long skip of the mobile space until it is added. The runtime's own memory is not included.

    Args:
        blocks: the blocks of a subnet, in the order they run.
        precision: ``int8`` or ``float32``.
        size: height and width of the LR image in pixels.

    Returns:
        Megabytes, 10⁶ bytes.
    """
    skip = blocks[0].outputs if blocks[0].kind == "entry" else 0
    layers = [
        (conv.inputs + conv.outputs) * conv.factor**2
        + (block.inputs if block.kind == "mobile" else 0)
        + (skip if block.kind != "tail" else 0)
        for block in blocks
        for conv in block.convolutions
    ]
    end = 3 * 3 * blocks[-1].scale ** 2  # three SR images: difference, anchor and sum
    elements = (max(*layers, end) + 3) * size[0] * size[1] + parameters(blocks)
    return BYTES[precision] * elements / 1e6


@dataclass(frozen=True)
class Limit:
    """The most that a subnet may cost.

    Attributes:
        name: the unit of the cost, as messages name it.
        most: the limit, in this unit.
        cost: returns the cost of a subnet's blocks, in this unit.
    """

    name: str
    most: float
    cost: Callable[[Sequence[Block]], float]

    def excess(self, blocks: Sequence[Block]) -> float:
        """Return by what share of the limit a subnet exceeds it; 0 or less if it meets the limit."""
        return self.cost(blocks) / self.most - 1


def limits(budget: Budget, table: Table, largest: Sequence[Block], size: Sequence[int]) -> list[Limit]:
    """Return the limits of a budget.

    Args:
        budget: its runtime and precision choose the latencies of the table.
        table: the latency table.
        largest: the blocks of the largest subnet of the budget's scale.
        size: height and width of the LR image in pixels.

    Raises:
        UserError: if the budget is a share of the largest subnet's latency, and that was measured as none.
    """
    device = budget.runtime, budget.precision
    device_name = " ".join(device)
    budget_limits = []
    if budget.ms is not None:
        budget_limits.append(Limit(f"ms in {device_name}", budget.ms, lambda blocks: table.ms(blocks, device)))
    if budget.share is not None:
        largest_ms = table.ms(largest, device)
        if largest_ms <= 0:
            raise UserError(TOO_FAST)
        name = f"of the largest subnet's ms in {device_name}"
        budget_limits.append(Limit(name, budget.share, lambda blocks: table.ms(blocks, device) / largest_ms))
    if budget.mult_adds is not None:
        budget_limits.append(Limit("Mult-Adds", budget.mult_adds, mult_adds))
    if budget.parameters is not None:
        budget_limits.append(Limit("parameters", budget.parameters, parameters))
    if budget.memory_mb is not None:
        memory = Limit(
            f"MB in {device_name}", budget.memory_mb, lambda blocks: memory_mb(blocks, budget.precision, size)
        )
        budget_limits.append(memory)
    return budget_limits
