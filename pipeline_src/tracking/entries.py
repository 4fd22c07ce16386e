"""What is logged, in the form that MLflow takes."""

import hashlib
import json
import re
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline_src.files import sha256

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import DatasetInput, Metric

BATCH_LIMITS = {"metrics": 1000, "params": 100, "tags": 100}  # entries per request that MLflow accepts
MANY = 2000  # params of a run; of more, a store takes long to log and to find them, and its pages longer to show them
LONGEST = 6000  # characters of a param that MLflow accepts
DIGEST_LENGTH = 36  # characters of a data set's digest that MLflow accepts


def content_hash(path: Path) -> str:
    """Return the hex SHA-256 of a file, or of the names and hashes of all files under a folder."""
    if path.is_file():
        return sha256(path)
    files = sorted((file.relative_to(path).as_posix(), sha256(file)) for file in path.rglob("*") if file.is_file())
    return hashlib.sha256(json.dumps(files).encode()).hexdigest()


def key(name: str) -> str:
    """Replace the characters that MLflow refuses in a key: the name of an image set may have any."""
    return re.sub(r"[^/\w.\- :]", "_", name)


def flattened(value: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield the leaves of nested dicts as texts, with their dotted names."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from flattened(inner, f"{prefix}.{name}" if prefix else str(name))
    else:
        yield prefix, str(value)


def packed(params: Mapping[str, str]) -> dict[str, str]:
    """Return params as a run keeps them: one by one, or if they are :data:`MANY` those of each system as one JSON text.

    Args:
        params: texts by dotted names. All under ``systems.abpn_x3`` are one of many; an entry that is too long for that
            stays as it is.
    """
    if len(params) <= MANY:
        return dict(params)
    entries: dict[str, dict[str, str]] = {}
    for name, value in params.items():
        *entry, inner = name.split(".", 2) if name.count(".") > 1 else (name, "")
        entries.setdefault(".".join(entry), {})[inner] = value
    kept: dict[str, str] = {}
    for name, values in entries.items():
        text = json.dumps(values)
        if [*values] == [""]:
            kept[name] = values[""]
        elif len(text) <= LONGEST:
            kept[name] = text
        else:
            kept |= {f"{name}.{inner}": value for inner, value in values.items()}
    return kept


def unpacked(params: Mapping[str, str]) -> dict[str, str]:
    """Return the params of which :func:`packed` made what a run keeps."""
    found: dict[str, str] = {}
    for name, value in params.items():
        try:
            inner = json.loads(value) if value.startswith("{") else None
        except ValueError:
            inner = None
        found |= {f"{name}.{key}": text for key, text in inner.items()} if isinstance(inner, dict) else {name: value}
    return found


def metrics(row: Mapping[str, Any]) -> "list[Metric]":
    """Return the metrics of one moment, which is now.

    Args:
        row: ``step`` and values by name; None for a metric that was not measured at this step.
    """
    from mlflow.entities import Metric

    now = int(time.time() * 1000)
    measured = [(name, float(value)) for name, value in row.items() if name != "step" and value is not None]
    return [Metric(key(name), value, now, int(row["step"])) for name, value in measured]


def dataset(name: str, file: Path, context: str, digest: str) -> "DatasetInput":
    """Return a data set as MLflow lists it.

    Args:
        name: of the set.
        file: its manifest, or the file itself.
        context: what it is used for: ``training`` or ``evaluation``.
        digest: SHA-256 of ``file``.
    """
    from mlflow.entities import Dataset, DatasetInput, InputTag

    source = json.dumps({"uri": file.as_posix()})
    return DatasetInput(
        Dataset(name, digest[:DIGEST_LENGTH], "local", source), [InputTag("mlflow.data.context", context)]
    )


def log_metrics(client: "MlflowClient", run_id: str, entries: "list[Metric]") -> None:
    """Log any number of metrics."""
    _log(client, run_id, "metrics", entries)


def log_params(client: "MlflowClient", run_id: str, params: Mapping[str, Any]) -> None:
    """Log any number of params, under dotted names where they are nested, :func:`packed` if they are many."""
    from mlflow.entities import Param

    kept = packed(dict(flattened(params)))
    _log(client, run_id, "params", [Param(key(name), value) for name, value in kept.items()])


def log_tags(client: "MlflowClient", run_id: str, tags: Mapping[str, str]) -> None:
    """Set any number of tags."""
    from mlflow.entities import RunTag

    _log(client, run_id, "tags", [RunTag(key(name), value) for name, value in tags.items()])


def _log(client: "MlflowClient", run_id: str, kind: str, entries: list[Any]) -> None:
    for start in range(0, len(entries), BATCH_LIMITS[kind]):
        batch: dict[str, Any] = {kind: entries[start : start + BATCH_LIMITS[kind]]}
        client.log_batch(run_id, **batch)
