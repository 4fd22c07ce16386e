"""Measure the exported files of one system's nets: quality on every evaluation set, latency, memory and size.

And whether each file gives the image here that its net gave in torch when it was exported.
"""

import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline_src import command, downscaling, tracking
from pipeline_src import params as settings
from pipeline_src.errors import UserError

if TYPE_CHECKING:
    import numpy as np

    from pipeline_src.deployment.cards import Card
    from pipeline_src.deployment.runtimes import Runner
    from pipeline_src.evaluation.images import EvaluationImage

QUALITY = ["psnr_y", "ssim_y", "psnr_rgb", "ssim_rgb"]
ROW = ["system", "variant", "runtime", "scale", "set"]
SWEPT = ["system", "variant", "runtime", "scale", "lr_height", "lr_width", "threads"]


def benchmark(system: str) -> None:
    params = settings.load()
    import pandas as pd

    from pipeline_src.deployment import cards
    from pipeline_src.evaluation import machine
    from pipeline_src.evaluation.latency import pin
    from pipeline_src.files import whole_folder, write_json

    spec, sets, threads = params.benchmark, params.sets_for("evaluation"), params.benchmark.threads
    exported = cards.of_folder(settings.results("export", system))
    files = {file: card for file, card in exported.items() if not card.fails}
    # Before the run is recorded: MLflow's sampling of the system would be timed along.
    pin(max([threads, *spec.sweep]))
    nets = list(dict.fromkeys(card.system for card in files.values()))
    first = system if system in nets else nets[0]  # of a once-for-all net only subnets are exported
    of_first = {file: card for file, card in files.items() if card.system == first}
    sweep = pd.DataFrame(_sweep(of_first, spec), columns=[*SWEPT, "p50_ms"])
    pin(threads)
    costs = pd.DataFrame(_costs(files, spec, threads))
    downscaler = params.system(system).downscaler
    with (
        tracking.stage_run("benchmark", system, {"sets": sets, **spec.model_dump()}) as run,
        whole_folder(settings.results("benchmark", system)) as out,
    ):
        small = _LR(system, downscaler, threads) if downscaler.learns else None
        crops = out / first.removeprefix(system).strip("/") / "crops"
        agreement = pd.DataFrame(_agreement(files, threads))
        images = pd.DataFrame(_quality(first, files, sets, spec, threads, crops, small))
        if small:
            _study_lr(small, of_first, sets, threads, out)
        means = images.groupby(ROW, sort=False)[QUALITY].mean()
        means.insert(0, "images", images.groupby(ROW, sort=False).size())
        of_file = ["system", "variant", "runtime", "scale"]
        table = means.reset_index().merge(costs, how="left", on=of_file).merge(agreement, how="left", on=of_file)
        table = pd.concat([table.assign(fails=""), pd.DataFrame(_failing(exported, sets))], ignore_index=True)
        for net in nets:
            folder = out / net.removeprefix(system).strip("/")
            folder.mkdir(parents=True, exist_ok=True)
            scales = {card.scale for card in files.values() if card.system == net}
            for rows, name in ((images, "images.csv"), (table, "benchmark.csv")):
                its = rows[rows["system"].eq(net) | rows["variant"].eq("bicubic")]
                its = its[its["scale"].isin(scales)]
                its.assign(system=net).to_csv(folder / name, index=False)
            write_json(folder / "machine.json", machine.describe(threads))
        sweep.to_csv(out / "threads.csv", index=False)
        for row in table[(table["runtime"] != "") & (table["fails"] == "")].to_dict("records"):
            where = "_".join([*row["system"].split("/")[1:], row["variant"], row["runtime"], f"x{row['scale']}"])
            run.log_metrics({f"{where}_{row['set']}_psnr_y": row["psnr_y"], f"{where}_p50_ms": row["p50_ms"]})
        run.log_artifact(crops.parent / "benchmark.csv")


def _failing(files: dict[Path, "Card"], sets: list[str]) -> Iterator[dict[str, Any]]:
    """A row without a measurement for each file that cannot be run, and each set."""
    for card in files.values():
        place = {"system": card.system, "variant": card.variant, "runtime": card.format, "scale": card.scale}
        if card.fails:
            yield from (place | {"set": name, "fails": card.fails} for name in sets)


def _agreement(files: dict[Path, "Card"], threads: int) -> Iterator[dict[str, Any]]:
    """One row per net × variant × runtime × scale: how far from the reference image what its files give here is.

    ``off_levels``, the largest difference; ``off_share``, of the values that are off by more than one level;
    ``off_psnr`` in dB; and ``disagrees``, a sentence on stderr too, where that is another net. A file of fixed size is
    compared with the one of any size, on an image of that size; a row has the worse figures of the two.
    """
    from pipeline_src.data.images import read_image
    from pipeline_src.deployment import reference, runtimes

    for file, card in files.items():
        if card.size:
            continue
        runner = runtimes.load(file, threads)
        lr, expected = read_image(file.with_name(reference.LR_FILE)), read_image(file.with_name(card.reference))
        agreements = [reference.compare(runner(lr), expected)]
        for fixed, fixed_card in files.items():
            if fixed_card.size and _kind(fixed_card) == _kind(card):
                lr = reference.lr_image(*fixed_card.size)
                agreements.append(reference.compare(runtimes.load(fixed, threads)(lr), runner(lr)))
        worst = reference.worst(agreements)
        place = {"system": card.system, "variant": card.variant, "runtime": card.format, "scale": card.scale}
        disagrees = "" if worst.agrees else f"gives another image here than at export: {worst.in_words}"
        if disagrees:
            print(f"{' '.join(str(part) for part in place.values())} {disagrees}", file=sys.stderr)
        yield (
            place
            | {"off_levels": worst.levels, "off_share": 1 - worst.within_one, "off_psnr": worst.psnr}
            | {"disagrees": disagrees}
        )


def _quality(
    first: str,
    files: dict[Path, "Card"],
    sets: list[str],
    spec: settings.Benchmark,
    threads: int,
    crops: Path,
    small: "_LR | None",
) -> Iterator[dict[str, Any]]:
    """One row per image for bicubic and for every file of any size; saves the crops of the ``first`` net on the way.

    ``small`` gives the LR images of a learned downscaler; without it, and for bicubic, they are those of the protocol.

    One upscaler at a time: a runtime keeps the memory of the largest image it has seen.
    """
    from pipeline_src.deployment import runtimes

    for scale in sorted({card.scale for card in files.values()}):
        bicubic = {"system": first, "variant": "bicubic", "runtime": "", "scale": scale}
        here = any(card.system == first and card.scale == scale for card in files.values())
        yield from _scores(bicubic, None, sets, spec, threads, crops if here else None, None)
        for file, card in files.items():
            if card.scale == scale and not card.size:
                place = {"system": card.system, "variant": card.variant, "runtime": card.format, "scale": scale}
                crops_of = crops if card.system == first else None
                yield from _scores(place, runtimes.load(file, threads), sets, spec, threads, crops_of, small)


def _scores(
    place: dict[str, Any],
    runner: "Runner | None",
    sets: list[str],
    spec: settings.Benchmark,
    threads: int,
    crops: Path | None,
    small: "_LR | None",
) -> Iterator[dict[str, Any]]:
    """The rows of one upscaler; ``runner`` None stands for bicubic, ``crops`` None for a net of which none is kept."""
    from tqdm import tqdm

    from pipeline_src.data.colour import as_rgb
    from pipeline_src.data.images import list_images, write_png
    from pipeline_src.evaluation.images import like, load
    from pipeline_src.evaluation.metrics import quality

    for name in sets:
        paths = list_images(settings.images_folder("evaluation", name))
        label = " ".join(str(part) for part in (*place.values(), "on", name) if part)
        for index, path in enumerate(tqdm(paths, label, unit="image")):
            image = load(path, place["scale"], threads)
            lr = small.of(path, image) if small else image.lr
            sr = like(runner(as_rgb(lr)), image.hr) if runner else image.bicubic(threads)
            scores = quality(image.hr, sr, image.scale, threads=threads)
            if not runner and math.isinf(scores.psnr_y):
                raise UserError(f"{path} is flat: even bicubic gives it back as it is; remove it from its set")
            yield place | {"set": name, "image": image.name} | asdict(scores)
            if crops and index < spec.crops and (not runner or place["runtime"] == "tflite"):
                window, folder = image.crop(spec.crop_size), crops / f"{name}_{image.name}_x{image.scale}"
                write_png(folder / f"{place['variant']}.png", sr[window])
                if not runner:
                    write_png(folder / "hr.png", image.hr[window])


class _LR:
    """The LR images of a learned downscaler: 8-bit, as they would be stored, each made once."""

    def __init__(self, system: str, spec: settings.Downscaler, threads: int) -> None:
        import torch

        from pipeline_src.training.weights import load_downscaler

        torch.set_num_threads(threads)
        self.net = load_downscaler(settings.downscaler(system) / "weights.safetensors")
        self.model = spec.model
        self.made: dict[tuple[Path, int], np.ndarray] = {}

    def of(self, path: Path, image: "EvaluationImage") -> "np.ndarray":
        """The LR image of an evaluation image, uint8 h×w×3, or h×w if that is grey."""
        place = path, image.scale
        if place not in self.made:
            self.made[place] = downscaling.downscale(self.model, self.net, image.hr)
        return self.made[place]


def _study_lr(small: _LR, files: dict[Path, "Card"], sets: list[str], threads: int, out: Path) -> None:
    """Keep the LR images as ``lr/<set>/<image>_x<scale>.png``; ``lr.csv``, what became of them; ``jpeg.csv``, what a
    JPEG file would make of it: the float net on its LR image, and bicubic both ways."""
    import pandas as pd

    from pipeline_src.data.colour import as_rgb
    from pipeline_src.data.images import list_images, write_png
    from pipeline_src.data.imresize import imresize
    from pipeline_src.deployment import runtimes
    from pipeline_src.evaluation.downscaled import Way, fidelity, jpeg_curve
    from pipeline_src.evaluation.images import load

    (net,) = (file for file, card in files.items() if (card.variant, card.format) == ("fp32", "onnx"))
    runner, scale = runtimes.load(net, threads), files[net].scale
    rows, curves = [], []
    for name in sets:
        for path in list_images(settings.images_folder("evaluation", name)):
            image = load(path, scale, threads)
            learned, place = small.of(path, image), {"set": name, "image": image.name, "scale": scale}
            write_png(out / "lr" / name / f"{image.name}_x{scale}.png", learned)
            for kind, lr in (("learned", learned), ("bicubic", image.lr)):
                rows.append(place | {"lr": kind} | fidelity(image, lr))
            ways: dict[str, Way] = {
                "learned": (as_rgb(learned), runner),
                "bicubic": (as_rgb(image.lr), lambda lr: imresize(lr, scale, "A", threads)),
            }
            curves += [place | row for row in jpeg_curve(image, ways)]
    pd.DataFrame(rows).to_csv(out / "lr.csv", index=False)
    pd.DataFrame(curves).to_csv(out / "jpeg.csv", index=False)


def _costs(files: dict[Path, "Card"], spec: settings.Benchmark, threads: int) -> Iterator[dict[str, Any]]:
    """One row per net × variant × runtime × scale: latency in turns, peak memory and file size, at one size of LR.

    It is the size of the files of fixed size. Where a format has one of those, that is the file timed; quality was
    measured on its twin of any size. The files of one scale take turns, so that only they are in memory.
    """
    for timed, size in _timed_files(files):
        yield from _costs_at_scale(timed, size, spec, threads)


def _sweep(files: dict[Path, "Card"], spec: settings.Benchmark) -> Iterator[dict[str, Any]]:
    """One row per file and number of threads of the sweep: its p50 in ms."""
    from pipeline_src.evaluation.latency import in_turns

    for timed, size in _timed_files(files) if spec.sweep else ():
        runs = [(file, threads) for file in timed for threads in spec.sweep]
        calls = {f"{file} {threads}": _calls(file, size, threads) for file, threads in runs}
        latency = in_turns(calls, **_limits(spec))
        for file, threads in runs:
            card = timed[file]
            place = card.system, card.variant, card.format, card.scale, *size, threads
            yield dict(zip(SWEPT, place, strict=True)) | {"p50_ms": latency[f"{file} {threads}"]["whole"].p50_ms}


def _timed_files(files: dict[Path, "Card"]) -> Iterator[tuple[dict[Path, "Card"], list[int]]]:
    """Of each scale the files that are timed, and the size of LR at which they are."""
    fixed = {_kind(card) for card in files.values() if card.size}
    for scale in sorted({card.scale for card in files.values()}):
        here = {file: card for file, card in files.items() if card.scale == scale}
        size = next(card.size for card in here.values() if card.size)
        yield {f: card for f, card in here.items() if card.size or _kind(card) not in fixed}, size


def _kind(card: "Card") -> tuple[str, str, str, int]:
    return card.system, card.variant, card.format, card.scale


def _costs_at_scale(
    files: dict[Path, "Card"], size: list[int], spec: settings.Benchmark, threads: int
) -> Iterator[dict[str, Any]]:
    from pipeline_src.deployment.cards import parts_of
    from pipeline_src.evaluation.latency import in_turns
    from pipeline_src.evaluation.memory import peak_memory_mb

    latency = in_turns({str(file): _calls(file, size, threads) for file in files}, **_limits(spec))
    memory = peak_memory_mb(files, size[0], size[1], threads)
    for file, card in files.items():
        whole, infer = (latency[str(file)][part] for part in ("whole", "infer"))
        yield (
            {"system": card.system, "variant": card.variant, "runtime": card.format, "scale": card.scale}
            | {"lr_height": size[0], "lr_width": size[1], "threads": threads, "runs": whole.runs}
            | {key: getattr(whole, key) for key in ("p50_ms", "p90_ms", "iqr_ms")}
            | {f"infer_{key}": getattr(infer, key) for key in ("p50_ms", "p90_ms", "iqr_ms")}
            | {"file": file.name, "file_bytes": sum(part.stat().st_size for part in parts_of(file))}
            | {"peak_memory_mb": memory[file]}
            | {"params": card.parameters, "mult_adds": card.mult_adds}
        )


def _limits(spec: settings.Benchmark) -> dict[str, Any]:
    return spec.model_dump(include={"warmup", "runs", "min_seconds", "max_seconds"})


def _calls(file: Path, size: list[int], threads: int) -> Callable[[], dict[str, float]]:
    """One upscaling of a random LR image by a file, from image to image (``whole``), and the runtime's part of it."""
    from time import perf_counter

    import numpy as np

    from pipeline_src.deployment import runtimes

    runner = runtimes.load(file, threads)
    lr = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)

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
