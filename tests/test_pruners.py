"""The pruners of NNI as functions from matrices to masks."""

import pytest
import torch

from pipeline_src.pruners import PRUNERS

SHAPES = ((10, 4), (20, 64), (10, 16))  # filters, and weights of each


def layers() -> dict[str, torch.Tensor]:
    """Matrices of 4, 64 and 16 weights a row, all of equal strength."""
    random = torch.Generator().manual_seed(0)
    return {f"{length} weights": torch.randn(filters, length, generator=random) for filters, length in SHAPES}


@pytest.mark.parametrize("name", ["l1", "l2", "fpgm"])
def test_the_global_scope_removes_the_share_of_all_filters_in_any_order_of_layers(name: str) -> None:
    masks = PRUNERS[name].select(layers(), 0.4, "global")
    assert {key: mask.shape for key, mask in masks.items()} == {key: rows.shape for key, rows in layers().items()}
    assert sum(int((~mask.any(1)).sum()) for mask in masks.values()) == 16
    for mask in masks.values():
        assert torch.equal(mask.any(1), mask.all(1))
    reordered = PRUNERS[name].select(dict(reversed(layers().items())), 0.4, "global")
    assert all(torch.equal(reordered[key], mask) for key, mask in masks.items())


def test_level_removes_the_share_of_all_weights() -> None:
    masks = PRUNERS["level"].select(layers(), 0.25, "global")
    assert sum(int((~mask).sum()) for mask in masks.values()) == 370


@pytest.mark.parametrize("name", PRUNERS)
def test_in_the_scope_layer_each_layer_loses_the_share(name: str) -> None:
    for mask in PRUNERS[name].select(layers(), 0.5, "layer").values():
        assert int((~mask).sum()) == mask.numel() // 2
