"""What does not fit is one sentence, which names the weight and the nearest one; what a file can be imported as."""

from pathlib import Path
from typing import Any

import published_nets as published
import pytest
import torch
from shared import ROOT
from torch import Tensor

from pipeline_src import config
from pipeline_src.config import Downscaler
from pipeline_src.errors import UserError
from pipeline_src.files import sha256
from pipeline_src.importing.conversion import convert
from pipeline_src.importing.targets import Target, targets

PARAMS = config.load(ROOT / "params.yaml")
END = r"; give another file, or another name by --as$"


@pytest.fixture
def state() -> dict[str, Tensor]:
    net = published.carn(True, [2, 3, 4])
    return dict(net.state_dict())


def imported(tmp_path: Path, state: dict[str, Any], name: str = "carn_m", scales: list[int] | None = None) -> Any:
    file = tmp_path / "net.pth"
    torch.save(state, file)
    return convert(file, targets(name, None), scales)


def test_a_missing_weight_is_named_with_the_nearest(tmp_path: Path, state: dict[str, Tensor]) -> None:
    state["b2.c1.bdy.0.weight"] = state.pop("b2.c1.body.0.weight")
    with pytest.raises(UserError, match=r"net.pth does not fit the published carn_m: it lacks b2.c1.body.0.weight, and "
                                        r"the nearest name in it is b2.c1.bdy.0.weight" + END):  # fmt: skip
        imported(tmp_path, state)


def test_a_weight_that_is_left_over_is_named_with_the_nearest(tmp_path: Path, state: dict[str, Tensor]) -> None:
    state["b2.c4.body.0.weight"] = torch.zeros(3)
    with pytest.raises(UserError, match=r"it has b2.c4.body.0.weight too, and the nearest name known is b2.c\d.body"):
        imported(tmp_path, state)
    state["head.bias\n"] = torch.zeros(3)
    with pytest.raises(UserError, match=r"it has b2.c4.body.0.weight and 1 more too, and"):
        imported(tmp_path, state)


def test_a_weight_of_another_shape_is_named(tmp_path: Path, state: dict[str, Tensor]) -> None:
    state["upsample.up3.body.0.weight"] = torch.zeros(576, 64, 3, 3)
    sizes = "upsample.up3.body.0.weight is 576×64×3×3, but must be 576×16×3×3"
    with pytest.raises(UserError, match=sizes + END):
        imported(tmp_path, state)


def test_values_that_are_not_finite_are_named(tmp_path: Path, state: dict[str, Tensor]) -> None:
    state["exit.bias"] = torch.tensor([0, float("nan"), 0])
    with pytest.raises(UserError, match="exit.bias has values that are not finite" + END):
        imported(tmp_path, state)


def test_halves_and_doubles_become_float32(tmp_path: Path, state: dict[str, Tensor]) -> None:
    state["exit.bias"], state["entry.bias"] = state["exit.bias"].half(), state["entry.bias"].double()
    net = imported(tmp_path, state).net
    assert {tensor.dtype for tensor in net.state_dict().values()} == {torch.float32}
    assert torch.equal(net.head.bias, state["entry.bias"].float())


def test_the_mean_of_a_file_stays_its_own(tmp_path: Path, state: dict[str, Tensor]) -> None:
    state["sub_mean.shifter.bias"] = -torch.tensor([0.5, 0.25, 0.125])
    net = imported(tmp_path, state).net
    pixels = torch.tensor([255.0, 0, 51])[None, :, None, None]
    torch.testing.assert_close(net.sub_mean(pixels).flatten(), torch.tensor([0.5, -0.25, 0.075]))


@pytest.mark.parametrize(("scales", "sentence"), [
    ([2, 5], r"--scales is ×2 ×5, but .*net.pth holds ×2 ×3 ×4; name some of those"),
])  # fmt: skip
def test_scales_that_the_file_lacks_are_named(
    scales: list[int], sentence: str, tmp_path: Path, state: dict[str, Tensor]
) -> None:
    with pytest.raises(UserError, match=sentence):
        imported(tmp_path, state, scales=scales)


def test_a_net_of_another_scale_is_named(tmp_path: Path) -> None:
    state = published.EDSR(64, 16, 2, 1.0, 255).state_dict()
    with pytest.raises(UserError, match="holds a net of ×2, but the published edsr_baseline_x4 is of ×4"):
        imported(tmp_path, state, "edsr_baseline_x4")


def test_a_part_of_car_of_another_scale_is_named_as_that(tmp_path: Path) -> None:
    for state in (published.EDSR(4, 1, 2, 0.1, 1).state_dict(), published.KernelGenerator(2, 4, 8, 8, 1).state_dict()):
        with pytest.raises(UserError, match="holds a net of ×2, but the published car_x4"):
            imported(tmp_path, state, "car_x4")


def test_a_system_of_another_net_leaves_its_name_to_the_published_one(tmp_path: Path, state: dict[str, Tensor]) -> None:
    torch.save(state, tmp_path / "net.pth")
    system = PARAMS.systems["carn_m"].model_copy(update={"net": {"mobile": True, "groups": 2}})
    other = PARAMS.model_copy(update={"systems": {"carn_m": system}})
    assert not convert(tmp_path / "net.pth", targets("carn_m", other)).target.of_params
    assert convert(tmp_path / "net.pth", targets("carn_m", PARAMS)).target.of_params


def test_the_message_is_about_what_fits_best(tmp_path: Path) -> None:
    state = published.KernelGenerator(4, 4, 8, 8, 2).state_dict()
    with pytest.raises(UserError, match=r"does not fit the published car_x4 \(kgn\): ds_1.1.weight is 4×3×5×5"):
        imported(tmp_path, state, "car_x4")


def test_an_unknown_name_is_told_the_nearest() -> None:
    with pytest.raises(UserError, match=r"--as names 'carnm', which is neither .* the nearest is carn_m, and all are"):
        targets("carnm", None)
    assert targets("ofa_sr", PARAMS)[0].model == "once_for_all"
    with pytest.raises(UserError, match="the nearest is"):
        targets("ofa_sr", None)


def test_a_system_of_params_comes_before_the_published_net_of_that_name() -> None:
    system, *known = targets("carn_m", PARAMS)
    assert (system.of_params, system.scales) == (True, PARAMS.systems["carn_m"].scales)
    assert known == targets("carn_m", None)
    car = PARAMS.systems["conv_x4"].model_copy(update={"downscaler": Downscaler(model="car")})
    parts = targets("car_x4", PARAMS.model_copy(update={"systems": {"car_x4": car}}))
    assert [(part.model, part.of_params) for part in parts] == [
        *(("abpn", True), ("car", True), ("edsr", False), ("car", False))
    ]


def test_a_net_without_a_published_layout_is_named(tmp_path: Path, state: dict[str, Tensor]) -> None:
    torch.save(state, tmp_path / "net.pth")
    with pytest.raises(
        UserError, match=r"does not have the names of ofa_sr of params\.yaml, and of once_for_all no layout"
    ):
        convert(tmp_path / "net.pth", targets("ofa_sr", PARAMS))


def test_the_same_checkpoint_gives_the_same_file_whatever_its_name(tmp_path: Path, state: dict[str, Tensor]) -> None:
    hashes = set()
    for name in ("one.pth", "another.pt"):
        torch.save(state, tmp_path / "net.pth")
        (tmp_path / "net.pth").rename(tmp_path / name)
        convert(tmp_path / name, targets("carn_m", None)).save(tmp_path / "net.safetensors")
        hashes.add(sha256(tmp_path / "net.safetensors"))
    assert len(hashes) == 1


def test_a_system_of_other_widths_takes_a_file_of_its_layout(tmp_path: Path) -> None:
    net = published.FirstVDSR(12, 4)
    torch.save(net, tmp_path / "net.pth")
    target = Target("narrow", False, "vdsr", [3], {"channels": 12, "depth": 4}, True)
    ours: Any = convert(tmp_path / "net.pth", [target]).net
    assert torch.equal(ours.body[2].weight, net.features[2].weight)
