"""A net at all its scales, opened where and how a user wants it to run."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from pipeline_src.deployment.formats import FORMATS
from pipeline_src.deployment.interface import CPU
from pipeline_src.errors import UserError
from pipeline_src.library import bundled, files, run
from pipeline_src.library.entries import BICUBIC, Entry
from pipeline_src.library.finding import find
from pipeline_src.library.headers import read_header

if TYPE_CHECKING:
    from pipeline_src.deployment.interface import Runner
    from pipeline_src.library.downscaling import Downscale

TORCH = "torch"
RUNTIMES = (TORCH, *FORMATS)
WEIGHTS = ".safetensors"
LARGEST_BICUBIC = 16

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Running:
    """How a net is to run.

    Attributes:
        runtime: one of :data:`RUNTIMES`; None for that of the kind of net.
        variant: fp32, ptq or qat; None for that of a model file, and for fp32 of a net with a name.
        device: as the runtime names it.
        threads: of the runtime on the CPU.
    """

    runtime: str | None = None
    variant: str | None = None
    device: str = CPU
    threads: int = 2


class Net(Protocol):
    """A net at all its scales.

    Attributes:
        name: as messages name it.
        scales: upscaling factors.
    """

    @property
    def name(self) -> str:
        """The name."""

    @property
    def scales(self) -> Sequence[int]:
        """The upscaling factors."""

    def default_scale(self) -> int:
        """Return the scale where none is asked for: ×4 where the net has it, or else its largest."""

    def open(self, scale: int) -> "Runner":
        """Open the net of one scale.

        Raises:
            UserError: if it cannot run as it should.
        """

    def downscaler(self) -> "Downscale | None":
        """Return the learned downscaler that makes the net's LR images; None for bicubic."""


def resolve(model: str | None, running: Running, lr: str = BICUBIC) -> Net:
    """Return the net that a user means.

    Args:
        model: a name of ``superres models``, the path of a model file, ``bicubic``, or None for the best bundled net of
            each scale.
        running: how it is to run.
        lr: the LR images that the best bundled net is for: ``bicubic`` or ``degraded``.

    Raises:
        UserError: if there is no such net, or it never runs so.
    """
    if model is None:
        entries = bundled.entries()
        if not bundled.scales(entries, lr):
            raise UserError(f"no bundled net is for {lr} images; name one of `superres models` with --model")
        return BestBundled(entries, running, lr)
    if model == BICUBIC:
        if running.runtime or running.variant or running.device != CPU:
            raise UserError(f"{BICUBIC} is no net, and has no runtime, variant or device; leave these options out")
        return Bicubic(running.threads)
    if Path(model).suffix:
        file = ModelFile(Path(model), running)
        file.check()
        return file
    return NamedNet(find(model), running)


def warn_if_worse(name: str, scale: int, over_bicubic: float | None) -> None:
    """Log a warning for a net that is known to be below bicubic."""
    if over_bicubic is not None and over_bicubic < 0:
        log.warning(
            "%s ×%d is %.2f dB below bicubic, so its images are worse than without a net; train it longer, or choose "
            "another --model (`superres models` lists them)",
            *(name, scale, -over_bicubic),
        )


@dataclass(frozen=True)
class NamedNet:
    """A net of the run in this folder, or a bundled one."""

    entry: Entry
    running: Running

    def __post_init__(self) -> None:
        """Refuse combinations that are never made.

        Raises:
            UserError: for these.
        """
        if self.runtime != TORCH:
            return files.check(self.entry, files.Wanted(self.variant, self.runtime, self.entry.scales[0]))
        if self.variant != "fp32":
            raise UserError("torch runs the variant fp32 only; choose another --runtime or --variant fp32")

    @property
    def variant(self) -> str:
        """The variant: fp32 where none is asked for."""
        return self.running.variant or "fp32"

    @property
    def runtime(self) -> str:
        """The runtime: torch for a bundled net in fp32, TFLite in int8, and ONNX Runtime for a net of a run."""
        if self.running.runtime:
            return self.running.runtime
        if self.entry.source == "run":
            return "onnx" if self.entry.exported or self.variant != "fp32" else TORCH
        return TORCH if self.variant == "fp32" else "tflite"

    @property
    def name(self) -> str:
        """The name of the net."""
        return self.entry.name

    @property
    def scales(self) -> Sequence[int]:
        """The upscaling factors of the net."""
        return self.entry.scales

    def default_scale(self) -> int:
        """Return ×4 where the net has it, or else its largest scale."""
        return _default_scale(self)

    def open(self, scale: int) -> "Runner":
        """Open the net of one scale, after a warning if it is below bicubic."""
        from pipeline_src.deployment import runtimes

        variant, entry = self.variant, self.entry
        if self.runtime == TORCH:
            file = entry.weights
        elif entry.source == "run":
            file = run.exported_file(entry.name, variant, FORMATS[self.runtime].SUFFIX, scale)
        else:
            _check_device(self.runtime, self.running.device)  # before an export, which takes seconds
            file = files.cached(entry, files.Wanted(variant, self.runtime, scale))
        warn_if_worse(entry.name, scale, entry.over_bicubic(scale, variant))
        return runtimes.load(file, self.running.threads, scale=scale, device=self.running.device)

    def downscaler(self) -> "Downscale | None":
        """Return the learned downscaler of the net, if it has one."""
        from pipeline_src.library.downscaling import of_entry

        return of_entry(self.entry) if self.entry.downscaler else None


@dataclass(frozen=True)
class BestBundled:
    """The bundled net that is farthest above bicubic, at each scale, on LR images of one kind."""

    entries: list[Entry]
    running: Running
    lr: str = BICUBIC

    @property
    def name(self) -> str:
        """What messages call it."""
        return "the best bundled net"

    @property
    def scales(self) -> Sequence[int]:
        """The scales that a bundled net was measured at."""
        return bundled.scales(self.entries, self.lr)

    def default_scale(self) -> int:
        """Return ×4, or the largest scale there is."""
        return _default_scale(self)

    def open(self, scale: int) -> "Runner":
        """Open the best net of one scale."""
        return self.best(scale).open(scale)

    def best(self, scale: int) -> NamedNet:
        """Return the best net of one scale."""
        return NamedNet(bundled.best(scale, self.entries, self.lr), self.running)

    def downscaler(self) -> "Downscale | None":
        """Return None: none of these nets has a downscaler of its own."""
        return None


@dataclass(frozen=True)
class _FileFacts:
    """What a model file says of its net.

    Attributes:
        scales: upscaling factors.
        over_bicubic: by how many dB it is above bicubic; None if that is not known.
        runtime: one of :data:`RUNTIMES`.
        variant: fp32, ptq or qat.
    """

    scales: list[int]
    over_bicubic: float | None
    runtime: str
    variant: str


@dataclass(frozen=True)
class ModelFile:
    """An exported file with its card, or float weights."""

    file: Path
    running: Running

    @property
    def name(self) -> str:
        """The path."""
        return str(self.file)

    @property
    def scales(self) -> Sequence[int]:
        """The scales that the header or the card names."""
        return [int(scale) for scale in self._facts.scales]

    def default_scale(self) -> int:
        """Return ×4 where the net has it, or else its largest scale."""
        return _default_scale(self)

    def open(self, scale: int) -> "Runner":
        """Open the file, after a warning if its net is below bicubic."""
        from pipeline_src.deployment import runtimes

        warn_if_worse(self.name, scale, self._facts.over_bicubic)
        return runtimes.load(self.file, self.running.threads, scale=scale, device=self.running.device)

    def downscaler(self) -> "Downscale | None":
        """Return None: a file does not hold its downscaler, so its LR images must be given."""
        return None

    def check(self) -> None:
        """Check that the file is of the runtime and the variant that are asked for.

        Raises:
            UserError: if it is not, or if it is no model file.
        """
        facts = self._facts
        for option, wanted, own in (
            ("--runtime", self.running.runtime, facts.runtime),
            ("--variant", self.running.variant, facts.variant),
        ):
            if wanted not in (None, own):
                raise UserError(f"{self.file} is a file of {own}, not of {wanted}; leave {option} out, or name another")

    @cached_property
    def _facts(self) -> "_FileFacts":
        """What the header or the card says of the net; read once, because the whole file is hashed for it."""
        from pipeline_src.deployment import cards
        from pipeline_src.deployment.formats import format_of

        if self.file.suffix == WEIGHTS:
            header = read_header(self.file)
            return _FileFacts(header["scales"], header.get("over_bicubic"), TORCH, "fp32")
        format_of(self.file)
        try:
            there = self.file.exists()
        except OSError as error:  # such as a name that is too long
            raise UserError(f"{self.file} cannot be read ({error.strerror}); correct its name") from None
        if not there:
            raise UserError(f"{self.file} does not exist; correct its name")
        if self.file.is_dir():
            raise UserError(f"{self.file} is a folder; name a model file in it")
        card = cards.read(self.file)
        return _FileFacts([card.scale], card.validation.get("over_bicubic"), card.format, card.variant)


@dataclass(frozen=True)
class Bicubic:
    """MATLAB's bicubic, the baseline of every table."""

    threads: int

    @property
    def name(self) -> str:
        """What messages call it."""
        return BICUBIC

    @property
    def scales(self) -> Sequence[int]:
        """Every whole factor."""
        return range(2, LARGEST_BICUBIC + 1)

    def default_scale(self) -> int:
        """Return ×4."""
        return bundled.DEFAULT_SCALE

    def open(self, scale: int) -> "Runner":
        """Return imresize as a runner."""
        import numpy as np

        from pipeline_src.deployment.interface import Runner
        from pipeline_src.imaging.imresize import imresize

        def same(image: np.ndarray) -> np.ndarray:
            return image

        def resize(image: np.ndarray) -> np.ndarray:
            return imresize(image, scale, "uint8", self.threads)

        return Runner(scale, same, resize, same, lambda sr: sr.astype(np.float32))

    def downscaler(self) -> "Downscale | None":
        """Return None: bicubic both ways."""
        return None


def at_scale(net: Net, scale: int) -> Net:
    """Return the net that upscales by one scale: of the best bundled nets the one that it is there, else ``net``."""
    return net.best(scale) if isinstance(net, BestBundled) else net


def _default_scale(net: Net) -> int:
    """Return ×4 where a net has it, or else its largest scale."""
    return bundled.DEFAULT_SCALE if bundled.DEFAULT_SCALE in net.scales else max(net.scales)


def _check_device(runtime: str, device: str) -> None:
    """Check that a runtime has a device here.

    Raises:
        UserError: if it has not.
    """
    from pipeline_src.deployment.formats import onnx
    from pipeline_src.deployment.interface import require_cpu

    if runtime == "onnx":
        onnx.provider_of(device)
    elif runtime != TORCH:
        require_cpu(FORMATS[runtime].LABEL, device)
