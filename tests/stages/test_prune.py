"""The stage prune: a pruner is one entry of ``PRUNERS``, from params.yaml to the report."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from shared import TINY
from torch import Tensor

from pipeline_src import config, models, paths
from pipeline_src.errors import UserError
from pipeline_src.pruners import PRUNERS, Layers, Pruner, Scope
from pipeline_src.reporting.data import ReportData
from pipeline_src.reporting.sections import pruning
from pipeline_src.stages.prune import prune
from pipeline_src.weights import save_net

RECIPE: dict[str, Any] = TINY | {"augment": ["hflip"], "loss": "l1", "lr": 1e-4, "decay": "cosine"}
NET: dict[str, Any] = {"channels": 6, "depth": 3}
SMALL = {
    "model": "vdsr",
    "scales": [2],
    "net": NET,
    "downscaler": {"model": "bicubic"},
    "benchmark_size": [24, 32],
    "train": RECIPE,
    "qat": RECIPE,
}
PRUNE = {
    "small": {"nets": {"peak_50": {"pruner": "peak", "sparsity": 0.5, "criterion": "weights"}}, "finetune": RECIPE}
}


def smallest_peak(layers: Layers, sparsity: float, scope: Scope) -> dict[str, Tensor]:
    """Select the filters whose largest weight is smallest."""
    assert scope == "layer"
    masks = {}
    for name, rows in layers.items():
        masks[name] = torch.ones_like(rows, dtype=torch.bool)
        masks[name][rows.abs().amax(1).argsort()[: int(sparsity * len(rows))]] = False
    return masks


@pytest.fixture
def ready(workspace: Callable[..., Path], train_h5: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with the weights of the system ``small``, which is to be pruned by ``peak``."""
    folder = workspace({"systems": {"small": SMALL}, "prune": PRUNE})
    monkeypatch.chdir(folder)
    monkeypatch.setenv("SR_TRACKING", "off")
    Path("results/build_h5").mkdir(parents=True)
    shutil.copy(train_h5, "results/build_h5/train.h5")
    torch.manual_seed(0)
    save_net(paths.weights("small"), models.build("vdsr", [2], NET), {"model": "vdsr", "scales": [2], "net": NET})
    return folder


def test_adding_a_pruner_takes_one_entry(ready: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PRUNERS, "peak", Pruner("smallest peak", "filters of smallest peak", smallest_peak))
    before = load_file(paths.weights("small"))["body.0.weight"]
    prune("small")
    out = paths.smaller_nets("prune", "small")
    after = load_file(out / "nets/peak_50.safetensors")["body.0.weight"]
    assert len(after) == 3
    strongest = before.flatten(1).abs().amax(1).argsort()[3:].sort().values
    assert (after - before[strongest]).abs().max() < 0.01  # they were fine-tuned since
    assert set(json.loads((out / "metrics.json").read_text())) == {"small", "small/peak_50"}
    rows = [measured("small", 30.0, 20.0), measured("small/peak_50", 29.5, 10.0)]
    how = f"smallest peak of {config.load().prune['small'].nets['peak_50'].criterion}"
    (shown,) = pruning.text_tables(ReportData(config.load(), pd.DataFrame(rows)))
    assert [cells[:3] for cells in shown.rows] == [["small", "–", "0%"], ["small/peak_50", how, "50%"]]


def measured(net: str, psnr_y: float, p50_ms: float) -> dict[str, Any]:
    """Return a row of the report's table."""
    row = {"system": net, "variant": "fp32", "runtime": "tflite", "scale": 2, "set": "Set5"}
    row |= {"psnr_y": psnr_y, "gain_db": 1.0, "params": 9, "mult_adds": 1e9, "size_kib": 1.0}
    return row | {"p50_ms": p50_ms, "p50_note": "±0.1", "settled": True}


def test_an_unknown_pruner_is_refused_before_any_work(ready: Path) -> None:
    with pytest.raises(UserError, match="there is no pruner 'peak'; choose one of l1, l2, fpgm, level"):
        prune("small")
