"""Section ``systems``: the super-resolution systems."""

from typing import Any

from pydantic import Field, model_validator

from pipeline_src.config.base import Scale, Section, Size
from pipeline_src.config.models import check_arguments, model_arguments
from pipeline_src.config.quantization import Qat
from pipeline_src.config.training import Downscaler, Training


class System(Section):
    """A super-resolution system: a net, its arguments, the downscaler that makes its LR images, and its training."""

    model: str = Field(description="A package of `pipeline_src/models`.")
    scales: list[Scale] = Field(min_length=1, description="Scales by which the net upscales, each named once.")
    net: dict[str, Any] = Field(description="Arguments of the model's `build`; `{}` takes its defaults.")
    downscaler: Downscaler = Field(description="What makes the LR images.")
    benchmark_size: Size = Field(
        description="Height and width in pixels of the LR image that is timed, and of TFLite files of fixed size."
    )
    train: Training = Field(description="Recipe of the training.")
    qat: Qat = Field(description="Recipe of quantisation-aware training.")
    baseline: str | None = Field(
        default=None,
        description="For a system whose downscaler learns: the system with the same net and recipe on bicubic LR, "
        "against which the report shows it. If they start from weights, each may start from its own.",
    )

    @property
    def once_for_all(self) -> bool:
        """Whether the net is a supernet, whose subnets the stage search extracts."""
        return "subnet" in model_arguments(self.model) and "subnet" not in self.net

    def compared_by(self) -> dict[str, object]:
        """Return what a system and its baseline have in common.

        Both begin with weights, or neither does. The file may be another one: a net for the images of a learned
        downscaler is of no use on bicubic's. Of a recipe without steps nothing else counts.
        """
        recipe = self.train.model_dump(exclude={"start"}) if self.train.steps else {}
        recipe["starts"] = self.train.start is not None
        return {"model": self.model, "scales": self.scales, "net": self.net, "train": recipe}

    @model_validator(mode="after")
    def _check_combinations(self) -> "System":
        if self.once_for_all and isinstance(self.qat.float_layers, int) and self.qat.float_layers:
            raise ValueError("qat.float_layers must be names, or 0: each subnet of a search has layers of its own")
        if not self.train.steps and self.downscaler.learns and not self.downscaler.start:
            raise ValueError("with train.steps: 0 the downscaler stays untrained; give downscaler.start")
        if len({*self.scales}) < len(self.scales):
            raise ValueError(f"scales is {self.scales}; name each once")
        if self.downscaler.learns and not self.baseline:
            raise ValueError(
                "a downscaler that learns is shown against the same net on bicubic LR; name it as baseline"
            )
        if self.baseline and not self.downscaler.learns:
            raise ValueError("baseline is for a system whose downscaler learns; remove it")
        return self

    @model_validator(mode="after")
    def _check_arguments(self) -> "System":
        check_arguments(self.net, model_arguments(self.model), f"the model {self.model}")
        return self
