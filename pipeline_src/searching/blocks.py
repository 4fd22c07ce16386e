"""The blocks of a once-for-all net as operations with random weights: what they cost depends on their shapes alone."""

from collections.abc import Sequence

from pipeline_src.graph.operations import (
    Activation,
    Concatenation,
    Convolution,
    DepthToSpace,
    Operation,
    OperationGraph,
    Resize,
    Sum,
)
from pipeline_src.graph.synthetic import activation, random_weights
from pipeline_src.models.once_for_all.blocks import Block


def chain(blocks: Sequence[Block], int8: bool) -> OperationGraph:
    """The operations of blocks that follow each other: of one by itself, or of a whole subnet.

    A chain that does not begin with the image takes it as a second input ``lr`` where a block needs it, and what the
    long skip of a ``MobileNet`` brings as a third.
    """
    return _Chain(int8).of(blocks)


class _Chain:
    def __init__(self, int8: bool) -> None:
        self.int8 = int8
        self.steps: list[Operation] = []
        self.inputs: dict[str, Activation] = {}
        self.skip: Activation | None = None

    def of(self, blocks: Sequence[Block]) -> OperationGraph:
        first = "lr" if blocks[0].inputs == 3 else "x"
        x = self._input(first, blocks[0].inputs)
        for block in blocks:
            x = getattr(self, f"_{block.kind}")(block, x)
        return OperationGraph(self.inputs, {"sr" if x.channels == 3 else "y": x}, self.steps)

    def _conv(self, block: Block, x: Activation) -> Activation:
        return self._convolve(x, block.outputs, 3, relu=True)

    def _entry(self, block: Block, x: Activation) -> Activation:
        self.skip = self._convolve(x, block.outputs, 3)
        return self.skip

    def _mobile(self, block: Block, x: Activation) -> Activation:
        inner = block.expand * block.inputs
        wide = self._convolve(x, inner, 1, relu=True)
        filtered = self._convolve(wide, inner, block.kernel, groups=inner, relu=True)
        return self._sum(x, self._convolve(filtered, block.outputs, 1))

    def _anchor(self, block: Block, x: Activation) -> Activation:
        pixels = 3 * block.scale**2
        difference = self._convolve(x, pixels, 3)
        anchor = activation(pixels, self.int8)
        self.steps.append(Concatenation([self._input("lr", 3)] * block.scale**2, [anchor]))
        return self._depth_to_space(self._sum(difference, anchor), 3, block.scale)

    def _tail(self, block: Block, x: Activation) -> Activation:
        if self.skip is None:
            self.skip = self._input("skip", block.inputs)
        x = self._sum(self.skip, x)
        for _ in range(block.scale // 2):
            x = self._depth_to_space(self._convolve(x, 4 * block.outputs, 3, relu=True), block.outputs, 2)
        anchor = activation(3, self.int8)
        self.steps.append(Resize([self._input("lr", 3)], [anchor], "nearest", block.scale))
        return self._sum(self._convolve(x, 3, 3), anchor)

    def _input(self, name: str, channels: int) -> Activation:
        return self.inputs.setdefault(name, activation(channels, self.int8))

    def _convolve(self, x: Activation, outputs: int, side: int, groups: int = 1, relu: bool = False) -> Activation:
        weights = random_weights(x.channels, outputs, side, groups, self.int8)
        made = activation(outputs, self.int8)
        self.steps.append(Convolution([x], [made], weights, relu))
        return made

    def _sum(self, a: Activation, b: Activation) -> Activation:
        made = activation(a.channels, self.int8)
        self.steps.append(Sum([a, b], [made]))
        return made

    def _depth_to_space(self, x: Activation, outputs: int, block: int) -> Activation:
        made = activation(outputs, self.int8)
        self.steps.append(DepthToSpace([x], [made], block))
        return made
