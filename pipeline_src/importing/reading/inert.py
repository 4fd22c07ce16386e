"""Pickles read without running anything that they ask for.

A pickle is a program that calls whatever it names. Here every name that it looks up is an inert :class:`Placeholder`,
whose module is never imported: calling one does nothing but make another object that does nothing. The exceptions are
``OrderedDict`` and the functions by which torch rebuilds tensors. In their place stand objects that note down which
part of which storage a tensor is; torch itself is not involved before the pickle has been read.
"""

import io
import pickle
import pickletools
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from pipeline_src.importing.reading.problems import UnreadableError, shown

LARGEST_PICKLE = 2**26  # bytes; without the storages, which are not part of the pickle
MOST_OPERATIONS = 2_000_000
MOST_DIMENSIONS = 8
# These look names up in a table of the running process, or ask for buffers from outside of the pickle.
REFUSED = {"EXT1", "EXT2", "EXT4", "NEXT_BUFFER", "READONLY_BUFFER"}
MEMO = {"PUT", "BINPUT", "LONG_BINPUT"}  # with an index, up to which the reader makes room
BROKEN = "it is broken; get it again"
STORAGES = {  # names of torch's storage types, and the dtypes of their elements
    **{"FloatStorage": "float32", "DoubleStorage": "float64", "HalfStorage": "float16", "BFloat16Storage": "bfloat16"},
    **{"LongStorage": "int64", "IntStorage": "int32", "ShortStorage": "int16", "CharStorage": "int8"},
    **{"ByteStorage": "uint8", "BoolStorage": "bool"},
}


class Inert:
    """An object whose state a pickle cannot change.

    It must not be a dataclass of slots, which would have a ``__setstate__`` of its own.
    """

    __slots__ = ()

    def __setstate__(self, state: object) -> None:
        """Ignore the state that a pickle gives."""


@dataclass(frozen=True, eq=False)
class StorageType(Inert):
    """A type of torch's storages, such as ``torch.FloatStorage``; ``dtype`` names the dtype of its elements."""

    dtype: str


@dataclass(frozen=True, eq=False)
class Storage(Inert):
    """Numbers that lie outside of the pickle.

    Attributes:
        dtype: name of the dtype of its elements.
        key: by which the file knows it.
        numel: number of its elements.
        offset: the element of the file's storage with which it begins.
    """

    dtype: str
    key: str
    numel: int
    offset: int = 0


@dataclass(frozen=True, eq=False)
class TensorReference(Inert):
    """A tensor that is not yet built: a part of a storage.

    Attributes:
        storage: its numbers.
        offset: its first element in the storage.
        size: its shape.
        stride: elements of the storage from one index to the next, of each dimension.
    """

    storage: Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]


class Placeholder:
    """An object of an unknown class. It keeps what the pickle says of it and does nothing else.

    Attributes:
        origin: module and name of the class.
        arguments: with which it was made.
        state: that it was given.
        entries: that were set in it, as in a dict.
    """

    origin = ""
    arguments: tuple[Any, ...]
    state: Any
    entries: dict[Any, Any]

    def __new__(cls, *arguments: Any, **_: Any) -> "Placeholder":
        """Make an object that keeps its arguments."""
        made = super().__new__(cls)
        made.arguments, made.state, made.entries = arguments, None, {}
        return made

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        """Keep the state."""
        self.state = state

    def __setitem__(self, key: Any, value: Any) -> None:
        """Keep an entry."""
        self.entries[key] = value

    def extend(self, values: Sequence[Any]) -> None:
        """Ignore values, as of an unknown kind of list."""

    append = add = extend


class _Rebuilt(Inert):
    """Stands for a function that rebuilds a tensor of a storage: ``(storage, offset, size, stride, …)``."""

    __slots__ = ()

    def __call__(self, *arguments: Any) -> TensorReference:
        storage, offset, size, stride = arguments[:4]
        numbers = (offset, *size, *stride)
        if not isinstance(storage, Storage) or not all(type(n) is int and 0 <= n < 2**63 for n in numbers):
            raise UnreadableError(f"a tensor is not part of a storage; {BROKEN}")
        if len(size) != len(stride) or len(size) > MOST_DIMENSIONS:
            raise UnreadableError(f"a tensor of {len(size)} dimensions has {len(stride)} strides; {BROKEN}")
        return TensorReference(storage, offset, tuple(size), tuple(stride))


class _First(Inert):
    """Stands for a function, or a class, that wraps its first argument: a tensor, or a shape.

    It is a class because old versions of torch make parameters as objects of one.
    """

    __slots__ = ()

    def __new__(cls, first: Any = (), *_: Any) -> Any:
        return first


REBUILT, FIRST = _Rebuilt(), _First
KNOWN: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor"): REBUILT,
    ("torch._utils", "_rebuild_tensor_v2"): REBUILT,
    ("torch._utils", "_rebuild_parameter"): FIRST,
    ("torch._utils", "_rebuild_parameter_with_state"): FIRST,
    ("torch.nn.parameter", "Parameter"): FIRST,
    ("torch.autograd.variable", "Variable"): FIRST,
    ("torch", "Size"): FIRST,
    **{(m, name): StorageType(dtype) for m in ("torch", "torch.cuda") for name, dtype in STORAGES.items()},
}


class Pickle(NamedTuple):
    """A pickle that has been read.

    Attributes:
        value: numbers, texts, plain containers, :class:`Placeholder`, :class:`TensorReference`.
        end: where in the bytes it ends.
        dtypes: of the storages that it names, by their keys.
    """

    value: Any
    end: int
    dtypes: dict[str, str]


class _Unpickler(pickle.Unpickler):
    """An unpickler to which every name is a placeholder, or one of ``KNOWN``."""

    def __init__(self, data: bytes) -> None:
        super().__init__(io.BytesIO(data), encoding="latin1")  # Python 2 had no type for bytes, and latin1 reads any
        self.dtypes: dict[str, str] = {}

    def find_class(self, module: str, name: str) -> Any:
        known = KNOWN.get((module, name))
        return known or type("Placeholder", (Placeholder,), {"origin": f"{module}.{name}"})

    def persistent_load(self, pid: Any) -> Any:
        kind, *data = pid if isinstance(pid, tuple) and pid else (None,)
        if kind == "module" and data:
            return data[0]  # the class, which the file keeps with its source
        if kind != "storage" or len(data) not in (4, 5) or not isinstance(data[0], StorageType):
            raise UnreadableError(f"it names a part of itself in an unknown way; {BROKEN}")
        dtype, key, _, numel, *view = data
        offset = 0
        self.dtypes[str(key)] = dtype.dtype
        if view and view[0] is not None:
            _, offset, numel = view[0]
        if not all(type(n) is int and 0 <= n < 2**63 for n in (offset, numel)):
            raise UnreadableError(f"a storage has {shown(numel)} elements; {BROKEN}")
        return Storage(dtype.dtype, str(key), numel, offset)


def load(data: bytes, start: int = 0) -> Pickle:
    """Read one pickle of any protocol, of Python 2 or 3.

    Args:
        data: bytes of a file.
        start: where in them the pickle begins.

    Raises:
        UnreadableError: if it is broken, or too large to be what it seems.
    """
    end = _end_of(data, start)
    unpickler = _Unpickler(data[start:end])
    try:
        return Pickle(unpickler.load(), end, unpickler.dtypes)
    except (pickle.UnpicklingError, EOFError, ArithmeticError, LookupError, TypeError, ValueError) as error:
        raise UnreadableError(f"its pickle is malformed ({shown(error)}); get it again") from None
    except (AttributeError, MemoryError, RecursionError):
        raise UnreadableError("its pickle is malformed; get it again") from None


def _end_of(data: bytes, start: int) -> int:
    """Return the end of a pickle, of which nothing is run before its operations are known to be harmless and few."""
    stream = io.BytesIO(memoryview(data)[start : start + LARGEST_PICKLE])
    try:
        for count, (operation, argument, _) in enumerate(pickletools.genops(stream)):
            if operation.name in REFUSED:
                raise UnreadableError(f"its pickle has the operation {operation.name}, which no checkpoint needs")
            if count > MOST_OPERATIONS or (operation.name in MEMO and int(argument or 0) > MOST_OPERATIONS):
                raise UnreadableError("its pickle is larger than that of any checkpoint; give another file")
    except (ValueError, ArithmeticError, MemoryError):
        raise UnreadableError(f"its pickle is cut off, or larger than that of any checkpoint; {BROKEN}") from None
    return start + stream.tell()
