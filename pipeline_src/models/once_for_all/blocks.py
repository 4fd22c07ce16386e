"""The blocks of a subnet whose latency is measured one by one, and the convolutions that they consist of."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Block:
    """A part of a subnet whose latency is measured by itself.

    Attributes:
        kind: ``conv``: a 3×3 convolution and ReLU. ``entry``: a 3×3 convolution without ReLU. ``mobile``: a
            :class:`MobileBlock`. ``anchor``: the end of a :class:`PlainNet`: the last convolution, the anchor and the
            depth to space. ``tail``: the end of a :class:`MobileNet`: the long skip, the pixel shuffles and the image.
        inputs: channels of its input.
        outputs: channels of its output; of a tail, the features after each pixel shuffle.
        kernel: side of the convolution that is not 1×1.
        expand: inner channels of a mobile block, as a multiple of its inputs.
        scale: factor by which an anchor or a tail upscales.
    """

    kind: str
    inputs: int
    outputs: int
    kernel: int = 3
    expand: int = 1
    scale: int = 1

    @property
    def convolutions(self) -> list["Shape"]:
        """The shapes of the block's convolutions, in the order they run."""
        if self.kind == "mobile":
            inner = self.expand * self.inputs
            return [
                Shape(self.inputs, inner, 1),
                Shape(inner, inner, self.kernel, groups=inner),
                Shape(inner, self.outputs, 1),
            ]
        if self.kind == "tail":
            upsampling = [
                Shape(self.outputs if factor > 1 else self.inputs, 4 * self.outputs, 3, factor=factor)
                for factor in (1, 2)[: self.scale // 2]
            ]
            return [*upsampling, Shape(self.outputs, 3, 3, factor=self.scale)]
        return [Shape(self.inputs, self.outputs * self.scale**2, self.kernel)]


@dataclass(frozen=True)
class Shape:
    """The shape of a convolution.

    Attributes:
        inputs: channels of its input.
        outputs: channels of its output.
        side: height and width of its kernels.
        groups: of the convolution.
        factor: height and width of the image that it runs on, as a multiple of the LR image's.
    """

    inputs: int
    outputs: int
    side: int
    groups: int = 1
    factor: int = 1

    @property
    def parameters(self) -> int:
        """Number of weights and biases."""
        return self.inputs * self.outputs // self.groups * self.side**2 + self.outputs

    @property
    def mult_adds(self) -> int:
        """Multiply-accumulates per LR pixel."""
        return self.factor**2 * (self.parameters - self.outputs)
