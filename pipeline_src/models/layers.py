"""Layers that several nets share."""

import torch
from torch import Tensor, nn

# An operator of our own, so that an exporter can put the DEPTH_TO_SPACE of its runtime in the place of this one node
# instead of the reshapes and transposes that a composite of torch operators becomes.


@torch.library.custom_op("super_resolution::depth_to_space", mutates_args=())
def depth_to_space(x: Tensor, block: int) -> Tensor:
    """Rearrange N×(block²·C)×H×W to N×C×(block·H)×(block·W); channel = phase·C + c (ONNX DCR, TensorFlow's order)."""
    n, c, h, w = x.shape
    colours = c // block**2
    blocks = x.reshape(n, block, block, colours, h, w)
    return blocks.permute(0, 3, 4, 1, 5, 2).reshape(n, colours, h * block, w * block).contiguous()


@depth_to_space.register_fake
def _(x: Tensor, block: int) -> Tensor:
    n, c, h, w = x.shape
    return x.new_empty(n, c // block**2, h * block, w * block)


def space_to_depth(y: Tensor, block: int) -> Tensor:
    """The inverse of :func:`depth_to_space`."""
    n, c, h, w = y.shape
    blocks = y.reshape(n, c, h // block, block, w // block, block)
    return blocks.permute(0, 3, 5, 1, 2, 4).reshape(n, c * block**2, h // block, w // block)


depth_to_space.register_autograd(
    lambda ctx, grad: (space_to_depth(grad, ctx.block), None),
    setup_context=lambda ctx, inputs, output: setattr(ctx, "block", inputs[1]),
)


class DepthToSpace(nn.Module):
    """:func:`depth_to_space` as a layer."""

    def __init__(self, block: int) -> None:
        super().__init__()
        self.block = block

    def forward(self, x: Tensor) -> Tensor:
        return depth_to_space(x, self.block)
