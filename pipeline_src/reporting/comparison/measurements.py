"""The measurements of one state as two tables: a row per file, and a row per file and image."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline_src import paths
from pipeline_src.errors import UserError
from pipeline_src.files import read_json
from pipeline_src.reporting.comparison import sources
from pipeline_src.tables import Kind, read_table

Fact = str | int | float | dict[str, str] | None  # of machine.json

HERE = "here"  # the device of results/benchmark: the machine that ran the pipeline
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
            # what other devices have measured joins here, as further states with a device of their own
            nets = [_net(source, net, HERE) for net in source.nets]
        except UserError as error:
            if source.copied:  # the message names a file that is about to go
                raise UserError(str(error).replace(f"{source.folder}/", f"{source.name}: ")) from None
            raise
    files = pd.concat([net.files for net in nets], ignore_index=True)
    images = pd.concat([net.images for net in nets], ignore_index=True)
    return State(source.name, files, images, max(net.measured for net in nets))


def _net(source: sources.Source, net: str, device: str) -> State:
    """Return the measurements of one net, which its folder names."""
    folder = source.folder / net
    remedy = "compare another state" if source.copied else paths.remedy("benchmark", net.partition("/")[0])
    of_net = {"device": device, "system": net}
    rows = read_table(folder / paths.BENCHMARK_TABLE, OF_FILE, remedy, may_lack=YOUNGER).assign(**of_net)
    _refuse_twice(rows, ["set"], folder / paths.BENCHMARK_TABLE, remedy)
    files = rows[rows["variant"] != BICUBIC].drop_duplicates(KEY)
    for name in (*COSTS, "settled"):
        files[name] = files.get(name, np.nan)
    files["settled"] = files["settled"].eq(True)
    for name in TEXTS:
        files[name] = files.get(name, "")
    machine = folder / paths.MACHINE
    facts = read_json(machine, dict[str, Fact], remedy) if machine.is_file() else {}
    files = files.assign(**{name: str(facts.get(name, "")) for name in OF_MACHINE})
    images = _images(folder / paths.BENCHMARK_IMAGES, rows, of_net, remedy)
    return State(net, files, images, str(facts.get("measured", "")))


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
