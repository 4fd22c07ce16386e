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
from pipeline_src.reporting import (
    downscaling,
    nodes,
    pruning,
    published,
    searching,
    sensitivity,
    tables,
    threads,
    verdict,
)
from pipeline_src.reporting.figures import front

HERE = Path(__file__).parent
SHOWN_WIDTH = 576  # CSS pixels that a crop is magnified towards, by a whole factor
LABELS = {"cpu": "CPU", "cpu_features": "CPU features", "memory_gib": "Memory (GiB)"}
BEST_IS_LARGE = {"psnr_y", "ssim_y", "gain_db"}
SMALL = ("qat", "ptq")  # of each system the crops show fp32 and the first of these


@dataclass(frozen=True)
class Crop:
    """One part of one image at one scale: of every system that has it the folder of its ``<variant>.png`` files."""

    set: str
    image: str
    scale: int
    folders: dict[str, Path]


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
    """The first ``count`` crops of ``<folder>/<system>/crops``, by name, taking turns between sets and scales."""
    crops: dict[tuple[str, int], dict[str, Crop]] = {}
    for name in sets:
        for system in systems:
            for place in sorted((folder / system / "crops").glob(f"{name}_*_x[0-9]")):
                if _set_of(place, sets) == name and (place / "hr.png").is_file():
                    image, _, scale = place.name.removeprefix(f"{name}_").rpartition("_x")
                    same = crops.setdefault((name, int(scale)), {})
                    same.setdefault(image, Crop(name, image, int(scale), {})).folders[system] = place
    turns = chain.from_iterable(zip_longest(*(sorted(group.values(), key=_image) for group in crops.values())))
    return [crop for crop in turns if crop][:count]


def _image(crop: Crop) -> str:
    return crop.image


def _set_of(place: Path, sets: list[str]) -> str:
    return max((name for name in sets if place.name.startswith(f"{name}_")), key=len)


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
    failing: pd.DataFrame,
    sensitive: pd.DataFrame,
    pruned: pd.DataFrame,
    downscaled: pd.DataFrame,
    compressed: pd.DataFrame,
    searched: pd.DataFrame,
    subnets: pd.DataFrame,
    swept: pd.DataFrame,
    operators: pd.DataFrame,
    crops: list[Crop],
    figures: dict[str, dict[str, list[Path]]],
    of: Provenance,
) -> None:
    """Write the page.

    ``table`` and ``failing`` as ``tables`` gives them, ``sensitive`` as ``sensitivity.worst``, ``pruned`` as
    ``pruning.compared``, ``downscaled`` and ``compressed`` as ``downscaling.compared`` and ``curves``, ``searched`` and
    ``subnets`` as ``searching.read``, ``swept`` as ``threads.read``, ``operators`` as ``nodes.read`` does; ``figures``
    of ``pareto``, ``waterfall``, ``pruning`` and ``jpeg`` for each set the light and the dark PNG, of ``search`` for
    each search, of ``nodes`` once. What the Content-Security-Policy does not name, all network access among it, the
    browser refuses.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    grids, sources = published.grids(published.beside(table))
    sets = list(dict.fromkeys(table["set"]))
    style, script = ((HERE / f"page.{kind}").read_text(encoding="utf-8") for kind in ("css", "js"))
    template = environment.get_template("page.html")
    html = template.render(
        title=title,
        policy=f"default-src 'none'; img-src data:; style-src '{_hash(style)}'; script-src '{_hash(script)}'; "
        "base-uri 'none'; form-action 'none'",
        style=Markup(style),  # noqa: S704  ours, from this folder, as is the script
        script=Markup(script),  # noqa: S704
        systems=list(dict.fromkeys(tables.deployed(table)["system"])),
        sets=sets,
        filters=_filters(table),
        quality=verdict.quality(table),
        speed=verdict.speed(table),
        fastest=verdict.fastest(table),
        agreement=verdict.agreement(table),
        timed=verdict.timed(table),
        columns=tables.COLUMNS,
        rows=_rows(table),
        failing=[f"{' '.join(tables.line(row, tables.COLUMNS[:4]))}: {row['fails']}" for _, row in failing.iterrows()],
        best_is_large=BEST_IS_LARGE,
        variant_names=tables.VARIANTS,
        grids=grids,
        sources=sources,
        published=_published(table),
        figures={
            name: {of_set: [_data_uri(png) for png in pair] for of_set, pair in of_sets.items()}
            for name, of_sets in figures.items()
        },
        texts={
            name: {of_set: text(rows[rows["set"] == of_set]) for of_set in dict.fromkeys(rows["set"])}
            for name, text, rows in (
                ("pareto", _pareto_text, table),
                ("waterfall", _waterfall_text, table),
                ("pruning", pruning.in_words, pruned),
                ("jpeg", downscaling.in_words, compressed),
                ("search", searching.in_words, subnets),
            )
        }
        | {"nodes": {"nodes": nodes.in_words(operators)}},
        sensitive_columns=sensitivity.COLUMNS,
        sensitive=[tables.line(row, sensitivity.COLUMNS) for _, row in sensitive.iterrows()],
        swept_columns=threads.columns(swept),
        swept=[tables.line(row, threads.columns(swept)) for _, row in swept.iterrows()],
        node_columns=nodes.COLUMNS,
        measured_on=operators.iloc[0],
        nodes=[tables.line(row, nodes.COLUMNS) for _, row in operators.iterrows()],
        pruned_columns=pruning.COLUMNS,
        pruned=[tables.line(row, pruning.COLUMNS) for _, row in pruned.iterrows()],
        downscaled_columns=downscaling.COLUMNS,
        downscaled=[tables.line(row, downscaling.COLUMNS) for _, row in downscaled.iterrows()],
        searched_columns=searching.COLUMNS,
        searched=[tables.line(row, searching.COLUMNS) for _, row in searched.iterrows()],
        front_columns=searching.FRONT,
        front=[tables.line(row, searching.FRONT) for _, row in searching.front(subnets).iterrows()],
        crops=[_slider(crop) for crop in crops],
        of=of,
    )
    with whole_file(path) as aside:
        aside.write_text(html, encoding="utf-8", newline="\n")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _data_uri(png: Path) -> str:
    return "data:image/png;base64," + base64.b64encode(png.read_bytes()).decode()


def _filters(table: pd.DataFrame) -> list[dict[str, Any]]:
    files = tables.deployed(table)
    return [
        {"key": key, "label": key.capitalize(), "names": {value: show(value) for value in dict.fromkeys(files[key])}}
        for key, show in (
            ("scale", lambda scale: f"×{scale:.0f}"),
            ("set", str),
            ("system", str),
            ("variant", lambda variant: tables.VARIANTS.get(variant, variant)),
        )
    ]


def _rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    chosen = tables.headline(table).index
    rows = []
    for index, row in table.iterrows():
        numbers = [row[column.name] if column.shown else "" for column in tables.COLUMNS]
        rows.append(
            {
                "keys": {key: row[key] for key in ("system", "set", "variant")} | {"scale": int(row["scale"])},
                "bicubic": row["variant"] == "bicubic",
                "headline": index in chosen,
                "cells": tables.line(row, tables.COLUMNS),
                "values": ["" if isinstance(n, float) and math.isnan(n) else n for n in numbers],
            }
        )
    return rows


def _published(table: pd.DataFrame) -> list[dict[str, Any]]:
    theirs = published.published()
    theirs = theirs[theirs["system"].isin(table["system"])]
    return [
        {
            **row,
            "metric": published.METRICS[row["metric"]],
            "value": f"{row['value']:.{4 if row['metric'] == 'ssim_y' else 2}f}",
        }
        for _, row in theirs.iterrows()
    ]


def _pareto_text(table: pd.DataFrame) -> str:
    """The figure in words, for who cannot see it."""
    parts = []
    for scale, rows in table.groupby("scale"):
        best = front(tables.exported(rows[rows["p50_ms"].notna()]))
        points = [
            " ".join(tables.line(row, tables.COLUMNS[:3])) + f", {row['ms_per_mp']:.1f} ms and {row['psnr_y']:.2f} dB"
            for _, row in best.iterrows()
        ]
        parts.append(f"×{scale:.0f}: " + "; ".join(points))
    name = table["set"].iloc[0]
    return f"PSNR Y on {name} against p50 per output megapixel. The Pareto front, fastest first. {'. '.join(parts)}."


def _waterfall_text(table: pd.DataFrame) -> str:
    parts = []
    for (scale, system), rows in tables.deployed(table).groupby(["scale", "system"], sort=False):
        steps = ", ".join(
            f"{tables.VARIANTS.get(row['variant'], row['variant'])} {row['gain_db']:+.2f} dB"
            for _, row in rows.iterrows()
        )
        parts.append(f"{system} ×{scale:.0f}: {steps}")
    return f"PSNR Y over bicubic of each variant on {table['set'].iloc[0]}. {'. '.join(parts)}."


def _slider(crop: Crop) -> dict[str, Any]:
    """The layers of one crop: HR, bicubic, and of each system fp32 and its smallest variant."""
    from PIL import Image

    anyone = next(iter(crop.folders.values()))
    pngs = {"hr": (anyone / "hr.png", "HR"), "bicubic": (anyone / "bicubic.png", "bicubic")}
    for system, folder in crop.folders.items():
        small = next((variant for variant in SMALL if (folder / f"{variant}.png").is_file()), "")
        for variant in ("fp32", small):
            pngs[f"{system}-{variant}"] = folder / f"{variant}.png", f"{system} {tables.VARIANTS.get(variant, variant)}"
    layers = []
    for name, (png, label) in pngs.items():
        if png.is_file():
            with Image.open(png) as image:
                width, height = image.size
            zoom = max(1, round(SHOWN_WIDTH / width))
            size = {"width": zoom * width, "height": zoom * height}
            layers.append({"name": name, "label": label, "data": _data_uri(png)} | size)
    there = [layer["name"] for layer in layers]
    left = "bicubic" if "bicubic" in there else there[0]
    right = next((name for name in reversed(there[:4]) if name not in ("hr", "bicubic")), "hr")
    return {"crop": crop, "layers": layers, "left": left, "right": right}
