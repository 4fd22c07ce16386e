"""Whether the weights that trainings start from are here."""

from collections.abc import Iterator
from pathlib import Path

from pipeline_src.config import Params, PinnedFile
from pipeline_src.errors import UserError
from pipeline_src.files import sha256


def check_starts(params: Params) -> None:
    """Check that every file that a system starts from is here, with the content that params.yaml names.

    Raises:
        UserError: if one is missing or another one.
    """
    for key, start in _starts(params):
        path = Path(start.file)
        if not path.is_file():
            raise UserError(
                f"{path}, which {key} names, does not exist; correct the path, or make the file of a published "
                "checkpoint with `superres import`"
            )
        if path.suffix != ".safetensors":
            from pipeline_src.weights import refuse_checkpoint  # imports torch, which takes seconds

            refuse_checkpoint(path)
        if not (actual := sha256(path)).startswith(start.sha256):
            raise UserError(
                f"{path} has the SHA-256 {actual[:12]}…, not {key}.sha256, {start.sha256}; correct one of them"
            )


def _starts(params: Params) -> Iterator[tuple[str, PinnedFile]]:
    for name, system in params.systems.items():
        for part, start in (("train", system.train.start), ("downscaler", system.downscaler.start)):
            if start:
                yield f"systems.{name}.{part}.start", start
