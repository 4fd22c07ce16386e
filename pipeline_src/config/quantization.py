"""Sections ``quantize`` and ``systems.<name>.qat``: calibration, sensitivity, and quantisation-aware training."""

from typing import Any

from pydantic import Field, field_validator, model_validator

from pipeline_src.config.base import Count, Section
from pipeline_src.config.training import Recipe


class Quantize(Section):
    """How int8 ranges are found, and how layers are compared."""

    calibration_images: Count = Field(
        description="Training images, so never evaluation images, on which int8 ranges are observed."
    )
    calibration_crop: int = Field(ge=16, description="LR pixels along each side of their crops.")
    sensitivity_images: int = Field(
        ge=0, description="Validation images on which each layer is tried in int8 alone; 0 skips the comparison."
    )


class Qat(Recipe):
    """The recipe of quantisation-aware training (QAT), and which layers stay in float."""

    float_layers: int | list[str] = Field(
        default=0,
        description="Layers that PTQ and QAT leave in float: names as in `results/quantize/<system>/sensitivity.csv`, "
        "with `*` and `?`, or how many of those that cost most PSNR by that table.",
    )

    sensitivity: bool = Field(
        default=True,
        description="Whether each layer of this system is tried in int8 alone, on `quantize.sensitivity_images`.",
    )

    @field_validator("float_layers", mode="before")
    @classmethod
    def _check_float_layers(cls, value: Any) -> Any:
        names = isinstance(value, list) and all(isinstance(name, str) for name in value)
        if not names and (type(value) is not int or value < 0):
            raise ValueError("give a number of layers, or a list of their names")
        return value

    @model_validator(mode="after")
    def _check_start(self) -> "Qat":
        if self.ema:
            raise ValueError("ema must be 0: the int8 ranges of the weights are not those of their running average")
        if self.start or self.grow:
            raise ValueError("start and grow must go: QAT starts from the net that was quantised after training")
        return self
