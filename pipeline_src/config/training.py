"""Sections ``train`` and ``systems.<name>.train``: how nets, and downscalers that learn, are trained."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from pipeline_src.config.base import Count, PinnedFile, Section
from pipeline_src.config.degradation import Degradation
from pipeline_src.config.models import check_arguments, downscaler_arguments

DEGRADED = "degraded"  # the downscaler that is random


class Train(Section):
    """How every training of the pipeline runs, whatever its recipe."""

    device: Literal["auto", "cpu", "cuda"] = Field(
        default="auto", description="`auto` is CUDA where there is one, else the CPU."
    )
    precision: Literal["auto", "fp32", "bf16"] = Field(
        default="auto",
        description="Data type of convolutions; `auto` is float32 on a CPU, and bfloat16 on a GPU that computes in it.",
    )
    compile: bool = Field(
        default=False,
        description="Whether `torch.compile` compiles the nets; `benchmarks/training.py` measures whether it pays.",
    )
    checkpoint_every: Count = Field(description="Steps between two resume checkpoints.")
    validate_every: Count = Field(description="Steps between two validations.")
    validation_crop: int = Field(
        ge=16, description="LR pixels along each side of the crop, from the middle of each validation image."
    )


class Recipe(Section):
    """How one net is trained. Losses are of images in 0..1."""

    steps: int = Field(ge=0, description="Optimiser steps. With 0 the weights of `start` are taken as they are.")
    batch: Count = Field(description="Patches per step, of all processes together.")
    patch: int = Field(ge=8, description="Pixels along each side of a training patch; at least 32 if `patch_of: hr`.")
    patch_of: Literal["lr", "hr"] = Field(
        default="lr", description="Whether `patch` is in LR pixels, or in HR pixels whatever the scale."
    )
    sample_by: Literal["image", "set"] = Field(
        default="image",
        description="Whether every image is equally likely, or every image set, and then every image of that set.",
    )
    augment: list[Literal["hflip", "vflip", "transpose"]] = Field(
        default=["hflip", "vflip", "transpose"],
        description="Symmetries that are applied to a patch, each with probability 1/2.",
    )
    loss: Literal["l1", "smooth_l1", "mse", "sse"] = Field(
        default="l1", description="Mean over all pixels, except `sse`: the squared error summed over the batch."
    )
    optimiser: Literal["adam", "sgd"] = Field(default="adam", description="The optimiser.")
    lr: float = Field(gt=0, description="Learning rate after the warm-up.")
    warmup: int = Field(default=0, ge=0, description="Steps over which the learning rate rises linearly from 0.")
    decay: Annotated[float, Field(gt=0, le=1)] | Literal["cosine"] = Field(
        default="cosine",
        description="Factor of the learning rate every `decay_every` steps, or half a cosine down to 0.",
    )
    decay_every: Count | None = Field(
        default=None, description="Steps between two decays; goes with a `decay` that is a number."
    )
    momentum: float = Field(default=0.9, ge=0, lt=1, description="SGD's momentum, or Adam's β₁.")
    weight_decay: float = Field(
        default=0.0, ge=0, description="L2 penalty, added to the gradient with both optimisers."
    )
    clip: Annotated[float, Field(gt=0)] | None = Field(
        default=None,
        description="Limit of the gradient's global norm, or of each element, by `clip_by`; without it, no limit.",
    )
    clip_by: Literal["norm", "element"] = Field(
        default="norm",
        description="`norm` limits the global norm to `clip`, `element` each element to ±`clip`/learning rate.",
    )
    accumulate: Count = Field(
        default=1, description="Parts in which a batch is computed, to need less memory; divides `batch`."
    )
    ema: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="Share that the moving average of the weights keeps at each step; 0 keeps no average.",
    )
    start: PinnedFile | None = Field(
        default=None, description="Weights (safetensors) of the same net to start from; without it, random ones."
    )
    grow: list[PinnedFile] = Field(
        default=[],
        description="Weights of plain nets (abpn, or the plain space of once_for_all) that a net of carn, ecdn or edsr "
        "begins with, in place of random ones: at each scale it first gives the same images as one of these.",
    )

    @model_validator(mode="after")
    def _check_combinations(self) -> "Recipe":
        if (self.decay == "cosine") == (self.decay_every is not None):
            raise ValueError("decay_every goes with a decay that is a number, and only with that")
        if not self.steps and not self.start and not self.grow:
            raise ValueError("steps is 0, so there must be a start: weights to take as they are")
        if self.start and self.grow:
            raise ValueError("start and grow are both given; give one of them")
        if self.batch % self.accumulate:
            raise ValueError(f"accumulate is {self.accumulate}, which does not divide the batch, {self.batch}")
        if self.clip_by == "element" and self.clip is None:
            raise ValueError("clip_by is element, so there must be a clip")
        if self.patch_of == "hr" and self.patch < 32:
            raise ValueError(f"patch is {self.patch} HR pixels, but must be 32 or more, which are 8 LR pixels at ×4")
        return self


class Reparameterise(Section):
    """Linear branches beside each 3×3 convolution, in training alone: the file holds the convolution they amount to."""

    kind: Literal["expanded", "edges"] = Field(
        description="`expanded`: a 1×1, a 3×3 and a 1×1 convolution (after SESR); `edges`: a 1×1 and a 3×3 one, and "
        "1×1 ones before fixed edge filters (after ECBSR)."
    )
    expansion: int = Field(
        default=2, ge=1, le=64, description="Channels inside the branches, as a multiple of the convolution's."
    )


class ShrinkPhase(Section):
    """A phase of the progressive shrinking of a once-for-all net, which allows more subnets than the phase before."""

    dimension: Literal["kernel", "depth", "width", "tail", "scale"] = Field(
        description="The dimension of the space of subnets that this phase opens."
    )
    choices: list[Count] = Field(min_length=1, description="Values that subnets may have in it from this phase on.")
    steps: Count = Field(description="Optimiser steps.")
    lr: float = Field(gt=0, description="Learning rate after the warm-up.")
    warmup: int = Field(default=0, ge=0, description="Steps over which the learning rate rises linearly from 0.")
    subnets: Count = Field(
        default=1, description="Subnets trained per step, each on its part of the batch; divides `batch`."
    )


class Training(Recipe):
    """The recipe of a system; for a once-for-all net that of its largest net, and the phases that follow."""

    shrink: list[ShrinkPhase] = Field(
        default=[], description="Phases of progressive shrinking, of a once-for-all net only."
    )
    distil: float = Field(
        default=0.0, ge=0, description="Weight of the distance to the largest net's image, beside the distance to HR."
    )
    sandwich: bool = Field(
        default=False,
        description="Whether each step of a phase trains its largest and its smallest subnet and random ones besides, "
        "which learn from the largest as it is at that step.",
    )
    reparameterise: Reparameterise | None = Field(
        default=None, description="Branches beside each convolution in training; without it, none."
    )
    processes: int = Field(
        default=1,
        ge=1,
        le=1024,
        description="Processes on each node that train the net together, each on its part of `batch` and, where there "
        "are GPUs, on one of its own.",
    )
    nodes: int = Field(
        default=1, ge=1, le=1024, description="Nodes of a Slurm cluster that train the net together, in one job."
    )

    @model_validator(mode="after")
    def _check_processes(self) -> "Training":
        together = self.processes * self.nodes
        if self.batch % (together * self.accumulate):
            raise ValueError(
                f"batch is {self.batch}, which {together} processes (processes × nodes) × accumulate {self.accumulate} "
                "cannot share evenly"
            )
        return self

    @model_validator(mode="after")
    def _check_shrinking(self) -> "Training":
        for number, phase in enumerate(self.shrink):
            if self.batch % phase.subnets:
                raise ValueError(
                    f"shrink[{number}].subnets is {phase.subnets}, which does not divide the batch, {self.batch}"
                )
            if self.sandwich and phase.subnets < 3:
                raise ValueError(
                    f"shrink[{number}].subnets is {phase.subnets}; sandwich takes 3 or more: the largest, the smallest "
                    "and a random one"
                )
        return self


class Downscaler(Section):
    """The downscaler that makes the LR images of a system; one that learns is trained together with the net."""

    model: str = Field(
        description="A package of `pipeline_src/downscaling`: `bicubic`, which has no other keys, `car` or `conv`, or "
        "`degraded`, whose one other key is `degradation`."
    )
    degradation: Degradation = Field(
        default=Degradation(), description="What happens to the LR images of `degraded`, anew in every training step."
    )
    net: dict[str, Any] = Field(default={}, description="Arguments of the downscaler's `build`.")
    lr_factor: float = Field(
        default=1.0, gt=0, description="The downscaler's learning rate, as a multiple of the recipe's."
    )
    offset_weight: float = Field(
        default=0.0,
        ge=0,
        description="Weight in the loss of the distance by which taps are offset, a mean over LR pixels.",
    )
    tv_weight: float = Field(
        default=0.0,
        ge=0,
        description="Weight in the loss of the partial total variation of the offsets, a mean over LR pixels.",
    )
    bicubic_weight: float = Field(
        default=0.0,
        ge=0,
        description="Weight in the loss of the mean absolute difference between LR and bicubic's, of pixels in 0..1; "
        "of `conv` alone.",
    )
    rounding: Literal["soft", "straight"] = Field(
        default="soft",
        description="Gradient of rounding LR to 8 bits: of the paper's soft rounding, or straight through.",
    )
    jpeg: list[Annotated[int, Field(ge=1, le=100)]] = Field(
        default=[],
        description="JPEG qualities with which LR images are compressed in training, in turn; 100 compresses nothing.",
    )
    start: PinnedFile | None = Field(
        default=None, description="Weights (safetensors) of the same downscaler to start from; without it, random ones."
    )

    @property
    def learns(self) -> bool:
        """Whether the downscaler has weights, and so is trained."""
        return bool(downscaler_arguments(self.model))

    @property
    def degrades(self) -> bool:
        """Whether the LR images are degraded at random."""
        return self.model == DEGRADED

    def settings(self) -> dict[str, Any]:
        """Return what weights depend on, for their header: of a downscaler that is not random without degradation."""
        return self.model_dump(exclude=None if self.degrades else {"degradation"})

    @model_validator(mode="after")
    def _check_arguments(self) -> "Downscaler":
        known = downscaler_arguments(self.model)
        check_arguments(self.net, known, f"the downscaler {self.model}")
        if self.degrades and not self.model_fields_set <= {"model", "degradation"}:
            raise ValueError(f"{self.model} takes degradation and no other key; remove the others")
        if not self.degrades and "degradation" in self.model_fields_set:
            raise ValueError(f"degradation is of the downscaler {DEGRADED}, not of {self.model}; remove it")
        if not known and not self.degrades and self.model_fields_set != {"model"}:
            raise ValueError(f"{self.model} learns nothing, so it takes no other keys; remove them")
        if known and "offsets" not in known and (self.offset_weight or self.tv_weight):
            raise ValueError(f"{self.model} has no offsets, so offset_weight and tv_weight weigh nothing; remove them")
        if "offsets" in known and self.bicubic_weight:
            raise ValueError(f"{self.model} does not begin as bicubic, so it takes no bicubic_weight; remove it")
        return self
