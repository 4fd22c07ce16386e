"""Measure the exported files of one system: quality on every evaluation set, latency, memory and size."""

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline_src import command, tracking
from pipeline_src import params as settings

if TYPE_CHECKING:
    import numpy as np

    from pipeline_src.deployment.cards import Card
    from pipeline_src.deployment.runtimes import Runner

QUALITY = ["psnr_y", "ssim_y", "psnr_rgb", "ssim_rgb"]
ROW = ["system", "variant", "runtime", "scale", "set"]


def benchmark(system: str) -> None:
    params = settings.load()
    import pandas as pd

    from pipeline_src.deployment import cards
    from pipeline_src.evaluation import machine
    from pipeline_src.evaluation.latency import pin
    from pipeline_src.files import whole_folder

    spec, sets, threads = params.benchmark, params.sets_for("evaluation"), params.threads
    files = cards.of_folder(settings.results("export", system))
    pin(threads)
    with (
        tracking.stage_run("benchmark", system, {"sets": sets, "threads": threads, **spec.model_dump()}) as run,
        whole_folder(settings.results("benchmark", system)) as out,
    ):
        images = pd.DataFrame(_quality(system, files, sets, spec, threads, out / "crops"))
        images.to_csv(out / "images.csv", index=False)
        costs = pd.DataFrame(_costs(files, params.export.timing_size, spec, threads))
        means = images.groupby(ROW, sort=False)[QUALITY].mean()
        means.insert(0, "images", images.groupby(ROW, sort=False).size())
        table = means.reset_index().merge(costs, how="left", on=["variant", "runtime", "scale"])
        table.to_csv(out / "benchmark.csv", index=False)
        (out / "machine.json").write_text(json.dumps(machine.describe(threads), indent=2) + "\n")
        for row in table[table["runtime"] != ""].to_dict("records"):
            where = f"{row['variant']}_{row['runtime']}_x{row['scale']}"
            run.log_metrics({f"{where}_{row['set']}_psnr_y": row["psnr_y"], f"{where}_p50_ms": row["p50_ms"]})
        run.log_artifact(out / "benchmark.csv")


def _quality(
    system: str, files: dict[Path, "Card"], sets: list[str], spec: settings.Benchmark, threads: int, crops: Path
) -> Iterator[dict[str, Any]]:
    """One row per image for bicubic and for every file of any size; saves the crops of the first images on the way."""
    from tqdm import tqdm

    from pipeline_src.data.images import list_images, write_png
    from pipeline_src.deployment import runtimes
    from pipeline_src.evaluation.images import as_rgb, like, load
    from pipeline_src.evaluation.metrics import quality

    for scale in sorted({card.scale for card in files.values()}):
        runners = [
            (card, runtimes.load(file, threads))
            for file, card in files.items()
            if card.scale == scale and not card.size
        ]
        for name in sets:
            paths = list_images(settings.images_folder("evaluation", name))
            for index, path in enumerate(tqdm(paths, f"{system} ×{scale} on {name}", unit="image")):
                image = load(path, scale, threads)
                place = {"system": system, "scale": scale, "set": name, "image": image.name}
                shown = {"hr": image.hr, "bicubic": image.bicubic(threads)}
                scores = quality(image.hr, shown["bicubic"], scale, threads=threads)
                yield place | {"variant": "bicubic", "runtime": ""} | asdict(scores)
                for card, runner in runners:
                    sr = like(runner(as_rgb(image.lr)), image.hr)
                    scores = quality(image.hr, sr, scale, threads=threads)
                    yield place | {"variant": card.variant, "runtime": card.format} | asdict(scores)
                    if card.format == "tflite":
                        shown[card.variant] = sr
                if index < spec.crops:
                    window = image.crop(spec.crop_size)
                    for label, picture in shown.items():
                        write_png(crops / f"{name}_{image.name}_x{scale}" / f"{label}.png", picture[window])


def _costs(files: dict[Path, "Card"], size: list[int], spec: settings.Benchmark, threads: int) -> list[dict[str, Any]]:
    """One row per variant × runtime × scale: latency in turns, peak memory and file size, at the timing size.

    Where a format has a file of fixed size, that is the file timed; quality was measured on its twin of any size.
    """
    import numpy as np

    from pipeline_src.deployment import runtimes
    from pipeline_src.deployment.cards import parts_of
    from pipeline_src.evaluation.latency import in_turns
    from pipeline_src.evaluation.memory import peak_memory_mb

    fixed = {(card.variant, card.format, card.scale) for card in files.values() if card.size}
    timed = {
        file: card for file, card in files.items() if card.size or (card.variant, card.format, card.scale) not in fixed
    }
    lr = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    calls = {file.name: _timed(runtimes.load(file, threads), lr) for file in timed}
    latency = in_turns(calls, warmup=spec.warmup, runs=spec.runs, min_seconds=spec.min_seconds)
    return [
        {"variant": card.variant, "runtime": card.format, "scale": card.scale}
        | {"lr_height": size[0], "lr_width": size[1], "threads": threads, "runs": latency[file.name]["whole"].runs}
        | {
            f"{prefix}{key}": getattr(latency[file.name][part], key)
            for prefix, part in (("", "whole"), ("infer_", "infer"))
            for key in ("p50_ms", "p90_ms", "iqr_ms")
        }
        | {"file": file.name, "file_bytes": sum(part.stat().st_size for part in parts_of(file))}
        | {"peak_memory_mb": peak_memory_mb(file, size[0], size[1], threads)}
        | {"params": card.parameters, "mult_adds": card.mult_adds}
        for file, card in timed.items()
    ]


def _timed(runner: "Runner", lr: "np.ndarray") -> Callable[[], dict[str, float]]:
    from time import perf_counter

    def call() -> dict[str, float]:
        start = perf_counter()
        tensor = runner.to_input(lr)
        before = perf_counter()
        result = runner.infer(tensor)
        after = perf_counter()
        runner.to_output(result)
        return {"whole": 1e3 * (perf_counter() - start), "infer": 1e3 * (after - before)}

    return call


if __name__ == "__main__":
    command.stage(benchmark, "system")
