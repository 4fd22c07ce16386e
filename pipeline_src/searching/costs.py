"""What a subnet costs besides time, and which budgets it meets."""

from collections.abc import Callable, Sequence

from pipeline_src.errors import UserError
from pipeline_src.evaluation.complexity import HR_HEIGHT, HR_WIDTH
from pipeline_src.models.once_for_all import Block
from pipeline_src.params import Budget
from pipeline_src.searching.latency import Table

TOO_SHORT = "the blocks of the net take no time that can be told from none; raise search's latency.size"
BYTES = {"int8": 1, "float32": 4}


def parameters(blocks: Sequence[Block]) -> int:
    """Number of weights and biases."""
    return sum(conv.parameters for block in blocks for conv in block.convolutions)


def mult_adds(blocks: Sequence[Block]) -> float:
    """Multiply-accumulates of the convolutions for a 1280×720 HR image."""
    scale = blocks[-1].scale
    return sum(conv.mult_adds for block in blocks for conv in block.convolutions) * HR_HEIGHT * HR_WIDTH / scale**2


def memory_mb(blocks: Sequence[Block], precision: str, size: Sequence[int]) -> float:
    """MB (10⁶ bytes) of the weights, and of what is alive at once between the layers for an LR image of ``size``.

    Each layer's input and output, or in the end the difference, what it is added to and their sum; besides, the LR
    image, and up to its sum the mobile space's long skip. What a runtime needs for itself is not in it.
    """
    skip = blocks[0].outputs if blocks[0].kind == "entry" else 0
    of_layers = [
        (conv.inputs + conv.outputs) * conv.factor**2
        + (block.inputs if block.kind == "mobile" else 0)
        + (skip if block.kind != "tail" else 0)
        for block in blocks
        for conv in block.convolutions
    ]
    of_end = 3 * 3 * blocks[-1].scale ** 2  # three images in SR's size: the difference, the anchor and their sum
    elements = (max(*of_layers, of_end) + 3) * size[0] * size[1] + parameters(blocks)
    return BYTES[precision] * elements / 1e6


def limits(budget: Budget, table: Table, largest: Sequence[Block], size: Sequence[int]) -> "list[Limit]":
    """The limits of a budget; ``largest`` are the blocks of the largest subnet of its scale.

    UserError if the share of a time is asked of which the table has none.
    """
    device = budget.runtime, budget.precision
    where = " ".join(device)
    found = []
    if budget.ms is not None:
        found.append(Limit(f"ms in {where}", budget.ms, lambda blocks: table.ms(blocks, device)))
    if budget.share is not None:
        whole = table.ms(largest, device)
        if whole <= 0:
            raise UserError(TOO_SHORT)
        name = f"of the largest subnet's ms in {where}"
        found.append(Limit(name, budget.share, lambda blocks: table.ms(blocks, device) / whole))
    if budget.mult_adds is not None:
        found.append(Limit("Mult-Adds", budget.mult_adds, mult_adds))
    if budget.parameters is not None:
        found.append(Limit("parameters", budget.parameters, parameters))
    if budget.memory_mb is not None:
        found.append(Limit(f"MB in {where}", budget.memory_mb, lambda b: memory_mb(b, budget.precision, size)))
    return found


class Limit:
    """A cost that must not be above ``most``."""

    def __init__(self, name: str, most: float, cost: Callable[[Sequence[Block]], float]) -> None:
        self.name, self.most, self.cost = name, most, cost

    def excess(self, blocks: Sequence[Block]) -> float:
        """By how much of the limit a subnet is above it; 0 or less where it meets it."""
        return self.cost(blocks) / self.most - 1
