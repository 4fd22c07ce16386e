"""``index.html``: the report as one file that needs no network, no server and no other file."""

import base64
import hashlib
import json
import math
from dataclasses import dataclass
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline_src.errors import UserError
from pipeline_src.files import whole_file
from pipeline_src.reporting import tables, verdict
from pipeline_src.reporting.figures import NAMES, front

HERE = Path(__file__).parent
SHOWN_WIDTH = 576  # CSS pixels that a crop is magnified towards, by a whole factor
LABELS = {"cpu": "CPU", "memory_gib": "Memory (GiB)"}
BEST_IS_LARGE = {"psnr_y", "ssim_y", "gain_db"}


@dataclass(frozen=True)
class Crop:
    """One crop folder of the benchmark: ``<variant>.png`` files of the same part of one image."""

    folder: Path
    system: str
    set: str
    image: str
    scale: int


@dataclass(frozen=True)
class Machine:
    """What one or more systems were measured on: label and text of every fact, and when each system was measured."""

    facts: dict[str, str]
    measured: dict[str, str]


@dataclass(frozen=True)
class Provenance:
    """Where the numbers come from: ``params`` is the text of params.yaml, ``experiment`` the name in MLflow."""

    commit: str
    params: str
    params_sha256: str
    machines: list[Machine]
    experiment: str


def find_crops(folder: Path, systems: list[str], sets: list[str], count: int) -> list[Crop]:
    """The first ``count`` crops of ``<folder>/<system>/crops``, by name, taking turns between sets and systems."""
    groups = []
    for name in sets:
        for system in systems:
            places = sorted((folder / system / "crops").glob(f"{name}_*_x[0-9]"))
            places = [place for place in places if _set_of(place, sets) == name and (place / "hr.png").is_file()]
            groups.append([_crop(place, system, name) for place in places])
    turns = chain.from_iterable(zip_longest(*groups))
    return [crop for crop in turns if crop][:count]


def _set_of(place: Path, sets: list[str]) -> str:
    return max((name for name in sets if place.name.startswith(f"{name}_")), key=len)


def _crop(place: Path, system: str, name: str) -> Crop:
    image, _, scale = place.name.removeprefix(f"{name}_").rpartition("_x")
    return Crop(place, system, name, image, int(scale))


def read_machines(folder: Path, systems: list[str]) -> list[Machine]:
    """The ``machine.json`` of every system, those of the same machine together; UserError if one cannot be read."""
    machines: list[Machine] = []
    for system in systems:
        path = folder / system / "machine.json"
        mend = f"run `python -m pipeline_src.stages.benchmark {system}`, or `dvc repro`"
        try:
            facts = json.loads(path.read_text())
        except FileNotFoundError:
            raise UserError(f"{path} does not exist; {mend}") from None
        except ValueError:
            raise UserError(f"{path} is not valid JSON; {mend}") from None
        measured = str(facts.pop("measured", "time not recorded"))
        texts = {LABELS.get(key, key.capitalize()): _fact(value) for key, value in facts.items()}
        same = next((machine for machine in machines if machine.facts == texts), None)
        if same:
            same.measured[system] = measured
        else:
            machines.append(Machine(texts, {system: measured}))
    return machines


def _fact(value: Any) -> str:
    return ", ".join(f"{name} {what}" for name, what in value.items()) if isinstance(value, dict) else str(value)


def write(
    path: Path,
    title: str,
    table: pd.DataFrame,
    crops: list[Crop],
    figures: dict[str, tuple[Path, Path]],
    of: Provenance,
) -> None:
    """Write the page: ``table`` as ``tables.read`` gives it, ``figures`` the light and dark PNG of ``pareto`` and
    ``waterfall``. What the Content-Security-Policy does not name, all network access among it, the browser refuses."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    style, script = ((HERE / f"page.{kind}").read_text(encoding="utf-8") for kind in ("css", "js"))
    html = environment.get_template("page.html").render(
        title=title,
        policy=f"default-src 'none'; img-src data:; style-src '{_hash(style)}'; script-src '{_hash(script)}'; "
        "base-uri 'none'; form-action 'none'",
        style=Markup(style),  # noqa: S704  ours, from this folder, as is the script
        script=Markup(script),  # noqa: S704
        systems=list(dict.fromkeys(tables.deployed(table)["system"])),
        sets=list(dict.fromkeys(table["set"])),
        quality=verdict.quality(table),
        speed=verdict.speed(table),
        timed=verdict.timed(table),
        columns=tables.columns_of(table),
        rows=_rows(table),
        best_is_large=BEST_IS_LARGE,
        sources=tables.sources(table),
        published=_published(table),
        figures={name: [_data_uri(png) for png in pair] for name, pair in figures.items()},
        pareto_text=_pareto_text(table),
        waterfall_text=_waterfall_text(table),
        crops=[_slider(crop) for crop in crops],
        of=of,
    )
    with whole_file(path) as aside:
        aside.write_text(html, encoding="utf-8", newline="\n")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _data_uri(png: Path) -> str:
    return "data:image/png;base64," + base64.b64encode(png.read_bytes()).decode()


def _rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    columns, chosen = tables.columns_of(table), tables.headline(table).index
    rows = []
    for index, row in table.iterrows():
        numbers = [row[column.name] if column.shown else "" for column in columns]
        rows.append(
            {
                "system": row["system"],
                "set": row["set"],
                "bicubic": row["variant"] == "bicubic",
                "headline": index in chosen,
                "cells": tables.line(row, columns, tables.sources(table)),
                "values": ["" if isinstance(n, float) and math.isnan(n) else n for n in numbers],
            }
        )
    return rows


def _published(table: pd.DataFrame) -> list[dict[str, Any]]:
    theirs = tables.published()
    theirs = theirs[theirs["system"].isin(table["system"])]
    return [{**row, "metric": tables.METRICS[row["metric"]]} for _, row in theirs.iterrows()]


def _pareto_text(table: pd.DataFrame) -> str:
    """The figure in words, for who cannot see it."""
    parts = []
    for (scale, name), rows in table.groupby(["scale", "set"], sort=False):
        best = front(tables.exported(rows[rows["p50_ms"].notna()]))
        points = [
            " ".join(tables.line(row, tables.COLUMNS[:3], [])) + f", {row['p50_ms']:.1f} ms and {row['psnr_y']:.2f} dB"
            for _, row in best.iterrows()
        ]
        parts.append(f"{name} ×{scale:.0f}: " + "; ".join(points))
    return "PSNR Y against p50 latency. The Pareto front, fastest first. " + ". ".join(parts) + "."


def _waterfall_text(table: pd.DataFrame) -> str:
    parts = []
    for (system, scale, name), rows in tables.deployed(table).groupby(["system", "scale", "set"], sort=False):
        steps = ", ".join(
            f"{NAMES.get(row['variant'], row['variant'])} {row['gain_db']:+.2f} dB" for _, row in rows.iterrows()
        )
        parts.append(f"{system} ×{scale:.0f} on {name}: {steps}")
    return "PSNR Y over bicubic of each variant. " + ". ".join(parts) + "."


def _slider(crop: Crop) -> dict[str, Any]:
    from PIL import Image

    layers = []
    for variant, label in NAMES.items():
        png = crop.folder / f"{variant}.png"
        if png.is_file():
            with Image.open(png) as image:
                width, height = image.size
            zoom = max(1, round(SHOWN_WIDTH / width))
            layers.append(
                {
                    "name": variant,
                    "label": label,
                    "data": _data_uri(png),
                    "width": zoom * width,
                    "height": zoom * height,
                }
            )
    there = [layer["name"] for layer in layers]
    left = "bicubic" if "bicubic" in there else there[0]
    right = next((variant for variant in ("qat", "ptq", "fp32") if variant in there), "hr")
    return {"crop": crop, "layers": layers, "left": left, "right": right}
