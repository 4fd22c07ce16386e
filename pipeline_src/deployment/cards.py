"""The JSON card beside every exported file, which describes its net, its input and output, and its origin."""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pipeline_src.errors import UserError
from pipeline_src.files import read_json, sha256, write_json

if TYPE_CHECKING:
    from pipeline_src.downscaling import LearnedDownscaler

NO_OTHERS: dict[str, Any] = {"extra": "forbid"}  # pydantic: a card that is read has no field that is not declared
LICENCE = "MIT, as the code that trained it; the terms of the images it was trained on are their own"


@dataclass(frozen=True)
class TensorSpec:
    """The input or output of an exported net, an image in 0..255 with value = ``scale`` · (q − ``zero_point``)."""

    __pydantic_config__: ClassVar = NO_OTHERS
    dtype: Literal["float32", "uint8", "int8"]
    layout: Literal["NHWC", "NCHW"]
    scale: float = 1.0
    zero_point: int = 0


@dataclass(frozen=True)
class Facts:
    """The fields that the cards of all files of a net, in one variant and scale, have in common.

    Attributes:
        system: name of the net: a system of params.yaml, or ``<system>/<name>`` for a smaller net.
        model: package in ``pipeline_src/models``.
        variant: fp32, ptq or qat.
        scale: upscaling factor, or that by which a downscaler downscales.
        colour: colour space of the training, RGB or Y.
        lr: the downscaler whose images it was trained on.
        origin: where the weights come from: ``trained here``, or the file that the training started from.
        dtype: data type of the convolutions in training, such as float32; QAT is always in float32.
        parameters: number of trained parameters; of a downscaler also those of bicubic.
        mult_adds: multiply-adds for an HR image of 1280×720.
        float_layers: layers of an int8 net that compute in float.
        validation: PSNRs in dB on the middles of the validation images, in torch.
        weights: SHA-256 of the weights files, by name.
        takes: the image that it takes: LR, or HR of a downscaler.
        gives: the image that it gives: SR, or LR of a downscaler.
    """

    system: str
    model: str
    variant: str
    scale: int
    colour: str
    lr: str
    origin: str
    dtype: str
    parameters: int
    mult_adds: int
    float_layers: list[str]
    validation: dict[str, float]
    weights: dict[str, str]
    takes: Literal["LR", "HR"] = "LR"
    gives: Literal["SR", "LR"] = "SR"

    @property
    def ends(self) -> tuple[str, str]:
        """The names of input and output in a file."""
        return self.takes.lower(), self.gives.lower()


@dataclass(frozen=True)
class Card:
    """A card: the :class:`Facts` of the net, and the following fields of one file.

    Attributes:
        format: key of ``deployment.formats.FORMATS``.
        largest_sum: largest sum of two neighbouring products in an int8 net; up to ``graph.saturation.LARGEST_SUM``
            every CPU computes the same; 0 for float.
        reference: name of the image that the net makes from ``reference_lr.png`` beside it; "" if the file was
            exported alone.
        size: [height, width] of the input image if the file accepts only one size.
        input: the input image.
        output: the output image.
        files: SHA-256 of the parts of the file, by name.
        versions: of the libraries that wrote the file.
        licence: of the weights.
        example: a Python program that upscales photo.png.
        fails: why the file could not be run at export, or "".
        takes: as in the facts.
        gives: as in the facts.
        multiple_of: pixels of which the sides of the input image must be multiples.
    """

    __pydantic_config__: ClassVar = NO_OTHERS
    system: str
    model: str
    variant: str
    format: str
    scale: int
    colour: str
    lr: str
    origin: str
    dtype: str
    parameters: int
    mult_adds: int
    float_layers: list[str]
    largest_sum: int
    reference: str
    size: tuple[int, int] | None
    input: TensorSpec
    output: TensorSpec
    validation: dict[str, float]
    files: dict[str, str]
    weights: dict[str, str]
    versions: dict[str, str]
    licence: str
    example: str
    fails: str = ""
    takes: Literal["LR", "HR"] = "LR"
    gives: Literal["SR", "LR"] = "SR"
    multiple_of: int = 1

    @property
    def downscales(self) -> bool:
        """Whether the file makes images smaller by the factor ``scale``."""
        return self.gives == "LR"

    def __post_init__(self) -> None:
        """Raise ValueError, which pydantic tells, for what the types of the fields cannot say."""
        if self.multiple_of < 1:
            raise ValueError(f"multiple_of is {self.multiple_of}, not 1 or more")
        if self.scale < 1:
            raise ValueError(f"scale is {self.scale}, not a factor of 1 or more")
        if self.size and min(self.size) < 1:
            raise ValueError(f"size is {[*self.size]}, not a height and a width of 1 or more")
        if wrong := [name for name in self.files if not name or Path(name).name != name]:
            raise ValueError(f"files has {wrong[0]!r}, which is no name of a file")


def path_of(file: Path) -> Path:
    """Return the path of an exported file's card."""
    return file.with_name(f"{file.name}.json")


def write(file: Path, card: Card) -> None:
    """Write the card of a file beside it."""
    write_json(path_of(file), asdict(card))


def mark_as_failing(file: Path, reason: str) -> None:
    """Write on the card of a file why it cannot be run."""
    write_json(path_of(file), asdict(read(file)) | {"fails": reason})


def read(file: Path) -> Card:
    """Read the card of a file.

    Raises:
        UserError: if the card is missing or not valid, or if the file is not the one that the card describes.
    """
    path = path_of(file)
    if not path.is_file():
        raise UserError(
            f"{file} has no card {path.name} beside it; copy {path.name}, which lies beside the file where it was "
            "exported"
        )
    card = read_json(path, Card, f"export {file.name} again")
    for name in {file.name: None} | card.files:
        part = file.with_name(name)
        if not part.is_file():
            raise UserError(f"{part} does not exist; export it again")
        if sha256(part) != card.files.get(name):
            raise UserError(f"{part} is not the file that {path.name} describes: it is damaged; export it again")
    return card


def parse(text: str) -> Card:
    """Return a card from its JSON without checking it, for a device that has got it from where it was checked."""
    fields = json.loads(text)
    return Card(**fields | {end: TensorSpec(**fields[end]) for end in ("input", "output")})


def read_folder(folder: Path) -> dict[Path, Card]:
    """Read the cards of all exported files under a folder; return them by file, sorted by name.

    Raises:
        UserError: if there is none.
        OSError: if one of the folders may not be read.
    """
    folders = [folder, *(path for path in folder.rglob("*") if path.is_dir())] if folder.is_dir() else []
    for place in folders:
        os.scandir(place).close()  # rglob takes a folder that may not be read for an empty one
    files = [card.with_suffix("") for card in sorted(folder.rglob("*.*.json"))]
    if not files:
        raise UserError(f"{folder} holds no exported file with a card; run the stage export first")
    return {file: read(file) for file in files}


def write_for_downscaler(
    card: Path, net: "LearnedDownscaler", system: str, weights: Path, files: Sequence[Path]
) -> None:
    """Write the card of a learned downscaler, which describes all of its files.

    Args:
        card: path of the card.
        net: the downscaler.
        system: the system that it was trained with.
        weights: its weights file.
        files: the exported files.
    """
    image = {"dtype": "float32", "layout": "NCHW", "range": [0, 255]}
    fields = {
        "system": system,
        "scale": net.scale,
        "input": {"name": "hr", **image, "multiple_of": net.multiple},
        "output": {"name": "lr", **image, "round": True},
        "parameters": sum(parameter.numel() for parameter in net.parameters() if parameter.requires_grad),
        "files": {file.name: sha256(file) for file in files},
        "weights": {weights.name: sha256(weights)},
    }
    write_json(card, fields)
