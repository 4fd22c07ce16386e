"""The nets that the pipeline has made in this folder, read from ``results/`` alone: params.yaml need not be there."""

from dataclasses import dataclass
from pathlib import Path

from pipeline_src import paths
from pipeline_src.errors import UserError
from pipeline_src.files import read_json
from pipeline_src.library import machines
from pipeline_src.library.entries import Entry, Measurement
from pipeline_src.library.headers import is_supernet, licence, lr_of, provenance, read_header
from pipeline_src.tables import Kind, Row, read_rows

INT8 = ("ptq", "qat")
COLUMNS: dict[str, Kind] = {
    "variant": str, "runtime": str, "scale": int, "set": str, "psnr_y": float | None, "settled": bool | None,
    "p50_ms": float | None, "lr_height": int | None, "lr_width": int | None,
}  # fmt: skip


@dataclass(frozen=True)
class Trained:
    """What is read of the metrics of the stage train: by how many dB the net is above bicubic."""

    over_bicubic: float


def entries() -> list[Entry]:
    """Return the nets of the run in this folder, sorted by name; none where there is no run."""
    found: list[Entry] = []
    for folder in sorted(paths.results("nets").glob("*/")):
        if paths.weights(folder.name).is_file():
            found += [_entry(folder.name, name, weights) for name, weights in paths.nets(folder.name).items()]
    return found


def exported_file(name: str, variant: str, suffix: str, scale: int) -> Path:
    """Return the file of a net, or of a system's downscaler, as the stage export names it.

    Raises:
        UserError: if it was not exported.
    """
    system = name.partition("/")[0]
    file = paths.results("export", name) / f"{variant}_x{scale}{suffix}"
    if not file.is_file():
        raise UserError(f"{file} does not exist; run `make report` (or `dvc repro export@{system}`) to make it")
    return file


def _entry(system: str, name: str, weights: Path) -> Entry:
    header, downscaler = read_header(weights), paths.downscaler_weights(system)
    exported = paths.results("export", name)
    states = {variant: paths.quantized(name, variant) for variant in INT8}
    machine = machines.read(name) if (paths.results("benchmark", name) / paths.MACHINE).is_file() else None
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
        measurements=tuple(_measurements(paths.results("benchmark", name) / "benchmark.csv", system)),
        measured_on=str(machine or ""),
        measured_elsewhere=machine is not None and not machine.is_like_this_one,
        validation=_validation(system, name),
        provenance=provenance(header),
        licence=licence(header),
    )


def _validation(system: str, name: str) -> dict[str, float]:
    """Return by how many dB each variant of a net is above bicubic on the validation images."""
    quantized, trained = (paths.results(stage, system) / "metrics.json" for stage in ("quantize", "train"))
    if quantized.is_file():
        nets = read_json(quantized, dict[str, dict[str, dict[str, float]]], paths.remedy("quantize", system))
        rows = nets.get(name, {})
        return {variant: row["over_bicubic"] for variant, row in rows.items() if "over_bicubic" in row}
    if name == system and trained.is_file():
        return {"fp32": read_json(trained, Trained, paths.remedy("train", system)).over_bicubic}
    return {}


def _measurements(table: Path, system: str) -> list[Measurement]:
    if not table.is_file():
        return []
    rows = [row for row in read_rows(table, COLUMNS, paths.remedy("benchmark", system)) if row["psnr_y"] is not None]
    bicubic = {(row["set"], row["scale"]): row["psnr_y"] for row in rows if row["variant"] == "bicubic"}
    return [
        _measurement(row, bicubic[row["set"], row["scale"]])
        for row in rows
        if row["variant"] != "bicubic" and (row["set"], row["scale"]) in bicubic
    ]


def _measurement(row: Row, bicubic: float) -> Measurement:
    settled = row["settled"] and row["p50_ms"]
    return Measurement(
        set_name=row["set"],
        scale=row["scale"],
        variant=row["variant"],
        runtime=row["runtime"],
        psnr_y=row["psnr_y"],
        over_bicubic=row["psnr_y"] - bicubic,
        p50_ms=row["p50_ms"] if settled else None,
        lr_size=(row["lr_height"], row["lr_width"]) if settled else None,
    )
