"""Inventories of exported files: their operators, how often each occurs, and its dtypes."""

from collections import Counter
from pathlib import Path

from pipeline_src.deployment.formats import format_of
from pipeline_src.deployment.interface import Operator


def operators(file: Path) -> list[Operator]:
    """Return the operators of an exported file in the order they run."""
    return list(format_of(file).operators(file))


def rows(file: Path) -> list[dict[str, object]]:
    """Return the rows of ``inventory.csv`` for one file: ``file,op,count,activations,constants``."""
    return [
        {
            "file": file.name,
            "op": op.name,
            "count": count,
            "activations": " ".join(op.activations),
            "constants": " ".join(op.constants),
        }
        for op, count in Counter(operators(file)).items()
    ]
