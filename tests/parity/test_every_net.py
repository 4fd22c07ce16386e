"""What every net promises (``pipeline_src/models/__init__.py``), so that nothing else has to ask which net it is."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.export import Dim

from pipeline_src.metrics.complexity import parameters
from pipeline_src.models import build

UNUSED = ("width4", "width5", "width6")
# model, scales, net
NETS: dict[str, tuple[str, list[int], dict[str, Any]]] = {
    "abpn": ("abpn", [3], {}),
    "abpn_nearest": ("abpn", [3], {"residual": "nearest"}),
    "abpn_bilinear": ("abpn", [3], {"residual": "bilinear"}),
    "abpn_feature": ("abpn", [3], {"residual": "feature"}),
    "abpn_none": ("abpn", [3], {"residual": "none", "image_conv": False}),
    "vdsr": ("vdsr", [2, 3, 4], {"depth": 6}),
    "carn": ("carn", [2, 3, 4], {}),
    "carn_m": ("carn", [2, 3, 4], {"mobile": True, "groups": 4}),
    "ecdn": ("ecdn", [2, 3, 4], {}),
    "ecdn_m": ("ecdn", [2, 3, 4], {"mobile": True}),
    "ecdn_m_x3": ("ecdn", [3], {"mobile": True, "groups": 1}),
    "edsr": ("edsr", [4], {"blocks": 2}),
    "plain_subnet": (
        "once_for_all",
        [3],
        {"subnet": {"scale": 3, "depth": 1, "width1": 16, "width2": 32, "width3": 24, **dict.fromkeys(UNUSED, 0)}},
    ),
    "edsr_scaled": ("edsr", [2], {"blocks": 2, "channels": 32, "residual_scale": 0.1}),
}
every_net = pytest.mark.parametrize("name", NETS)


def net_of(name: str) -> Any:
    """The net with something in every parameter, those that start as zeros too."""
    torch.manual_seed(0)
    model, scales, net = NETS[name]
    module = build(model, scales, net)
    for parameter in module.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.01)
    return module


def pixels(*shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(1)) * 255


@every_net
@torch.no_grad()
def test_every_scale_takes_any_height_and_width(name: str) -> None:
    net = net_of(name)
    assert list(net.description.scales) == NETS[name][1]
    for scale in net.description.scales:
        for height, width in ((8, 8), (9, 13), (13, 8)):
            sr = net.at_scale(scale).eval()(pixels(2, 3, height, width))
            assert sr.shape == (2, 3, scale * height, scale * width)
            assert sr.dtype == torch.float32


@every_net
@torch.no_grad()
def test_output_is_clamped_to_pixels_but_not_in_training(name: str) -> None:
    net = net_of(name)
    if name in ("abpn", "abpn_nearest", "abpn_bilinear", "vdsr"):  # the image goes straight through
        lr = torch.tensor([-900.0, 900.0]).repeat_interleave(8).expand(1, 3, 8, 16)
    else:  # the bias of the last convolution overshoots
        lr = pixels(1, 3, 8, 16)
        last = [module for module in net.modules() if isinstance(module, nn.Conv2d) and module.weight.requires_grad][-1]
        last.bias.copy_(torch.linspace(-999, 999, last.out_channels))
    part = net.at_scale(net.description.scales[0])
    assert part.train()(lr).min() < 0
    assert part(lr).max() > 255
    part.eval()
    assert part(lr).min() == 0
    assert part(lr).max() == 255


@every_net
def test_the_state_holds_every_parameter_once(name: str) -> None:
    net = net_of(name)
    named = dict(net.named_parameters())
    held = [
        key for key, tensor in net.state_dict().items() if tensor.data_ptr() in {p.data_ptr() for p in named.values()}
    ]
    assert held == list(named)


@every_net
def test_a_scale_is_a_part_of_the_net_with_its_very_parameters(name: str) -> None:
    net = net_of(name)
    whole = {id(parameter) for parameter in net.parameters()}
    parts = {scale: net.at_scale(scale) for scale in net.description.scales}
    of = {scale: {id(parameter) for parameter in part.parameters()} for scale, part in parts.items()}
    assert set().union(*of.values()) == whole
    for scale, part in parts.items():
        assert part.description.scales == (scale,)
        assert part.description.colour == net.description.colour
        assert parameters(part) == parameters(build(NETS[name][0], [scale], NETS[name][2]))
    with pytest.raises(ValueError, match="not ×7"):
        net.at_scale(7)


@every_net
def test_the_mode_of_a_part_is_its_own(name: str) -> None:
    net = net_of(name)
    scale = net.description.scales[0]
    part = net.at_scale(scale).eval()
    assert all(module.training for module in net.modules())
    assert not any(module.training for module in part.modules())
    assert not any(module.training for module in net.eval().at_scale(scale).modules())


@every_net
def test_loaded_weights_and_moved_tensors_reach_the_parts(name: str) -> None:
    net = net_of(name)
    scale = net.description.scales[-1]
    part, lr = net.at_scale(scale).eval(), pixels(1, 3, 8, 9)
    other = net_of(name)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(0.01 * torch.ones_like(parameter))
    expected = other.at_scale(scale).eval()(lr)
    assert not torch.equal(part(lr), expected)
    net.load_state_dict(other.state_dict())
    assert torch.equal(part(lr), expected)
    net.double()
    assert {p.dtype for p in (*part.parameters(), *part.buffers())} == {torch.float64}


@every_net
def test_no_parameter_is_dead(name: str) -> None:
    net = net_of(name)
    for scale in net.description.scales:
        nn.functional.l1_loss(
            net.at_scale(scale)(pixels(2, 3, 12, 12)), pixels(2, 3, 12 * scale, 12 * scale)
        ).backward()
    for key, parameter in net.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, key
            assert parameter.grad.any(), key
    frozen = sum(parameter.numel() for parameter in net.parameters() if not parameter.requires_grad)
    assert frozen == (24 if hasattr(net, "sub_mean") else 0)


@every_net
@torch.no_grad()
def test_one_exported_graph_serves_every_size(name: str) -> None:
    net = net_of(name)
    part = net.at_scale(net.description.scales[-1]).eval()
    sides = ({2: Dim("height", min=8, max=8192), 3: Dim("width", min=8, max=8192)},)
    graph = torch.export.export(part, (torch.zeros(1, 3, 24, 32),), dynamic_shapes=sides).module()
    for height, width in ((8, 8), (11, 17)):
        lr = pixels(1, 3, height, width)
        assert torch.allclose(graph(lr), part(lr), atol=1e-4)


@every_net
@torch.no_grad()
def test_mixed_precision_gives_float32_pixels(name: str) -> None:
    net = net_of(name)
    part, lr = net.at_scale(net.description.scales[0]), pixels(1, 3, 12, 12)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = part(lr)
    assert mixed.dtype == torch.float32
    assert (mixed - part(lr)).abs().max() < 0.02 * part(lr).abs().max()
