"""Both launchers, for real: every stage on tiny params in a copy of the repository."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from runs import named, runs_in, split, store_of

from pipeline_src.files import sha256

ROOT = Path(__file__).parents[2]
COPIED = [
    ".dvc/config",
    ".dvcignore",
    ".gitignore",
    "Snakefile",
    "dvc.yaml",
    "params.yaml",
    "pyproject.toml",
    "pipeline_src",
    "profiles",
    "workflow",
]
RECIPE = "{steps: 4, batch: 2, patch: 16}"
OTHERS = [name for name in yaml.safe_load((ROOT / "params.yaml").read_text())["systems"] if name != "abpn_x3"]
TINY = f"""
train: {{checkpoint_every: 2, validate_every: 2, validation_crop: 16}}
quantize: {{calibration_images: 2, calibration_crop: 32}}
benchmark: {{warmup: 1, runs: 3, interval: 9.0, min_seconds: 0.0, crops: 1, crop_size: 16}}
operators: {{size: [8, 12], channels: 8, warmup: 1, runs: 2, interval: 9.0}}
search: {{ofa_sr: ~}}
prune: {{abpn_x3: {{finetune: {RECIPE}}}}}
systems:
  abpn_x3: {{benchmark_size: [24, 32], train: {RECIPE}, qat: {RECIPE}}}
  {"".join(f"{name}: ~{chr(10)}  " for name in OTHERS)}
"""
STAGES = 10
VERBS = ("train", "prune", "quantize")
SAME_ANYWHERE = ["fetch@samples", "fetch@samples_heldout", "build_h5", *(f"{verb}@abpn_x3" for verb in VERBS)]

pytestmark = pytest.mark.slow


def made_by_make(target: str) -> list[str]:
    """The commands of a target of the Makefile, once set up."""
    commands = ["make", "--dry-run", "--assume-old=.venv/.ready", target]
    return subprocess.run(commands, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()


class Copy:
    """A copy of the repository, committed, with tiny params unless not; ``ran`` runs a command of this environment."""

    def __init__(self, folder: Path, tiny: bool = True) -> None:
        self.folder = folder
        self.printed = ""
        for name in COPIED:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(ROOT / name, folder / name)
        (folder / ".dvc" / ".gitignore").write_text("/config.local\n/tmp\n/cache\n")
        if tiny:
            (folder / "tiny.yaml").write_text(TINY)
            self.ran("python", "-m", "pipeline_src.cli.preset", "add", "tiny.yaml")
        self.ran("git", "init", "--quiet")
        self.commit()

    def ran(self, *command: str, **environment: str) -> str:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW", "SR_", "DVC", "RANK", "SNAKEMAKE"))}
        kept["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"
        done = subprocess.run(command, cwd=self.folder, env=kept | environment, capture_output=True, text=True)
        assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
        return done.stdout + done.stderr

    def commit(self) -> None:
        self.ran("git", "add", "--all")
        self.ran("git", "-c", "user.name=test", "-c", "user.email=test@localhost", "commit", "--quiet", "-m", "state")

    def lock(self) -> dict[str, Any]:
        return yaml.safe_load((self.folder / "dvc.lock").read_text())["stages"]

    def assert_nothing_to_do(self) -> None:
        assert self.ran("dvc", "status").strip() == "Data and pipelines are up to date."
        assert self.ran("dvc", "repro").count("didn't change, skipping") == STAGES
        assert "Nothing to be done" in self.ran("snakemake", "-n", "report")
        assert "Nothing to be done" in self.ran("snakemake", "--cores", "8", "report")


@pytest.fixture(scope="module")
def by_snakemake(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    copy = Copy(tmp_path_factory.mktemp("snakemake"))
    copy.printed = copy.ran("bash", "-c", f"{made_by_make('report')[-1]} --cores 8")
    return copy


@pytest.fixture(scope="module")
def by_dvc(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    copy = Copy(tmp_path_factory.mktemp("dvc"))
    copy.ran("dvc", "repro", SR_TRACKING="off")
    return copy


def test_after_snakemake_nothing_is_left_to_do(by_snakemake: Copy) -> None:
    by_snakemake.assert_nothing_to_do()


def test_make_report_prints_a_line_for_what_begins_and_ends_and_a_summary(by_snakemake: Copy) -> None:
    printed = by_snakemake.printed
    lines = printed.splitlines()
    for stage in by_snakemake.lock():
        assert sum(line.split() == ["started", stage] for line in lines) == 1
        assert len(re.findall(rf"(?m)^done +\d+/{STAGES}  {stage} +(?:\d+ min )?\d+ s$", printed)) == 1
        assert "Running stage" in (by_snakemake.folder / f".cache/logs/{stage}.log").read_text()
    assert lines[-2] == "results/report/index.html"
    assert lines[-1].startswith("best int8 file: abpn_x3")
    assert not {"\r", "\x1b"} & {*printed}
    others = [line for line in lines if not line.startswith(("started ", "done ", "          warning: "))]
    assert len(others) == 4, others  # the profile, the time, and the summary


def test_after_dvc_nothing_is_left_to_do(by_dvc: Copy) -> None:
    by_dvc.assert_nothing_to_do()


def test_both_make_the_same_weights(by_snakemake: Copy, by_dvc: Copy) -> None:
    one, other = by_snakemake.lock(), by_dvc.lock()
    assert set(one) == set(other)
    for name in SAME_ANYWHERE:
        outs = [
            [out for out in lock[name]["outs"] if not out["path"].endswith("metrics.json")] for lock in (one, other)
        ]
        assert outs[0] == outs[1], name


def test_each_stage_is_a_run_under_one_parent(by_snakemake: Copy) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{by_snakemake.folder / 'mlflow.db'}")
    runs = client.search_runs([experiment.experiment_id for experiment in client.search_experiments()])
    parents = [run for run in runs if "pipeline_state" in run.data.tags]
    children = [run for run in runs if run not in parents]
    assert len(parents) == 1
    assert len(parents[0].data.tags["git_commit"]) == 40
    assert {run.data.tags["DVC_STAGE"] for run in children} == set(by_snakemake.lock())
    pruned = {f"{verb}@abpn_x3/l1_50" for verb in ("prune", "quantize")}  # a run for each net
    assert {run.info.run_name for run in children} == set(by_snakemake.lock()) - {"prune@abpn_x3"} | pruned
    for run in children:
        assert run.info.status == "FINISHED"
        assert run.data.tags["mlflow.parentRunId"] == parents[0].info.run_id
        assert run.data.tags["launcher"] == "snakemake"


def test_the_run_of_the_state_has_the_headline_and_the_report(by_snakemake: Copy) -> None:
    folder = by_snakemake.folder
    client, runs = runs_in(store_of(folder))
    ((state,), children) = split(runs)
    export, benchmark = (named(children, f"{verb}@abpn_x3") for verb in ("export", "benchmark"))
    numbers = json.loads((folder / "results/report/metrics.json").read_text())
    for net in ("abpn_x3", "abpn_x3/l1_50"):
        of_set = numbers[net]["x3"]["samples_heldout"]
        for variant in ("fp32", "ptq", "qat"):
            assert state.data.metrics[f"{net}/psnr_y_{variant}"] == of_set[f"psnr_y_{variant}"]
        shipped, timed = f"results/export/{net}/qat_x3.tflite", folder / f"results/export/{net}/qat_x3_24x32.tflite"
        assert state.data.metrics[f"{net}/file_bytes"] == timed.stat().st_size
        assert state.data.metrics[f"{net}/p50_ms"] > 0
        assert f"{net}/loss_db" in state.data.metrics
        for tag in (export.data.tags[f"output/{shipped}"], benchmark.data.tags[f"input/{shipped}"]):
            assert tag == sha256(folder / shipped)
        assert f"{net}/qat_x3.tflite" in [file.path for file in client.list_artifacts(export.info.run_id, net)]
    assert state.data.tags["device"]
    assert state.data.params["systems.abpn_x3.train.steps"] == "4"
    kept = {file.path for file in client.list_artifacts(state.info.run_id)}
    assert kept == {"params.yaml", "index.html", "table.csv", "overview.png"}
    assert {entry.dataset.name for entry in state.inputs.dataset_inputs} == {"samples", "samples_heldout"}
    manifest = folder / "results/fetch/evaluation/samples_heldout/manifest.csv"
    for run in (state, benchmark, named(children, "fetch@samples_heldout")):
        assert run.data.tags["sha256.samples_heldout"] == sha256(manifest)


def test_new_time_stamps_are_no_reason_to_run(by_dvc: Copy) -> None:
    for path in [*(by_dvc.folder / "pipeline_src").rglob("*.py"), by_dvc.folder / "params.yaml"]:
        path.touch()
    by_dvc.assert_nothing_to_do()


def test_an_edited_param_runs_what_depends_on_it(by_dvc: Copy) -> None:
    params = by_dvc.folder / "params.yaml"
    before = by_dvc.lock()
    params.write_text(params.read_text().replace("title: ", "title: Tiny "))
    assert "report.title" in by_dvc.ran("dvc", "params", "diff")
    planned = by_dvc.ran("snakemake", "-n", "report")
    assert re.search(r"Job \d+: report", planned)
    assert "benchmark@abpn_x3" not in planned.split("Job stats")[1].split("Reasons")[0]
    by_dvc.ran("snakemake", "--cores", "8", "report", SR_TRACKING="off")
    assert [name for name, stage in by_dvc.lock().items() if stage != before[name]] == ["report"]
    by_dvc.assert_nothing_to_do()


def test_experiments_metrics_and_plots(by_dvc: Copy) -> None:
    by_dvc.commit()
    by_dvc.ran("dvc", "exp", "run", "-S", "report.crops=1", SR_TRACKING="off")
    assert "crops: 1" in (by_dvc.folder / "params.yaml").read_text()
    assert "report.crops" in by_dvc.ran("dvc", "params", "diff")
    assert "results/train/abpn_x3/metrics.json" in by_dvc.ran("dvc", "metrics", "show")
    assert "failed to load" not in by_dvc.ran("dvc", "plots", "show")
    page = (by_dvc.folder / "dvc_plots" / "index.html").read_text()
    assert "Validation PSNR (Y) of abpn_x3" in page
    by_dvc.assert_nothing_to_do()
