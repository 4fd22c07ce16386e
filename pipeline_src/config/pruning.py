"""Section ``prune``: smaller nets of a system, from its trained weights."""

from typing import Literal

from pydantic import Field, model_validator

from pipeline_src.config.base import Name, Section
from pipeline_src.config.training import Recipe


class Pruning(Section):
    """One way to prune a net."""

    pruner: Literal["l1", "l2", "fpgm", "level"] = Field(
        description="`l1`, `l2`: filters of smallest norm; `fpgm`: the most redundant filters; `level`: single weights."
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
        description="Whether the pruner compares contributions to the image, or the weights themselves, as NNI.",
    )
    initialise: Literal["surviving", "random"] = Field(
        default="surviving",
        description="Whether fine-tuning starts from the weights that survive, or from random ones.",
    )


class Prune(Section):
    """The pruned nets of a system, each quantised, exported and measured like the system itself."""

    nets: dict[Name, Pruning] = Field(
        min_length=1, description="Pruned nets by name; `l1_50` of `abpn_x3` is `abpn_x3/l1_50`."
    )
    finetune: Recipe = Field(description="Recipe that trains each of them after pruning; without `start`.")

    @model_validator(mode="after")
    def _check_finetune(self) -> "Prune":
        if self.finetune.start:
            raise ValueError("finetune.start must go: each net starts from what is left of the one that was pruned")
        return self
