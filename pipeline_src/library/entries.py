"""What is known of a net that can be named: where it lies, what it reaches, and where it comes from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

BICUBIC = "bicubic"
DEGRADED = "degraded"  # the LR images that nets for photographs are trained on
HELD_OUT = "samples_heldout"  # the image set that every net is measured on, because scikit-image brings it
DEGRADED_END = "_degraded"  # of the name of an image set whose LR images are degraded


@dataclass(frozen=True)
class Measurement:
    """The quality of a net on an image set by docs/protocol.md, and the speed of the file that was measured.

    Attributes:
        set_name: the image set.
        scale: upscaling factor.
        variant: fp32, ptq or qat.
        runtime: a runtime of ``FORMATS``, or ``torch``.
        psnr_y: mean Y PSNR in dB.
        over_bicubic: by how many dB that is above the bicubic row.
        p50_ms: settled median latency in ms; None where there is none.
        lr_size: height and width of the LR image that was timed.
    """

    set_name: str
    scale: int
    variant: str
    runtime: str
    psnr_y: float
    over_bicubic: float
    p50_ms: float | None = None
    lr_size: tuple[int, int] | None = None


@dataclass(frozen=True)
class Entry:
    """A net that can be named.

    Attributes:
        name: a system, or ``<system>/<name>`` for a smaller net.
        source: ``bundled`` with the package, or of the ``run`` in this folder.
        model: package of ``pipeline_src.models``.
        scales: upscaling factors.
        supernet: whether it is a once-for-all supernet, which torch runs as its largest net, and which has no files.
        lr: the downscaler whose LR images it was trained on: bicubic, or a package of ``pipeline_src.downscaling``.
        weights: the float weights.
        quantized: the states of its int8 nets, by variant.
        exported: folder of its exported files; None if there is none.
        downscaler: weights of the learned downscaler that makes its LR images; None where there is none.
        measurements: what was measured of it.
        measured_on: the machine that it was measured on; "" where that is not known.
        measured_elsewhere: whether this machine has another CPU than that.
        validation: by how many dB each variant is above bicubic on the validation images, over all scales.
        provenance: where the weights come from, in a few words.
        licence: of the weights.
    """

    name: str
    source: Literal["bundled", "run"]
    model: str
    scales: tuple[int, ...]
    supernet: bool
    lr: str
    weights: Path
    quantized: Mapping[str, Path] = field(default_factory=dict)
    exported: Path | None = None
    downscaler: Path | None = None
    measurements: tuple[Measurement, ...] = ()
    measured_on: str = ""
    measured_elsewhere: bool = False
    validation: Mapping[str, float] = field(default_factory=dict)
    provenance: str = ""
    licence: str = ""

    def over_bicubic(self, scale: int, variant: str = "fp32") -> float | None:
        """Return by how many dB the net is above bicubic; None if nobody has measured it.

        The figure is the one of the validation images, or else the mean over the measurements at this scale, those of
        fp32 where the variant has none.
        """
        if variant in self.validation:
            return self.validation[variant]
        for wanted in (variant, "fp32"):
            gains = [m.over_bicubic for m in self.measurements if (m.scale, m.variant) == (scale, wanted)]
            if gains:
                return sum(gains) / len(gains)
        return None
