"""Whether the weights that trainings start from are here."""

from collections.abc import Iterator
from pathlib import Path

from pipeline_src.config import Params, PinnedFile
from pipeline_src.files import check_pinned


def check_starts(params: Params) -> None:
    """Check that every file that a system starts from is here, with the content that params.yaml names.

    Raises:
        UserError: if one is missing or another one.
    """
    for key, start in _starts(params):
        path = Path(start.file)
        if path.is_file() and path.suffix != ".safetensors":
            from pipeline_src.weights import refuse_checkpoint  # imports torch, which takes seconds

            refuse_checkpoint(path)
        check_pinned(path, start.sha256, key)


def _starts(params: Params) -> Iterator[tuple[str, PinnedFile]]:
    for name, system in params.systems.items():
        for part, start in (("train", system.train.start), ("downscaler", system.downscaler.start)):
            if start:
                yield f"systems.{name}.{part}.start", start
        for i, parent in enumerate(system.train.grow):
            yield f"systems.{name}.train.grow[{i}]", parent
