"""The nets that the pipeline has made in this folder, read from ``results/`` alone: params.yaml need not be there."""

import csv
from pathlib import Path
from typing import Any

from pipeline_src import paths
from pipeline_src.errors import UserError
from pipeline_src.files import read_json
from pipeline_src.library.entries import Entry, Measurement
from pipeline_src.library.headers import is_supernet, licence, lr_of, provenance, read_header

INT8 = ("ptq", "qat")


def entries() -> list[Entry]:
    """Return the nets of the run in this folder, sorted by name; none where there is no run."""
    found: list[Entry] = []
    for folder in sorted(paths.results("nets").glob("*/")):
        if paths.weights(folder.name).is_file():
            found += [_entry(folder.name, name, weights) for name, weights in paths.nets(folder.name).items()]
    return found


def exported_file(entry: Entry, variant: str, suffix: str, scale: int) -> Path:
    """Return the file of a net as the stage export names it.

    Raises:
        UserError: if it was not exported.
    """
    system = entry.name.partition("/")[0]
    file = paths.results("export", entry.name) / f"{variant}_x{scale}{suffix}"
    if not file.is_file():
        raise UserError(f"{file} does not exist; run `make report` (or `dvc repro export@{system}`) to make it")
    return file


def _entry(system: str, name: str, weights: Path) -> Entry:
    header, downscaler = read_header(weights), paths.downscaler(system) / "weights.safetensors"
    exported = paths.results("export", name)
    states = {variant: paths.quantized(name, variant) for variant in INT8}
    return Entry(
        name=name,
        source="run",
        model=str(header["model"]),
        scales=tuple(header["scales"]),
        supernet=is_supernet(header),
        lr=lr_of(header),
        weights=weights,
        quantized={variant: file for variant, file in states.items() if file.is_file()},
        exported=exported if exported.is_dir() else None,
        downscaler=downscaler if downscaler.is_file() else None,
        measurements=tuple(_measurements(paths.results("benchmark", name) / "benchmark.csv")),
        validation=_validation(system, name),
        provenance=provenance(header),
        licence=licence(header),
    )


def _validation(system: str, name: str) -> dict[str, float]:
    """Return by how many dB each variant of a net is above bicubic on the validation images."""
    quantized, trained = (paths.results(stage, system) / "metrics.json" for stage in ("quantize", "train"))
    if quantized.is_file():
        rows: dict[str, dict[str, float]] = read_json(quantized).get(name, {})
        return {variant: row["over_bicubic"] for variant, row in rows.items() if "over_bicubic" in row}
    if name == system and trained.is_file():
        return {"fp32": read_json(trained)["over_bicubic"]}
    return {}


def _measurements(table: Path) -> list[Measurement]:
    if not table.is_file():
        return []
    with table.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["psnr_y"]]
    bicubic = {(row["set"], row["scale"]): float(row["psnr_y"]) for row in rows if row["variant"] == "bicubic"}
    return [
        _measurement(row, bicubic[row["set"], row["scale"]])
        for row in rows
        if row["variant"] != "bicubic" and (row["set"], row["scale"]) in bicubic
    ]


def _measurement(row: dict[str, Any], bicubic: float) -> Measurement:
    settled = row["settled"] == "True" and row["p50_ms"]
    return Measurement(
        set_name=row["set"],
        scale=int(row["scale"]),
        variant=row["variant"],
        runtime=row["runtime"],
        psnr_y=float(row["psnr_y"]),
        over_bicubic=float(row["psnr_y"]) - bicubic,
        p50_ms=float(row["p50_ms"]) if settled else None,
        lr_size=(int(float(row["lr_height"])), int(float(row["lr_width"]))) if settled else None,
    )
