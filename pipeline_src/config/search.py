"""Section ``search``: the search for the best subnets of a once-for-all system."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from pipeline_src.config.base import Count, Interval, Name, NetName, PinnedFile, Runs, Scale, Section, Size, Threads
from pipeline_src.config.devices import HERE
from pipeline_src.config.training import Recipe

Runtime = Literal["tflite", "openvino"]
Precision = Literal["int8", "float32"]


class Budget(Section):
    """What a subnet may cost: one limit or more. The best subnet within them is extracted."""

    scale: Scale = Field(description="The subnet's scale.")
    runtime: Runtime = Field(default="tflite", description="Runtime that `ms` and `share` are measured in.")
    precision: Precision = Field(default="int8", description="Precision that `ms`, `share` and `memory_mb` are of.")
    ms: Annotated[float, Field(gt=0)] | None = Field(
        default=None, description="Latency by the latency table, in milliseconds."
    )
    share: Annotated[float, Field(gt=0, le=1)] | None = Field(
        default=None, description="Latency by the latency table, as a share of the largest subnet's."
    )
    mult_adds: Annotated[float, Field(gt=0)] | None = Field(
        default=None, description="Multiply-adds for a 1280×720 HR image."
    )
    parameters: Annotated[float, Field(gt=0)] | None = Field(default=None, description="Number of parameters.")
    memory_mb: Annotated[float, Field(gt=0)] | None = Field(
        default=None, description="Megabytes of weights and live activations, for LR images of `latency.size`."
    )

    @model_validator(mode="after")
    def _check_limits(self) -> "Budget":
        limits = ("ms", "share", "mult_adds", "parameters", "memory_mb")
        if all(getattr(self, limit) is None for limit in limits):
            raise ValueError(f"a budget without a limit; give one of {', '.join(limits)}")
        return self


class LatencyTable(Section):
    """How the latency of every block of the space is measured, and checked against that of complete subnets."""

    size: Size = Field(
        description="Height and width of the LR images. Where blocks take less than 2 ms, waking the threads is timed."
    )
    runtimes: list[Runtime] = Field(min_length=1, description="Runtimes to measure in.")
    precisions: list[Precision] = Field(min_length=1, description="Precisions to measure in.")
    threads: Threads = Field(description="Threads of a runtime.")
    warmup: Count = Field(description="Runs before the measurement.")
    runs: Runs = 30
    interval: Interval = 0.03
    max_seconds: float = Field(gt=0, description="Seconds to measure a block at most; leave room for all runs.")
    check: Count = Field(description="Complete subnets whose latency is compared with the sum of their blocks'.")
    device: Name = Field(
        default=HERE, description="Where blocks and subnets are measured: a device of `devices` with `ssh`, or `here`."
    )
    table: PinnedFile | None = Field(
        default=None, description="A table measured before, on another device, to use instead of measuring."
    )


class Search(Section):
    """A search among the subnets of a once-for-all system, by an evolution that a predictor of quality guides."""

    scales: list[Scale] = Field(min_length=1, description="Scales to search, among those of the system.")
    images: Count = Field(description="Validation images on which the quality of subnets is measured.")
    crop: int = Field(ge=16, description="LR pixels along each side of their crops.")
    samples: Count = Field(description="Random subnets, per scale and seed, from which the predictor learns.")
    candidates: Count = Field(description="Subnets that the evolution tries, rated by the predictor.")
    promising: Count = Field(description="The best of these, which are measured.")
    seeds: list[Annotated[int, Field(ge=0, lt=2**32)]] = Field(
        min_length=1, description="Seeds; the search runs once for each."
    )
    latency: LatencyTable = Field(description="The latency table.")
    nets: dict[NetName, Budget] = Field(
        min_length=1, description="Subnets to extract, by name; `half` of `ofa_sr` is `ofa_sr/half`."
    )
    finetune: Recipe | None = Field(
        default=None, description="Recipe that trains each of them after extraction, without `start`; without it, none."
    )

    @model_validator(mode="after")
    def _check_combinations(self) -> "Search":
        for name, budget in self.nets.items():
            if budget.scale not in self.scales:
                raise ValueError(f"nets.{name}.scale is {budget.scale}, but scales is {self.scales}; search that too")
            timed = budget.ms is not None or budget.share is not None
            if timed and budget.runtime not in self.latency.runtimes:
                raise ValueError(f"nets.{name} is of {budget.runtime}, which latency.runtimes does not list; add it")
            if (timed or budget.memory_mb is not None) and budget.precision not in self.latency.precisions:
                raise ValueError(
                    f"nets.{name} is of {budget.precision}, which latency.precisions does not list; add it"
                )
        if self.finetune and (self.finetune.start or self.finetune.grow):
            raise ValueError("finetune.start and finetune.grow must go: each net starts from its part of the supernet")
        return self
