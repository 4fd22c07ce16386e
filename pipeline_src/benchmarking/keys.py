"""The columns that identify an upscaler in every table of the benchmark."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline_src.deployment.cards import Card

Row = dict[str, Any]  # column → cell of a table that pandas writes
KEY_COLUMNS = ["system", "variant", "runtime", "scale"]


@dataclass(frozen=True)
class FileKey:
    """Net, variant, format and scale of an exported file.

    The file of fixed size, where a format has one, has the same key as the file that takes any size: together they are
    one row of a table. ``runtime`` is the format (``onnx``), and "" for bicubic, which has no file.
    """

    net: str
    variant: str
    runtime: str
    scale: int

    @classmethod
    def of(cls, card: "Card") -> "FileKey":
        """Return the key of the file that ``card`` describes."""
        return cls(card.system, card.variant, card.format, card.scale)

    def columns(self) -> Row:
        """Return the cells of :data:`KEY_COLUMNS`."""
        return dict(zip(KEY_COLUMNS, (self.net, self.variant, self.runtime, self.scale), strict=True))

    def __str__(self) -> str:
        """Return the key for messages, such as ``abpn_x3 qat tflite 3``."""
        return " ".join(str(cell) for cell in self.columns().values() if cell)
