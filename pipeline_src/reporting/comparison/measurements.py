"""The measurements of one state as two tables: a row per file, and a row per file and image."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline_src import paths
from pipeline_src.config import HERE
from pipeline_src.errors import UserError
from pipeline_src.files import read_json
from pipeline_src.reporting.comparison import sources
from pipeline_src.tables import Kind, read_table

Fact = str | int | float | dict[str, str] | None  # of machine.json

KEY = ["device", "system", "variant", "runtime", "scale"]  # of a file
IMAGE = ["set", "image"]
BICUBIC = "bicubic"  # the variant of the rows that belong to no file
OF_MACHINE = ("cpu", "cpu_features", "cores")
TEXTS = ("disagrees", "fails")
COSTS = (
    "lr_height", "lr_width", "threads", "runs", "p50_ms", "p50_low_ms", "p50_high_ms", "file_bytes", "peak_memory_mb",
)  # fmt: skip
OF_FILE: dict[str, Kind] = {
    "variant": str, "runtime": str, "scale": int, "set": str, "settled": bool | None, "images": int | None,
    **dict.fromkeys(COSTS, float | None), **dict.fromkeys(TEXTS, str),
}  # fmt: skip
ON_DEVICE: dict[str, Kind] = {  # of the table of another machine
    "system": str, "variant": str, "runtime": str, "scale": int, "format": str, "settled": bool | None,
    **{name: float | None for name in COSTS if name != "file_bytes"}, **dict.fromkeys(TEXTS, str),
}  # fmt: skip
OF_THE_SAME = ["system", "variant", "format", "scale"]  # what a file has in common with itself on another machine
METRICS = ("psnr_y", "ssim_y")
OF_IMAGE: dict[str, Kind] = {
    "variant": str, "runtime": str, "scale": int, "set": str, "image": str, **dict.fromkeys(METRICS, float),
}  # fmt: skip
# Older revisions have measured less; what they lack is not compared.
YOUNGER = ("settled", "images", *COSTS, *TEXTS)


@dataclass(frozen=True)
class State:
    """What was measured of one state.

    Attributes:
        name: what it is called in messages.
        files: a row per file: ``KEY``, the costs of ``benchmark.csv``, and what ``OF_MACHINE`` names.
        images: a row per file and image: ``KEY``, ``IMAGE`` and ``METRICS``; those of bicubic too.
        measured: when, by the clock of the machine: the latest of its nets; "" if it is not known.
    """

    name: str
    files: pd.DataFrame
    images: pd.DataFrame
    measured: str


def read(text: str) -> State:
    """Return the measurements of a state, which is named as :func:`sources.opened` says.

    Raises:
        UserError: if they cannot be reached, or if a file is damaged.
    """
    with sources.opened(text) as source:
        try:
            nets = [_net(source, net) for net in source.nets]
            files = pd.concat([net.files for net in nets], ignore_index=True)
            devices = [_device(source, device, files) for device in source.devices]
        except UserError as error:
            if source.copied:  # the message names a file that is about to go
                raise UserError(str(error).replace(f"{source.folder}/", f"{source.name}: ")) from None
            raise
    images = pd.concat([net.images for net in nets], ignore_index=True)
    return State(
        source.name, pd.concat([files, *devices], ignore_index=True), images, max(net.measured for net in nets)
    )


def _device(source: sources.Source, device: str, here: pd.DataFrame) -> pd.DataFrame:
    """Return the files that another machine has measured, as ``State.files``; their quality is that of the files here.

    Args:
        source: the state.
        device: the name of the machine.
        here: the files of this machine, which tell the sizes.
    """
    folder = source.folder / paths.FOLDER_OF_DEVICES / device
    remedy = "compare another state" if source.copied else paths.remedy("measure", device)
    files = read_table(folder / paths.DEVICE_TABLE, ON_DEVICE, remedy).assign(device=device)
    _refuse_twice(files, [], folder / paths.DEVICE_TABLE, remedy)
    files["settled"] = files["settled"].eq(True)
    sizes = here.rename(columns={"runtime": "format"})[[*OF_THE_SAME, "file_bytes"]]
    machine = _machine(folder / paths.MACHINE, remedy)
    return files.merge(sizes, how="left", on=OF_THE_SAME).drop(columns="format").assign(**_as_texts(machine))


def _machine(path: Path, remedy: str) -> dict[str, Fact]:
    return read_json(path, dict[str, Fact], remedy) if path.is_file() else {}


def _as_texts(machine: dict[str, Fact]) -> dict[str, str]:
    """Return what ``OF_MACHINE`` names of a machine."""
    return {name: str(machine.get(name, "")) for name in OF_MACHINE}


def _net(source: sources.Source, net: str) -> State:
    """Return the measurements of one net, which its folder names."""
    folder = source.folder / net
    remedy = "compare another state" if source.copied else paths.remedy("benchmark", net.partition("/")[0])
    of_net = {"device": HERE, "system": net}
    rows = read_table(folder / paths.BENCHMARK_TABLE, OF_FILE, remedy, may_lack=YOUNGER).assign(**of_net)
    _refuse_twice(rows, ["set"], folder / paths.BENCHMARK_TABLE, remedy)
    files = rows[rows["variant"] != BICUBIC].drop_duplicates(KEY)
    for name in (*COSTS, "settled"):
        files[name] = files.get(name, np.nan)
    files["settled"] = files["settled"].eq(True)
    for name in TEXTS:
        files[name] = files.get(name, "")
    machine = _machine(folder / paths.MACHINE, remedy)
    files = files.assign(**_as_texts(machine))
    images = _images(folder / paths.BENCHMARK_IMAGES, rows, of_net, remedy)
    return State(net, files, images, str(machine.get("measured", "")))


def _images(path: Path, rows: pd.DataFrame, of_net: dict[str, str], remedy: str) -> pd.DataFrame:
    """Return the rows of a table of images, as many as ``rows`` count; none of a state that has no such table."""
    if not path.is_file():
        return pd.DataFrame(columns=[*KEY, *IMAGE, *METRICS]).astype({"scale": int, **dict.fromkeys(METRICS, float)})
    images = read_table(path, OF_IMAGE, remedy).assign(**of_net)
    _refuse_twice(images, IMAGE, path, remedy)
    if "images" in rows:
        counted = images.groupby([*KEY, "set"]).size()
        expected = rows.set_index([*KEY, "set"])["images"].dropna()
        lacking = expected[expected != counted.reindex(expected.index, fill_value=0)]
        if not lacking.empty:
            variant, runtime, scale, name = lacking.index[0][2:]
            raise UserError(
                f"{path} is damaged: it has {counted.get(lacking.index[0], 0)} rows of {variant} {runtime} ×{scale} on "
                f"{name}, and {paths.BENCHMARK_TABLE} counts {lacking.iloc[0]:.0f}; {remedy}"
            )
    return images


def _refuse_twice(rows: pd.DataFrame, within: list[str], path: Path, remedy: str) -> None:
    twice = rows.duplicated([*KEY, *within])
    if twice.any():
        raise UserError(f"{path} is damaged: line {rows.index[twice][0] + 2} is there twice; {remedy}")
