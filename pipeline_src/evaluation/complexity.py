"""Parameters and Mult-Adds, counted as the super-resolution papers count them."""

import torch
from torch import nn

HR_HEIGHT, HR_WIDTH = 720, 1280


def parameters(net: nn.Module) -> int:
    """Number of weights and biases."""
    return sum(parameter.numel() for parameter in net.parameters())


def mult_adds(net: nn.Module, scale: int, takes: str = "LR") -> int:
    """Multiply-accumulates of the convolutions for one 1280×720 HR image, the convention of the CARN paper.

    ``net`` maps NCHW to NCHW; with ``takes="upscaled"`` it works at HR size. The input need not be whole pixels
    (1280/3 is not), so the count is taken at one size and scaled by the area, which is exact for convolutions of
    stride 1 inside one resolution.
    """
    side = 48
    counts: list[int] = []

    def count(conv: nn.Conv2d, _: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        kernel = conv.weight[0].numel()  # in_channels / groups × height × width
        counts.append(kernel * output[0].numel())

    hooks = [m.register_forward_hook(count) for m in net.modules() if isinstance(m, nn.Conv2d)]
    try:
        weight = next(net.parameters())
        channels = next(m for m in net.modules() if isinstance(m, nn.Conv2d)).in_channels
        with torch.no_grad():
            net(weight.new_zeros(1, channels, side, side))
    finally:
        for hook in hooks:
            hook.remove()
    hr_side = side if takes == "upscaled" else side * scale
    return round(sum(counts) * HR_HEIGHT * HR_WIDTH / hr_side**2)
