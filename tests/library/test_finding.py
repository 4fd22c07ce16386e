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


def test_an_unknown_name_lists_what_there_is(a_run: Path) -> None:
    sentence = "there is no net of the name nothing; the run in this folder has good; bundled are bad, good, learned"
    with pytest.raises(UserError, match=sentence):
        find("nothing")
    with pytest.raises(UserError, match="no net of the name nothing; bundled are"):
        find("bundled:nothing")


def test_a_system_that_was_not_trained_names_the_stage(shelf: Path) -> None:
    Path("params.yaml").write_text((ROOT / "params.yaml").read_text())
    with pytest.raises(UserError, match="carn has not been trained here; run `make report`"):
        find("carn")
    with pytest.raises(UserError, match=r"there is no net abpn_x3/l1_50 here; .*dvc repro export@abpn_x3"):
        find("abpn_x3/l1_50")
