"""Inventories of exported files."""

from pathlib import Path

from pipeline_src.exporting import inventory


def test_inventory_counts_the_operators_of_a_file(folder: Path) -> None:
    rows = inventory.rows(folder / "ptq_x3.tflite")
    assert {"file": "ptq_x3.tflite", "op": "ADD", "count": 1, "activations": "int8", "constants": ""} in rows
    assert sum(int(str(row["count"])) for row in rows) == len(inventory.operators(folder / "ptq_x3.tflite"))
