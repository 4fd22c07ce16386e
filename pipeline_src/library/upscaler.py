"""Upscaling of images of any size to any size: the net of the next larger scale, in tiles, then bicubic down."""

from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from pipeline_src.errors import UserError
from pipeline_src.library.nets import Bicubic, NamedNet, Net, at_scale
from pipeline_src.library.output_size import OutputSize, factor_label

if TYPE_CHECKING:
    from pipeline_src.deployment.interface import Runner


@dataclass(frozen=True)
class Tiling:
    """How an image is divided.

    Attributes:
        tile: LR pixels a side of a tile; a file of one size has tiles of that size whatever this is.
        overlap: LR pixels that neighbouring tiles share, fewer than ``tile``.

    Raises:
        UserError: if the overlap is not smaller than the tile.
    """

    tile: int = 256
    overlap: int = 32

    def __post_init__(self) -> None:
        """Check the two against each other."""
        if not 0 <= self.overlap < self.tile:
            raise UserError(
                f"--overlap is {self.overlap} and --tile is {self.tile}; the overlap must be smaller than the tile"
            )

    def of(self, runner: "Runner") -> tuple[tuple[int, int], int]:
        """Return height and width of the tiles of a runner, and their overlap, at most half of them."""
        if runner.size is None:
            return (self.tile, self.tile), self.overlap
        return runner.size, min(self.overlap, min(runner.size) // 2)


@dataclass(frozen=True)
class Plan:
    """How one image is upscaled.

    Attributes:
        factor: by which both sides grow.
        runner: the net of the next larger scale; None for bicubic, which has every scale.
        tile: height and width of a tile in LR pixels.
        overlap: LR pixels that neighbouring tiles share.
        tiles: number of tiles.
        threads: of bicubic where there is no net; a net has its own.
    """

    factor: Fraction
    runner: "Runner | None"
    tile: tuple[int, int]
    overlap: int
    tiles: int
    threads: int = 1

    def __call__(self, image: np.ndarray, progress: Callable[[], object] = lambda: None) -> np.ndarray:
        """Upscale an image of the size that the plan was made for.

        Args:
            image: uint8 H×W×3.
            progress: called after each tile.

        Returns:
            uint8 ⌈H·factor⌉×⌈W·factor⌉×3.
        """
        from pipeline_src.imaging.imresize import imresize
        from pipeline_src.upscaling.tiling import upscale_tiled

        if self.runner is None:
            progress()
            return imresize(image, self.factor, threads=self.threads)
        scale = self.runner.scale
        sr = upscale_tiled(self.runner, image, scale, self.tile, self.overlap, progress)
        return sr if self.factor == scale else imresize(sr, self.factor / scale)


@dataclass
class Upscaler:
    """A net that upscales images of any size to the size that a user wants.

    Attributes:
        net: the net at all its scales.
        size: the size of the upscaled images.
        tiling: how images are divided.
    """

    net: Net
    size: OutputSize = field(default_factory=OutputSize)
    tiling: Tiling = field(default_factory=Tiling)
    _opened: dict[int, "Runner"] = field(default_factory=dict, repr=False)

    @property
    def label(self) -> str:
        """The end of the name of an upscaled file, such as ``x4``."""
        return self.size.label or factor_label(Fraction(self.net.default_scale()))

    @property
    def rebuilds(self) -> str | None:
        """The name of the net, if it is for the images of its own downscaler alone."""
        learned = isinstance(self.net, NamedNet) and self.net.entry.downscaler
        return self.net.name if learned else None

    def plan(self, height: int, width: int) -> Plan:
        """Open the net that an image of this size needs, and return how the image is upscaled.

        Raises:
            UserError: if no scale of the net is large enough, or the image is to become no larger.
        """
        from pipeline_src.upscaling.tiling import tile_count

        factor = self.size.factor_for(height, width) or Fraction(self.net.default_scale())
        self._check_reach(factor, width if self.size.width else height)
        if isinstance(self.net, Bicubic):
            return Plan(factor, None, (height, width), 0, 1, self.net.threads)
        runner = self._runner(self._scale_for(factor))
        tile, overlap = self.tiling.of(runner)
        return Plan(factor, runner, tile, overlap, tile_count(height, width, tile, overlap))

    def used(self) -> str:
        """Return the nets that have been opened so far, with their scales."""
        if isinstance(self.net, Bicubic):
            return self.net.name
        return ", ".join(f"{at_scale(self.net, scale).name} ×{scale}" for scale in sorted(self._opened))

    def _runner(self, scale: int) -> "Runner":
        if scale not in self._opened:
            self._opened[scale] = self.net.open(scale)
        return self._opened[scale]

    def _scale_for(self, factor: Fraction) -> int:
        return min(scale for scale in self.net.scales if scale >= factor)

    def _check_reach(self, factor: Fraction, side: int) -> None:
        """Check that a scale of the net is large enough for a factor, of an image that has ``side`` pixels so far."""
        largest = max(self.net.scales)
        if factor <= largest:
            return
        option = self.size.option
        if option == "--scale":
            known = ", ".join(f"×{scale}" for scale in self.net.scales)
            raise UserError(f"{self.net.name} upscales {known}, not ×{float(factor):g}; choose another {option}")
        raise UserError(
            f"{self.net.name} upscales by ×{largest} at most, an image of {side} pixels to {side * largest}; choose "
            f"{option} {side * largest} or less, or another --model"
        )
