"""A folded net: the same images from fewer operators."""

from collections import Counter
from typing import Any

import pytest
import torch
from small_net import NETS, Identity, OneScale, images, tensor, trained
from torch import nn

from pipeline_src.graph.folding import RESIZES, fold

aten = torch.ops.aten


def operators(graph: Any) -> Counter[Any]:
    return Counter(node.target for node in graph.graph.nodes if node.op == "call_function")


@pytest.mark.parametrize("name", NETS)
def test_a_folded_net_gives_the_same_images(name: str) -> None:
    net = trained(name)
    folded = fold(net)
    batch = torch.cat([tensor(image[:13, :17]) for image in images()])  # no size it was exported with
    for scale in net.description.scales:
        with torch.no_grad():
            sr, same = net.at_scale(scale).eval()(batch), folded.at_scale(scale)(batch)
        assert sr.std() > 10
        assert (sr - same).abs().max() <= 1e-3  # of 255: the rounding of float32
        left = operators(folded.at_scale(scale))
        assert set(left) <= {
            aten.conv2d.default,
            aten.relu.default,
            aten.add.Tensor,
            aten.cat.default,
            aten.clamp.default,
            aten.mul.Tensor,
            torch.ops.super_resolution.depth_to_space.default,
            torch.ops.super_resolution.mirror_pad.default,
            *RESIZES,
        }
        assert left[aten.mul.Tensor] == name.startswith(("carn", "ecdn", "edsr"))  # 0..1 to 0..255, at the end


def test_batch_norm_takes_its_running_statistics_and_folds_exactly() -> None:
    net = trained("ecdn_m")
    names = [name for name, _ in net.named_buffers() if name.endswith("mean")]
    assert names
    assert all(net.get_buffer(name).abs().sum() > 0 for name in names), "nothing to fold"
    before = {key: value.clone() for key, value in net.state_dict().items()}
    folded = fold(net)
    assert not any("norm" in str(target) for scale in (4,) for target in operators(folded.at_scale(scale)))
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())
    for parameter in folded.parameters():
        parameter.data.zero_()
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items()), "the weights are copies"


def test_the_mean_of_the_image_is_subtracted_at_its_borders_too() -> None:
    """A mean that went into the bias would be missing where the next convolution pads with zeros."""
    net = Identity()
    nn.init.normal_(net.conv.weight)
    graph = fold(OneScale(net, 1)).at_scale(1)
    image = tensor(images()[0][:8, :9])
    with torch.no_grad():
        assert (net(image) - graph(image)).abs().max() < 1e-3
    assert operators(graph) == {aten.conv2d.default: 2, aten.mul.Tensor: 1, aten.clamp.default: 1}


def test_weights_that_two_convolutions_share_keep_their_factor() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 3, padding=1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.conv(self.conv(x) * 0.5)

    torch.manual_seed(0)
    net, image = Twice(), tensor(images()[0][:8, :9])
    graph = fold(OneScale(net, 1)).at_scale(1)
    assert operators(graph)[aten.mul.Tensor] == 1
    with torch.no_grad():
        assert torch.allclose(net(image), graph(image))
