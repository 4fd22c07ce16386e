"""A once-for-all system through its stages, run as their commands: trained, searched, and its subnets made files."""

import csv
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import forked
import h5py
import pytest
import torch
import yaml
from PIL import Image
from runs import named, runs_in, store_of
from shared import TINY, fetched, photograph, stage_environment

from pipeline_src.deployment import cards
from pipeline_src.files import sha256
from pipeline_src.models import build
from pipeline_src.weights import load_net, save_net

Make = Callable[..., Path]
Stage = Callable[..., subprocess.CompletedProcess[str]]

RECIPE: dict[str, Any] = TINY | {"augment": ["hflip"], "loss": "l1", "lr": 1e-4, "decay": "cosine"}
OFA = {
    "model": "once_for_all",
    "scales": [2, 4],
    "net": {"space": "plain", "widths": [4, 6, 8], "depths": [1, 2]},
    "downscaler": {"model": "bicubic"},
    "benchmark_size": [24, 32],
    "train": RECIPE
    | {"steps": 40, "lr": 3e-3, "distil": 0.5}
    | {
        "shrink": [
            {"dimension": "depth", "choices": [1, 2], "steps": 10, "lr": 1e-3, "subnets": 2},
            {"dimension": "width", "choices": [4, 6, 8], "steps": 20, "lr": 1e-3, "subnets": 2},
            {"dimension": "scale", "choices": [2, 4], "steps": 20, "lr": 1e-3, "subnets": 2},
        ]
    },
    "qat": RECIPE,
}
LATENCY = {
    "size": [24, 32],
    "runtimes": ["tflite", "openvino"],
    "precisions": ["int8"],
    "threads": 1,
    "warmup": 1,
    "runs": 30,  # or no latency of a whole subnet settles, and the table has no error
    "interval": 9,
    "max_seconds": 2,
    "check": 2,
}
SEARCH: dict[str, Any] = {
    "scales": [2, 4],
    "images": 2,
    "crop": 24,
    "samples": 10,
    "candidates": 40,
    "promising": 4,
    "seeds": [1],
    "latency": LATENCY,
    "nets": {"light": {"scale": 4, "parameters": 3000.0}, "twice": {"scale": 2, "mult_adds": 2.5e8, "memory_mb": 1.0}},
    "finetune": RECIPE,
}
NETS = ("tiny/light", "tiny/twice")
WEIGHTS = Path("results/nets/tiny/weights.safetensors")


@pytest.fixture
def ready(workspace: Make, train_h5: Path) -> Path:
    """A workspace with the once-for-all system ``tiny``, whose build_h5 is done."""
    folder = workspace(
        {
            "systems": {"tiny": OFA},
            "search": {"tiny": SEARCH},
            "quantize": {"calibration_images": 2, "calibration_crop": 32},
            "benchmark": {
                "threads": 1,
                "warmup": 1,
                "runs": 2,
                "interval": 9,
                "min_seconds": 0,
                "crops": 1,
                "crop_size": 16,
            },
        }
    )
    (folder / "results/build_h5").mkdir(parents=True)
    shutil.copy(train_h5, folder / "results/build_h5/train.h5")
    return folder


def change(folder: Path, **changes: Any) -> None:
    """Change the section search.tiny of the folder's params.yaml."""
    params = yaml.safe_load((folder / "params.yaml").read_text())
    params["search"]["tiny"] |= changes
    (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))


def rows_of(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.open()))


def said_by(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    return done.stderr.splitlines()[-1]


@pytest.mark.slow
def test_from_one_training_to_the_files_of_its_subnets(ready: Path, stage: Stage) -> None:
    heldout = fetched(ready, "samples_heldout", a=Image.fromarray(photograph("astronaut.png")[60:120, 200:272]))
    for name in ("train", "search", "quantize", "export"):
        done = stage(ready, name, "tiny", SR_TRACKING="on", MLFLOW_TRACKING_URI=store_of(ready))
        assert done.returncode == 0, done.stderr
    assert_tracked(ready)
    assert_trained(ready / "results/train/tiny")
    assert_searched(ready / "results/nets/tiny/search")
    assert not [*(ready / ".cache/train").iterdir()], "what a search or a training keeps to go on is gone in the end"
    assert_exported(ready)
    assert_upscaled(ready, heldout / "a.png")
    for card in (ready / "results/export/tiny").rglob("*.json"):  # one kind of file is enough to measure
        if not card.name.startswith("qat") or card.name.endswith(".xml.json"):
            card.unlink()
    done = stage(ready, "benchmark", "tiny")
    assert done.returncode == 0, done.stderr
    for net in NETS:
        rows = rows_of(ready / "results/benchmark" / net / "benchmark.csv")
        measured = {(row["system"], row["variant"], row["runtime"], row["scale"]) for row in rows}
        scale = str(SEARCH["nets"][net.partition("/")[2]]["scale"])
        assert measured >= {(net, "bicubic", "", scale), (net, "qat", "onnx", scale), (net, "qat", "tflite", scale)}
    assert_the_same_search_finds_the_same(ready, stage)
    assert_impossible_budgets_are_told(ready, stage)
    for net in NETS:
        rows = rows_of(ready / "results/benchmark" / net / "benchmark.csv")
        assert {int(row["scale"]) for row in rows} == {SEARCH["nets"][net.partition("/")[2]]["scale"]}


@pytest.mark.slow
def test_two_processes_shrink_the_net_together(ready: Path) -> None:
    params = yaml.safe_load((ready / "params.yaml").read_text())
    params["systems"]["tiny"]["train"]["batch"] = 4
    (ready / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    for done in forked.run_two(ready, "pipeline_src.stages.train", "tiny", environment=stage_environment()):
        assert done.returncode == 0, done.stderr
    assert_trained(ready / "results/train/tiny")


@pytest.mark.slow
def test_subnets_of_a_learned_downscaler(ready: Path, stage: Stage) -> None:
    """X-type: all of them upscale the small images of a downscaler that was trained with the whole net."""
    params = yaml.safe_load((ready / "params.yaml").read_text())
    slim = {"entry": 4, "features": 8, "head": 8, "blocks": 1}
    params["systems"]["tiny"] |= {"scales": [4], "downscaler": {"model": "car", "net": slim}}
    params["systems"]["tiny"]["train"]["shrink"].pop()
    params["systems"]["plain"] = params["systems"]["tiny"] | {"downscaler": {"model": "bicubic"}}
    params["systems"]["tiny"]["baseline"] = "plain"
    params["search"]["tiny"] |= {"scales": [4], "nets": {"light": SEARCH["nets"]["light"]}}
    params["search"]["plain"] = params["search"]["tiny"]
    (ready / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    for name in ("train", "search", "quantize", "export"):
        done = stage(ready, name, "tiny")
        assert done.returncode == 0, done.stderr
    searched, quantised = (
        json.loads((ready / f"results/{name}/metrics.json").read_text())
        for name in ("nets/tiny/search", "quantize/tiny")
    )
    with h5py.File(ready / "results/train/tiny/downscaler/lr.h5") as lr:
        assert {*lr["validation"]} == {"X4"}
    # as good on what quantize looks at, which are the learned images, as the search says
    assert quantised["tiny/light"]["fp32"]["psnr_y"] == pytest.approx(
        searched["light"]["validation"]["psnr_y"], abs=1e-3
    )
    found = cards.read_folder(ready / "results/export/tiny")
    assert {card.lr for card in found.values()} == {"car"}


def assert_trained(out: Path) -> None:
    curve = rows_of(out / "curve.csv")
    assert {row["phase"] for row in curve} == {"0", "1", "2", "3"}
    steps = [int(row["step"]) for row in curve]
    assert steps == sorted({*steps})
    assert steps[-1] == 40 + 10 + 20 + 20
    assert json.loads((out / "metrics.json").read_text())["smallest"] == float(curve[-1]["smallest"])
    whole, metadata = load_net(out.parents[1] / "nets/tiny/weights.safetensors", [2, 4])
    assert whole.choices() == {"scale": (2, 4), "depth": (1, 2), "width": (4, 6, 8)}
    assert len(metadata["recipe"]["shrink"]) == 3


def assert_searched(out: Path) -> None:
    latency = rows_of(out / "latency.csv")
    whole, _ = load_net(out.parent / "weights.safetensors")
    assert len(latency) == 2 * len(whole.all_blocks())
    checks = rows_of(out / "latency_check.csv")
    assert [row["runtime"] for row in checks] == ["tflite"] * 4 + ["openvino"] * 4

    subnets = rows_of(out / "subnets.csv")
    keys = ("scale", "depth", "width1", "width2", "width3", "width4")
    genes = [{key: int(row[key]) for key in keys} for row in subnets]
    assert genes == [whole.subnet(one) for one in genes]
    assert len({tuple(one.values()) for one in genes}) == len(genes), "each subnet has one row"
    for scale in ("2", "4"):
        by = [row["by"] for row in subnets if row["scale"] == scale]
        assert by.count("random") == 10 + 4
        assert 0 <= by.count("search") <= 4
    for row in subnets:
        for key in ("ms_tflite_int8", "ms_openvino_int8", "memory_mb_int8", "mult_adds", "over_bicubic"):
            assert abs(float(row[key])) < 1e12
    assert_picked(out, subnets)
    metrics = json.loads((out / "metrics.json").read_text())
    assert {*metrics["latency_error"]} == {"tflite int8", "openvino int8"}
    assert (metrics["subnets_x2"], metrics["subnets_x4"]) == (27 + 81, 27 + 81)
    assert all(-1 <= tau <= 1 for scale in (2, 4) for tau in metrics[f"kendall_tau_x{scale}"])


def assert_tracked(folder: Path) -> None:
    """MLflow has the whole curve of the supernet, the figures of the search, and the file of each subnet."""
    client, runs = runs_in(store_of(folder))
    train, search = (named(runs, f"{name}@tiny") for name in ("train", "search"))
    curve = rows_of(folder / "results/train/tiny/curve.csv")
    points = client.get_metric_history(train.info.run_id, "smallest")
    smallest = [(int(row["step"]), float(row["smallest"])) for row in curve if row["smallest"]]
    assert [(point.step, point.value) for point in points] == smallest
    losses = client.get_metric_history(train.info.run_id, "train_loss")
    assert [point.step for point in losses] == [*range(1, 91)]

    metrics = json.loads((folder / "results/nets/tiny/search/metrics.json").read_text())
    for scale in (2, 4):
        for name in ("kendall_tau", "hypervolume", "random_hypervolume"):
            (value,) = metrics[f"{name}_x{scale}"]
            assert search.data.metrics[f"{name}_x{scale}"] == search.data.metrics[f"{name}_x{scale}/seed_1"] == value
    assert search.data.metrics["latency_error/tflite int8"] == metrics["latency_error"]["tflite int8"]
    for net in SEARCH["nets"]:
        points = client.get_metric_history(search.info.run_id, f"{net}/psnr_y")
        assert [point.step for point in points] == [0, 6, 12]
        assert points[-1].value == metrics[net]["validation"]["psnr_y"]
        assert_file_is_tracked(client, folder, named(runs, "export@tiny"), net)
        weights = f"results/nets/tiny/search/nets/{net}.safetensors"
        assert search.data.tags[f"output/{weights}"] == sha256(folder / weights)


def assert_file_is_tracked(client: Any, folder: Path, export: Any, net: str) -> None:
    """The export of a subnet keeps the file that ships, and its hash."""
    file = f"qat_x{SEARCH['nets'][net]['scale']}.tflite"
    kept = [artifact.path for artifact in client.list_artifacts(export.info.run_id, f"tiny/{net}")]
    fixed_size = file.replace(".", "_24x32.")
    assert kept == [f"tiny/{net}/{name}{card}" for name in (file, fixed_size) for card in ("", ".json")]
    exported = f"results/export/tiny/{net}/{file}"
    assert export.data.tags[f"output/{exported}"] == sha256(folder / exported)


def assert_picked(out: Path, subnets: list[dict[str, str]]) -> None:
    metrics, curve = json.loads((out / "metrics.json").read_text()), rows_of(out / "curve.csv")
    for name, spec in SEARCH["nets"].items():
        (chosen,) = (row for row in subnets if row["net"] == name)
        assert int(chosen["scale"]) == spec["scale"]
        limits = {"mult_adds": "mult_adds", "parameters": "parameters", "memory_mb": "memory_mb_int8"}
        within = [
            row
            for row in subnets
            if row["scale"] == chosen["scale"]
            and all(float(row[column]) <= spec[key] for key, column in limits.items() if key in spec)
        ]
        assert chosen in within
        assert float(chosen["over_bicubic"]) == max(float(row["over_bicubic"]) for row in within)
        net, metadata = load_net(out / "nets" / f"{name}.safetensors")
        assert metadata["net"] == OFA["net"] | {"subnet": metrics[name]["subnet"]}
        assert metadata["scales"] == [spec["scale"]]
        assert sum(parameter.numel() for parameter in net.parameters()) == int(chosen["parameters"])
        rows = [row for row in curve if row["net"] == f"tiny/{name}"]
        assert [int(row["step"]) for row in rows] == [0, 6, 12]
        assert float(rows[-1]["psnr_y"]) == pytest.approx(metrics[name]["validation"]["psnr_y"])


def assert_exported(folder: Path) -> None:
    found = cards.read_folder(folder / "results/export/tiny")
    assert {(card.system, card.variant, card.scale) for card in found.values()} == {
        (net, variant, scale) for net, scale in zip(NETS, (4, 2), strict=True) for variant in ("fp32", "ptq", "qat")
    }
    metrics = json.loads((folder / "results/quantize/tiny/metrics.json").read_text())
    picked = json.loads((folder / "results/nets/tiny/search/metrics.json").read_text())
    assert {*metrics} == {*NETS}
    for net, of_net in metrics.items():
        validation = picked[net.partition("/")[2]]["validation"]
        assert of_net["fp32"]["psnr_y"] == pytest.approx(validation["psnr_y"], abs=1e-3)
        assert of_net["ptq"]["psnr_y"] == pytest.approx(validation["psnr_y"], abs=1)
    rows = rows_of(folder / "results/quantize/tiny/calibration.csv")
    assert sorted(row["scale"] for row in rows) == ["2", "2", "4", "4"]


def upscale(folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    return forked.run(folder, "pipeline_src.cli.upscale", *map(str, arguments), environment=stage_environment())


def assert_upscaled(folder: Path, image: Path) -> None:
    for net, scale, runtime in ((NETS[0], 4, "onnx"), (NETS[1], 2, "torch")):
        done = upscale(folder, image, "-o", "sr.png", "--model", net, "--runtime", runtime)
        assert done.returncode == 0, done.stderr
        with Image.open(folder / "sr.png") as sr:
            assert sr.size == (72 * scale, 60 * scale)
    said = said_by(upscale(folder, image, "-o", "sr.png", "--model", NETS[0], "--scale", "5"))
    assert said == "error: tiny/light upscales ×4, not ×5; choose another --scale"


def assert_the_same_search_finds_the_same(folder: Path, stage: Stage) -> None:
    """With the table of the first search, since times differ from run to run; and here nothing is fine-tuned."""
    out = folder / "results/nets/tiny/search"
    before, picked = (out / "subnets.csv").read_text(), json.loads((out / "metrics.json").read_text())
    shutil.copy(out / "latency.csv", folder / "table.csv")
    change(
        folder, latency=LATENCY | {"table": {"file": "table.csv", "sha256": sha256(out / "latency.csv")}}, finetune=None
    )
    done = stage(folder, "search", "tiny")
    assert done.returncode == 0, done.stderr
    assert (out / "subnets.csv").read_text() == before
    whole, _ = load_net(folder / WEIGHTS)
    lr = 255 * torch.rand(1, 3, 24, 32)
    metrics = json.loads((out / "metrics.json").read_text())
    for net in NETS:
        name = net.partition("/")[2]
        assert metrics[name]["subnet"] == picked[name]["subnet"]
        assert metrics[name]["validation"]["step"] == 0
        alone, _ = load_net(out / "nets" / f"{name}.safetensors")
        with torch.no_grad():
            assert torch.equal(alone(lr), whole.subnet_module(metrics[name]["subnet"]).eval()(lr))


def assert_impossible_budgets_are_told(folder: Path, stage: Stage) -> None:
    change(folder, scales=[4], nets={"none": {"scale": 4, "parameters": 1000.0}})
    smallest = 9 * (3 * 4 + 4 * 4 + 4 * 4 + 4 * 48) + 3 * 4 + 48
    assert said_by(stage(folder, "search", "tiny")) == (
        "error: no subnet meets search's nets.none (1000 parameters): "
        f"the cheapest one needs {smallest} parameters; raise it"
    )
    change(folder, samples=51, nets={"light": {"scale": 4, "parameters": 3000.0}})
    said = said_by(stage(folder, "search", "tiny"))
    assert said == "error: the net has 108 subnets at ×4, too few to draw 55; lower samples"


def test_what_is_not_searched_is_one_sentence(ready: Path, stage: Stage) -> None:
    assert said_by(stage(ready, "search", "abpn_x3")) == "error: params.yaml: search has no 'abpn_x3'; it has tiny"
    done = stage(ready, "search", "tiny")
    assert said_by(done) == f"error: {WEIGHTS} does not exist; run the stage that makes it first"
    said = said_by(stage(ready, "quantize", "tiny"))
    assert said == f"error: {WEIGHTS} does not exist; run the stage train first"
    supernet = build("once_for_all", [2, 4], OFA["net"])
    save_net(ready / WEIGHTS, supernet, {key: OFA[key] for key in ("model", "scales", "net")})
    said = said_by(stage(ready, "quantize", "tiny"))
    assert said.startswith("error: results/nets/tiny/search/nets/light.safetensors does not exist; run `python -m")
    Image.new("RGB", (20, 20)).save(ready / "a.png")
    said = said_by(upscale(ready, "a.png", "-o", "b.png", "--model", "tiny/light"))
    sentence = "there is no net tiny/light here; run `make report` (or `dvc repro export@tiny`) to make it"
    assert said.startswith(f"error: {sentence}")
