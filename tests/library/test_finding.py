"""From the name of a net to the net."""

from pathlib import Path

import pytest
from shared import ROOT

from pipeline_src.errors import UserError
from pipeline_src.library.finding import find


def test_the_net_of_a_run_comes_before_the_bundled_one(a_run: Path) -> None:
    assert find("good").source == "run"
    assert find("bundled:good").source == "bundled"
    assert find("bad").source == "bundled"


def test_a_bundled_net_in_place_of_one_that_the_run_has_lost_is_told(
    a_run: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert find("bad").source == "bundled"
    assert not caplog.messages
    Path("results/nets/bad/prune").mkdir(parents=True)
    assert find("bundled:bad").source == "bundled"
    assert not caplog.messages
    assert find("bad").source == "bundled"
    assert caplog.messages == [
        "results/nets/bad/weights.safetensors is no file, so the bundled bad is taken; run `dvc repro export@bad` for "
        "that of this folder"
    ]


def test_an_unknown_name_lists_what_there_is(a_run: Path) -> None:
    sentence = "there is no net of the name nothing; the run in this folder has good; bundled are bad, good, learned"
    with pytest.raises(UserError, match=sentence):
        find("nothing")
    with pytest.raises(UserError, match="no net of the name nothing; bundled are"):
        find("bundled:nothing")


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("goodd", "no net of the name goodd; the nearest is good; bundled are"),
        ("GOOD", "no net of the name GOOD; the nearest is good; bundled are"),
        ("bundled:lerned", "no net of the name lerned; the nearest is learned; bundled are"),
        ("bicubi", "the nearest is bicubic; bundled are"),
        ("car_x4", "; nets of other names are made by a run, and are found in its folder alone$"),
        ("abpn_x3/l1_50", "; nets of other names are made by a run, and are found in its folder alone$"),
        ("net.tflite", r"^net\.tflite is exported already; give a name of `superres models`$"),
        ("net.safetensors", r"^net\.safetensors is a file of weights, and here a net is named; give a name"),
        ("bicubic", "^bicubic is no net, and has nothing to export or describe; give a name of"),
    ],
)
def test_a_name_that_is_near_or_of_another_kind_is_answered(shelf: Path, name: str, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        find(name)


def test_a_system_that_was_not_trained_names_the_stage(shelf: Path) -> None:
    Path("params.yaml").write_text((ROOT / "params.yaml").read_text())
    with pytest.raises(UserError, match="carn_m has not been trained here; run `make report`"):
        find("carn_m")
    with pytest.raises(UserError, match=r"there is no net abpn_x3/l1_50 here; .*dvc repro export@abpn_x3"):
        find("abpn_x3/l1_50")
