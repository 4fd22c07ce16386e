"""Section ``tune``: searches for better numbers of a recipe."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from pipeline_src.config.base import Count, Section

Tuned = Literal["lr", "weight_decay", "momentum", "batch", "clip", "warmup", "decay_every", "ema", "patch"]


class Range(Section):
    """Values that a trial may give to one key of the recipe; name one of the three."""

    choice: Annotated[list[int | float], Field(min_length=1)] | None = Field(
        default=None, description="One of these values."
    )
    uniform: Annotated[list[float], Field(min_length=2, max_length=2)] | None = Field(
        default=None, description="Any value between these two, uniformly."
    )
    loguniform: Annotated[list[Annotated[float, Field(gt=0)]], Field(min_length=2, max_length=2)] | None = Field(
        default=None, description="Any value between these two, uniformly in its logarithm."
    )

    @model_validator(mode="after")
    def _check_kind(self) -> "Range":
        if len(self.model_fields_set) != 1:
            raise ValueError("name one of choice, uniform and loguniform")
        ends = self.uniform or self.loguniform
        if ends and ends[0] >= ends[1]:
            raise ValueError(f"the range is {ends}; the first must be the smaller")
        return self

    def as_nni(self) -> dict[str, Any]:
        """Return the range as an entry of the search space of NNI's tuners."""
        ((kind, values),) = self.model_dump(exclude_unset=True).items()
        return {"_type": kind, "_value": values}


class Tune(Section):
    """A search by trial trainings, with NNI's TPE, compared by PSNR on the validation images of ``train.h5``."""

    system: str = Field(description="The system whose training is searched.")
    net: str | None = Field(
        default=None, description="A pruned net of the system, whose fine-tuning is searched instead."
    )
    trials: Count = Field(description="Trial trainings.")
    steps: Count = Field(description="Optimiser steps of each trial.")
    space: dict[Tuned, Range] = Field(min_length=1, description="Keys of the recipe and the values to try.")
