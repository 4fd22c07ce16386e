"""An int8 net with symmetric activations, the form that TensorRT takes.

TensorRT knows int8 as signed values with zero point 0. The image, 0..255, would lose a bit in that form, so the input
and the output of the net, and what only moves their values, are float; so are the weights that read the image. Other
activations keep the larger half of their range, in steps of a 127th of it.
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from pipeline_src.graph import operations as ops
from pipeline_src.graph.operations import Activation, Operation, OperationGraph, Weights

LARGEST = 127
Move = (  # values stay
    ops.Concatenation | ops.Split | ops.Transpose | ops.DepthToSpace | ops.SpaceToDepth | ops.MirrorPad | ops.Resize
)


def symmetric(net: OperationGraph) -> OperationGraph:
    """Return an int8 net of images with symmetric activations, and float ones at its ends, limited to 0..255.

    A float net is returned as it is.

    Args:
        net: int8 or mixed, as ``reading.read`` returns it; it is not changed.
    """
    if net.image.scale is None:
        return net
    in_float = _moved_from_input(net) | _moved_to_output(net)
    activations = {x: _converted(x, x in in_float) for x in _activations(net)}
    operations: list[Operation] = []
    for operation in net.operations:
        inputs, outputs = ([activations[x] for x in end] for end in (operation.inputs, operation.outputs))
        if isinstance(operation, ops.Quantize | ops.Dequantize) and inputs[0].scale is outputs[0].scale is None:
            activations[operation.outputs[0]] = inputs[0]  # both are float now
            continue
        converted = replace(operation, inputs=inputs, outputs=outputs)
        if isinstance(converted, ops.Convolution) and inputs[0].scale is None:
            converted = replace(converted, weights=_dequantized(converted.weights))
        operations.append(converted)
    ((name, last),) = net.outputs.items()
    limited = Activation(last.channels)
    operations.append(ops.Clamp([activations[last]], [limited]))
    return OperationGraph({key: activations[x] for key, x in net.inputs.items()}, {name: limited}, operations)


def _activations(net: OperationGraph) -> Iterator[Activation]:
    yield from net.inputs.values()
    for operation in net.operations:
        yield from operation.outputs


def _moved_from_input(net: OperationGraph) -> set[Activation]:
    """Return the input, what holds its values alone, and what holds them beside other values."""
    moved = {net.image}
    for operation in net.operations:
        if isinstance(operation, Move) and moved.intersection(operation.inputs):
            moved |= {*operation.outputs}
    return moved


def _moved_to_output(net: OperationGraph) -> set[Activation]:
    """Return the output and what only moves into it."""
    moved = {*net.outputs.values()}
    for operation in reversed(net.operations):
        if isinstance(operation, Move) and moved.issuperset(operation.outputs):
            moved |= {*operation.inputs}
    return moved


def _converted(x: Activation, in_float: bool) -> Activation:
    if x.scale is None or in_float:
        return Activation(x.channels)
    largest = max(abs(limit - x.zero_point) for limit in (-128, 127))
    return Activation(x.channels, x.scale * largest / LARGEST)


def _dequantized(weights: Weights) -> Weights:
    if weights.scales is None:
        return weights
    values = weights.values * weights.scales[:, None, None, None]
    return replace(weights, values=values.astype(np.float32), scales=None)
