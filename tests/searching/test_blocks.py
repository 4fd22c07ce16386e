"""The operations of blocks are those of the nets that consist of them."""

import random
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from small_net import calibrated
from spaces import ANCHOR, CONV, MOBILE, PLAIN

from pipeline_src.compression.quantization import convert
from pipeline_src.graph import reading
from pipeline_src.graph.folding import fold
from pipeline_src.graph.operations import Clamp, Convolution, OperationGraph
from pipeline_src.models.once_for_all import build
from pipeline_src.searching.blocks import block_graph
from pipeline_src.searching.quality import extract_subnet


def operations(net: OperationGraph) -> Counter[Any]:
    """Count a net's operations by class, channels and fields, without the clamp, which int8 does not need."""
    return Counter(
        (type(operation), *_described(operation)) for operation in net.operations if not isinstance(operation, Clamp)
    )


def _described(operation: Any) -> Iterator[Any]:
    fields = dict(vars(operation))
    for end in ("inputs", "outputs"):
        yield tuple(x.channels for x in fields.pop(end))
    if isinstance(operation, Convolution):
        weights = fields.pop("weights")
        yield weights.values.shape, weights.values.dtype, weights.groups, weights.padding
    yield tuple(fields.items())


@pytest.mark.parametrize("scale", [2, 4])
@pytest.mark.parametrize("net", [PLAIN, MOBILE], ids=lambda net: net["space"])
def test_the_operations_of_the_blocks_are_those_of_the_net(net: dict[str, Any], scale: int) -> None:
    torch.manual_seed(0)
    supernet: Any = build([2, 4], **net)
    for parameter in supernet.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    subnet = supernet.sample_subnet(random.Random(1), scale)
    real = extract_subnet(supernet, subnet)
    for int8, graphs in ((False, fold(real)), (True, convert(calibrated(real)))):
        synthetic = block_graph(supernet.blocks(subnet), int8)
        assert [*synthetic.inputs, *synthetic.outputs] == ["lr", "sr"]
        assert operations(synthetic) == operations(reading.read(graphs.at_scale(scale)))


def test_a_block_by_itself_takes_the_inputs_that_it_needs() -> None:
    supernet: Any = build([4], **MOBILE)
    *_, block, tail = supernet.blocks(supernet.largest(4))
    ends = [(block_graph([one], True).inputs, block_graph([one], True).outputs) for one in (ANCHOR, block, tail, CONV)]
    assert [({name: x.channels for name, x in ins.items()}, [*outs]) for ins, outs in ends] == [
        ({"x": 8, "lr": 3}, ["sr"]),
        ({"x": 4}, ["y"]),
        ({"x": 4, "skip": 4, "lr": 3}, ["sr"]),
        ({"lr": 3}, ["y"]),
    ]
