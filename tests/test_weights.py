"""Weights on disk."""

from pathlib import Path

import pytest
import torch

from pipeline_src.config import PinnedFile
from pipeline_src.errors import UserError
from pipeline_src.files import sha256
from pipeline_src.models import build
from pipeline_src.weights import load_into, load_net, save_net


def test_weights_of_other_scales_than_params_has_are_refused(tmp_path: Path) -> None:
    net = build("vdsr", [2, 3], {"channels": 8, "depth": 4})
    file = tmp_path / "weights.safetensors"
    save_net(file, net, {"model": "vdsr", "scales": [2, 3], "net": {"channels": 8, "depth": 4}})
    load_net(file, [2, 3])
    with pytest.raises(UserError, match=r"is of scales \[2, 3\], but params\.yaml asks for \[2, 3, 4\]; retrain it"):
        load_net(file, [2, 3, 4])


@pytest.mark.parametrize("model", ["carn", "ecdn", "vdsr"])
def test_a_net_of_fewer_scales_starts_from_weights_of_more(tmp_path: Path, model: str) -> None:
    arguments = {"vdsr": {"channels": 8, "depth": 4}, "carn": {"mobile": True, "groups": 4}, "ecdn": {"mobile": True}}
    net, file = build(model, [2, 3, 4], arguments[model]), tmp_path / "weights.safetensors"
    save_net(file, net, {"model": model, "scales": [2, 3, 4], "net": arguments[model]})
    start, at_x4 = PinnedFile(file=str(file), sha256=sha256(file)), build(model, [4], arguments[model])
    load_into(at_x4, start)
    image = torch.rand(1, 3, 12, 16) * 255
    assert torch.equal(at_x4.at_scale(4).eval()(image), net.at_scale(4).eval()(image))


def test_weights_of_another_net_with_more_scales_do_not_fit(tmp_path: Path) -> None:
    arguments = {"mobile": True, "groups": 4}
    file = tmp_path / "weights.safetensors"
    save_net(file, build("carn", [2, 4], arguments), {"model": "carn", "scales": [2, 4], "net": arguments})
    with pytest.raises(UserError, match="holds weights of carn ×2 ×4, which do not fit this system"):
        load_into(build("carn", [4], {}), PinnedFile(file=str(file), sha256=sha256(file)))
