"""The stage operators, run as its command."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from pipeline_src.microbenchmarks.operators import operators


def test_every_operator_is_measured_in_both_precisions_and_runtimes(
    workspace: Callable[..., Path], stage: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    folder = workspace(
        {"operators": {"size": [6, 10], "channels": 8, "threads": 1, "warmup": 1, "runs": 3, "interval": 9}}
    )
    done = stage(folder, "operators")
    assert done.returncode == 0, done.stderr
    rows = pd.read_csv(folder / "results/operators/operators.csv")
    assert list(dict.fromkeys(rows["operator"])) == list(operators(8, 10, int8=False))
    kinds = {("float32", "tflite"), ("float32", "openvino"), ("int8", "tflite"), ("int8", "openvino")}
    for _, of_operator in rows.groupby("operator"):
        assert set(zip(of_operator["precision"], of_operator["runtime"], strict=True)) == kinds
    assert (rows["p50_ms"] > 0).all()
    assert (rows["runs"] >= 6).all(), "six calls are the fewest that have an interval"
    assert (rows["p50_low_ms"] <= rows["p50_ms"]).all()
    assert (rows["p50_ms"] <= rows["p50_high_ms"]).all()
    assert not rows["settled"].any()
    assert rows["fails"].isna().all()
    assert (folder / "results/operators/machine.json").is_file()
