"""ECDN and ECDN-M as their authors save them (github.com/ISTHATDISTANCE/CARN-pytorch).

What their nets have and never use is left out. Their batch norm has one set of statistics for all scales, and ours one
for each: every scale begins with theirs.
"""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from pipeline_src.importing.layouts import carn
from pipeline_src.importing.rules import Rule, Rules, conv, copied, copies

SEVERAL_SCALES = True
DEAD = r"c4\..*"  # a fusion of ECDN-M whose output goes nowhere
COUNTS = r".*\.num_batches_tracked"
scales_of = carn.scales_of


def rules_of(net: nn.Module, scales: list[int], tensors: Mapping[str, Tensor]) -> Rules:
    """Return the rules for an ECDN, or an ECDN-M, whose blocks are shorter."""
    whole: Any = net
    rules = carn.shared_rules(net, scales, tensors)
    for i, block in enumerate(whole.body.blocks):
        depth = len(block.layers)
        for j in range(depth):
            rules += _norm_conv(f"b{i + 1}.{j}", f"body.blocks.{i}.layers.{j}", scales)
        rules += _norm_conv(f"b{i + 1}.{depth}", f"body.blocks.{i}.transition", scales)
    unused = [DEAD] if whole.mobile else []
    return Rules(rules, (*unused, COUNTS, *carn.unused_upsamplers(scales, tensors)))


def _norm_conv(theirs: str, ours: str, scales: list[int]) -> list[Rule]:
    def statistics(kind: str) -> list[str]:
        return [f"{ours}.norm.statistics.{scale}.{kind}" for scale in scales]

    return [
        *(copied(f"{theirs}.bn.{leaf}", f"{ours}.norm.{leaf}") for leaf in ("weight", "bias")),
        *(copies(f"{theirs}.bn.running_{kind}", statistics(kind)) for kind in ("mean", "var")),
        *conv(f"{theirs}.conv", f"{ours}.conv"),
    ]
