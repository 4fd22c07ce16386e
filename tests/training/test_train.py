"""The stage train, run as its command: killed and resumed, and its errors."""

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import forked
import pandas as pd
import psutil
import pytest
import torch
import yaml
from runs import runs_in, split, store_of
from safetensors.torch import load_file
from shared import stage_environment

from pipeline_src.errors import UserError
from pipeline_src.files import sha256
from pipeline_src.models import build
from pipeline_src.weights import load_net, save_net

Make = Callable[..., Path]
Stage = Callable[..., subprocess.CompletedProcess[str]]
MODULE = "pipeline_src.stages.train"
WEIGHTS = Path("results/nets/abpn_x3/weights.safetensors")
OUT = Path("results/train/abpn_x3")


@pytest.fixture
def ready(workspace: Make, train_h5: Path) -> Make:
    """A workspace whose build_h5 is done."""

    def make(**changes: object) -> Path:
        folder = workspace({"systems": {"abpn_x3": {"train": changes}}})
        (folder / "results/build_h5").mkdir(parents=True, exist_ok=True)
        shutil.copy(train_h5, folder / "results/build_h5/train.h5")
        return folder

    return make


def killed_after_a_checkpoint(folder: Path, **environment: str) -> Path:
    """Start the training, kill it once it has written a checkpoint, and return that."""
    training = forked.start(folder, MODULE, "abpn_x3", environment=stage_environment() | environment)
    while not (checkpoints := list(folder.glob(".cache/train/train@abpn_x3-*.safetensors"))):
        assert training.poll() is None, "the training ended before it wrote a checkpoint"
        time.sleep(0.01)
    training.kill()
    assert training.poll() == -signal.SIGKILL
    return checkpoints[0]


def test_killed_training_resumes_to_the_same_weights(ready: Make, stage: Stage) -> None:
    folder = ready(steps=40)
    assert stage(folder, "train", "abpn_x3").returncode == 0
    straight, curve = (folder / WEIGHTS).read_bytes(), (folder / OUT / "curve.csv").read_text()
    shutil.rmtree(folder / WEIGHTS.parent)
    shutil.rmtree(folder / OUT)

    killed_after_a_checkpoint(folder)
    assert not (folder / WEIGHTS).exists()

    resumed = stage(folder, "train", "abpn_x3")
    assert resumed.returncode == 0, resumed.stderr
    assert "  0%|" not in resumed.stderr, "it started from step 0 again"
    assert (folder / WEIGHTS).read_bytes() == straight
    assert (folder / OUT / "curve.csv").read_text() == curve
    assert not list(folder.glob(".cache/train/*"))


def test_the_run_of_a_resumed_training_has_every_point_once(ready: Make, stage: Stage) -> None:
    folder = ready(steps=40)
    tracked = {"SR_TRACKING": "on", "MLFLOW_TRACKING_URI": store_of(folder)}
    killed_after_a_checkpoint(folder, **tracked)
    resumed = stage(folder, "train", "abpn_x3", **tracked)
    assert resumed.returncode == 0, resumed.stderr
    assert "MLflow did not take" not in resumed.stderr
    client, runs = runs_in(store_of(folder))
    (state,), trainings = split(runs)
    assert [run.info.status for run in trainings] == ["FINISHED", "RUNNING"], "the newest comes first"
    assert {run.data.tags["mlflow.parentRunId"] for run in trainings} == {state.info.run_id}
    curve = pd.read_csv(folder / OUT / "curve.csv")
    points = client.get_metric_history(trainings[0].info.run_id, "psnr_y")
    assert [(point.step, point.value) for point in points] == [*zip(curve["step"], curve["psnr_y"], strict=True)]
    losses = client.get_metric_history(trainings[0].info.run_id, "train_loss")
    assert [point.step for point in losses] == [*range(1, 41)]
    (used,) = trainings[0].inputs.dataset_inputs
    assert used.dataset.name == "train.h5"
    assert trainings[0].data.tags["sha256.train.h5"] == sha256(folder / "results/build_h5/train.h5")


def test_a_corrupt_checkpoint_is_one_sentence(ready: Make, stage: Stage) -> None:
    folder = ready(steps=400)
    checkpoint = killed_after_a_checkpoint(folder)
    checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    resumed = stage(folder, "train", "abpn_x3")
    assert resumed.returncode == 1
    assert resumed.stderr.splitlines()[-1].startswith(f"error: {checkpoint.relative_to(folder)} is corrupt")
    assert "delete it" in resumed.stderr


def test_a_loss_that_is_not_finite_stops_the_training(ready: Make, stage: Stage) -> None:
    folder = ready(lr=1e30)
    result = stage(folder, "train", "abpn_x3")
    assert result.returncode == 1
    assert "lower its lr (1e+30)" in result.stderr
    assert "Traceback" not in result.stderr
    assert not (folder / WEIGHTS).exists()


def test_a_training_that_stalls_is_warned_of_early(ready: Make, stage: Stage) -> None:
    result = stage(ready(steps=12, lr=1e-12), "train", "abpn_x3")
    assert result.returncode == 0
    assert "train@abpn_x3 has stalled: validation at step 12 repeats that of step 6" in result.stderr


@pytest.fixture
def shared_by_two(ready: Make) -> Callable[..., Path]:
    """A workspace whose net is trained by two processes, or by as many as the test says."""

    def make(**changes: object) -> Path:
        folder = ready(**{"batch": 4, "processes": 2} | changes)
        params = yaml.safe_load((folder / "params.yaml").read_text())
        params["train"]["precision"] = "fp32"  # bfloat16 would round the parts of a batch as it does not the whole
        (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
        return folder

    return make


def launched(folder: Path) -> "subprocess.Popen[str]":
    """Start the stage that starts the processes."""
    command = [sys.executable, "-m", MODULE, "abpn_x3"]
    return subprocess.Popen(command, cwd=folder, env=stage_environment(), stderr=subprocess.PIPE, text=True)


def processes_of(launcher: "subprocess.Popen[str]") -> list[psutil.Process]:
    """Return the processes that train, once they have written a checkpoint."""
    folder = Path(psutil.Process(launcher.pid).cwd())
    while not list(folder.glob(".cache/train/train@abpn_x3-*.safetensors")):
        assert launcher.poll() is None, launcher.communicate()[1]
        time.sleep(0.05)
    return [child for child in psutil.Process(launcher.pid).children() if MODULE in child.cmdline()]


def test_two_processes_train_as_one_does_also_after_one_was_killed(
    shared_by_two: Callable[..., Path], stage: Stage
) -> None:
    recipe = {"steps": 40, "accumulate": 2, "clip": 1.0, "lr": 1e-4, "ema": 0.5}
    folder = shared_by_two(processes=1, **recipe)
    assert stage(folder, "train", "abpn_x3").returncode == 0
    alone, weights = pd.read_csv(folder / OUT / "curve.csv"), load_file(folder / WEIGHTS)
    shutil.rmtree(folder / WEIGHTS.parent)
    shutil.rmtree(folder / OUT)
    launcher = launched(shared_by_two(**recipe))
    processes_of(launcher)[-1].kill()
    _, stderr = launcher.communicate()
    assert launcher.returncode == 1
    assert stderr.splitlines()[-1] == (
        "error: a process of train@abpn_x3 was killed (SIGKILL, as by the system when memory is full); run the same "
        "command again, and the training goes on from its last checkpoint"
    )
    assert "Traceback" not in stderr
    assert not (folder / WEIGHTS).exists()
    assert launched(folder).wait() == 0
    pd.testing.assert_frame_equal(pd.read_csv(folder / OUT / "curve.csv"), alone, rtol=1e-4)
    torch.manual_seed(1)
    start = build("abpn", [3], load_net(folder / WEIGHTS)[1]["net"]).state_dict()
    for key, value in load_file(folder / WEIGHTS).items():
        moved = (weights[key] - start[key]).abs().max()
        assert (value - weights[key]).abs().max() <= 0.01 * moved, key
    assert not list(folder.glob(".cache/train/train@*"))


def test_processes_end_with_the_stage_that_started_them(shared_by_two: Callable[..., Path]) -> None:
    launcher = launched(shared_by_two(steps=100000))
    processes = processes_of(launcher)
    launcher.kill()
    launcher.communicate()
    assert len(processes) == 2
    _, alive = psutil.wait_procs(processes, timeout=60)
    assert not alive


def test_an_error_of_all_processes_is_said_once(shared_by_two: Callable[..., Path]) -> None:
    launcher = launched(shared_by_two(lr=1e30))
    _, stderr = launcher.communicate()
    assert launcher.returncode == 1
    errors = [line for line in stderr.splitlines() if line.startswith("error:")]
    assert len(errors) == 1
    assert "lower its lr (1e+30)" in errors[0]
    assert "Traceback" not in stderr


def test_several_nodes_without_slurm_are_refused(shared_by_two: Callable[..., Path], stage: Stage) -> None:
    refused = stage(shared_by_two(nodes=2), "train", "abpn_x3")
    assert refused.returncode == 1
    assert refused.stderr.splitlines()[-1] == (
        "error: params.yaml: systems.abpn_x3.train.nodes is 2, but this is no job of Slurm; run it with "
        "workflow/profiles/slurm (docs/scaling.md), or set nodes to 1"
    )


def test_processes_have_the_mean_of_the_running_statistics(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import torch\nfrom pipeline_src.training import workers\n"
        "mine = workers.join(torch.device('cpu'))\n"
        "net = torch.nn.BatchNorm2d(3)\nnet.running_var.fill_(mine.rank)\n"
        "mine.average_buffers(net)\nassert net.running_var.tolist() == [0.5] * 3, net.running_var\n"
    )
    for done in forked.run_two(tmp_path, "script", environment=stage_environment()):
        assert done.returncode == 0, done.stderr


def test_processes_at_different_steps_are_refused(ready: Make, tmp_path: Path) -> None:
    """As on machines that do not share their disk: only the first has a checkpoint to go on from."""
    folder = ready(steps=12, batch=4)
    away = folder / "away.py"
    away.write_text(
        "import os, sys\nfrom pathlib import Path\nfrom pipeline_src.training import loop, session\n"
        "session.SCRATCH = Path(f'.cache{os.environ[\"RANK\"]}')\n"
        "if len(sys.argv) > 1:\n"
        "    save = loop._Loop._save\n"
        "    def stop(*a):\n        save(*a)\n        raise SystemExit(3)\n"
        "    loop._Loop._save = stop\n"
        "from pipeline_src.stages.train import train\nfrom pipeline_src.command import exit_status\n"
        "raise SystemExit(exit_status(train, 'abpn_x3'))\n"
    )
    stopped, _ = forked.run_two(folder, "away", "stop", environment=stage_environment())
    assert stopped.returncode == 3
    assert list((folder / ".cache0").rglob("*.safetensors"))
    both = forked.run_two(folder, "away", environment=stage_environment())
    assert any(done.returncode == 1 for done in both)
    refusal = "the processes of train@abpn_x3 are not at the same step; give all machines the same"
    assert any(refusal in done.stderr for done in both)


def test_a_batch_that_the_processes_cannot_share_is_refused(ready: Make) -> None:
    folder = ready(batch=3)
    both = forked.run_two(folder, MODULE, "abpn_x3", environment=stage_environment())
    refusal = "the batch of train@abpn_x3 is 3, which 2 processes × accumulate 1 cannot share evenly"
    assert any(done.returncode == 1 and refusal in done.stderr for done in both)


def test_a_training_can_start_from_weights_or_take_them_as_they_are(ready: Make, stage: Stage) -> None:
    folder = ready()
    assert stage(folder, "train", "abpn_x3").returncode == 0
    first = json.loads((folder / OUT / "metrics.json").read_text())
    shutil.copy(folder / WEIGHTS, folder / "start.safetensors")
    change(folder, start=start_from(folder / "start.safetensors"), steps=0)
    assert stage(folder, "train", "abpn_x3").returncode == 0
    taken = json.loads((folder / OUT / "metrics.json").read_text())
    assert taken == {"step": 0} | {key: first[key] for key in ("psnr_y", "psnr_rgb", "over_bicubic")}
    change(folder, steps=12, lr=1e-12)
    assert stage(folder, "train", "abpn_x3").returncode == 0
    further = json.loads((folder / OUT / "metrics.json").read_text())
    assert further["psnr_y"] == pytest.approx(first["psnr_y"], abs=1e-3)


def test_weights_of_another_net_are_no_start(ready: Make, stage: Stage) -> None:
    folder = ready()
    torch.manual_seed(0)
    net = build("abpn", [2], {})
    save_net(folder / "x2.safetensors", net, {"model": "abpn", "scales": [2], "net": {}})
    start = start_from(folder / "x2.safetensors")
    change(folder, start=start)
    result = stage(folder, "train", "abpn_x3")
    assert result.returncode == 1
    assert result.stderr.startswith("error: x2.safetensors holds weights of abpn ×2, which do not fit this system:")
    change(folder, start=start | {"sha256": "0123456789ab"})
    result = stage(folder, "train", "abpn_x3")
    assert result.returncode == 1
    said = f"error: x2.safetensors has the SHA-256 {start['sha256'][:12]}…, not start.sha256, 0123456789ab"
    assert result.stderr.startswith(said)
    (folder / "x2.safetensors").write_bytes(b"no safetensors")
    change(folder, start=start_from(folder / "x2.safetensors"))
    result = stage(folder, "train", "abpn_x3")
    assert result.returncode == 1
    assert "x2.safetensors is corrupt" in result.stderr


def start_from(path: Path) -> dict[str, str]:
    """What a recipe's ``start`` says of weights in the stage's folder."""
    return {"file": path.name, "sha256": sha256(path)}


def test_a_start_that_is_not_there_is_named(ready: Make, stage: Stage) -> None:
    result = stage(ready(start={"file": "nowhere.safetensors", "sha256": "0123456789ab"}), "train", "abpn_x3")
    assert result.returncode == 1
    said = "error: nowhere.safetensors, which start names, does not exist; correct the path, or make the file of "
    assert result.stderr.strip() == said + "a published checkpoint with `superres import`"


def test_a_net_that_cannot_be_built_is_one_sentence(workspace: Make, train_h5: Path, stage: Stage) -> None:
    folder = workspace({"systems": {"abpn_x3": {"scales": [2, 3]}}})
    result = stage(folder, "train", "abpn_x3")
    assert result.returncode == 1
    said = "error: params.yaml: systems.abpn_x3: the model abpn cannot be built so: ABPN has one scale, not [2, 3]"
    assert result.stderr.strip() == said


@pytest.mark.parametrize(
    "names", [{"model": "foo"}, {"net": {"width": 3}}, {"scales": [2, 3]}, {"model": "layers"}], ids=str
)
def test_weights_of_a_net_that_is_not_here_are_one_sentence(tmp_path: Path, names: dict[str, object]) -> None:
    path = tmp_path / "weights.safetensors"
    save_net(path, build("abpn", [3], {}), {"model": "abpn", "scales": [3], "net": {}} | names)
    with pytest.raises(UserError, match=rf"^{re.escape(str(path))}: the model \w+ cannot be built so: [^\n]+$"):
        load_net(path)


def change(folder: Path, **recipe: object) -> None:
    """Change the recipe of abpn_x3 in the folder's params.yaml."""
    params = yaml.safe_load((folder / "params.yaml").read_text())
    params["systems"]["abpn_x3"]["train"] |= recipe
    (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))


def test_an_unknown_system_is_named(ready: Make, stage: Stage) -> None:
    result = stage(ready(), "train", "abpn_x5")
    assert result.returncode == 1
    assert result.stderr.strip() == "error: params.yaml has no system 'abpn_x5'; it has abpn_x3"


def test_a_missing_training_file_says_which_stage_makes_it(workspace: Make, stage: Stage) -> None:
    result = stage(workspace(), "train", "abpn_x3")
    assert result.returncode == 1
    assert "train.h5 does not exist; run the stage build_h5 first" in result.stderr
