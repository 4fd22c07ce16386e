"""Section "Image crops": crops of the evaluation images, two variants at a time behind a movable divider."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, zip_longest
from operator import attrgetter
from pathlib import Path

from pipeline_src import paths
from pipeline_src.errors import UserError
from pipeline_src.reporting.data import ReportData
from pipeline_src.reporting.section import Block, Section, Template, Text
from pipeline_src.reporting.tables import VARIANTS

SHOWN_WIDTH = 576  # CSS pixels; crops are magnified by the integer factor that comes closest
INT8 = ("qat", "ptq")  # fp32 is compared with the first of these that a system has


@dataclass(frozen=True)
class Crop:
    """One crop of one image at one scale, with the folder of the ``<variant>.png`` of each system that has it."""

    set: str
    image: str
    scale: int
    folders: dict[str, Path]


@dataclass(frozen=True)
class Layer:
    """One image of a slider, with its size on the page in CSS pixels."""

    name: str
    label: str
    png: Path
    width: int
    height: int


@dataclass(frozen=True)
class Slider:
    """The layers of one crop, and which of them are on the left and on the right of the divider at first."""

    crop: Crop
    layers: list[Layer]
    left: str
    right: str


def build(data: ReportData) -> Section | None:
    """Return the section, or None if there are no crops."""
    crops = find_crops(paths.results("benchmark"), data.nets, data.sets, data.params.report.crops)
    if not crops:
        return None
    intro = (
        "The first crops of each set and scale in the order of their names; none was selected by eye. Choose what is "
        "on the left and on the right of the divider. Drag the divider, or focus it and use the arrow keys."
    )
    blocks: list[Block] = [Text(intro), Template("sections/crops.html", {"sliders": [_slider(crop) for crop in crops]})]
    return Section("crops", "Image crops", "Crops", blocks)


def find_crops(folder: Path, systems: list[str], sets: list[str], count: int) -> list[Crop]:
    """Return the first ``count`` crops of ``<folder>/<system>/crops`` by name, alternating between sets and scales."""
    crops: dict[tuple[str, int], dict[str, Crop]] = {}
    for set_name in sets:
        for system in systems:
            for path in sorted((folder / system / "crops").glob(f"{set_name}_*_x[0-9]")):
                if _set_of(path, sets) == set_name and (path / "hr.png").is_file():
                    image, _, scale = path.name.removeprefix(f"{set_name}_").rpartition("_x")
                    of_scale = crops.setdefault((set_name, int(scale)), {})
                    of_scale.setdefault(image, Crop(set_name, image, int(scale), {})).folders[system] = path
    groups = (sorted(of_scale.values(), key=attrgetter("image")) for of_scale in crops.values())
    alternating = chain.from_iterable(zip_longest(*groups))
    return [crop for crop in alternating if crop][:count]


def _set_of(path: Path, sets: list[str]) -> str:
    """Return the set of a crop; the longest match, because the name of a set may begin with that of another."""
    return max((name for name in sets if path.name.startswith(f"{name}_")), key=len)


def _slider(crop: Crop) -> Slider:
    layers = list(_layers(crop))
    names = [layer.name for layer in layers]
    left = "bicubic" if "bicubic" in names else names[0]
    right = next((name for name in reversed(names[:4]) if name not in ("hr", "bicubic")), "hr")
    return Slider(crop, layers, left, right)


def _layers(crop: Crop) -> Iterator[Layer]:
    """Yield HR, bicubic, and of each system fp32 and one int8 variant."""
    from PIL import Image

    any_folder = next(iter(crop.folders.values()))
    images = {"hr": (any_folder / "hr.png", "HR"), "bicubic": (any_folder / "bicubic.png", "bicubic")}
    for system, folder in crop.folders.items():
        int8 = next((variant for variant in INT8 if _is_there(folder / f"{variant}.png")), "")
        for variant in ("fp32", int8):
            images[f"{system}-{variant}"] = folder / f"{variant}.png", f"{system} {VARIANTS.get(variant, variant)}"
    for name, (png, label) in images.items():
        if _is_there(png):
            with Image.open(png) as image:
                width, height = image.size
            zoom = max(1, round(SHOWN_WIDTH / width))
            yield Layer(name, label, png, zoom * width, zoom * height)


def _is_there(png: Path) -> bool:
    """Return whether there is an image; UserError if it is a folder."""
    if png.is_dir():
        raise UserError(f"{png} is a folder, not an image; remove it, and run `dvc repro`")
    return png.is_file()
