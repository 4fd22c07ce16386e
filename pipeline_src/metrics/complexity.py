"""Parameters and Mult-Adds, counted as the super-resolution papers count them."""

import torch
from torch import nn

HR_HEIGHT, HR_WIDTH = 720, 1280


def parameters(net: nn.Module) -> int:
    """Return the number of weights and biases."""
    return sum(parameter.numel() for parameter in net.parameters())


def mult_adds(net: nn.Module, scale: int) -> int:
    """Return the multiply-accumulates of the convolutions for one 1280×720 HR image (Ahn et al. 2018, CARN).

    They are counted at one LR size and scaled by the area, because 1280×720 is not divisible by every scale. The
    tensors are fake, shapes without data, so nothing is computed.

    Args:
        net: maps an RGB LR image, float 1×3×H×W, to ``scale`` times its height and width.
        scale: by how much it upscales.
    """
    from torch._subclasses.fake_tensor import FakeTensorMode
    from torch.utils.flop_counter import FlopCounterMode

    side = 48
    with torch.no_grad(), FakeTensorMode(allow_non_fake_inputs=True), FlopCounterMode(display=False) as counter:
        net(torch.zeros(1, 3, side, side, device=next(net.parameters()).device))
    flops: int = counter.get_total_flops()
    return round(flops / 2 * HR_HEIGHT * HR_WIDTH / (side * scale) ** 2)
