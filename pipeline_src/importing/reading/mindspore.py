"""MindSpore's checkpoints: a message of protocol buffers, whose fields ``checkpoint.proto`` of MindSpore describes."""

import binascii
from functools import cache
from pathlib import Path
from typing import Any

import torch
from google.protobuf import descriptor_pb2, descriptor_pool, message, message_factory
from torch import Tensor

from pipeline_src.importing.reading.problems import UnreadableError, shown

DTYPES = {
    **{"Float16": torch.float16, "Float32": torch.float32, "Float64": torch.float64, "BFloat16": torch.bfloat16},
    **{"Int8": torch.int8, "Int16": torch.int16, "Int32": torch.int32, "Int64": torch.int64},
    **{"UInt8": torch.uint8, "Uint8": torch.uint8, "Bool": torch.bool},
}
CHECKSUM, CHECKSUM_BYTES = b"crc_num", 10  # at the end of a file that was saved with one
# What trainings save beside the net: the optimiser's moments, and numbers.
OPTIMISER = ("moment1.", "moment2.", "moments.", "accum.")
NUMBERS = {
    "global_step",
    "learning_rate",
    "beta1_power",
    "beta2_power",
    "epoch_num",
    "step_num",
    "current_iterator_step",
}
LABEL_OPTIONAL, LABEL_REPEATED = 1, 3
TYPE_INT64, TYPE_STRING, TYPE_MESSAGE, TYPE_BYTES = 3, 9, 11, 12


def recognises(head: bytes) -> bool:
    """Return whether a file that begins with ``head`` begins with a value that begins with its name."""
    return head[:1] == b"\x0a" and b"\x0a" in head[2:8]


def read(path: Path) -> dict[str, Tensor]:
    """Return the weights by their names, without the state of an optimiser.

    Raises:
        UnreadableError: if the file is broken, encrypted, or has an unknown dtype.
    """
    content = _without_checksum(path.read_bytes())
    checkpoint = _checkpoint_class()()
    try:
        checkpoint.ParseFromString(content)
    except message.DecodeError:
        raise UnreadableError("it is no checkpoint of MindSpore, or an encrypted one; save it without a key") from None
    parts: dict[str, list[Any]] = {}
    for value in checkpoint.value:  # a large tensor is cut into several values of one name
        if not isinstance(value.tag, str):  # bytes, if they are no text
            raise UnreadableError("a name in it is no text; get it again")
        parts.setdefault(value.tag, []).append(value.tensor)
    net = {name: tensors for name, tensors in parts.items() if name not in NUMBERS and not name.startswith(OPTIMISER)}
    return {name: _tensor(name, tensors) for name, tensors in net.items()}


def _without_checksum(content: bytes) -> bytes:
    end = len(content) - len(CHECKSUM) - CHECKSUM_BYTES
    if end < 0 or content[end : end + len(CHECKSUM)] != CHECKSUM:
        return content
    if binascii.crc32(content[:end]) != int.from_bytes(content[-CHECKSUM_BYTES:], "big"):
        raise UnreadableError("its content does not match its check sum; get it again")
    return content[:end]


def _tensor(name: str, parts: list[Any]) -> Tensor:
    kind, content = parts[0].tensor_type, b"".join(part.tensor_content for part in parts)
    if kind not in DTYPES:
        raise UnreadableError(f"{shown(name)} is of the type {shown(kind)}; give the checkpoint of a float net")
    dtype, shape = DTYPES[kind], [*parts[0].dims]
    shape = [] if shape == [0] else shape  # of a number
    count = 1
    for length in shape:
        count *= length
    if not content or count * dtype.itemsize != len(content) or min(shape, default=1) < 1:
        raise UnreadableError(f"{shown(name)} has {len(content)} bytes, which its shape {shape} does not; get it again")
    return torch.frombuffer(bytearray(content), dtype=dtype).reshape(shape)


@cache
def _checkpoint_class() -> Any:
    """Return the class of the message: values, each of a name and a tensor of dimensions, type and content."""
    file = descriptor_pb2.FileDescriptorProto(name="mindspore_checkpoint.proto", syntax="proto2")
    checkpoint = file.message_type.add(name="Checkpoint")
    value = checkpoint.nested_type.add(name="Value")
    tensor = file.message_type.add(name="TensorProto")
    fields: tuple[tuple[Any, str, int, int, int, str], ...] = (
        (checkpoint, "value", 1, LABEL_REPEATED, TYPE_MESSAGE, ".Checkpoint.Value"),
        (value, "tag", 1, LABEL_OPTIONAL, TYPE_STRING, ""),
        (value, "tensor", 2, LABEL_OPTIONAL, TYPE_MESSAGE, ".TensorProto"),
        (tensor, "dims", 1, LABEL_REPEATED, TYPE_INT64, ""),
        (tensor, "tensor_type", 2, LABEL_OPTIONAL, TYPE_STRING, ""),
        (tensor, "tensor_content", 3, LABEL_OPTIONAL, TYPE_BYTES, ""),
    )
    for owner, name, number, label, kind, type_name in fields:
        owner.field.add(name=name, number=number, label=label, type=kind, type_name=type_name or None)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("Checkpoint"))
