"""Parameters and Mult-Adds, counted as the super-resolution papers count them."""

import torch
from torch import nn

HR_HEIGHT, HR_WIDTH = 720, 1280


def parameters(net: nn.Module) -> int:
    """Number of weights and biases."""
    return sum(parameter.numel() for parameter in net.parameters())


def mult_adds(net: nn.Module, scale: int) -> int:
    """Multiply-accumulates of the convolutions for one 1280×720 HR image, the convention of the CARN paper.

    ``net`` maps an RGB LR image, NCHW, to ``scale`` times its height and width. The input need not be whole pixels
    (1280/3 is not), so the count is taken at one size and scaled by the area. Nothing is computed: the tensors have
    shapes alone.
    """
    from torch._subclasses.fake_tensor import FakeTensorMode
    from torch.utils.flop_counter import FlopCounterMode

    side = 48
    with torch.no_grad(), FakeTensorMode(allow_non_fake_inputs=True), FlopCounterMode(display=False) as counter:
        net(torch.zeros(1, 3, side, side, device=next(net.parameters()).device))
    return round(counter.get_total_flops() / 2 * HR_HEIGHT * HR_WIDTH / (side * scale) ** 2)
