"""Files that are no checkpoint, and the other containers: Keras, MindSpore, safetensors."""

import binascii
import io
import tarfile
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from published_nets import as_mindspore
from safetensors.torch import save_file

from pipeline_src.errors import UserError
from pipeline_src.importing import reading
from pipeline_src.importing.reading import read
from pipeline_src.importing.reading.problems import shown

STATE = {"b.weight": torch.rand(2, 3), "a.bias": torch.rand(4)}


def tar() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("storages"))
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "is not a checkpoint of torch, Keras"),
        (b"\xff\xd8\xff\xe0 a photograph", "is not a checkpoint of torch, Keras"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:12\n", "is not a checkpoint of torch, Keras"),
        (tar(), "is a tar archive, torch's format before version 0.1.10"),
        (b"\x89HDF\r\n\x1a\n" + b"\0" * 90, "its HDF5 content is damaged"),
        ((2**40).to_bytes(8, "little") + b"{}", "it is damaged"),
        (b"\x0a\x05\x0a\x03abc\x0a\xff\xff\xff\xff\x01", "it is no checkpoint of MindSpore"),
    ],
)
def test_what_is_no_checkpoint_is_one_sentence(content: bytes, problem: str, tmp_path: Path) -> None:
    file = tmp_path / "file.pth"
    file.write_bytes(content)
    with pytest.raises(UserError, match=problem) as refusal:
        read(file)
    assert str(refusal.value).startswith(str(file))


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist; give the file of a checkpoint"):
        read(tmp_path / "missing.pth")
    with pytest.raises(UserError, match="is a folder; give the file of a checkpoint"):
        read(tmp_path)


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_file(STATE, tmp_path / "net.safetensors")
    monkeypatch.setattr(reading, "LARGEST_FILE", 50)
    with pytest.raises(UserError, match="which no checkpoint of these nets has"):
        read(tmp_path / "net.safetensors")


def test_a_file_of_more_tensors_than_any_net_has_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_file(STATE, tmp_path / "net.safetensors")
    monkeypatch.setattr(reading, "MOST_TENSORS", 1)
    with pytest.raises(UserError, match="holds 2 weights; give the checkpoint of a net that can be imported"):
        read(tmp_path / "net.safetensors")


def test_safetensors_are_read_by_their_content(tmp_path: Path) -> None:
    save_file({f"module.{name}": tensor for name, tensor in STATE.items()}, tmp_path / "net.bin")
    tensors = read(tmp_path / "net.bin")
    assert tensors.keys() == STATE.keys()
    assert all(torch.equal(tensor, STATE[name]) for name, tensor in tensors.items())


def test_a_check_sum_of_mindspore_is_checked(tmp_path: Path) -> None:
    file, content = tmp_path / "net.ckpt", as_mindspore(STATE)
    file.write_bytes(content + b"crc_num" + binascii.crc32(content).to_bytes(10, "big"))
    assert torch.equal(read(file)["a.bias"], STATE["a.bias"])
    file.write_bytes(content + b"crc_num" + (1).to_bytes(10, "big"))
    with pytest.raises(UserError, match="does not match its check sum"):
        read(file)


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (b"Float32", b"FloatXX", "b.weight is of the type FloatXX"),
        (b"\x08\x03", b"\x08\x04", r"b.weight has 24 bytes, which its shape \[2, 4\] does not"),
        (b"\x08\x02\x08\x03", b"\x08\x00\x08\x03", r"b.weight has 24 bytes, which its shape \[0, 3\] does not"),
    ],
)
def test_a_tensor_of_mindspore_that_is_not_whole_is_named(old: bytes, new: bytes, problem: str, tmp_path: Path) -> None:
    content = as_mindspore(STATE)
    assert old in content
    (tmp_path / "net.ckpt").write_bytes(content.replace(old, new))
    with pytest.raises(UserError, match=problem):
        read(tmp_path / "net.ckpt")


def test_an_hdf5_file_without_weights_is_named(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "net.h5", "w") as file:
        file.create_group("model_weights")
    with pytest.raises(UserError, match="holds no weights"):
        read(tmp_path / "net.h5")


@pytest.mark.parametrize("kind", ["external", "virtual", "texts", "huge"])
def test_hdf5_content_that_is_no_weight_is_refused(kind: str, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_bytes(b"\0" * 100)
    with h5py.File(tmp_path / "net.h5", "w") as file:
        if kind == "external":
            file.create_dataset("conv2d/kernel:0", (4,), "f4", external=[(str(other), 0, 16)])
        elif kind == "virtual":
            layout = h5py.VirtualLayout((4,), "f4")
            layout[:] = h5py.VirtualSource(str(other), "x", (4,))
            file.create_virtual_dataset("conv2d/kernel:0", layout)
        elif kind == "texts":
            file["conv2d/kernel:0"] = np.array([b"text"])
        else:
            file.create_dataset("conv2d/kernel:0", (2**40,), "f4", chunks=(2**10,))
    with pytest.raises(UserError, match="lies in another file" if kind in ("external", "virtual") else "no tensor"):
        read(tmp_path / "net.h5")


def test_names_are_printed_without_what_moves_a_terminal() -> None:
    assert shown("body.0.weight") == "body.0.weight"
    assert shown("a\x1b[2Jb\n") == r"'a\x1b[2Jb\n'"
    assert len(shown("x" * 1000)) == 101


def containers(tmp_path: Path) -> dict[str, bytes]:
    with h5py.File(tmp_path / "net.h5", "w") as file:
        file["conv2d/conv2d/kernel:0"] = np.ones((3, 3, 2, 2), np.float32)
    save_file(STATE, tmp_path / "net.safetensors")
    for name, zipped in (("zip.pth", True), ("legacy.pth", False)):
        torch.save({"model": torch.nn.Conv2d(1, 1, 1)}, tmp_path / name, _use_new_zipfile_serialization=zipped)
    (tmp_path / "net.ckpt").write_bytes(as_mindspore(STATE))
    return {file.name: file.read_bytes() for file in tmp_path.iterdir()}


def test_damaged_files_are_one_sentence_or_other_weights(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    messages = []
    for content in containers(tmp_path).values():
        for _ in range(120):
            damaged = bytearray(content)
            for at in generator.integers(0, min(len(content), 2000), generator.integers(1, 6)):
                damaged[at] = generator.integers(0, 256)
            (tmp_path / "damaged").write_bytes(damaged)
            try:
                read(tmp_path / "damaged")
            except UserError as refusal:
                messages.append(str(refusal))
    assert len(messages) > 200
    assert [message for message in messages if "\n" in message] == []


def test_a_name_of_mindspore_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "net.ckpt").write_bytes(as_mindspore(STATE).replace(b"a.bias", b"a.\xff\xfe\xfds"))
    with pytest.raises(UserError, match="a name in it is no text; get it again"):
        read(tmp_path / "net.ckpt")
