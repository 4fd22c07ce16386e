"""Weights on disk."""

from pathlib import Path

import pytest

from pipeline_src.errors import UserError
from pipeline_src.models import build
from pipeline_src.weights import load_net, require_system, save_net


def test_weights_of_other_scales_than_params_has_are_refused(tmp_path: Path) -> None:
    net = build("vdsr", [2, 3], {"channels": 8, "depth": 4})
    file = tmp_path / "weights.safetensors"
    save_net(file, net, {"model": "vdsr", "scales": [2, 3], "net": {"channels": 8, "depth": 4}})
    load_net(file, [2, 3])
    with pytest.raises(UserError, match=r"is of scales \[2, 3\], but params\.yaml asks for \[2, 3, 4\]; retrain it"):
        load_net(file, [2, 3, 4])


def test_weights_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    net = build("abpn", [3], {"channels": 4, "depth": 1})
    net.state_dict()["body.0.weight"].fill_(float("nan"))
    save_net(tmp_path / "w.safetensors", net, {"model": "abpn", "scales": [3], "net": {"channels": 4, "depth": 1}})
    with pytest.raises(UserError, match=r"w\.safetensors holds weights that are no numbers, as of a training that has"):
        load_net(tmp_path / "w.safetensors")


def test_weights_in_the_place_of_another_system_are_refused(tmp_path: Path) -> None:
    for own in ("abpn_x3", "abpn_x3/l1_50"):
        require_system(tmp_path, {"system": own}, "abpn_x3")
    require_system(tmp_path, {}, "abpn_x3")
    with pytest.raises(
        UserError, match="holds weights of the system abpn_x3, not of car_x4; run dvc repro -f train@car"
    ):
        require_system(tmp_path, {"system": "abpn_x3/l1_50"}, "car_x4")
