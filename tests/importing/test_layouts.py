"""Each published layout: a checkpoint in it, with random weights, gives the image that the published net gives."""

import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any, ClassVar

import h5py
import numpy as np
import published_nets as published
import pytest
import torch
from torch import Tensor, nn

from pipeline_src.downscaling.car.resampler import reference
from pipeline_src.importing.conversion import Imported, convert
from pipeline_src.importing.targets import Target, targets
from pipeline_src.weights import load_downscaler, load_net

SCALES = [2, 3, 4]
CAR = {"entry": 4, "features": 8, "head": 8, "blocks": 2}


def image(height: int = 9, width: int = 8) -> Tensor:
    return torch.rand(1, 3, height, width)


def saved(tmp_path: Path, content: Any, zipped: bool = True) -> Path:
    file = tmp_path / "checkpoint.pth"
    torch.save(content, file, _use_new_zipfile_serialization=zipped, pickle_protocol=2)
    return file


def agree(ours: nn.Module, published_net: Any, lr: Tensor, *arguments: Any) -> None:
    """Compare SR images of LR in 0..1; ours takes and gives pixels in 0..255, and clamps them."""
    expected = published_net(lr, *arguments).clamp(0, 1)
    assert expected.std() > 0.01
    torch.testing.assert_close(ours(255 * lr) / 255, expected, atol=1e-5, rtol=0)


def loaded(imported: Imported, tmp_path: Path) -> Any:
    """Return the net as the pipeline reads it from the weights file."""
    file = tmp_path / "weights.safetensors"
    imported.save(file)
    return load_net(file, imported.scales)[0]


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("mobile", [False, True], ids=["carn", "carn_m"])
def test_carn(mobile: bool, zipped: bool, tmp_path: Path) -> None:
    net = published.carn(mobile, SCALES)
    file = saved(tmp_path, net.state_dict(), zipped)
    imported = convert(file, targets("carn_m" if mobile else "carn", None))
    ours = loaded(imported, tmp_path)
    assert imported.scales == SCALES
    for scale in SCALES:
        agree(ours.at_scale(scale), net, image(), scale)


@pytest.mark.parametrize("scale", SCALES)
def test_carn_of_one_scale(scale: int, tmp_path: Path) -> None:
    net = published.carn(True, [scale], alone=True)
    imported = convert(saved(tmp_path, net.state_dict()), targets("carn_m", None))
    assert imported.scales == [scale]
    agree(loaded(imported, tmp_path).at_scale(scale), net, image(), scale)


def test_some_scales_of_a_net_can_be_kept(tmp_path: Path) -> None:
    net = published.carn(True, SCALES)
    imported = convert(saved(tmp_path, net.state_dict()), targets("carn_m", None), [4, 2])
    assert imported.scales == [2, 4]
    ours = loaded(imported, tmp_path)
    assert {key.split(".")[1] for key in ours.state_dict() if key.startswith("upscale")} == {"2", "4"}
    agree(ours.at_scale(4), net, image(), 4)


@pytest.mark.parametrize("mobile", [False, True], ids=["ecdn", "ecdn_m"])
def test_ecdn(mobile: bool, tmp_path: Path) -> None:
    net = published.ecdn(mobile, SCALES)
    state = net.state_dict()
    assert any("num_batches_tracked" in key for key in state)
    assert sum(p.numel() for p in net.parameters()) == (417_499 if mobile else 694_555)
    imported = convert(saved(tmp_path, state), targets("ecdn_m" if mobile else "ecdn", None))
    assert sum(p.numel() for p in imported.net.parameters()) == (396_955 if mobile else 694_555)
    ours = loaded(imported, tmp_path)
    for scale in SCALES:
        agree(ours.at_scale(scale), net, image(), scale)


def y_of(ours: Any, lr: Tensor) -> tuple[Tensor, Tensor]:
    """Return Y in 0..1 of the bicubic upscaling and of the SR image, of ours."""
    bicubic = ours.upscale(255 * lr)
    return ours.luma(bicubic), ours.luma(ours.train()(255 * lr))  # in train mode: not clamped


@pytest.mark.parametrize("version", [published.VDSR, published.FirstVDSR])
def test_vdsr(version: Any, tmp_path: Path) -> None:
    net = published.as_initialised(version())
    target = Target("vdsr", False, "vdsr", SCALES, {"channels": 8, "depth": 5}, False)
    file = saved(tmp_path, {"epoch": 50, "model": net}, zipped=False)  # the whole module, as its author saved it
    imported = convert(file, [target])
    assert imported.scales == SCALES
    assert convert(file, [target], [3]).scales == [3]
    ours = loaded(imported, tmp_path)
    for scale in SCALES:
        bicubic, sr = y_of(ours.at_scale(scale), image())
        assert (sr - bicubic).std() > 0.01
        torch.testing.assert_close(sr, net(bicubic), atol=1e-5, rtol=0)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("shifts", [True, False])
def test_edsr_of_its_authors_for_pixels_up_to_255(scale: int, shifts: bool, tmp_path: Path) -> None:
    net = published.EDSR(8, 3, scale, 1.0, 255)
    for module in net.modules():
        if isinstance(module, nn.Conv2d) and module.out_channels > 3:
            nn.init.normal_(module.bias, std=20)  # so that it matters in 0..255
    state = {key: tensor for key, tensor in net.state_dict().items() if shifts or "mean" not in key}
    target = Target("edsr", False, "edsr", [scale], {"channels": 8, "blocks": 3}, False)
    ours = loaded(convert(saved(tmp_path, state), [target]), tmp_path)
    agree(ours, lambda lr: net(255 * lr) / 255, image())


@pytest.mark.parametrize("scale", [2, 4])
def test_the_upscaler_of_car_behind_data_parallel(scale: int, tmp_path: Path) -> None:
    net = published.EDSR(8, 2, scale, 0.1, 1)
    state = nn.DataParallel(net).state_dict()
    assert all(key.startswith("module.") for key in state)
    target = Target("car", False, "edsr", [scale], {"channels": 8, "blocks": 2, "residual_scale": 0.1}, False)
    agree(loaded(convert(saved(tmp_path, state), [target]), tmp_path), net, image())


@pytest.mark.parametrize("container", ["torch", "mindspore"])
@pytest.mark.parametrize("scale", [2, 4])
def test_the_downscaler_of_car(scale: int, container: str, tmp_path: Path) -> None:
    kgn = published.KernelGenerator(scale, **CAR)
    for end in (kgn.kernels_weight, kgn.offsets_h_generation, kgn.offsets_v_generation):
        nn.init.normal_(end[4].bias, std=0.5)
    if container == "torch":
        file = saved(tmp_path, nn.DataParallel(kgn).state_dict())
    else:
        file = tmp_path / "kgn.ckpt"
        training = {"moment1.ds_1.1.weight": torch.zeros(4, 3, 5, 5), "global_step": torch.ones(1)}
        file.write_bytes(published.as_mindspore(kgn.state_dict() | training))
    net = Target("car", False, "edsr", [scale], {"channels": 8, "blocks": 2}, False)
    imported = convert(file, [net, Target("car", True, "car", [scale], CAR, False)])
    assert imported.target.downscales
    imported.save(tmp_path / "kgn.safetensors")
    ours = load_downscaler(tmp_path / "kgn.safetensors")
    hr = torch.rand(1, 3, 32, 40)
    kernels, across, down = kgn(hr)
    sampling = ours.sampling(255 * hr)
    torch.testing.assert_close(sampling.kernels, kernels, atol=1e-5, rtol=0)
    torch.testing.assert_close(sampling.across, across, atol=1e-5, rtol=0)
    torch.testing.assert_close(sampling.down, down, atol=1e-5, rtol=0)
    assert (across - down).abs().max() > 0.1
    pad = nn.ReflectionPad2d((3 * scale + 1) // 2)
    torch.testing.assert_close(
        ours(255 * hr)[0] / 255, reference(pad(hr), kernels, down, across, scale), atol=1e-5, rtol=0
    )


@pytest.mark.parametrize("slices", [1, 3])
def test_the_upscaler_of_car_from_mindspore(slices: int, tmp_path: Path) -> None:
    net = published.EDSR(8, 2, 2, 0.1, 1)
    (tmp_path / "usn.ckpt").write_bytes(published.as_mindspore(net.state_dict(), slices))
    target = Target("car", False, "edsr", [2], {"channels": 8, "blocks": 2, "residual_scale": 0.1}, False)
    agree(loaded(convert(tmp_path / "usn.ckpt", [target]), tmp_path), net, image())


def write_keras(file: Path, net: published.KerasABPN, kind: str, first: int) -> None:
    """Write weights as ``save_weights`` or ``save`` of Keras 2 does, or as ``save_weights`` of Keras 3."""
    with h5py.File(file, "w") as h5:
        root = h5.create_group("model_weights") if kind == "model" else h5
        names = [name for name, _, _ in net.named(first)]
        layers = ["input_1", *names, "lambda", "add", "lambda_1"]
        if kind != "keras3":
            root.attrs["layer_names"] = [name.encode() for name in layers]
        for layer in layers[:1] + layers[-3:] if kind != "keras3" else []:
            root.create_group(layer).attrs["weight_names"] = []
        for name, kernel, bias in net.named(first):
            if kind == "keras3":
                variables = root.create_group(f"layers/{name}/vars")
                variables["0"], variables["1"] = kernel.numpy(), bias.numpy()
            else:
                group = root.create_group(name)
                group.attrs["weight_names"] = [f"{name}/kernel:0".encode(), f"{name}/bias:0".encode()]
                group[f"{name}/kernel:0"], group[f"{name}/bias:0"] = kernel.numpy(), bias.numpy()
        if kind == "model":
            h5["optimizer_weights/Adam/conv2d/kernel/m:0"] = np.zeros(3, np.float32)


@pytest.mark.parametrize("kind", ["weights", "model", "keras3"])
@pytest.mark.parametrize("scale", SCALES)
def test_abpn_of_keras(scale: int, kind: str, tmp_path: Path) -> None:
    net = published.KerasABPN(scale)
    write_keras(tmp_path / "abpn.h5", net, kind, first=0 if scale == 2 else 7)  # conv2d_9 comes before conv2d_10
    imported = convert(tmp_path / "abpn.h5", targets(f"abpn_x{scale}", None))
    lr = 255 * image()
    expected = net(lr.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
    torch.testing.assert_close(loaded(imported, tmp_path)(lr) / 255, expected / 255, atol=1e-5, rtol=0)


def test_the_published_nets_have_the_published_size(tmp_path: Path) -> None:
    net = published.EDSR(64, 16, 4, 1.0, 255)
    imported = convert(saved(tmp_path, {"params_ema": net.state_dict()}), targets("edsr_baseline_x4", None))
    assert sum(p.numel() for p in imported.net.parameters() if p.requires_grad) == 1_517_571


def test_weights_that_are_ours_already_stay_as_they_are(tmp_path: Path) -> None:
    imported = convert(saved(tmp_path, published.carn(True, SCALES).state_dict()), targets("carn_m", None))
    imported.save(tmp_path / "first.safetensors")
    again = convert(tmp_path / "first.safetensors", targets("carn_m", None))
    assert all(torch.equal(tensor, again.net.state_dict()[key]) for key, tensor in imported.net.state_dict().items())


class Python2Pickler(pickle._Pickler):  # type: ignore[name-defined]
    """Writes texts as Python 2 did, and parameters as torch 0.2: ``Parameter(tensor)``, and then their state."""

    dispatch: ClassVar = dict(pickle._Pickler.dispatch)  # type: ignore[attr-defined]

    def save_str(self, text: str) -> None:
        content = text.encode("latin1")
        self.write(b"U" + bytes([len(content)]) if len(content) < 256 else b"T" + len(content).to_bytes(4, "little"))
        self.write(content)
        self.memoize(text)

    dispatch[str] = save_str

    def reducer_override(self, value: Any) -> Any:
        if isinstance(value, nn.Parameter):
            return nn.Parameter, (value.data,), (True, False, OrderedDict())
        return NotImplemented


class Python2:
    """A module in the place of ``pickle``."""

    Pickler = Python2Pickler
    __name__ = "pickle"

    @staticmethod
    def dump(value: Any, file: Any, protocol: int) -> None:
        Python2Pickler(file, protocol).dump(value)


def test_a_module_that_python_2_pickled(tmp_path: Path) -> None:
    net = published.VDSR()
    file = tmp_path / "model_epoch_50.pth"
    content = {"epoch": 50, "model": nn.DataParallel(net)}
    torch.save(content, file, pickle_module=Python2, pickle_protocol=2, _use_new_zipfile_serialization=False)
    assert b"U\x06weight" in file.read_bytes()
    assert b"ctorch.nn.parameter\nParameter" in file.read_bytes()
    target = Target("vdsr", False, "vdsr", SCALES, {"channels": 8, "depth": 5}, False)
    ours: Any = convert(file, [target]).net
    assert torch.equal(ours.body[0].weight, net.input.weight)
    assert torch.equal(ours.body[8].weight, net.output.weight)
