"""The blocks of a once-for-all net as operations with random weights, because latency depends on shapes alone."""

from collections.abc import Callable, Sequence

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
from pipeline_src.microbenchmarks.synthetic import activation, random_weights
from pipeline_src.models.once_for_all.blocks import Block


def block_graph(blocks: Sequence[Block], int8: bool) -> OperationGraph:
    """Return the operations of one block, or of consecutive blocks such as those of a complete subnet.

    The inputs of the graph are ``lr``, the LR image, where a block needs it; ``x``, the features that the first block
    takes, unless that is the LR image; and ``skip``, the long skip of a ``MobileNet``, if ``blocks`` do not begin it.
    The output is ``sr`` if it is an image, and ``y`` otherwise.

    Args:
        blocks: in the order they run.
        int8: whether weights and activations are int8 instead of float32.
    """
    return _GraphBuilder(int8).build(blocks)


class _GraphBuilder:
    def __init__(self, int8: bool) -> None:
        self.int8 = int8
        self.operations: list[Operation] = []
        self.inputs: dict[str, Activation] = {}
        self.skip: Activation | None = None

    def build(self, blocks: Sequence[Block]) -> OperationGraph:
        add: dict[str, Callable[[Block, Activation], Activation]] = {
            "conv": self._add_conv,
            "entry": self._add_entry,
            "mobile": self._add_mobile,
            "anchor": self._add_anchor,
            "tail": self._add_tail,
        }
        channels = blocks[0].inputs
        x = self._input("lr" if channels == 3 else "x", channels)
        for block in blocks:
            x = add[block.kind](block, x)
        return OperationGraph(self.inputs, {"sr" if x.channels == 3 else "y": x}, self.operations)

    def _add_conv(self, block: Block, x: Activation) -> Activation:
        return self._convolve(x, block.outputs, 3, relu=True)

    def _add_entry(self, block: Block, x: Activation) -> Activation:
        self.skip = self._convolve(x, block.outputs, 3)
        return self.skip

    def _add_mobile(self, block: Block, x: Activation) -> Activation:
        inner = block.expand * block.inputs
        expanded = self._convolve(x, inner, 1, relu=True)
        filtered = self._convolve(expanded, inner, block.kernel, groups=inner, relu=True)
        return self._sum(x, self._convolve(filtered, block.outputs, 1))

    def _add_anchor(self, block: Block, x: Activation) -> Activation:
        channels = 3 * block.scale**2
        difference = self._convolve(x, channels, 3)
        anchor = activation(channels, self.int8)
        self.operations.append(Concatenation([self._input("lr", 3)] * block.scale**2, [anchor]))
        return self._depth_to_space(self._sum(difference, anchor), 3, block.scale)

    def _add_tail(self, block: Block, x: Activation) -> Activation:
        if self.skip is None:
            self.skip = self._input("skip", block.inputs)
        x = self._sum(self.skip, x)
        for _ in range(block.scale // 2):
            x = self._depth_to_space(self._convolve(x, 4 * block.outputs, 3, relu=True), block.outputs, 2)
        anchor = activation(3, self.int8)
        self.operations.append(Resize([self._input("lr", 3)], [anchor], "nearest", block.scale))
        return self._sum(self._convolve(x, 3, 3), anchor)

    def _input(self, name: str, channels: int) -> Activation:
        return self.inputs.setdefault(name, activation(channels, self.int8))

    def _convolve(self, x: Activation, outputs: int, side: int, groups: int = 1, relu: bool = False) -> Activation:
        weights = random_weights(x.channels, outputs, side, groups, self.int8)
        output = activation(outputs, self.int8)
        self.operations.append(Convolution([x], [output], weights, relu))
        return output

    def _sum(self, a: Activation, b: Activation) -> Activation:
        output = activation(a.channels, self.int8)
        self.operations.append(Sum([a, b], [output]))
        return output

    def _depth_to_space(self, x: Activation, outputs: int, block: int) -> Activation:
        output = activation(outputs, self.int8)
        self.operations.append(DepthToSpace([x], [output], block))
        return output
