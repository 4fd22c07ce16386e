"""Both formats of torch: whole and broken files, and every kind of wrapping and of tensor."""

import zipfile
from collections import OrderedDict, UserDict
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pipeline_src.errors import UserError
from pipeline_src.importing.reading import read, torch_legacy

STATE = OrderedDict(
    weight=torch.arange(24.0).reshape(2, 3, 4),
    half=torch.arange(4.0).half(),
    brain=torch.arange(4.0).bfloat16(),
    double=torch.arange(3.0).double(),
    count=torch.tensor(7),
    empty=torch.zeros(0),
    flags=torch.tensor([True, False]),
)
FORMATS = pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])


def save(tmp_path: Path, content: Any, zipped: bool) -> Path:
    file = tmp_path / "net.pth"
    torch.save(content, file, _use_new_zipfile_serialization=zipped)
    return file


def equal(read_back: dict[str, Tensor], expected: dict[str, Tensor]) -> bool:
    return list(read_back) == list(expected) and all(
        torch.equal(read_back[key], tensor) and read_back[key].dtype == tensor.dtype for key, tensor in expected.items()
    )


@FORMATS
def test_tensors_of_every_dtype_are_read(zipped: bool, tmp_path: Path) -> None:
    assert equal(read(save(tmp_path, STATE, zipped)), STATE)


@FORMATS
def test_parts_of_one_storage_and_other_orders_of_axes_are_read(zipped: bool, tmp_path: Path) -> None:
    whole = torch.arange(60.0).reshape(3, 4, 5)
    state = {"part": whole[1:, 2], "transposed": whole.transpose(0, 2), "again": whole}
    assert equal(read(save(tmp_path, state, zipped)), state)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 3)
        self.layers = nn.Sequential(nn.BatchNorm2d(2), nn.ReLU())
        self.register_buffer("none", None)


@FORMATS
@pytest.mark.parametrize("parallel", [False, True])
def test_a_whole_module_is_read_as_its_state_dict(parallel: bool, zipped: bool, tmp_path: Path) -> None:
    net = Net()
    content = {"epoch": 50, "model": nn.DataParallel(net) if parallel else net, "optimizer": {"state": {}}}
    assert equal(read(save(tmp_path, content, zipped)), net.state_dict())


@FORMATS
@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: {"model": state, "best": torch.tensor(32.0)},
        lambda state: {"state_dict": state, "optimizer": {"state": {0: {"momentum": torch.zeros(3)}}}, "arch": "carn"},
        lambda state: {"params": {"weight": torch.zeros(1)}, "params_ema": state},
        lambda state: {"params": state},
        lambda state: {"model": {"state_dict": state}},
        lambda state: {"model": OrderedDict((f"module.{key}", tensor) for key, tensor in state.items())},
        lambda state: {f"module._orig_mod.{key}": tensor for key, tensor in state.items()},
        lambda state: {key: nn.Parameter(tensor, requires_grad=False) for key, tensor in state.items()},
    ],
)
def test_wrappings_are_taken_off(wrap: Any, zipped: bool, tmp_path: Path) -> None:
    assert equal(read(save(tmp_path, wrap(STATE), zipped)), STATE)


@FORMATS
@pytest.mark.parametrize("content", [{"epoch": 3, "lr": 0.1}, [torch.zeros(3)], torch.zeros(3), UserDict(a=1), {}])
def test_a_file_without_a_state_dict_is_named(content: Any, zipped: bool, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"net.pth cannot be read: it holds no state dict, only .*; give a checkpoint"):
        read(save(tmp_path, content, zipped))


@FORMATS
def test_a_module_that_contains_itself_ends(zipped: bool, tmp_path: Path) -> None:
    net = nn.Sequential(nn.Conv2d(1, 1, 1))
    net._modules["again"] = net
    with pytest.raises(UserError, match="nested without end"):
        read(save(tmp_path, net, zipped))


@FORMATS
def test_a_file_that_is_cut_off_is_one_sentence(zipped: bool, tmp_path: Path) -> None:
    file = save(tmp_path, {"weight": torch.rand(40), "bias": torch.rand(40)}, zipped)
    content = file.read_bytes()
    for length in range(8, len(content) - 22, 37):  # the last 22 bytes of a zip archive are its end record
        file.write_bytes(content[:length])
        with pytest.raises(UserError, match=r"net.pth cannot be read: .*; (get it again|give )"):
            read(file)


def test_a_tensor_beyond_its_storage_is_refused(tmp_path: Path) -> None:
    file = save(tmp_path, {"weight": torch.zeros(6)}, zipped=False)
    content = file.read_bytes()
    for old, new, problem in (
        (b"K\x06\x85q", b"K\x07\x85q", "weight does not lie inside its storage"),  # the shape
        (b"\x06" + b"\0" * 7, b"\x07" + b"\0" * 7, ""),  # the count before the storage, which the pickle has too
    ):
        assert old in content
        file.write_bytes(content.replace(old, new))
        if problem:
            with pytest.raises(UserError, match=problem):
                read(file)
        else:
            assert read(file)["weight"].shape == (6,)


def test_a_tensor_that_repeats_one_element_a_million_times_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="weight does not lie inside its storage"):
        read(save(tmp_path, {"weight": torch.zeros(1).expand(10**12)}, zipped=True))


def test_an_archive_that_is_no_checkpoint_is_named(tmp_path: Path) -> None:
    file = tmp_path / "net.pth"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("readme.txt", "no weights")
    with pytest.raises(UserError, match="a zip archive, but not one that torch wrote"):
        read(file)


def test_a_compressed_record_is_not_expanded(tmp_path: Path) -> None:
    whole = save(tmp_path, {"weight": torch.zeros(1000)}, zipped=True)
    packed = tmp_path / "packed.pth"
    with zipfile.ZipFile(whole) as source, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            target.writestr(name, source.read(name))
    with pytest.raises(UserError, match="not one that torch wrote"):
        read(packed)


def test_an_archive_whose_index_points_elsewhere_is_damaged(tmp_path: Path) -> None:
    file = save(tmp_path, STATE, zipped=True)
    content = bytearray(file.read_bytes())
    entry = content.rindex(b"PK\x01\x02", 0, content.rindex(b"PK\x05\x06"))  # of the last record
    messages = []
    for at in range(entry, entry + 46):
        damaged = bytearray(content)
        damaged[at] ^= 0xFF
        file.write_bytes(damaged)
        try:
            read(file)
        except UserError as refusal:
            messages.append(str(refusal))
    assert messages
    assert all("net.pth cannot be read" in message for message in messages)


def test_a_torchscript_program_is_named(tmp_path: Path) -> None:
    file = tmp_path / "net.pt"
    torch.jit.script(nn.Conv2d(1, 1, 1)).save(file)
    with pytest.raises(UserError, match="is a TorchScript program; save the state_dict"):
        read(file)


def test_a_pickle_of_another_program_is_named(tmp_path: Path) -> None:
    file = tmp_path / "net.pth"
    file.write_bytes(b"\x80\x02}.")
    with pytest.raises(UserError, match="a pickle, but not one that torch wrote"):
        read(file)


def test_storages_that_are_not_listed_are_refused(tmp_path: Path) -> None:
    file = save(tmp_path, {"weight": torch.zeros(6)}, zipped=False)
    content = file.read_bytes()
    key = content[: content.rindex(b".")].rpartition(b"X")[2][4:].split(b"q")[0]
    assert key.isdigit()
    file.write_bytes(content[::-1].replace(key[::-1], b"0" * len(key), 1)[::-1])
    with pytest.raises(UserError, match="its list of storages is not of those that it uses"):
        read(file)


def test_another_version_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch_legacy, "VERSION", 1002)
    with pytest.raises(UserError, match="another version of torch"):
        read(save(tmp_path, STATE, zipped=False))
