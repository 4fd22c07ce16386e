"""Helpers to read an MLflow store."""

from pathlib import Path
from typing import Any


def runs_in(uri: str) -> Any:
    """Return the client of a store, and all of its runs."""
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    return client, client.search_runs([e.experiment_id for e in client.search_experiments()])


def store_of(folder: Path) -> str:
    """Return the address of the store that a folder has by default."""
    return f"sqlite:///{folder / 'mlflow.db'}"


def split(runs: Any) -> Any:
    """Return the runs of states, and all others."""
    parents = [run for run in runs if "pipeline_state" in run.data.tags]
    return parents, [run for run in runs if run not in parents]


def named(runs: Any, name: str) -> Any:
    """Return the one run of a name."""
    (run,) = [run for run in runs if run.info.run_name == name]
    return run
