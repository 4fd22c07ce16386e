"""Large nets that begin as plain ones."""

from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

from pipeline_src.models import SuperResolutionNet, build
from pipeline_src.models.growing import grow

PLAIN_SPACE = {"space": "plain", "widths": [16, 32], "depths": [1, 4]}


def trained(model: str, scales: list[int], arguments: dict[str, object]) -> SuperResolutionNet:
    """Return a plain net whose weights are all other than their initial values, in eval mode."""
    net = build(model, scales, arguments)
    assert isinstance(net, nn.Module)
    for parameter in net.parameters():
        parameter.data += 0.02 * torch.randn_like(parameter)
    return net.eval()


@pytest.fixture(scope="module")
def image() -> Tensor:
    """Return an LR image with values at both ends of the range, 1×3×20×26."""
    torch.manual_seed(0)
    return (torch.rand(1, 3, 20, 26) * 320 - 32).clamp(0, 255).round()


@pytest.fixture(scope="module")
def parents() -> dict[str, SuperResolutionNet]:
    """Return plain nets by name."""
    torch.manual_seed(1)
    return {
        "space": trained("once_for_all", [2, 4], PLAIN_SPACE),
        "abpn_x2": trained("abpn", [2], {}),
        "abpn_x3": trained("abpn", [3], {}),
        "abpn_x4": trained("abpn", [4], {}),
        "wide": trained("abpn", [3], {"channels": 40}),
        "deep": trained("abpn", [3], {"channels": 8, "depth": 16}),
        "bilinear": trained("abpn", [3], {"residual": "bilinear"}),
    }


class Case(NamedTuple):
    """A large net, and the plain nets that it is to begin as."""

    model: str
    scales: list[int]
    arguments: dict[str, object]
    names: list[str]

    def grown(self, parents: dict[str, SuperResolutionNet], image: Tensor) -> Any:
        """Return the net, which has begun as the plain nets of these names."""
        net = build(self.model, self.scales, self.arguments)
        grow(self.model, net, [parents[name] for name in self.names], image)
        return net


GROWN = [
    Case("carn", [2, 3, 4], {}, ["space", "abpn_x3"]),
    Case("carn", [4], {}, ["abpn_x4"]),
    Case("carn", [3], {"mobile": False, "groups": 4}, ["abpn_x3"]),
    Case("ecdn", [2, 3, 4], {}, ["space", "abpn_x3"]),
    Case("ecdn", [4, 3], {"groups": 1}, ["space", "abpn_x3"]),
    Case("edsr", [4], {}, ["abpn_x4"]),
    Case("edsr", [3], {"residual_scale": 0.1}, ["abpn_x3"]),
    Case("edsr", [2], {"channels": 96, "blocks": 8}, ["space"]),
]


@pytest.mark.parametrize("case", GROWN)
def test_a_grown_net_gives_the_images_of_its_parents(
    parents: dict[str, SuperResolutionNet], image: Tensor, case: Case
) -> None:
    net = case.grown(parents, image).eval()
    with torch.no_grad():
        for scale in case.scales:
            parent = next(parents[name] for name in case.names if scale in parents[name].description.scales)
            expected, actual = parent.at_scale(scale).eval()(image), net.at_scale(scale)(image)
            assert expected.std() > 5, "an image, and no single colour"
            torch.testing.assert_close(actual, expected, rtol=0, atol=0.01)


@pytest.mark.parametrize("case", [case for case in GROWN if not case.arguments])
def test_every_layer_of_a_grown_net_goes_on_learning(
    parents: dict[str, SuperResolutionNet], image: Tensor, case: Case
) -> None:
    net = case.grown(parents, image).train()
    optimiser = torch.optim.SGD(net.parameters(), 1e-6)
    for _ in range(2):  # a free layer adds nothing at first, so only its last convolution has a gradient
        optimiser.zero_grad()
        torch.stack([(net.at_scale(scale)(image) - 100).abs().mean() for scale in case.scales]).sum().backward()
        optimiser.step()
    for name, parameter in net.named_parameters():
        if parameter.requires_grad and not name.endswith("bias"):
            assert parameter.grad is not None, name
            assert parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize(
    ("case", "message"),
    [
        (Case("vdsr", [2], {}, ["space"]), "vdsr cannot hold plain nets"),
        (Case("carn", [2], {"mobile": True, "groups": 4}, ["space"]), "CARN-M cannot hold"),
        (Case("ecdn", [2], {"mobile": True}, ["space"]), "ECDN-M cannot hold"),
        (Case("carn", [2, 3, 4], {}, ["space"]), "none of the plain nets upscales ×3"),
        (Case("carn", [3], {}, ["wide", "abpn_x3"]), "need 71 channels, and the net has 64"),
        (Case("carn", [3], {}, ["deep"]), "18 hidden layers, and the net can compute 9"),
        (Case("edsr", [3], {}, ["deep"]), "too deep"),
        (Case("ecdn", [3], {}, ["deep"]), "18 hidden layers"),
        (Case("carn", [3], {}, ["bilinear"]), "residual bilinear is no stack"),
    ],
)
def test_what_cannot_grow_is_refused(
    parents: dict[str, SuperResolutionNet], image: Tensor, case: Case, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        case.grown(parents, image)


def test_a_net_that_is_no_stack_of_convolutions_is_refused(image: Tensor) -> None:
    with pytest.raises(ValueError, match="EDSR is no stack of 3×3 convolutions"):
        grow("carn", build("carn", [4], {}), [build("edsr", [4], {"channels": 8, "blocks": 1})], image)
