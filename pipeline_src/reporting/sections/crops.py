"""Section "See for yourself": crops of the evaluation images, any two versions of one beside each other."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, zip_longest
from operator import attrgetter
from pathlib import Path
from typing import Any

from pipeline_src import paths
from pipeline_src.errors import UserError
from pipeline_src.reporting.data import ReportData
from pipeline_src.reporting.page.embedding import data_uri
from pipeline_src.reporting.pareto import pareto_front
from pipeline_src.reporting.section import Block, Section, Template, Text
from pipeline_src.reporting.tables import VARIANTS
from pipeline_src.reporting.timing import settled

LIMIT = 6 << 20  # bytes of images that the page holds at most, so that it stays quick to open
LIMIT_OF_MANY = 4 << 20  # the same where the page cannot show all systems, so that it is below 15 MB
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
    """One version of a crop: HR or bicubic, with an empty ``net``, or that of a net's variant."""

    net: str
    variant: str
    label: str
    png: Path


def build(data: ReportData) -> Section | None:
    """Return the section, or None if there are no crops."""
    crops = find_crops(paths.results("benchmark"), data.nets, data.sets, data.params.report.crops)
    if not crops:
        return None
    layers = [list(_layers(crop)) for crop in crops]
    kept = _within(LIMIT if data.whole is data else LIMIT_OF_MANY, layers, nets_by_front(data))
    names = {layer.net for of_crop in layers for layer in of_crop if layer.net}
    intro = (
        "Parts of the evaluation photographs: the first of each set and scale in the order of their names, none "
        "selected by eye. Choose two versions, and drag the divider or use the arrow keys. HR is the original, which a "
        "network should come close to; bicubic is the method without a network."
    )
    left_out = (
        f" So that the page stays small, it holds the images of {len(kept)} of {len(names)} networks, those on the "
        "front first; the others lie in results/benchmark/<network>/crops."
        if len(kept) < len(names)
        else ""
    )
    shown = [_as_read_by_the_page(crop, of_crop, kept) for crop, of_crop in zip(crops, layers, strict=True)]
    blocks: list[Block] = [Text(intro + left_out), Template("sections/crops.html", {"data": shown})]
    return Section("crops", "See for yourself", "Images", blocks)


def nets_by_front(data: ReportData) -> list[str]:
    """Return all nets, those that are on the front of a device, scale and set first."""
    timed = settled(data.table[data.table["runtime"] != "torch"])
    fronts = [pareto_front(rows)["system"] for _, rows in timed.groupby(["device", "scale", "set"], sort=False)]
    return list(dict.fromkeys([*(net for front in fronts for net in front), *data.nets]))


def _within(limit: int, crops: list[list[Layer]], nets: list[str]) -> set[str]:
    """Return as many nets, in the given order, as the page can hold the images of."""
    sizes: dict[str, int] = defaultdict(int)
    for layer in chain.from_iterable(crops):
        sizes[layer.net] += layer.png.stat().st_size
    left, kept = limit - sizes.pop("", 0), set()
    for net in nets:
        if net in sizes and sizes[net] <= left:
            left -= sizes[net]
            kept.add(net)
    return kept


def _as_read_by_the_page(crop: Crop, layers: list[Layer], nets: set[str]) -> dict[str, Any]:
    from PIL import Image

    with Image.open(layers[0].png) as image:
        width, height = image.size
    return {
        "image": crop.image,
        "set": crop.set,
        "scale": crop.scale,
        "width": width,
        "height": height,
        "layers": [
            {"net": layer.net, "variant": layer.variant, "label": layer.label, "src": data_uri(layer.png)}
            for layer in layers
            if not layer.net or layer.net in nets
        ],
    }


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


def _layers(crop: Crop) -> Iterator[Layer]:
    """Yield HR, bicubic, and of each system fp32 and one int8 variant."""
    any_folder = next(iter(crop.folders.values()))
    layers = [Layer("", "hr", "HR", any_folder / "hr.png"), Layer("", "bicubic", "bicubic", any_folder / "bicubic.png")]
    for net, folder in crop.folders.items():
        int8 = next((variant for variant in INT8 if _is_there(folder / f"{variant}.png")), "")
        for variant in ("fp32", int8):
            layers.append(Layer(net, variant, f"{net} {VARIANTS.get(variant, variant)}", folder / f"{variant}.png"))
    yield from (layer for layer in layers if _is_there(layer.png))


def _is_there(png: Path) -> bool:
    """Return whether there is an image; UserError if it is a folder, or not whole."""
    from PIL import Image

    if png.is_dir():
        raise UserError(f"{png} is a folder, not an image; remove it, and run `dvc repro`")
    if not png.is_file():
        return False
    try:
        with Image.open(png) as image:
            image.load()
    except (OSError, SyntaxError, ValueError) as error:
        if isinstance(error, OSError) and error.errno:
            raise
        raise UserError(f"{png} is damaged or cut short; remove it, and run `dvc repro`") from None
    return True
