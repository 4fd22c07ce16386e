"""Results as the stages before the report write them. The photographs are real, the timings are invented."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from pipeline_src import paths
from pipeline_src.devices import rows as device_rows
from pipeline_src.reporting import page, sections, tables
from pipeline_src.reporting import timing as timing_of
from pipeline_src.reporting.data import ReportData

ROOT = Path(__file__).parents[2]
MEASURED = Path("results/benchmark")
SYSTEMS = ["abpn_x3", "small_x3"]
SETS = ("samples_heldout", "Set5")
BICUBIC = {"samples_heldout": 27.31, "Set5": 30.40}
GAINS = {"abpn_x3": {"fp32": 0.95, "ptq": 0.71, "qat": 0.89}, "small_x3": {"fp32": 0.31, "ptq": -0.12, "qat": 0.0}}
MS = {
    "fp32": {"tflite": 78.2, "onnx": 61.0, "openvino": 58.4, "torch": 95.0},
    "ptq": {"tflite": 25.1, "onnx": 59.5, "openvino": 24.0, "torch": 180.0},
    "qat": {"tflite": 24.9, "onnx": 72.0, "openvino": 31.0, "torch": 181.0},
}
KIB = {"fp32": 172, "ptq": 54, "qat": 55}
PARAMS = {
    "abpn_x3": {"channels": 28, "depth": 4},
    "small_x3": {"channels": 12, "depth": 2},
}

# many systems: system → scales, gain of fp32 at ×2 in dB, ms per output megapixel at ×2, params
MANY_SETS = {"samples_heldout": 30.1, "Set5": 33.6}  # PSNR of bicubic at ×2
MANY = {
    "abpn_x2": ([2], 3.1, 24, 33_464), "abpn_x3": ([3], 3.0, 26, 42_539), "abpn_x4": ([4], 2.9, 30, 62_048),
    "vdsr": ([2, 3, 4], 3.5, 2900, 664_704), "carn": ([2, 3, 4], 4.1, 1050, 1_591_963),
    "carn_m": ([2, 3, 4], 3.8, 420, 414_811), "ecdn": ([2, 3, 4], 3.8, 590, 694_555),
    "ecdn_m": ([2, 3, 4], 3.7, 380, 396_955), "edsr_baseline_x2": ([2], 4.2, 1500, 1_369_859),
    "edsr_baseline_x3": ([3], 4.2, 1550, 1_554_499), "edsr_baseline_x4": ([4], 4.2, 1600, 1_517_571),
}  # fmt: skip


PRUNED = {  # pruned nets of vdsr: the specification, dB lost, and how many times faster and smaller
    "l1_25": ({"pruner": "l1", "sparsity": 0.25}, 0.1, 1.7), "l1_50": ({"pruner": "l1", "sparsity": 0.5}, 0.3, 3.6),
    "l1_90": ({"pruner": "l1", "sparsity": 0.9}, 1.9, 30), "fpgm_50": ({"pruner": "fpgm", "sparsity": 0.5}, 0.4, 3.6),
    "level_50": ({"pruner": "level", "sparsity": 0.5, "exclude": ["body.0"]}, 0.05, 1),
}  # fmt: skip


def timing(p50: float, p90: float, iqr: float) -> dict[str, Any]:
    """Return the cells of a settled latency, of which the runtime's own call is nine tenths."""
    times = {"p50_ms": p50, "p50_low_ms": 0.985 * p50, "p50_high_ms": 1.015 * p50}
    infer = {f"infer_{name}": 0.9 * ms for name, ms in times.items()}
    return {"runs": 50, "p90_ms": p90, "iqr_ms": iqr, "settled": True, "infer_settled": True} | times | infer


def pruned_rows(name: str) -> list[dict[str, Any]]:
    """Return the rows of :func:`many_rows` for the pruned net vdsr/<name>."""
    _, lost, times = PRUNED[name]
    rows = [row | {"system": f"vdsr/{name}"} for row in many_rows("vdsr")]
    for row in rows:
        if row["variant"] != "bicubic":
            row |= {key: row[key] / times for key in row if key.endswith("_ms")}
            row |= {key: round(row[key] / times) for key in ("file_bytes", "mult_adds", "params")}
            row["psnr_y"] -= lost
    return rows


def many_rows(system: str) -> list[dict[str, Any]]:
    """Return as many rows as the full pipeline measures; slow systems are timed at a quarter of the size."""
    scales, gain, ms, params = MANY[system]
    rows = []
    for scale in scales:
        height, width = (360, 640) if ms < 1000 else (180, 320)
        megapixels = height * width * scale**2 / 1e6
        for name, bicubic in MANY_SETS.items():
            psnr = bicubic - 3.2 * (scale - 2) + 0.5 * (scale - 2) ** 2
            key = {"system": system, "scale": scale, "set": name, "images": 5}
            rows.append(key | {"variant": "bicubic", "psnr_y": psnr, "ssim_y": 0.93 - 0.07 * (scale - 2)})
            times = 2 + params % 7 / 5
            for variant, loss, faster in (("fp32", 0, 1), ("ptq", 0.13 * gain / 4, times), ("qat", 0.05, times)):
                won = gain * (4 / scale - 0.6) / 1.4 * (0.8 if name == "Set5" else 1) - loss
                won = -0.2 if (system, scale, variant) == ("ecdn_m", 3, "ptq") else won
                for runtime, slower in (("onnx", 1.3 * faster**1.2), ("tflite", 1), ("openvino", 0.8)):
                    p50 = ms * (2 / scale) ** 1.6 * megapixels * slower / faster
                    rows.append(
                        key
                        | {"variant": variant, "runtime": runtime, "lr_height": height, "lr_width": width, "threads": 2}
                        | {"psnr_y": psnr + won, "ssim_y": 0.93 - 0.07 * (scale - 2) + won / 120}
                        | timing(p50, 1.1 * p50, 0.04 * p50)
                        | {"file_bytes": params * (4 if loss == 0 else 1)}
                        | {"peak_memory_mb": 90 + ms / 4, "params": params, "mult_adds": int(params * 4e5 / scale**2)}
                        | {"off_levels": 1, "off_share": 0.0, "off_psnr": 58.2, "disagrees": ""}
                        | {"weights": "trained here", "dtype": "float32", "psnr_rgb_shave1": psnr + won - 1.8}
                    )
    return rows


def benchmark_rows(system: str) -> list[dict[str, object]]:
    rows = []
    for name in SETS:
        key = {"system": system, "scale": 3, "set": name, "images": 5}
        psnr = BICUBIC[name]
        rows.append(key | {"variant": "bicubic", "psnr_y": psnr, "ssim_y": 0.81, "psnr_rgb": psnr - 1.7})
        for variant, gain in GAINS[system].items():
            for runtime, ms in MS[variant].items():
                speed = 1 if system == "abpn_x3" else 0.4
                rows.append(
                    key
                    | {"variant": variant, "runtime": runtime, "lr_height": 360, "lr_width": 640, "threads": 2}
                    | {"psnr_y": psnr + gain, "ssim_y": 0.81 + gain / 50, "psnr_rgb": psnr - 1.7 + gain}
                    | timing(speed * ms, speed * ms * 1.08, speed * ms * 0.03)
                    | {"file": f"{variant}_x3.{runtime}", "file_bytes": 1024 * KIB[variant], "peak_memory_mb": 141.2}
                    | {"params": 42539, "mult_adds": 4343750656}
                    | {"off_levels": 2, "off_share": 0.0, "off_psnr": 55.1, "disagrees": ""}
                    | {"weights": "trained here", "dtype": "float32", "psnr_rgb_shave1": psnr - 1.8 + gain}
                )
    return rows


# a large report: 40 nets on 6 sets; LARGE_DEVICES are how many times as long a file takes on each
LARGE_SETS = {"samples_heldout": 30.1, "Set5": 33.6, "Set14": 30.2, "B100": 29.5, "Urban100": 26.9, "Manga109": 30.8}
LARGE_DEVICES = {"here": 1.0, "pi": 4.5, "phone": 1.7}
LARGE_NETS = [f"net_{index:02}_x{2 + index % 3}" for index in range(40)]


def large_rows(net: str) -> list[dict[str, Any]]:
    """Return the rows of one net of the large report: the larger, the slower and the better."""
    index, scale = int(net[4:6]), int(net[-1])
    rows = []
    for place, (name, bicubic) in enumerate(LARGE_SETS.items()):
        psnr = bicubic - 2.2 * (scale - 2)
        key = {"system": net, "scale": scale, "set": name, "images": 5}
        rows.append(key | {"variant": "bicubic", "psnr_y": psnr, "ssim_y": 0.9 - 0.06 * (scale - 2)})
        for variant, loss, faster, kib in (("fp32", 0.0, 1.0, 4), ("ptq", 0.09, 3.1, 1), ("qat", 0.04, 3.0, 1)):
            for runtime, slower in (("tflite", 1.0), ("openvino", 1.13), ("onnx", 1.4)):
                p50 = 1.5 * 1.13**index * slower / faster * (1 + index * 7 % 5 / 20)
                won = 0.5 + 0.06 * index - loss + 0.03 * place
                rows.append(
                    key
                    | {"variant": variant, "runtime": runtime, "lr_height": 180, "lr_width": 320, "threads": 2}
                    | {"psnr_y": psnr + won, "ssim_y": 0.9 + won / 90, "psnr_rgb_shave1": psnr + won - 1.8}
                    | timing(p50, 1.1 * p50, 0.04 * p50)
                    | {"file": f"{variant}_x{scale}.{runtime}", "file_bytes": 1024 * kib * (20 + 9 * index)}
                    | {"peak_memory_mb": 40.0 + index, "params": 9000 * (1 + index), "mult_adds": 10**9 * (1 + index)}
                    | {"off_levels": 1, "off_share": 0.0, "off_psnr": 58.2, "disagrees": ""}
                    | {"weights": "trained here", "dtype": "float32"}
                )
    return rows


def write_large(root: Path) -> None:
    """Write params.yaml and the results of 40 nets on 6 sets, each with crops."""
    root.mkdir(parents=True)
    write_root(root, {net: {"scales": [int(net[-1])]} for net in LARGE_NETS}, tuple(LARGE_SETS))
    for net in LARGE_NETS:
        write_crops(write_benchmark(root, net, large_rows(net)) / "crops", int(net[-1]), ("samples_heldout", "Set5"))


def on_devices(data: ReportData, times: dict[str, float]) -> ReportData:
    """Return the same measurements on several devices, of which each takes so many times as long.

    In the working folder, the table of each device says that nothing failed there.
    """
    for device in times.keys() - {"here"}:
        paths.measured(device).mkdir(parents=True, exist_ok=True)
        device_rows.write(paths.measured(device), [])
    files = data.table[data.table["variant"] != "bicubic"]
    latencies = [name for name in files if str(name).endswith("_ms") or name == "ms_per_mp"]
    copies = [files.assign(device=name, **{c: files[c] * factor for c in latencies}) for name, factor in times.items()]
    for rows in copies:
        rows["p50_note"] = timing_of.precisions(rows)
    bicubic = data.table[data.table["variant"] == "bicubic"]
    table = pd.concat([bicubic, *copies]).sort_values(["scale", "set"], kind="stable", ignore_index=True)
    return replace(data, table=table)


def write_page(data: ReportData, out: Path) -> Path:
    """Write the page of measurements as the stage report does, and return its path."""
    made = [section for build in sections.SECTIONS if (section := build(data))]
    (out / "figures").mkdir(parents=True)
    for section in made:
        section.draw(out / "figures")
    page.write(out / "index.html", data, made, out / "figures")
    return out / "index.html"


def write_crops(folder: Path, scale: int = 3, sets: tuple[str, ...] = SETS) -> None:
    from skimage import data

    photographs = {
        ("samples_heldout", "chelsea"): (data.chelsea(), 40, 110),
        ("samples_heldout", "coffee"): (data.coffee(), 60, 160),
        ("Set5", "astronaut"): (data.astronaut(), 80, 120),
        ("Set5", "rocket"): (data.rocket(), 60, 200),
    }
    side = 64 * scale
    for (name, image), (photograph, top, left) in photographs.items():
        if name not in sets:
            continue
        hr = Image.fromarray(photograph[top : top + side, left : left + side])
        bicubic = hr.resize((64, 64), Image.Resampling.BICUBIC).resize(hr.size, Image.Resampling.BICUBIC)
        fp32 = Image.blend(bicubic, hr, 0.5)
        int8 = Image.fromarray((np.asarray(fp32) // 4 * 4).astype(np.uint8))
        crop = folder / f"{name}_{image}_x{scale}"
        crop.mkdir(parents=True)
        for variant, pixels in {"hr": hr, "bicubic": bicubic, "fp32": fp32, "ptq": int8, "qat": int8}.items():
            pixels.save(crop / f"{variant}.png", compress_level=1)


def write_operators(folder: Path) -> None:
    """Write operators.csv as the stage operators does; OpenVINO crashes on one operator."""
    rows = []
    for number, operator in enumerate(("3×3 convolution", "ReLU", "bilinear resize ×3")):
        key = {"operator": operator, "channels": 28, "height": 360, "width": 640, "threads": 2}
        for runtime, slower in (("tflite", 1.0), ("openvino", 0.7)):
            for precision, ms in (("float32", 20.5 / (1 + number)), ("int8", 6.25 / (1 + number))):
                figures = timing(slower * ms, slower * ms * 1.1, slower * ms * 0.04)
                rows.append(key | {"precision": precision, "runtime": runtime, "fails": ""} | figures)
    rows[-1] = {name: rows[-1][name] for name in (*key, "precision", "runtime")} | {
        "fails": "OpenVINO crashes on it (signal 11)"
    }
    folder.mkdir(parents=True)
    pd.DataFrame(rows).to_csv(folder / "operators.csv", index=False)


def write_sensitivity(folder: Path) -> None:
    """Write sensitivity.csv of one system as the stage quantize does."""
    rows = [{"scale": 3, "layer": f"body.{2 * i}", "lost_db": 0.01 * i - 0.005} for i in range(5)]
    folder.mkdir(parents=True)
    pd.DataFrame(rows).to_csv(folder / "sensitivity.csv", index=False)


def write_root(
    root: Path,
    systems: dict[str, dict[str, object]],
    sets: tuple[str, ...],
    prune: dict[str, dict[str, object]] | None = None,
) -> None:
    """Write params.yaml and the results of the stages quantize and operators.

    Args:
        root: the working folder.
        systems: for each system what differs from the entry of abpn_x3.
        sets: the evaluation sets.
        prune: the section ``prune``.
    """
    import yaml

    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["sets"] = {"samples": {"role": "training"}} | {name: {"role": "evaluation"} for name in sets}
    params["systems"] = {name: params["systems"]["abpn_x3"] | changes for name, changes in systems.items()}
    params["prune"], params["search"] = prune or {}, {}
    params["report"] = {"title": "Super-resolution <at> the edge", "crops": 4}
    for name in systems:
        write_sensitivity(root / "results/quantize" / name)
    write_operators(root / "results/operators")
    (root / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))


def write_benchmark(root: Path, system: str, rows: list[dict[str, object]]) -> Path:
    machine = {
        "cpu": "Model <9> & Co @ 2.10GHz",
        "cores": 2,
        "memory_gib": 7.8,
        "versions": {"onnxruntime": "1.23.0", "ai-edge-litert": "2.0.3"},
        "measured": "2026-01-02T03:04:05+00:00",
    }
    folder = root / "results" / "benchmark" / system
    folder.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows).assign(fails="").to_csv(folder / "benchmark.csv", index=False)
    (folder / "machine.json").write_text(json.dumps(machine))
    return folder


def enter(root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(root)
    monkeypatch.setenv("SR_TRACKING", "off")
    return root


def section_of(page: str, name: str) -> str:
    """Return the HTML of one section of the page."""
    section = page[page.index(f'<section id="{name}"') :]
    return section[: section.index("</section>")]


def pixels(path: Path) -> np.ndarray:
    """Return the pixels of a PNG, uint8 H×W×3."""
    with Image.open(path) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB"))


def colours(image: np.ndarray) -> set[str]:
    """Return the colours of an image as ``#rrggbb``."""
    return {"#{:02x}{:02x}{:02x}".format(*colour) for colour in np.unique(image.reshape(-1, 3), axis=0)}


def pick(table: pd.DataFrame, **where: object) -> pd.Series:
    """Return the one row with the given cells."""
    for name, value in where.items():
        table = table[table[name] == value]
    assert len(table) == 1
    return table.iloc[0]


def change(system: str, edit: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    """Edit the benchmark of a system."""
    path = MEASURED / system / "benchmark.csv"
    rows = pd.read_csv(path)
    edit(rows).to_csv(path, index=False)


def with_cells(variant: str, runtime: str, **cells: object) -> pd.DataFrame:
    """Return the table after changing cells of one kind of file of abpn_x3."""

    def edit(rows: pd.DataFrame) -> pd.DataFrame:
        these = (rows["variant"] == variant) & (rows["runtime"] == runtime)
        assert these.any()
        for name, value in cells.items():
            rows[name] = rows[name].astype(object).mask(these, value)
        return rows

    change("abpn_x3", edit)
    return tables.read(MEASURED, SYSTEMS, list(SETS))


def faster_than(table: pd.DataFrame, variant: str, runtime: str) -> str:
    """Return what the column ``faster`` says of one kind of file of abpn_x3."""
    (text,) = set(table.query(f"system == 'abpn_x3' and variant == '{variant}' and runtime == '{runtime}'")["faster"])
    return str(text)


def column(tab: Any, title: str) -> list[str]:
    """Return the visible cells of one column of the table of all measurements."""
    titles = tab.locator("#measurements thead th").all_inner_texts()
    place = next(index for index, text in enumerate(titles) if text.startswith(title))
    return tab.locator(f"#measurements tbody tr > :nth-child({place + 1})").all_inner_texts()
