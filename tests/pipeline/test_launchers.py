"""Both launchers, for real: every stage on tiny params in a copy of the repository."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from copies import STAGES, Copy, copied, copied_again
from runs import named, runs_in, split, store_of
from shared import ROOT

from pipeline_src.files import sha256

VERBS = ("train", "prune", "quantize")
SAME_ANYWHERE = ["fetch@photos", "fetch@judged", "build_h5", *(f"{verb}@abpn_x3" for verb in VERBS)]

pytestmark = pytest.mark.slow


def made_by_make(target: str) -> list[str]:
    """The commands of a target of the Makefile, once set up."""
    commands = ["make", "--dry-run", "--no-print-directory", "--assume-old=.venv/.ready", target]
    return subprocess.run(commands, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()


@pytest.fixture(scope="module")
def copy_and_output(tmp_path_factory: pytest.TempPathFactory) -> tuple[Copy, str]:
    copy = copied(tmp_path_factory.mktemp("snakemake"))
    return copy, copy.ran("bash", "-c", f"{made_by_make('report')[-1]} --cores 8")


@pytest.fixture(scope="module")
def by_snakemake(copy_and_output: tuple[Copy, str]) -> Copy:
    return copy_and_output[0]


@pytest.fixture(scope="module")
def by_dvc(first_run: Copy, tmp_path_factory: pytest.TempPathFactory) -> Copy:
    return copied_again(first_run, tmp_path_factory.mktemp("dvc") / "copy")


def test_after_snakemake_nothing_is_left_to_do(by_snakemake: Copy) -> None:
    assert by_snakemake.ran("dvc", "status").strip() == "Data and pipelines are up to date."
    by_snakemake.assert_nothing_to_do()


def test_make_report_prints_a_line_for_what_begins_and_ends_and_a_summary(copy_and_output: tuple[Copy, str]) -> None:
    by_snakemake, printed = copy_and_output
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
        of_set = numbers[net]["x3"]["judged"]
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
    assert kept == {"params.yaml", "index.html", "table.csv", "overview.png", "benchmark"}
    assert (
        folder.joinpath("results/benchmark/abpn_x3/l1_50/images.csv").read_bytes()
        == Path(client.download_artifacts(state.info.run_id, "benchmark/abpn_x3/l1_50/images.csv")).read_bytes()
    )
    assert {entry.dataset.name for entry in state.inputs.dataset_inputs} == {"photos", "judged"}
    manifest = folder / "results/fetch/evaluation/judged/manifest.csv"
    for run in (state, benchmark, named(children, "fetch@judged")):
        assert run.data.tags["sha256.judged"] == sha256(manifest)


def test_new_time_stamps_are_no_reason_to_run(by_dvc: Copy) -> None:
    for path in [*(by_dvc.folder / "pipeline_src").rglob("*.py"), by_dvc.folder / "params.yaml"]:
        path.touch()
    by_dvc.assert_nothing_to_do()


def planned(copy: Copy) -> set[str]:
    """The stages that Snakemake would run."""
    said = copy.ran("snakemake", "-n", "report")
    return set(re.findall(r"Job \d+: (\S+)", said))


def with_a_flipped_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def test_what_snakemake_has_run_it_runs_again_if_dvc_would(by_snakemake: Copy) -> None:
    folder, before = by_snakemake.folder, by_snakemake.lock()
    shutil.move(folder / "dvc.lock", folder / "kept.lock")
    assert planned(by_snakemake) == set(before)
    shutil.move(folder / "kept.lock", folder / "dvc.lock")
    assert planned(by_snakemake) == set()


def test_what_dvc_would_run_snakemake_runs_whatever_the_time_stamps_say(by_dvc: Copy) -> None:
    folder, before = by_dvc.folder, by_dvc.lock()
    params, train_h5 = folder / "params.yaml", folder / "results/build_h5/train.h5"
    assert planned(by_dvc) == set()
    shutil.move(folder / "dvc.lock", folder / "kept.lock")
    assert planned(by_dvc) == set(before)
    shutil.move(folder / "kept.lock", folder / "dvc.lock")
    whole = params.read_text()
    params.write_text(whole.replace("title: ", "title: Older "))
    os.utime(params, (0, 0))  # as a backup that was moved back
    assert planned(by_dvc) == {"report"}
    params.write_text(whole)
    shutil.rmtree(folder / "results/export")
    assert planned(by_dvc) == {"export@abpn_x3", "benchmark@abpn_x3", "report"}
    with_a_flipped_bit(train_h5)
    assert "build_h5" in planned(by_dvc)
    locked = (folder / "dvc.lock").read_text()
    cut = locked[: locked.rindex("- path") + len("- pa")]  # as by a DVC that was killed while it wrote it
    (folder / "dvc.lock").write_text(cut)
    assert planned(by_dvc) == set(before)
    assert [file.read_text() for file in (folder / ".dvc/tmp").glob("dvc.lock.*")] == [cut]
    by_dvc.ran("snakemake", "--cores", "8", "report", SR_TRACKING="off")
    assert by_dvc.lock() == before, "what was lost came back from the cache"
    by_dvc.assert_nothing_to_do()


def test_a_run_that_was_killed_goes_on_and_two_at_once_are_refused(by_dvc: Copy) -> None:
    folder = by_dvc.folder
    shutil.rmtree(folder / "results/report")
    code = "import time, one_run; one_run.refuse_a_second(); print('has it'); time.sleep(600)"
    command = [sys.executable, "-u", "-c", code]
    environment = os.environ | {"PYTHONPATH": f"workflow{os.pathsep}."}
    holder = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout
        assert holder.stdout.readline() == "has it\n"
        with pytest.raises(AssertionError, match=rf"error: another snakemake \(process {holder.pid}\) runs stages in"):
            by_dvc.ran("snakemake", "--cores", "8", "report")
        assert planned(by_dvc) == {"report"}, "a plan needs no lock"
    finally:
        holder.kill()
        holder.wait()
    (folder / ".cache/began").touch()
    # goes on until Snakemake has taken its lock, and a little longer
    waits = "until [ .cache/snakemake.lock -nt .cache/began ]; do sleep 0.1; done; sleep 2"
    started = ["bash", "-c", f"(exec -a dvc bash -c '{waits}') >&- & echo $!"]
    left = subprocess.check_output(started, cwd=folder, text=True)
    used = {"read": {}, "write": {"elsewhere": {"pid": int(left), "cmd": "dvc repro"}}}
    (folder / ".dvc/tmp/rwlock").write_text(json.dumps(used))
    said = by_dvc.ran("snakemake", "--cores", "8", "report", SR_TRACKING="off")
    assert f"waiting for the stages that an earlier run has left (processes {left.strip()})" in said
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
