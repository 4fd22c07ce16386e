"""The stage tune, run as its command: trials of a few steps."""

import csv
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from runs import named, runs_in, split, store_of
from shared import TINY

from pipeline_src import config
from pipeline_src.config import presets
from pipeline_src.errors import UserError

Make = Callable[..., Path]
Stage = Callable[..., subprocess.CompletedProcess[str]]

RECIPE = TINY | {"augment": ["hflip"], "loss": "l1", "lr": 1e-3, "decay": "cosine"}
SMALL = {
    "model": "vdsr",
    "scales": [2],
    "net": {"channels": 6, "depth": 3},
    "downscaler": {"model": "bicubic"},
    "benchmark_size": [24, 32],
    "train": RECIPE,
    "qat": RECIPE,
}
PRUNE = {"small": {"nets": {"half": {"pruner": "l1", "sparsity": 0.5}}, "finetune": RECIPE}}
SPACE = {"lr": {"loguniform": [1e-4, 1e-2]}, "batch": {"choice": [2, 4]}, "momentum": {"uniform": [0.5, 0.95]}}
SEARCH = {"system": "small", "trials": 4, "steps": 6, "space": SPACE}


@pytest.fixture
def trained(workspace: Make, train_h5: Path, stage: Stage) -> Callable[[dict[str, Any]], Path]:
    """A workspace whose stage train is done, with what is to be tuned."""

    def make(tune: dict[str, Any]) -> Path:
        folder = workspace({"systems": {"small": SMALL}, "prune": PRUNE, "tune": tune})
        (folder / "results/build_h5").mkdir(parents=True)
        (folder / "results/build_h5/train.h5").symlink_to(train_h5)
        done = stage(folder, "train", "small")
        assert done.returncode == 0, done.stderr
        return folder

    return make


def trials(folder: Path, name: str) -> list[dict[str, str]]:
    return list(csv.DictReader((folder / "results/tune" / name / "trials.csv").open()))


def test_the_best_trial_is_a_preset_and_the_same_search_finds_it_again(
    trained: Callable[[dict[str, Any]], Path], stage: Stage
) -> None:
    folder = trained({"pruned": SEARCH | {"net": "half"}})
    found = []
    for _ in range(2):
        done = stage(folder, "tune", "pruned")
        assert done.returncode == 0, done.stderr
        found.append([{key: row[key] for key in (*SPACE, "psnr_y")} for row in trials(folder, "pruned")])
    assert found[0] == found[1]
    rows = found[0]
    assert len(rows) == 4
    assert len({row["psnr_y"] for row in rows}) == 4
    best = max(rows, key=lambda row: float(row["psnr_y"]))
    presets.add([str(folder / "results/tune/pruned/best.yaml")], folder / "params.yaml")
    recipe = config.load(folder / "params.yaml").prune["small"].finetune
    assert recipe.lr == pytest.approx(float(best["lr"]))
    assert recipe.batch == int(best["batch"])
    assert recipe.steps == TINY["steps"], "the steps of a trial are not those of the training"


def test_a_trial_that_diverges_is_told_and_does_not_win(
    trained: Callable[[dict[str, Any]], Path], stage: Stage
) -> None:
    wild = SEARCH | {"space": {"lr": {"choice": [1e-3, 1e30]}}, "trials": 5}
    folder = trained({"wild": wild})
    done = stage(folder, "tune", "wild", SR_TRACKING="on", MLFLOW_TRACKING_URI=store_of(folder))
    assert done.returncode == 0, done.stderr
    assert "the loss of tune@wild" in done.stderr
    lost = {float(row["lr"]): row["psnr_y"] for row in trials(folder, "wild")}
    assert lost[1e30] == ""
    assert "lr: 0.001" in (folder / "results/tune/wild/best.yaml").read_text()
    assert_tracked(folder)


def assert_tracked(folder: Path) -> None:
    """Every trial is a run with its values and, if it did not diverge, its metric."""
    client, runs = runs_in(store_of(folder))
    tune = named(runs, "tune@wild")
    tried = [run for run in split(runs)[1] if run.data.tags["mlflow.parentRunId"] == tune.info.run_id]
    rows = trials(folder, "wild")
    assert {run.info.run_name for run in tried} == {f"tune@wild {i + 1} of 5" for i in range(len(rows))}
    for row in rows:
        run = named(tried, f"tune@wild {int(row['trial']) + 1} of 5")
        assert run.data.params == {"lr": str(float(row["lr"]))}
        assert run.info.status == ("FINISHED" if row["psnr_y"] else "FAILED")
        if row["psnr_y"]:
            assert run.data.metrics["psnr_y"] == float(row["psnr_y"])
    finite = {int(row["trial"]): float(row["psnr_y"]) for row in rows if row["psnr_y"]}
    assert {p.step: p.value for p in client.get_metric_history(tune.info.run_id, "psnr_y")} == finite
    assert tune.data.metrics["best_psnr_y"] == max(finite.values())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"system": "none"}, "tune.a.system is none, which is not a system; name one of systems"),
        ({"net": "none"}, "tune.a.net is none, which is not in prune.small.nets"),
        ({"space": {}}, "tune.a.space: Dictionary should have at least 1 item after validation, not 0"),
        ({"space": {"steps": {"choice": [1]}}}, "tune.a.space.steps"),
        ({"space": {"lr": {"choice": [1.0], "uniform": [0.0, 1.0]}}}, "name one of choice, uniform and loguniform"),
        ({"space": {"lr": {"uniform": [1.0, 0.5]}}}, "the range is [1.0, 0.5]; the first must be the smaller"),
    ],
)
def test_a_search_that_cannot_be_is_refused_at_once(workspace: Make, change: dict[str, Any], message: str) -> None:
    folder = workspace({"systems": {"small": SMALL}, "prune": PRUNE, "tune": {"a": SEARCH | change}})
    with pytest.raises(UserError) as error:
        config.load(folder / "params.yaml")
    assert message in str(error.value)
