"""Pickles that want to run something do nothing, or are refused; limits; and what torch needs."""

import copyreg
import pickle
import struct
import sys
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest

from pipeline_src.importing.reading import inert
from pipeline_src.importing.reading.inert import Placeholder, Storage, TensorReference
from pipeline_src.importing.reading.problems import UnreadableError

PROTOCOL_2 = b"\x80\x02"


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def name(module: str, attribute: str) -> bytes:
    """The operation GLOBAL."""
    return b"c" + f"{module}\n{attribute}\n".encode()


@pytest.fixture
def trap(tmp_path: Path) -> str:
    """Return a command that would leave a file, of which the test sees that it does not."""
    return f"touch {tmp_path / 'trapped'}"


def attacks(command: str) -> dict[str, bytes]:
    """Return pickles that run a command in ``pickle.loads``, each by another operation."""
    system, arguments = name("posix", "system"), b"(" + text(command) + b"t"
    called = system + arguments + b"R"
    code = f"__import__('os').system({command!r})"
    return {
        "reduce": called,
        "eval": name("builtins", "eval") + b"(" + text(code) + b"tR",
        "python 2": name("__builtin__", "eval") + b"(" + text(code) + b"tR",
        "in a tensor": name("torch._utils", "_rebuild_parameter") + b"(" + called + b"tR",
        "in a dict": b"}" + text("weight") + called + b"s",
        "in a persistent id": b"(" + text("module") + called + text("") + text("") + b"tQ",
        "inst": b"(" + text(command) + b"iposix\nsystem\n",
        "obj": b"(" + system + text(command) + b"o",
        "newobj": system + arguments + b"\x81",
        "newobj with keywords": system + arguments + b"}\x92",
        "build": name("os", "_wrap_close") + b")R}" + text("x") + called + b"sb",
        "setstate": name("functools", "partial") + b"(" + system + b"tR(" + system + arguments + b"}Nt" + b"b",
        "attribute of a module": name("os.path", "os.system") + arguments + b"R",
        "stack global": text("posix") + text("system") + b"\x93" + arguments + b"R",
        "apply": name("builtins", "map") + b"(" + system + b"](" + text(command) + b"etR",
        "import": name("importlib", "import_module") + b"(" + text("antigravity") + b"tR",
    }


@pytest.mark.parametrize("kind", attacks(""))
def test_nothing_is_run(kind: str, trap: str, tmp_path: Path) -> None:
    content = PROTOCOL_2 + attacks(trap)[kind] + b"."
    modules = set(sys.modules)
    try:
        value = inert.load(content).value
    except UnreadableError:
        value = None
    assert not (tmp_path / "trapped").exists()
    assert set(sys.modules) == modules
    assert value is None or isinstance(value, Placeholder | dict)


@pytest.mark.parametrize("kind", ["reduce", "eval", "inst", "obj", "stack global", "in a dict"])
def test_the_attacks_are_real(kind: str, trap: str, tmp_path: Path) -> None:
    pickle.loads(PROTOCOL_2 + attacks(trap)[kind] + b".")
    assert (tmp_path / "trapped").exists()


def test_a_registered_extension_is_refused(trap: str) -> None:
    copyreg.add_extension("posix", "system", 240)
    try:
        with pytest.raises(UnreadableError, match="has the operation EXT1, which no checkpoint needs"):
            inert.load(PROTOCOL_2 + b"\x82\xf0(" + text(trap) + b"tR.")
        assert 240 not in copyreg._extension_cache  # type: ignore[attr-defined]
    finally:
        copyreg.remove_extension("posix", "system", 240)


def test_what_is_kept_of_an_unknown_object_does_nothing() -> None:
    value: Any = inert.load(PROTOCOL_2 + name("os", "environ") + b"(K\x07tR}" + text("key") + b"K\x01sb.").value
    assert (value.origin, value.arguments, value.state) == ("os.environ", (7,), {"key": 1})
    dictionary: Any = inert.load(PROTOCOL_2 + name("config", "Config") + b")R" + text("a") + b"K\x05s.").value
    assert dictionary.entries == {"a": 5}
    assert inert.load(PROTOCOL_2 + name("config", "List") + b")RK\x05a.").value.entries == {}


def tensor_pickle(size: bytes, stride: bytes, offset: bytes = b"K\x00", numel: bytes = b"K\x06") -> bytes:
    storage = b"(" + text("storage") + name("torch", "FloatStorage") + text("0") + text("cpu") + numel + b"tQ"
    return (
        PROTOCOL_2 + name("torch._utils", "_rebuild_tensor_v2") + b"(" + storage + offset + size + stride + b"\x89NtR"
    )


def test_a_tensor_is_noted_down() -> None:
    content = tensor_pickle(b"K\x02K\x03\x86", b"K\x03K\x01\x86") + b"."
    read = inert.load(b"before" + content + b"after", 6)
    reference: Any = read.value
    assert (reference.offset, reference.size, reference.stride) == (0, (2, 3), (3, 1))
    assert (reference.storage.dtype, reference.storage.key, reference.storage.numel) == ("float32", "0", 6)
    assert read.end == 6 + len(content)
    assert read.dtypes == {"0": "float32"}


@pytest.mark.parametrize("state", [b"(K\x01K\x02t", b"}" + text("size") + b"Ns", b"N}" + text("size") + b"Ns\x86"])
@pytest.mark.parametrize(
    "target",
    [
        tensor_pickle(b"K\x06\x85", b"K\x01\x85").removeprefix(PROTOCOL_2),
        name("torch", "FloatStorage"),
        name("torch._utils", "_rebuild_tensor_v2"),
        name("torch.nn.parameter", "Parameter"),
        name("torch.nn.parameter", "Parameter") + b"(K\x01t\x81",
        name("collections", "OrderedDict"),
        name("any", "thing"),
    ],
)
def test_a_pickle_changes_nothing_that_another_one_uses(target: bytes, state: bytes) -> None:
    """BUILD sets attributes, also of a class or of a function that a name stands for."""
    shared = (OrderedDict, Placeholder, inert.FIRST, type(inert.REBUILT))
    before = [*(dict(vars(kind)) for kind in shared), dict(inert.KNOWN)]
    try:
        value = inert.load(PROTOCOL_2 + target + state + b"b.").value
    except UnreadableError:
        value = None
    assert [*(dict(vars(kind)) for kind in shared), inert.KNOWN] == before
    if isinstance(value, TensorReference):
        assert value.size == (6,)
    again: Any = inert.load(tensor_pickle(b"K\x06\x85", b"K\x01\x85") + b".").value
    assert (again.size, again.storage.dtype) == ((6,), "float32")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "is cut off"),
        (b"K\x01", "is cut off"),
        (PROTOCOL_2 + b"X\xff\xff\xff\x7fabc.", "is cut off"),
        (b"\x80\x04\x8d" + b"\xff" * 8 + b".", "is cut off"),
        (PROTOCOL_2 + b"\xfe.", "is cut off"),
        (PROTOCOL_2 + b"Kr\xff\xff\xff\x7f.", "malformed|cut off|larger"),
        (PROTOCOL_2 + b"K\x01r\xff\xff\xff\x7f.", "larger than that of any checkpoint"),
        (PROTOCOL_2 + b"K\x01p99999999999\n.", "larger than that of any checkpoint"),
        (PROTOCOL_2 + b"h\x07.", "malformed"),
        (PROTOCOL_2 + b"K\x01K\x02R.", "malformed"),
        (b"\x80\x05\x97.", "has the operation NEXT_BUFFER"),
        (PROTOCOL_2 + text("storage") + b"Q.", "names a part of itself in an unknown way"),
        (PROTOCOL_2 + b"(" + text("storage") + name("os", "x") + text("0") + text("cpu") + b"K\x01tQ.", "unknown way"),
        (tensor_pickle(b"K\x06\x85", b"K\x01K\x01\x86") + b".", "1 dimensions has 2 strides"),
        (tensor_pickle(b"J\xff\xff\xff\xff\x85", b"K\x01\x85") + b".", "not part of a storage"),
        (tensor_pickle(b"K\x06\x85", b"K\x01\x85", numel=b"J\xff\xff\xff\xff") + b".", "a storage has -1 elements"),
        (tensor_pickle(b"N", b"K\x01\x85") + b".", "malformed"),
        (
            PROTOCOL_2 + name("torch._utils", "_rebuild_tensor_v2") + b"(NK\x00K\x01\x85K\x01\x85tR.",
            "not part of a storage",
        ),
    ],
)
def test_a_broken_pickle_is_one_sentence(content: bytes, problem: str) -> None:
    with pytest.raises(UnreadableError, match=problem) as refusal:
        inert.load(content)
    assert "\n" not in str(refusal.value)


def test_a_pickle_of_too_many_operations_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inert, "MOST_OPERATIONS", 1000)
    with pytest.raises(UnreadableError, match="larger than that of any checkpoint"):
        inert.load(pickle.dumps([*range(2000)], 2))


@pytest.mark.parametrize("operation", [b"R", b"\x81"], ids=["reduce", "newobj"])
@pytest.mark.parametrize("kind", ["torch.nn.parameter\nParameter", "torch.autograd.variable\nVariable"])
def test_parameters_of_old_versions_are_their_tensors(kind: str, operation: bytes) -> None:
    tensor = tensor_pickle(b"K\x06\x85", b"K\x01\x85").removeprefix(PROTOCOL_2)
    state = b"(\x88\x89c" + b"collections\nOrderedDict\n)Rt"
    value = inert.load(PROTOCOL_2 + b"c" + kind.encode() + b"\n(" + tensor + b"t" + operation + state + b"b.").value
    assert isinstance(value, TensorReference)
    assert value.size == (6,)


def test_views_of_storages_begin_inside_them() -> None:
    view = b"(" + text("view") + b"K\x02K\x03t"
    storage = b"(" + text("storage") + name("torch", "HalfStorage") + text("9") + text("cpu") + b"K\x06" + view + b"tQ."
    value: Any = inert.load(PROTOCOL_2 + storage).value
    assert isinstance(value, Storage)
    assert (value.dtype, value.key, value.offset, value.numel) == ("float16", "9", 2, 3)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_plain_containers_of_every_protocol_are_read(protocol: int) -> None:
    value = {"a": [1, 2.5, None, True], "b": OrderedDict(c=("ä", b"\x00"[:0])), "d": {1, 2}}
    read: Any = inert.load(pickle.dumps(value, protocol)).value
    assert read["a"] == value["a"]
    assert isinstance(read["b"], OrderedDict)
