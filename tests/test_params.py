"""params.yaml: what the schema refuses and how it says so, and presets merged into it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline_src import params as settings
from pipeline_src.errors import UserError

ROOT = Path(__file__).parents[1]
PAPER = ROOT / "workflow" / "presets" / "paper.yaml"


@pytest.fixture
def changed(tmp_path: Path) -> Callable[..., Path]:
    """A copy of params.yaml in which the value at a dotted key is another; None removes the key."""

    def change(key: str, value: Any) -> Path:
        everything = yaml.safe_load((ROOT / "params.yaml").read_text())
        *sections, last = key.split(".")
        place = everything
        for section in sections:
            place = place[section]
        if value is None:
            del place[last]
        else:
            place[last] = value
        path = tmp_path / "params.yaml"
        path.write_text(yaml.safe_dump(everything))
        return path

    return change


def test_the_params_of_the_repository_are_valid() -> None:
    params = settings.load(ROOT / "params.yaml")
    assert params.system("abpn_x3").scales == [3]
    assert not set(params.sets_for("training")) & set(params.sets_for("evaluation"))


@pytest.mark.parametrize(
    ("key", "value", "said"),
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
            "systems.abpn_x3: qat.start must go",
        ),
        ("systems.abpn_x3.train.clip_by", "element", "systems.abpn_x3.train: clip_by is element, so there must be"),
        ("systems.carn_m.scales", [3, 3], "systems.carn_m: scales is [3, 3]; name each once"),
        ("systems.abpn_x3.qat.ema", 0.99, "systems.abpn_x3: qat.ema must be 0"),
        ("systems.abpn_x3.train.steps", 0, "systems.abpn_x3.train: steps is 0, so there must be a start"),
        ("seed", "1", "seed: Input should be a valid integer, not '1'"),
        ("seed", True, "seed: Input should be a valid integer, not True"),
        ("threads", 0, "threads: Input should be greater than or equal to 1, not 0"),
        ("build_h5.scales", [2, 5], "build_h5.scales.1: Input should be less than or equal to 4, not 5"),
        ("build_h5.convention", "C", "build_h5.convention: Input should be 'A' or 'B', not 'C'"),
        ("systems.abpn_x3.timing_size", [360], "systems.abpn_x3.timing_size: List should have at least 2 items"),
        ("systems.abpn_x3.train.lr", -1.0, "systems.abpn_x3.train.lr: Input should be greater than 0, not -1.0"),
        ("sets.samples.role", "test", "sets.samples.role: Input should be 'training' or 'evaluation', not 'test'"),
        ("systems.abpn_x3.net.width", 3, "systems.abpn_x3: net.width is unknown; the model abpn takes channels, depth"),
        ("systems.abpn_x3.net.depth", "4", "systems.abpn_x3: net.depth is '4', but the model abpn takes int"),
        ("systems.abpn_x3.model", "apbn", "systems.abpn_x3: there is no model 'apbn' in pipeline_src/models"),
        ("systems.abpn_x3.model", "layers", "systems.abpn_x3: pipeline_src/models/layers.py has no function build"),
        ("systems.abpn_x3.float_layers", "body.0", "systems.abpn_x3.float_layers: give a number of layers, or a"),
        ("nodes.channels", 30, "nodes.channels: Input should be a multiple of 4, not 30"),
        ("quantize", None, "quantize is missing; add it"),
        ("search", None, "search is missing; add it"),
        ("systems.vdsr.subnets", None, "systems.vdsr.subnets is missing; add it"),
        ("systems.vdsr.subnets", "none", "systems.vdsr.subnets: Input should be 'prune' or 'search', not 'none'"),
        ("systems.vdsr.subnets", "search", "systems.vdsr: subnets must be prune: vdsr is a net without subnets"),
        ("systems.ofa_sr.subnets", "prune", "systems.ofa_sr: subnets must be search: once_for_all is a once-for-all"),
        ("search.ofa_sr", None, "the whole file: systems.ofa_sr.subnets is search, but search has no ofa_sr; add it"),
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
        ("systems.car_x4.train.steps", 0, "systems.car_x4: with train.steps: 0 the downscaler stays untrained; give"),
        ("search.ofa_sr.latency.runtimes", ["onnx"], "search.ofa_sr.latency.runtimes.0: Input should be 'tflite' or"),
        ("search.ofa_sr.latency.size", [180], "search.ofa_sr.latency.size: List should have at least 2 items"),
        ("search.ofa_sr.seeds", [], "search.ofa_sr.seeds: List should have at least 1 item"),
        (
            "search.ofa_sr.finetune.start",
            {"file": "w.safetensors", "sha256": "0123456789ab"},
            "search.ofa_sr: finetune.start must go: each net starts from its part of the whole",
        ),
        (
            "systems.ofa_sr.train.shrink",
            [{"dimension": "depth", "choices": [1], "steps": 1, "lr": 1e-3, "subnets": 3}],
            "systems.ofa_sr.train: shrink[0].subnets is 3, which does not divide the batch, 16",
        ),
        (
            "systems.ofa_sr.train.shrink",
            [{"dimension": "resolution", "choices": [1], "steps": 1, "lr": 1e-3}],
            "systems.ofa_sr.train.shrink.0.dimension: Input should be 'kernel', 'depth', 'width' or 'scale'",
        ),
        (
            "systems.ofa_sr.train.distil",
            -0.5,
            "systems.ofa_sr.train.distil: Input should be greater than or equal to 0",
        ),
        ("systems.ofa_sr.qat.shrink", [], "systems.ofa_sr.qat.shrink is an unknown key"),
        ("systems.ofa_sr.float_layers", 2, "systems.ofa_sr: float_layers must be names, or 0: each subnet that a"),
        (
            "systems.ofa_sr.prune.nets",
            {"half": {"pruner": "l1", "sparsity": 0.5}},
            "systems.ofa_sr.prune: nets go with finetune, a recipe that trains them on",
        ),
        (
            "systems.ofa_sr.net.expansions",
            [3],
            "systems.ofa_sr: net.expansions is unknown; the model once_for_all takes",
        ),
        ("systems.abpn_x3.qat.steps", None, "systems.abpn_x3.qat.steps is missing; add it"),
    ],
)
def test_a_wrong_key_is_named(changed: Callable[..., Path], key: str, value: Any, said: str) -> None:
    path = changed(key, value)
    with pytest.raises(UserError) as error:
        settings.load(path)
    assert str(error.value).startswith(f"{path}: {said}")
    assert "\n" not in str(error.value)


def test_the_worst_layers_cannot_be_told_without_the_table_that_tells_them(changed: Callable[..., Path]) -> None:
    path = changed("systems.abpn_x3.float_layers", 2)
    assert settings.load(path).system("abpn_x3").float_layers == 2
    path.write_text(path.read_text().replace("sensitivity_images: 1", "sensitivity_images: 0"))
    with pytest.raises(UserError, match=r"float_layers is 2, but quantize\.sensitivity_images is 0"):
        settings.load(path)


def test_a_budget_needs_the_runtime_that_its_time_is_of(changed: Callable[..., Path]) -> None:
    search = yaml.safe_load((ROOT / "params.yaml").read_text())["search"]["ofa_sr"]
    search["latency"]["runtimes"] = ["openvino"]
    settings.load(changed("search.ofa_sr", search))  # half is of Mult-Adds
    search["nets"]["half"] = {"scale": 4, "share": 0.7}
    path = changed("search.ofa_sr", search)
    with pytest.raises(UserError, match=r"nets\.half is of tflite, which latency\.runtimes does not list; add it"):
        settings.load(path)


def test_broken_yaml_and_a_missing_file_are_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    with pytest.raises(UserError, match="run the command from the root of the repository"):
        settings.load(path)
    path.write_text("seed: [1\ntrain: ]")
    with pytest.raises(UserError, match=r"is not valid YAML: [^\n]+$"):
        settings.load(path)


def test_a_key_given_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text((ROOT / "params.yaml").read_text() + "\nseed: 2\n")
    with pytest.raises(UserError, match=r'is not valid YAML: .*found duplicate key "seed"'):
        settings.load(path)


def test_an_unknown_system_is_answered_with_those_there_are() -> None:
    with pytest.raises(UserError, match="no system 'abpn_x9'; it has abpn_x3"):
        settings.load(ROOT / "params.yaml").system("abpn_x9")


def test_a_once_for_all_system_is_pruned_nowhere(changed: Callable[..., Path]) -> None:
    recipe = yaml.safe_load((ROOT / "params.yaml").read_text())["systems"]["ofa_sr"]["qat"]
    path = changed("systems.ofa_sr.prune", {"nets": {"half": {"pruner": "l1", "sparsity": 0.5}}, "finetune": recipe})
    with pytest.raises(UserError, match=r"systems\.ofa_sr: prune\.nets must go: the smaller nets of this system are"):
        settings.load(path)


def test_the_nets_of_a_once_for_all_system_are_its_subnets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    params = settings.load(ROOT / "params.yaml")
    monkeypatch.chdir(tmp_path)
    spec = params.system("ofa_sr")
    with pytest.raises(UserError, match="results/search/ofa_sr/nets holds no net; run the stage search first"):
        settings.nets_of("ofa_sr", spec.subnets, spec.prune)
    folder = settings.results("search", "ofa_sr") / "nets"
    folder.mkdir(parents=True)
    for name in ("half", "fast"):
        (folder / f"{name}.safetensors").touch()
        assert settings.weights(f"ofa_sr/{name}", made_by="search") == folder / f"{name}.safetensors"
    assert settings.nets_of("ofa_sr", spec.subnets, spec.prune) == ["ofa_sr/fast", "ofa_sr/half"]
    assert [net for net in params.nets() if net.startswith("ofa_sr")] == ["ofa_sr/half"]
    assert params.scales_of("ofa_sr/half") == [4]
    assert params.scales_of("vdsr") == params.system("vdsr").scales
    for net in ("ofa_sr", "ofa_sr/quarter"):
        with pytest.raises(UserError, match=f"{net} is none of the subnets of ofa_sr; name ofa_sr/half"):
            params.scales_of(net)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    path = tmp_path / "params.yaml"
    path.write_text((ROOT / "params.yaml").read_text())
    return path


def test_the_paper_preset_merges_and_the_comments_stay(copy: Path) -> None:
    before = copy.read_text()
    settings.merge(PAPER, copy)
    params = settings.load(copy)
    abpn = params.system("abpn_x3")
    assert (abpn.train.steps, abpn.train.decay_every, abpn.train.patch) == (600_000, 120_000, 64)
    assert (abpn.qat.steps, abpn.qat.lr) == (200_000, 1e-4)
    assert params.sets_for("training") == ["T91", "BSD200", "BSDS500_test", "General100", "DIV2K_train"]
    assert params.sets_for("evaluation") == ["Set5", "Set14", "BSD100", "Urban100", "DIV2K_valid"]
    assert abpn.train.augment == ["hflip", "vflip", "transpose"]
    comments = [line.split(" #")[1] for line in before.splitlines() if " #" in line and "seed" not in line]
    assert len(comments) > 5
    assert [comment for comment in comments if comment not in copy.read_text()] == []


@pytest.mark.parametrize(
    "presets", [("reference", "residuals"), ("reference", "pretrained"), ("reference", "pretrained", "pruning")]
)
def test_the_other_presets_merge_one_after_the_other(copy: Path, presets: tuple[str, ...]) -> None:
    for name in presets:
        settings.merge(PAPER.with_name(f"{name}.yaml"), copy)
    params = settings.load(copy)
    assert params.sets_for("training") == ["T91", "BSD200", "BSDS500_test", "General100"]
    assert len(params.nets()) == {"residuals": 5, "pretrained": 7, "pruning": 20}[presets[-1]]


def test_a_section_that_a_preset_empties_stays_valid(copy: Path, tmp_path: Path) -> None:
    preset = tmp_path / "whole.yaml"
    preset.write_text("systems: {abpn_x3: {prune: {nets: ~, finetune: ~}}}")
    settings.merge(preset, copy)
    assert settings.load(copy).system("abpn_x3").prune == settings.Prune()


def test_every_set_of_the_paper_preset_is_in_the_catalogue() -> None:
    from pipeline_src.data.known_sets import SETS

    sets = {name: spec for name, spec in yaml.safe_load(PAPER.read_text())["sets"].items() if spec}
    assert set(sets) <= set(SETS)
    for name, spec in sets.items():
        assert spec["role"] == "evaluation" or not SETS[name].evaluation_only


@pytest.mark.parametrize(
    ("preset", "said"),
    [
        ("train: {checkpoint_evry: 5}", "params.yaml with .*preset.yaml: train.checkpoint_evry is an unknown key"),
        ("seed: one", "params.yaml with .*preset.yaml: seed: Input should be a valid integer"),
        ("train: ~", "params.yaml with .*preset.yaml: train is missing"),
        ("seed: [1", "not valid YAML"),
        ("", "holds no settings"),
    ],
)
def test_a_wrong_preset_leaves_params_as_they_were(tmp_path: Path, copy: Path, preset: str, said: str) -> None:
    before = copy.read_bytes()
    (tmp_path / "preset.yaml").write_text(preset)
    with pytest.raises(UserError, match=said):
        settings.merge(tmp_path / "preset.yaml", copy)
    assert copy.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["params.yaml", "preset.yaml"]


def test_a_missing_preset_is_named(copy: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere\.yaml does not exist"):
        settings.merge(Path("nowhere.yaml"), copy)
