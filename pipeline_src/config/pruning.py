"""Section ``prune``: smaller nets of a system, from its trained weights."""

from typing import Literal

from pydantic import Field, field_validator, model_validator

from pipeline_src.config.base import NetName, Section
from pipeline_src.config.training import Recipe
from pipeline_src.pruners import PRUNERS


class Pruning(Section):
    """One way to prune a net."""

    pruner: str = Field(
        description="; ".join(f"`{name}`: {pruner.description}" for name, pruner in PRUNERS.items()) + ".",
        json_schema_extra={"enum": [*PRUNERS]},
    )
    sparsity: float = Field(gt=0, lt=1, description="Share of the filters, or of the weights, that is removed.")
    scope: Literal["layer", "global"] = Field(
        default="layer", description="Whether the share holds in each layer, or in all layers together."
    )
    mode: Literal["dependency_aware", "normal"] = Field(
        default="dependency_aware",
        description="Whether filters that must be removed together are ranked together, or each convolution by itself.",
    )
    layers: list[str] = Field(
        default=["*"],
        min_length=1,
        description="Convolutions to prune, named as in `layers.csv` of the stage; `*` and `?` match any characters.",
    )
    exclude: list[str] = Field(default=[], description="Convolutions to leave as they are, named in the same way.")
    criterion: Literal["importance", "weights"] = Field(
        default="importance",
        description="Whether the pruner compares the importance of weights for the image, or the weights themselves.",
    )
    initialise: Literal["surviving", "random"] = Field(
        default="surviving",
        description="Whether fine-tuning starts from the weights that survive, or from random ones.",
    )

    @field_validator("pruner")
    @classmethod
    def _check_pruner(cls, name: str) -> str:
        if name not in PRUNERS:
            raise ValueError(f"there is no pruner {name!r}; choose one of {', '.join(PRUNERS)}")
        return name


class Prune(Section):
    """The pruned nets of a system, each quantised, exported and measured like the system itself."""

    nets: dict[NetName, Pruning] = Field(
        min_length=1, description="Pruned nets by name; `l1_50` of `abpn_x3` is `abpn_x3/l1_50`."
    )
    finetune: Recipe = Field(description="Recipe that trains each of them after pruning; without `start`.")

    @model_validator(mode="after")
    def _check_finetune(self) -> "Prune":
        if self.finetune.start or self.finetune.grow:
            raise ValueError("finetune.start and finetune.grow must go: each net starts from what pruning left")
        return self
