"""The weights in what a pickle holds: a state dict, one that is wrapped, or the state of a whole module."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from pipeline_src.importing.reading.inert import BROKEN, Placeholder, Storage, TensorReference
from pipeline_src.importing.reading.problems import UnreadableError, shown

# Keys under which programs keep the weights, beside optimisers and counts; the first that there is counts.
WRAPPERS = ("params_ema", "params", "state_dict", "model_state_dict", "model", "net", "network")
DEEPEST = 50  # wrappings, and modules in modules


def tensors_of(root: Any, storage_of: Callable[[Storage], Tensor]) -> dict[str, Tensor]:
    """Return the weights by their names.

    Args:
        root: what the pickle holds.
        storage_of: returns the elements of a storage, a tensor of one dimension and of the storage's dtype.

    Raises:
        UnreadableError: if there are none, or a tensor does not lie inside its storage.
    """
    return {name: _tensor(name, reference, storage_of) for name, reference in _state_dict(root, 0).items()}


def _state_dict(value: Any, depth: int) -> dict[str, TensorReference]:
    if isinstance(value, Placeholder) and _module_state(value):
        return dict(_module_tensors(value, "", 0))
    entries = _entries(value)
    wrapped = [key for key in WRAPPERS if isinstance(entries.get(key), Mapping | Placeholder)]
    if wrapped and depth < DEEPEST:
        return _state_dict(entries[wrapped[0]], depth + 1)
    named = {name: entry for name, entry in entries.items() if isinstance(name, str)}
    tensors = {name: entry for name, entry in named.items() if isinstance(entry, TensorReference)}
    if not tensors:
        keys = ", ".join(shown(key) for key in [*named][:8]) or "something else"
        raise UnreadableError(f"it holds no state dict, only {keys}; give a checkpoint with the weights of a net")
    return tensors


def _entries(value: Any) -> Mapping[Any, Any]:
    """Return the entries of a dict, or of an object of an unknown kind of dict."""
    if isinstance(value, Placeholder):
        return value.entries
    return value if isinstance(value, Mapping) else {}


def _module_state(value: Placeholder) -> Mapping[Any, Any]:
    """Return the attributes of an object that is a torch module, else nothing."""
    state = value.state if isinstance(value.state, Mapping) else {}
    return state if isinstance(state.get("_parameters"), Mapping) else {}


def _module_tensors(module: Placeholder, prefix: str, depth: int) -> Iterator[tuple[str, TensorReference]]:
    """Return parameters and buffers with the names that they have in a state dict."""
    if depth > DEEPEST:
        raise UnreadableError(f"its modules are nested without end; {BROKEN}")
    state = _module_state(module)
    for kind in ("_parameters", "_buffers"):
        for name, tensor in _entries(state.get(kind)).items():
            if isinstance(name, str) and isinstance(tensor, TensorReference):
                yield f"{prefix}{name}", tensor
    for name, child in _entries(state.get("_modules")).items():
        if isinstance(name, str) and isinstance(child, Placeholder):
            yield from _module_tensors(child, f"{prefix}{name}.", depth + 1)


def _tensor(name: str, reference: TensorReference, storage_of: Callable[[Storage], Tensor]) -> Tensor:
    size, stride, numel = reference.size, reference.stride, reference.storage.numel
    count = 1
    for length in size:
        count *= length
    last = reference.offset + sum((length - 1) * step for length, step in zip(size, stride, strict=True))
    if count and (last >= numel or count > numel):
        raise UnreadableError(f"the tensor {shown(name)} does not lie inside its storage; {BROKEN}")
    elements = storage_of(reference.storage)
    return torch.as_strided(elements, size, stride, reference.offset).clone()


def storage_tensor(storage: Storage, content: memoryview) -> Tensor:
    """Return the elements of a storage as a tensor of one dimension.

    Args:
        storage: the storage.
        content: all bytes of the storage as the file has them, little-endian.

    Raises:
        UnreadableError: if the file has fewer.
    """
    dtype = getattr(torch, storage.dtype)
    begin = storage.offset * dtype.itemsize
    wanted = content[begin : begin + storage.numel * dtype.itemsize]
    if len(wanted) < storage.numel * dtype.itemsize:
        raise UnreadableError(f"{storage.numel} elements of a storage are not all there; {BROKEN}")
    return torch.frombuffer(bytearray(wanted), dtype=dtype) if storage.numel else torch.empty(0, dtype=dtype)
