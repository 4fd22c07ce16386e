"""Weights on disk."""

from pathlib import Path

import pytest

from pipeline_src.errors import UserError
from pipeline_src.models import build
from pipeline_src.weights import load_net, save_net


def test_weights_of_other_scales_than_params_has_are_refused(tmp_path: Path) -> None:
    net = build("vdsr", [2, 3], {"channels": 8, "depth": 4})
    file = tmp_path / "weights.safetensors"
    save_net(file, net, {"model": "vdsr", "scales": [2, 3], "net": {"channels": 8, "depth": 4}})
    load_net(file, [2, 3])
    with pytest.raises(UserError, match=r"is of scales \[2, 3\], but params\.yaml asks for \[2, 3, 4\]; retrain it"):
        load_net(file, [2, 3, 4])
