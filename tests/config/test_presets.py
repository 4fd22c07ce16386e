"""Presets layered over params.yaml and taken off again, with the user's edits before, between and after."""

import contextlib
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from shared import ROOT

from pipeline_src import config
from pipeline_src.config import presets
from pipeline_src.errors import UserError

LONGER = """\
# Longer trainings.
train: {checkpoint_every: 1000}
build_h5: {scales: [2, 4]}
systems:
  abpn_x3:
    train: {steps: 5000, warmup: 0}
  carn_m: ~
"""
WIDER = """\
# A wider ABPN, and a net more.
systems:
  abpn_x3:
    train: {steps: 7000}
    net: {channels: 32}
  abpn_wide:
    model: abpn
    scales: [3] # one
    net: {channels: 64}
    downscaler: {model: bicubic}
    benchmark_size: [360, 640]
    train: {steps: 400, batch: 16, patch: 32, lr: 2.0e-3}
    qat: {steps: 80, batch: 16, patch: 32, lr: 1.0e-4}
prune:
  abpn_x3: ~
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """params.yaml of a project with the presets of the repository and two small ones, longer and wider."""
    shutil.copy(ROOT / "params.yaml", tmp_path)
    shutil.copytree(ROOT / presets.PRESETS, tmp_path / presets.PRESETS)
    (tmp_path / presets.PRESETS / "longer.yaml").write_text(LONGER)
    (tmp_path / presets.PRESETS / "wider.yaml").write_text(WIDER)
    return tmp_path / "params.yaml"


def values(path: Path) -> dict[str, Any]:
    return dict(yaml.safe_load(path.read_text()))


def edit(path: Path, old: str, new: str) -> None:
    """Replace a text that is in the file once, as a user does in an editor."""
    text = path.read_text()
    assert text.count(old) == 1, (old, text.count(old))
    path.write_text(text.replace(old, new))


def files(path: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in path.parent.iterdir() if file.is_file()}


# Adding and removing


def test_removing_gives_back_the_file_byte_for_byte(path: Path) -> None:
    before = path.read_bytes()
    assert presets.add(["longer", "wider"], path) == ["longer", "wider"]
    assert presets.layered(path) == ["longer", "wider"]
    assert config.load(path).system("abpn_x3").train.steps == 7000
    assert presets.remove(["wider"], path) == ["longer"]
    assert config.load(path).system("abpn_x3").train.steps == 5000
    assert presets.remove(["longer"], path) == []
    assert files(path) == {"params.yaml": before}


@pytest.mark.parametrize("names", [["longer", "wider"], ["wider", "longer"]])
def test_the_last_preset_wins_and_each_can_be_removed_first(path: Path, names: list[str]) -> None:
    before = path.read_bytes()
    for name in names:
        presets.add([name], path)
    assert values(path)["systems"]["abpn_x3"]["train"]["steps"] == {"longer": 5000, "wider": 7000}[names[1]]
    assert "carn_m" not in values(path)["systems"]
    presets.remove([names[0]], path)
    assert values(path)["systems"]["abpn_x3"]["train"]["steps"] == {"longer": 5000, "wider": 7000}[names[1]]
    assert ("carn_m" in values(path)["systems"]) == (names[1] == "wider")
    presets.remove(None, path)
    assert path.read_bytes() == before


def test_one_by_one_is_all_at_once(path: Path) -> None:
    presets.add(["longer", "wider"], path)
    at_once = files(path)
    presets.remove(None, path)
    presets.add(["longer"], path)
    presets.add(["wider"], path)
    assert files(path) == at_once


def test_a_preset_that_is_layered_already_stays_once(path: Path) -> None:
    presets.add(["longer"], path)
    before = files(path)
    assert presets.add(["longer"], path) == ["longer"]
    assert files(path) == before
    (path.parent / presets.PRESETS / "longer.yaml").write_text("seed: 3")
    with pytest.raises(UserError, match="longer has changed since it was layered; run `superres preset remove longer`"):
        presets.add(["longer"], path)
    assert files(path) == before
    assert presets.remove(["longer"], path) == []  # what was layered, not what the file holds now


def test_a_preset_may_be_any_yaml_file(path: Path) -> None:
    best = path.parent / "results" / "tune" / "ecdn_m" / "best.yaml"
    best.parent.mkdir(parents=True)
    best.write_text("systems: {ecdn_m: {train: {lr: 3.0e-4, batch: 4}}}\n")
    assert presets.add([str(best)], path) == [best.as_posix()]
    assert config.load(path).system("ecdn_m").train.lr == 3e-4
    best.unlink()
    assert presets.remove([str(best)], path) == []
    assert presets.add([str(path.parent / presets.PRESETS / "wider.yaml")], path) == ["wider"]


def test_text_of_any_kind_comes_back(path: Path) -> None:
    """Windows line ends, no line end at the end, and letters beyond ASCII."""
    path.write_bytes(
        (path.read_text().replace("Super-resolution", "Überauflösung").rstrip()).replace("\n", "\r\n").encode()
    )
    before = path.read_bytes()
    presets.add(["longer"], path)
    assert config.load(path).report.title == "Überauflösung on the edge"
    presets.remove(None, path)
    assert path.read_bytes() == before


# Edits


def test_edits_before_and_between_and_after_survive(path: Path) -> None:
    edit(path, "seed: 1\n", "seed: 2 # before\n")
    presets.add(["longer"], path)
    edit(path, "threads: 1 #", "threads: 2 #")
    presets.add(["wider"], path)
    edit(path, "title: Super-resolution on the edge", "title: Mine")
    edited = values(path)
    assert (edited["seed"], edited["threads"], edited["report"]["title"]) == (2, 2, "Mine")
    presets.remove(["longer"], path)
    assert (values(path)["threads"], values(path)["report"]["title"]) == (2, "Mine")
    presets.remove(["wider"], path)
    expected = (ROOT / "params.yaml").read_text()
    expected = expected.replace("seed: 1\n", "seed: 2 # before\n").replace("threads: 1 #", "threads: 2 #")
    assert path.read_text() == expected.replace("title: Super-resolution on the edge", "title: Mine")


def test_an_edit_of_a_key_of_the_preset_wins_and_survives(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    presets.add(["longer"], path)
    edit(path, "steps: 5000", "steps: 6000")
    with caplog.at_level(logging.WARNING):
        presets.add(["wider"], path)  # which has 7000
    assert "systems.abpn_x3.train.steps keeps the value that you gave it" in caplog.text
    assert config.load(path).system("abpn_x3").train.steps == 6000
    presets.remove(["longer"], path)
    assert config.load(path).system("abpn_x3").train.steps == 6000
    presets.remove(["wider"], path)
    train = config.load(path).system("abpn_x3").train
    assert (train.steps, train.warmup) == (6000, 20)
    assert values(path) | {"systems": {}} == values(ROOT / "params.yaml") | {"systems": {}}


def test_an_edit_before_a_preset_is_under_it(path: Path) -> None:
    edit(path, "steps: 150, batch: 16", "steps: 151, batch: 16")
    presets.add(["longer"], path)
    assert config.load(path).system("abpn_x3").train.steps == 5000
    presets.remove(["longer"], path)
    assert config.load(path).system("abpn_x3").train.steps == 151


def test_deleted_keys_stay_deleted(path: Path) -> None:
    presets.add(["longer"], path)
    data = path.read_text()
    begin, end = data.index("  ecdn_m:"), data.index("  conv_x4:")
    path.write_text(data[:begin] + data[end:])
    edit(
        path,
        "steps: 5000, batch: 16, patch: 32, lr: 2.0e-4, warmup: 0,",
        "steps: 5000, batch: 16, patch: 32, lr: 2.0e-4,",
    )
    presets.add(["wider"], path)
    assert "ecdn_m" not in values(path)["systems"]
    assert "warmup" not in values(path)["systems"]["abpn_x3"]["train"]
    presets.remove(None, path)
    assert "ecdn_m" not in values(path)["systems"]
    assert "warmup" not in values(path)["systems"]["abpn_x3"]["train"]
    assert "carn_m" in values(path)["systems"]


def test_lists_are_one_value(path: Path) -> None:
    presets.add(["longer"], path)
    assert config.load(path).build_h5.scales == [2, 4]
    edit(path, "build_h5: {scales: [2, 4]", "build_h5: {scales: [2, 3]")
    edit(path, "seeds: [1, 2, 3]", "seeds: [1, 2]")
    presets.remove(["longer"], path)
    assert config.load(path).build_h5.scales == [2, 3]
    assert config.load(path).search["ofa_sr"].seeds == [1, 2]


def test_new_sections_of_the_user_stay(path: Path) -> None:
    presets.add(["longer"], path)
    edit(
        path,
        "  samples_heldout: {role: evaluation}\n",
        "  samples_heldout: {role: evaluation}\n  Set5: {role: evaluation}\n",
    )
    edit(path, "tune: {}", "tune:\n  ecdn_m: {system: ecdn_m, trials: 2, steps: 9, space: {lr: {choice: [0.1]}}}")
    presets.add(["wider"], path)
    presets.remove(["longer"], path)
    for left in ("wider", ""):
        params = config.load(path)
        assert params.sets_for("evaluation") == ["samples_heldout", "Set5"]
        assert params.tune["ecdn_m"].trials == 2
        if left:
            presets.remove([left], path)


def test_comments_stay_those_of_the_file_and_those_of_the_user(path: Path) -> None:
    presets.add(["longer"], path)
    edit(path, "benchmark:\n", "# measured on the small board\nbenchmark: # not while it charges\n")
    presets.add(["wider"], path)
    text = path.read_text()
    assert "# measured on the small board\nbenchmark: # not while it charges\n" in text
    assert "scales: [3] # one" in text  # of the preset
    for line in (ROOT / "params.yaml").read_text().splitlines():
        assert " #" not in line or line.split(" #")[1] in text
    presets.remove(None, path)
    edit(path, "# measured on the small board\nbenchmark: # not while it charges\n", "benchmark:\n")
    assert path.read_bytes() == (ROOT / "params.yaml").read_bytes()


def test_an_edit_of_what_would_be_gone_is_told_and_nothing_changes(path: Path) -> None:
    presets.add(["wider"], path)
    edit(path, "    net: {channels: 64}\n", "    net: {channels: 48}\n")
    before = files(path)
    with pytest.raises(
        UserError, match=r"you have edited systems\.abpn_wide\.net\.channels, but .* no systems\.abpn_wide"
    ):
        presets.remove(["wider"], path)
    assert files(path) == before
    edit(path, "    net: {channels: 48}\n", "    net: {channels: 64}\n")
    presets.remove(["wider"], path)
    assert path.read_bytes() == (ROOT / "params.yaml").read_bytes()


def test_an_edit_that_another_preset_makes_void_is_told_and_nothing_changes(path: Path) -> None:
    presets.add(["wider"], path)
    edit(path, "    model: carn\n    scales: [4]\n", "    model: carn\n    scales: [2]\n")
    before = files(path)
    with pytest.raises(UserError, match=r"you have edited systems\.carn_m\.scales"):
        presets.add(["longer"], path)
    assert files(path) == before


def test_values_behind_an_anchor_are_edited_apart(path: Path) -> None:
    presets.add(["reference", "residuals"], path)  # a preset with anchors
    edit(path, "residual: nearest\n      image_conv: true", "residual: nearest\n      image_conv: false")
    edit(path, "seed: 1\n", "seed: 2\n")
    presets.remove(["reference"], path)
    params = config.load(path)
    assert [name for name in params.systems if not params.system(name).net["image_conv"]] == ["nearest"]
    assert {params.system(name).train.steps for name in params.systems} == {3000}
    edit(path, "image_conv: false", "image_conv: true")
    presets.remove(None, path)
    edit(path, "seed: 2\n", "seed: 1\n")
    assert path.read_bytes() == (ROOT / "params.yaml").read_bytes()


def test_anchors_in_params_are_no_trap(path: Path) -> None:
    first, rest = path.read_text().split("  carn_m:\n")
    first = first.replace("qat: {steps: 100,", "qat: &qat {steps: 90,").replace("qat: {steps: 80,", "qat: *qat #", 1)
    path.write_text(f"{first}  carn_m:\n{rest}")
    before = path.read_bytes()
    (path.parent / "qat.yaml").write_text("systems: {abpn_x3: {qat: {steps: 7}}}")
    presets.add([str(path.parent / "qat.yaml")], path)
    assert [config.load(path).system(name).qat.steps for name in ("abpn_x3", "abpn_x2")] == [7, 90]
    presets.add(["longer"], path)
    presets.remove(None, path)
    assert path.read_bytes() == before


# Git and processes that are killed


@pytest.mark.parametrize("writes", [0, 1, 2])
@pytest.mark.parametrize("change", ["add", "remove", "remove all"])
def test_a_command_that_is_killed_has_happened_or_not(
    path: Path, monkeypatch: pytest.MonkeyPatch, change: str, writes: int
) -> None:
    """Killed before the first, the second or the third of the files is in its place."""
    presets.add(["longer"], path)
    edit(path, "seed: 1\n", "seed: 5\n")
    run: dict[str, Callable[[], object]] = {
        "add": lambda: presets.add(["wider"], path),
        "remove": lambda: presets.remove(["longer"], path),
        "remove all": lambda: presets.remove(None, path),
    }
    before = presets.layered(path)

    done = 0
    replace, unlink = Path.replace, Path.unlink

    def killed_replace(self: Path, target: Path) -> Path:
        nonlocal done
        if done == writes:
            raise KeyboardInterrupt
        done += 1
        return replace(self, target)

    def killed_unlink(self: Path, missing_ok: bool = False) -> None:
        if self.name == "params.base.yaml" and done == writes:
            raise KeyboardInterrupt
        unlink(self, missing_ok)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", killed_replace)
        patch.setattr(Path, "unlink", killed_unlink)
        with contextlib.suppress(KeyboardInterrupt):
            run[change]()
    assert presets.layered(path) in (before, {"add": ["longer", "wider"]}.get(change, []))
    assert config.load(path).seed == 5
    presets.add(["wider"], path)
    presets.remove(None, path)
    assert path.read_text() == (ROOT / "params.yaml").read_text().replace("seed: 1\n", "seed: 5\n")
    assert sorted(files(path)) == ["params.yaml"]


def test_git_checkout_takes_all_presets_off(path: Path) -> None:
    before = path.read_bytes()
    presets.add(["longer"], path)
    path.write_bytes(before)
    assert presets.layered(path) == []
    edit(path, "seed: 1\n", "seed: 4\n")
    presets.add(["wider"], path)
    assert config.load(path).seed == 4
    presets.remove(None, path)
    assert path.read_bytes() == before.replace(b"seed: 1\n", b"seed: 4\n")


# Mistakes


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("train: {checkpoint_evry: 5}", "params.yaml with .*preset.yaml: train.checkpoint_evry is an unknown key"),
        ("seed: one", "params.yaml with .*preset.yaml: seed: Input should be a valid integer"),
        ("train: ~", "params.yaml with .*preset.yaml: train is missing"),
        ("seed: [1", "not valid YAML"),
        ("", "holds no settings"),
        ("- 1", "holds no settings"),
    ],
)
def test_a_wrong_preset_leaves_everything_as_it_was(tmp_path: Path, path: Path, text: str, sentence: str) -> None:
    (tmp_path / "preset.yaml").write_text(text)
    before = files(path)
    with pytest.raises(UserError, match=sentence) as error:
        presets.add([str(tmp_path / "preset.yaml")], path)
    assert "\n" not in str(error.value)
    assert files(path) == before


def test_an_unknown_preset_is_answered_with_those_there_are(path: Path) -> None:
    before = files(path)
    with pytest.raises(
        UserError, match=r"peper\.yaml does not exist; name a YAML file, or one of: ablations, large, longer, paper"
    ):
        presets.add(["longer", "peper"], path)
    with pytest.raises(UserError, match=r"nowhere\.yaml does not exist"):
        presets.add(["nowhere.yaml"], path)
    with pytest.raises(UserError, match=r"paper is not layered over .*params\.yaml; layered are: none"):
        presets.remove(["paper"], path)
    assert files(path) == before


@pytest.mark.parametrize("damage", ["empty", "cut", "edited", "no state", "binary"])
def test_a_damaged_base_is_told_and_nothing_changes(path: Path, damage: str) -> None:
    presets.add(["longer"], path)
    base = path.with_name("params.base.yaml")
    text = base.read_text()
    base.write_bytes(
        {
            "empty": b"",
            "cut": text[:-100].encode(),
            "edited": text.replace("seed: 1", "seed: 9").encode(),
            "no state": text.partition("\n")[2].partition("\n")[2].encode(),
            "binary": b"\xff\xfe\x00",
        }[damage]
    )
    before = files(path)
    for change in (lambda: presets.add(["wider"], path), lambda: presets.remove(None, path)):
        with pytest.raises(UserError, match=r"params\.base\.yaml is damaged, .* delete the line of .*'# presets:'"):
            change()
    assert files(path) == before
    edit(path, path.read_text().partition("\n")[0] + "\n", "")  # the way out that the sentence names
    presets.add(["wider"], path)
    assert config.load(path).system("abpn_x3").train.warmup == 0


def test_a_missing_base_is_told(path: Path) -> None:
    presets.add(["longer"], path)
    path.with_name("params.base.yaml").unlink()
    with pytest.raises(
        UserError, match=r"has presets layered over it, but .*params\.base\.yaml is missing; restore it"
    ):
        presets.remove(None, path)


def test_a_params_file_that_is_missing_or_broken_is_told(path: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="run the command from the root of the repository"):
        presets.add(["longer"], tmp_path / "empty" / "params.yaml")
    presets.add(["longer"], path)
    path.write_text(path.read_text() + "seed: [1\n")
    with pytest.raises(UserError, match=r"params\.yaml is not valid YAML: [^\n]+$"):
        presets.remove(None, path)


# The presets of the repository


def test_the_paper_preset_merges_and_the_comments_stay(path: Path) -> None:
    before = path.read_text()
    presets.add(["paper"], path)
    params = config.load(path)
    abpn = params.system("abpn_x3")
    assert (abpn.train.steps, abpn.train.decay_every, abpn.train.patch) == (600_000, 120_000, 64)
    assert (abpn.qat.steps, abpn.qat.lr) == (200_000, 1e-4)
    assert params.sets_for("training") == ["T91", "BSD200", "BSDS500_test", "DIV2K_train"]
    assert params.sets_for("evaluation") == ["Set5", "Set14", "BSD100", "Urban100", "DIV2K_valid"]
    assert abpn.train.augment == ["hflip", "vflip", "transpose"]
    kept = before[: before.index("  conv_x4:")] + before[before.index("  ofa_sr:") :]  # no published net is like it
    comments = [line.split(" #")[1] for line in kept.splitlines() if " #" in line and "seed" not in line]
    assert len(comments) > 5
    assert [comment for comment in comments if comment not in path.read_text()] == []


@pytest.mark.parametrize(
    "names", [("reference", "residuals"), ("reference", "pretrained"), ("reference", "pretrained", "pruning")]
)
def test_the_other_presets_merge_one_after_the_other(path: Path, names: tuple[str, ...]) -> None:
    for name in names:
        presets.add([name], path)
    params = config.load(path)
    assert params.sets_for("training") == ["T91", "BSD200", "BSDS500_test", "General100", "SunHays80"]
    assert len(params.nets()) == {"residuals": 5, "pretrained": 13, "pruning": 20}[names[-1]]


@pytest.mark.parametrize(
    ("names", "added"),
    [
        (["large"], {"vdsr", "carn", "ecdn", "edsr_baseline_x4", "car_x4"}),
        (["photo"], {"abpn_photo_x2", "abpn_photo_x4"}),
        (["tutorial"], set()),
        (
            ["reference", "reference_large"],
            {"vdsr", "carn", "ecdn", "edsr_baseline_x4", "car_x4", "car_x2", "conv_x2"}
            | {"car_x2_bicubic", "car_x4_bicubic", "conv_x2_bicubic", "conv_x4_bicubic"},
        ),
    ],
)
def test_these_presets_keep_every_system_of_the_default_run(path: Path, names: list[str], added: set[str]) -> None:
    presets.add(names, path)
    assert config.load(path).systems.keys() == values(ROOT / "params.yaml")["systems"].keys() | added


def test_the_preset_of_a_published_checkpoint_has_that_net_alone(path: Path) -> None:
    presets.add(["published"], path)
    assert [*config.load(path).nets()] == ["carn_m"]


def test_a_section_that_a_preset_empties_stays_valid(path: Path, tmp_path: Path) -> None:
    (tmp_path / "whole.yaml").write_text("prune: {abpn_x3: ~}")
    presets.add([str(tmp_path / "whole.yaml")], path)
    assert config.load(path).prune == {}


def test_every_set_of_the_paper_preset_is_in_the_catalogue() -> None:
    from pipeline_src.datasets.known_sets import SETS

    paper = yaml.safe_load((ROOT / presets.PRESETS / "paper.yaml").read_text())
    sets = {name: spec for name, spec in paper["sets"].items() if spec}
    assert set(sets) <= set(SETS)
    for name, spec in sets.items():
        assert spec["role"] == "evaluation" or not SETS[name].evaluation_only


def test_each_preset_says_what_it_is(path: Path) -> None:
    for name, summary in presets.available(path).items():
        assert summary.endswith("."), name
