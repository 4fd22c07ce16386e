"""Reads what the store keeps."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline_src.errors import UserError
from pipeline_src.tracking.failures import is_of_no_run
from pipeline_src.tracking.store import SQLITE, address, configure_mlflow, named, refused

if TYPE_CHECKING:
    from mlflow import MlflowClient


@contextmanager
def opened() -> "Iterator[MlflowClient]":
    """Yield a client of the store.

    Raises:
        UserError: if there is no store, or it fails at a request of the block.
    """
    configure_mlflow()
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    uri = address()
    if uri.startswith(SQLITE) and not Path(uri.removeprefix(SQLITE)).is_file():  # MLflow would make an empty one
        raise UserError(f"{uri.removeprefix(SQLITE)} does not exist; name the store of the run by MLFLOW_TRACKING_URI")
    try:
        yield MlflowClient(uri)
    except (MlflowException, SQLAlchemyError, ImportError, OSError, ValueError) as error:
        raise UserError(refused(error)) from None


def copy_artifacts(run_id: str, name: str, into: Path) -> bool:
    """Copy a folder of a run's artifacts to ``into/name``.

    Args:
        run_id: the id of the run.
        name: the folder.
        into: where the copy is put.

    Returns:
        Whether the run has such a folder.

    Raises:
        UserError: if there is no store, it cannot be used, or it has no such run.
    """
    with opened() as client:
        try:
            if not client.list_artifacts(run_id, name):
                return False
            client.download_artifacts(run_id, name, str(into))
            return True
        except Exception as error:
            if is_of_no_run(error):
                raise UserError(f"{named()} has no run {run_id}; correct the id, or MLFLOW_TRACKING_URI") from None
            raise
