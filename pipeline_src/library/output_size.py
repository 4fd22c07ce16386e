"""The size that a user wants an upscaled image to have."""

import argparse
from dataclasses import dataclass
from fractions import Fraction

from pipeline_src.errors import UserError

LARGEST_FACTOR = 16
LONGEST_FACTOR = 30  # characters: of 1e99999999 a Fraction would be computed for hours


@dataclass(frozen=True)
class OutputSize:
    """A factor, a width or a height; with none of them the scale of the net.

    Attributes:
        factor: of both sides, above 1.
        width: of the upscaled image in pixels; the height follows.
        height: of the upscaled image in pixels; the width follows.
    """

    factor: Fraction | None = None
    width: int | None = None
    height: int | None = None

    @property
    def label(self) -> str:
        """The end of a file's name that says the size, such as ``x2.5`` or ``1920w``; "" for that of the net."""
        if self.factor:
            return factor_label(self.factor)
        return f"{self.width}w" if self.width else f"{self.height}h" if self.height else ""

    @property
    def option(self) -> str:
        """The option that says the size."""
        return "--width" if self.width else "--height" if self.height else "--scale"

    def factor_for(self, height: int, width: int) -> Fraction | None:
        """Return the factor for an image of this size; None for the scale of the net.

        Raises:
            UserError: if the image is to become no larger.
        """
        side, wanted, present = ("wide", self.width, width) if self.width else ("high", self.height, height)
        if wanted is None:
            return self.factor
        if wanted <= present:
            raise UserError(
                f"the image is {present} pixels {side}, and {wanted} is not larger; choose a larger size, or make the "
                "image smaller with superres downscale --model bicubic"
            )
        return Fraction(wanted, present)


def factor_label(factor: Fraction) -> str:
    """Return a factor as it stands in a file's name: ``x4``, ``x2.5``."""
    return f"x{float(factor):.6g}"


def factor(text: str) -> Fraction:
    """Return a factor above 1, as the type of an argument: ``4``, ``2.5`` or ``5/2``."""
    try:
        value = Fraction(text) if len(text) <= LONGEST_FACTOR and "e" not in text.lower() else Fraction(0)
    except (ValueError, ZeroDivisionError):
        raise argparse.ArgumentTypeError(f"{text} is not a number such as 4 or 2.5") from None
    if not 1 < value <= LARGEST_FACTOR:
        raise argparse.ArgumentTypeError(f"a factor must be above 1 and at most {LARGEST_FACTOR}, not {text}")
    return value
