"""The operations of a net, read off its graph: operators without a counterpart are named."""

from typing import Any

import pytest
from small_net import OneScale
from torch import Tensor, nn

from pipeline_src.errors import UserError
from pipeline_src.graph import reading
from pipeline_src.graph.folding import fold


class Resized(nn.Module):
    """A resize that the files have no counterpart of."""

    def __init__(self, **how: Any) -> None:
        super().__init__()
        self.how = how

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.interpolate(x, **self.how)


@pytest.mark.parametrize(
    ("net", "sentence"),
    [
        (nn.Sigmoid(), r"no exported file has the operator aten\.sigmoid"),
        (Resized(scale_factor=2, mode="bilinear", align_corners=True), "resizes otherwise than by one whole factor"),
        (Resized(scale_factor=1.5, mode="nearest"), "resizes otherwise than by one whole factor"),
        (Resized(scale_factor=(2, 3), mode="nearest"), "resizes otherwise than by one whole factor"),
    ],
)
def test_an_operator_without_a_counterpart_is_named(net: nn.Module, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        reading.read(fold(OneScale(net, 2)).at_scale(2))
