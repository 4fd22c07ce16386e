"""What the schema of params.yaml refuses, and the sentence that says so."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from shared import ROOT

from pipeline_src import config
from pipeline_src.errors import UserError

PRUNE = {
    "nets": {"half": {"pruner": "l1", "sparsity": 0.5}},
    "finetune": {"steps": 1, "batch": 1, "patch": 16, "lr": 1e-3},
}
PARAMS = yaml.safe_load((ROOT / "params.yaml").read_text())
SEARCH, CONV = PARAMS["search"]["ofa_sr"], PARAMS["systems"]["conv_x4"]
PHONE = {"adb": "A1", "benchmark_model": "benchmark_model"}


@pytest.fixture
def changed(tmp_path: Path) -> Callable[..., Path]:
    """A copy of params.yaml in which the value at a dotted key is another; None removes the key."""

    def change(key: str, value: Any) -> Path:
        everything = yaml.safe_load((ROOT / "params.yaml").read_text())
        *sections, last = key.split(".")
        section = everything
        for name in sections:
            section = section[name]
        if value is None:
            del section[last]
        else:
            section[last] = value
        path = tmp_path / "params.yaml"
        path.write_text(yaml.safe_dump(everything))
        return path

    return change


def test_the_params_of_the_repository_are_valid() -> None:
    params = config.load(ROOT / "params.yaml")
    assert params.system("abpn_x3").scales == [3]
    assert not set(params.sets_for("training")) & set(params.sets_for("evaluation"))


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("trian", {}, "trian is an unknown key"),
        ("train.checkpoint_evry", 5, "train.checkpoint_evry is an unknown key"),
        ("systems.abpn_x3.train.momentun", 0.9, "systems.abpn_x3.train.momentun is an unknown key"),
        ("systems.abpn_x3.train.decay", 0.5, "systems.abpn_x3.train: decay_every goes with a decay that is a number"),
        (
            "systems.abpn_x3.train.accumulate",
            3,
            "systems.abpn_x3.train: accumulate is 3, which does not divide the batch, 16",
        ),
        (
            "systems.abpn_x3.qat.start",
            {"file": "w.safetensors", "sha256": "0123456789ab"},
            "systems.abpn_x3.qat: start and grow must go",
        ),
        ("systems.abpn_x3.train.clip_by", "element", "systems.abpn_x3.train: clip_by is element, so there must be"),
        ("systems.carn_m.scales", [3, 3], "systems.carn_m: scales is [3, 3]; name each once"),
        ("systems.abpn_x3.qat.ema", 0.99, "systems.abpn_x3.qat: ema must be 0"),
        ("systems.abpn_x3.qat.steps", 0, "systems.abpn_x3.qat: steps is 0, so there must be a start"),
        ("seed", "1", "seed: Input should be a valid integer, not '1'"),
        ("seed", True, "seed: Input should be a valid integer, not True"),
        ("threads", 0, "threads: Input should be greater than or equal to 1, not 0"),
        ("build_h5.scales", [2, 5], "build_h5.scales.1: Input should be less than or equal to 4, not 5"),
        ("build_h5.matlab", "C", "build_h5.matlab: Input should be 'uint8' or 'double', not 'C'"),
        ("systems.abpn_x3.benchmark_size", [360], "systems.abpn_x3.benchmark_size: List should have at least 2 items"),
        ("systems.abpn_x3.train.lr", -1.0, "systems.abpn_x3.train.lr: Input should be greater than 0, not -1.0"),
        ("sets.samples.role", "test", "sets.samples.role: Input should be 'training' or 'evaluation', not 'test'"),
        ("systems.abpn_x3.net.width", 3, "systems.abpn_x3: net.width is unknown; the model abpn takes channels, depth"),
        ("systems.abpn_x3.net.depth", "4", "systems.abpn_x3: net.depth is '4', but the model abpn takes int"),
        ("systems.abpn_x3.model", "apbn", "systems.abpn_x3: there is no model 'apbn' in pipeline_src/models"),
        ("systems.abpn_x3.model", "layers", "systems.abpn_x3: there is no model 'layers' in pipeline_src/models"),
        (
            "systems.abpn_x3.qat.float_layers",
            "body.0",
            "systems.abpn_x3.qat.float_layers: give a number of layers, or a",
        ),
        ("operators.channels", 30, "operators.channels: Input should be a multiple of 4, not 30"),
        ("quantize", None, "quantize is missing; add it"),
        ("prune", None, "prune is missing; add it"),
        ("search", None, "search is missing; add it"),
        ("tune", None, "tune is missing; add it"),
        ("devices", None, "devices is missing; add it"),
        ("devices.pi", {}, "the whole file: devices.pi has neither ssh nor adb; add one"),
        ("devices.here", {"ssh": "pi"}, "the whole file: devices.here is this machine and has no keys"),
        ("devices.pi", {"threads": 2}, "devices.pi: a device has ssh or adb; add one"),
        ("devices.pi", {"ssh": "-oProxyCommand=x"}, "devices.pi.ssh: String should match pattern"),
        ("devices.pi", {"ssh": "pi", "adb": "A1"}, "devices.pi: a device with ssh has no adb; remove it"),
        ("devices.phone", {"adb": "A1", "port": 1}, "devices.phone: a device with adb has no port; remove it"),
        ("devices.phone", {"adb": "A1"}, "devices.phone: a device with adb needs benchmark_model; docs/deployment.md"),
        ("devices.phone", PHONE | {"delegates": {"nnapi": {}}}, "devices.phone: delegates.nnapi must go: NNAPI is"),
        ("devices.phone", PHONE | {"delegates": {"npu": {}}}, "devices.phone: delegates.npu needs its library"),
        (
            "search.ofa_sr.latency.device",
            "pi",
            "the whole file: search.ofa_sr.latency.device is pi, which is no device",
        ),
        ("systems.carn_m.net", None, "systems.carn_m.net is missing; add it"),
        ("systems.carn_m.subnets", "prune", "systems.carn_m.subnets is an unknown key"),
        (
            "search.carn_m",
            SEARCH,
            "the whole file: search.carn_m: systems has no once-for-all net carn_m; add it or remove",
        ),
        ("search.nowhere", SEARCH, "the whole file: search.nowhere: systems has no once-for-all net nowhere; add it"),
        (
            "prune.abpn_x3.nets",
            {"downscaler": {"pruner": "l1", "sparsity": 0.5}},
            "prune.abpn_x3.nets.downscaler.[key]: downscaler is the name of what makes the LR images of a system",
        ),
        ("prune.nowhere", PRUNE, "the whole file: prune.nowhere: systems has no nowhere; add it or remove this"),
        (
            "prune.ofa_sr",
            PRUNE,
            "the whole file: prune.ofa_sr must go: ofa_sr is a once-for-all net, which search makes",
        ),
        (
            "search.ofa_sr",
            None,
            "the whole file: systems.ofa_sr is a once-for-all net, but search has no ofa_sr; add it",
        ),
        (
            "search.ofa_sr.scales",
            [3, 4],
            "the whole file: search.ofa_sr.scales is [3, 4], but systems.ofa_sr.scales is",
        ),
        ("search.ofa_sr.scales", [2], "search.ofa_sr: nets.half.scale is 4, but scales is [2]; search that too"),
        ("search.ofa_sr.nets", {}, "search.ofa_sr.nets: Dictionary should have at least 1 item"),
        (
            "search.ofa_sr.nets.half.share",
            1.5,
            "search.ofa_sr.nets.half.share: Input should be less than or equal to 1",
        ),
        ("search.ofa_sr.nets.half.watts", 2.0, "search.ofa_sr.nets.half.watts is an unknown key"),
        (
            "search.ofa_sr.nets.half",
            {"scale": 4, "memory_mb": 9.0, "precision": "float32"},
            "search.ofa_sr: nets.half is of float32, which latency.precisions does not list; add it",
        ),
        (
            "search.ofa_sr.nets.fast",
            {"scale": 4, "share": 0.5, "precision": "float32"},
            "search.ofa_sr: nets.fast is of float32, which latency.precisions does not list; add it",
        ),
        (
            "systems.conv_x4.baseline",
            None,
            "systems.conv_x4: a downscaler that learns is shown against the same net",
        ),
        (
            "systems.conv_x4.baseline",
            "abpn",
            "the whole file: systems.conv_x4.baseline is abpn, which is not a system; name one of",
        ),
        (
            "systems.conv_x4.baseline",
            "conv_x4",
            "the whole file: systems.conv_x4.baseline is conv_x4, whose LR images are not bicubic's",
        ),
        ("systems.abpn_x4.baseline", "abpn_x3", "systems.abpn_x4: baseline is for a system whose downscaler learns;"),
        (
            "systems.abpn_x4.train.lr",
            0.5,
            "the whole file: systems.conv_x4.train differs from that of its baseline abpn_x4, so the",
        ),
        (
            "systems.conv_x4.downscaler",
            {"model": "conv", "tv_weight": 0.1},
            "systems.conv_x4.downscaler: conv has no offsets, so offset_weight and tv_weight weigh nothing",
        ),
        (
            "systems.conv_x4",
            CONV | {"downscaler": {"model": "conv"}, "train": CONV["train"] | {"steps": 0}},
            "systems.conv_x4: with train.steps: 0 the downscaler stays untrained; give",
        ),
        ("search.ofa_sr.latency.runtimes", ["onnx"], "search.ofa_sr.latency.runtimes.0: Input should be 'tflite' or"),
        ("search.ofa_sr.latency.size", [180], "search.ofa_sr.latency.size: List should have at least 2 items"),
        ("search.ofa_sr.seeds", [], "search.ofa_sr.seeds: List should have at least 1 item"),
        (
            "search.ofa_sr.finetune.start",
            {"file": "w.safetensors", "sha256": "0123456789ab"},
            "search.ofa_sr: finetune.start and finetune.grow must go: each net starts from its part of the supernet",
        ),
        (
            "systems.ofa_sr.train.shrink",
            [{"dimension": "depth", "choices": [1], "steps": 1, "lr": 1e-3, "subnets": 3}],
            "systems.ofa_sr.train: shrink[0].subnets is 3, which does not divide the batch, 16",
        ),
        (
            "systems.ofa_sr.train.shrink",
            [{"dimension": "resolution", "choices": [1], "steps": 1, "lr": 1e-3}],
            "systems.ofa_sr.train.shrink.0.dimension: Input should be 'kernel', 'depth', 'width', 'tail' or 'scale'",
        ),
        (
            "systems.ofa_sr.train.distil",
            -0.5,
            "systems.ofa_sr.train.distil: Input should be greater than or equal to 0",
        ),
        ("systems.ofa_sr.qat.shrink", [], "systems.ofa_sr.qat.shrink is an unknown key"),
        (
            "systems.ofa_sr.qat.float_layers",
            2,
            "systems.ofa_sr: qat.float_layers must be names, or 0: each subnet of a",
        ),
        ("prune.abpn_x3.finetune", None, "prune.abpn_x3.finetune is missing; add it"),
        ("prune.abpn_x3.nets", {}, "prune.abpn_x3.nets: Dictionary should have at least 1 item"),
        (
            "prune.abpn_x3.finetune.start",
            {"file": "w.safetensors", "sha256": "0123456789ab"},
            "prune.abpn_x3: finetune.start and finetune.grow must go: each net starts from what pruning left",
        ),
        (
            "systems.ofa_sr.net.expansions",
            [3],
            "systems.ofa_sr: net.expansions is unknown; the model once_for_all takes",
        ),
        ("systems.abpn_x3.qat.steps", None, "systems.abpn_x3.qat.steps is missing; add it"),
    ],
)
def test_a_wrong_key_is_named(changed: Callable[..., Path], key: str, value: Any, sentence: str) -> None:
    path = changed(key, value)
    with pytest.raises(UserError) as error:
        config.load(path)
    assert str(error.value).startswith(f"{path}: {sentence}")
    assert "\n" not in str(error.value)


def test_layers_cannot_be_ranked_without_the_table_that_ranks_them(changed: Callable[..., Path]) -> None:
    path = changed("systems.abpn_x3.qat.float_layers", 2)
    assert config.load(path).system("abpn_x3").qat.float_layers == 2
    path.write_text(path.read_text().replace("sensitivity_images: 1", "sensitivity_images: 0"))
    with pytest.raises(UserError, match=r"float_layers is 2, but quantize\.sensitivity_images is 0"):
        config.load(path)
    path = changed("systems.carn_m.qat.float_layers", 2)
    with pytest.raises(UserError, match=r"systems\.carn_m\.qat\.float_layers is 2, but its sensitivity is false"):
        config.load(path)


def test_a_budget_of_time_needs_its_runtime_measured(changed: Callable[..., Path]) -> None:
    search = yaml.safe_load((ROOT / "params.yaml").read_text())["search"]["ofa_sr"]
    search["latency"]["runtimes"] = ["openvino"]
    config.load(changed("search.ofa_sr", search))  # half is of Mult-Adds
    search["nets"]["half"] = {"scale": 4, "share": 0.7}
    path = changed("search.ofa_sr", search)
    with pytest.raises(UserError, match=r"nets\.half is of tflite, which latency\.runtimes does not list; add it"):
        config.load(path)


def test_broken_yaml_and_a_missing_file_are_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    with pytest.raises(UserError, match="run the command from the root of the repository"):
        config.load(path)
    path.write_text("seed: [1\ntrain: ]")
    with pytest.raises(UserError, match=r"is not valid YAML: [^\n]+$"):
        config.load(path)


def test_a_key_given_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text((ROOT / "params.yaml").read_text() + "\nseed: 2\n")
    with pytest.raises(UserError, match=r'duplicate key "seed" with value "2".* in line \d+; take one of the two out$'):
        config.load(path)


def test_an_unknown_system_is_answered_with_those_there_are() -> None:
    with pytest.raises(UserError, match="no system 'abpn_x9'; it has abpn_x3"):
        config.load(ROOT / "params.yaml").system("abpn_x9")
