"""How the commands of the pipeline grow with the number of systems, when nothing is to do, on 20 image sets.

    python benchmarks/many_systems.py                 12 and 100 systems: a quarter of an hour
    python benchmarks/many_systems.py 12 100 1000 --folder /tmp/many --skip "dvc status" --skip "dvc repro"

Four systems are really run in a copy of the committed repository, with trainings of four steps and images of 96 pixels.
Every other system is made: it has the results of one of the four under its own name, with other figures of quality,
time and size, so that few are on the front. DVC itself hashes the results and the code of every stage, as `dvc commit`
does; only params.yaml is read once, and dvc.lock is written by a faster YAML writer. With --folder the copies stay, and
the next call brings their code up to date.
"""

import argparse
import contextlib
import csv
import io
import json
import math
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
TRAINED = {"steps": 4, "batch": 2, "patch": 16, "lr": 1.0e-4, "warmup": 0}
SETS = 20
PRUNED = "abpn_x3_pruned"
REALLY_RUN: dict[str, dict[str, Any]] = {
    "abpn_x3": {"model": "abpn", "scales": [3], "net": {"channels": 4, "depth": 1}},
    "abpn_x4": {"model": "abpn", "scales": [4], "net": {"channels": 4, "depth": 1}},
    PRUNED: {"model": "abpn", "scales": [3], "net": {"channels": 8, "depth": 2}},
    "edsr_x2": {"model": "edsr", "scales": [2], "net": {"channels": 4, "blocks": 1}},
}
CODE = ["Snakefile", "dvc.yaml", "pipeline_src", "profiles", "workflow"]
TEXTS = {".csv", ".json", ".md"}
PHOTOGRAPHS = ["coffee.png", "chelsea.png", "astronaut.png", "rocket.jpg"]
REPORT = (
    "cp -a results/report kept && {}python -m pipeline_src.stages.report; status=$?; "
    "rm -rf new_report; mv results/report new_report; mv kept results/report; exit $status"
)
COMMANDS = {  # nothing is to do for any of them
    "reading and checking params.yaml": "python -c 'from pipeline_src import config; config.load()'",
    "superres preset check": "python -m pipeline_src preset check",
    "superres models": "python -m pipeline_src models",
    "superres pick": "python -m pipeline_src pick --scale 3 --ms 100",
    "snakemake -n report": "snakemake -n report",
    "snakemake report": "snakemake report",
    "dvc stage list": "dvc stage list --name-only",
    "dvc status": "dvc status",
    "dvc repro": "dvc repro",
    "dvc repro of one stage": "dvc repro --single-item train@abpn_x3_0000",
    "dvc repro of one stage, and running it": "dvc repro --force --single-item fetch@set_02",
    "the report": REPORT.format("SR_TRACKING=off "),
    "the report, and MLflow's run of the state": REPORT.format(""),
    "snakemake -n report, all new": "mv dvc.lock old && snakemake -n report; status=$?; mv old dvc.lock; exit $status",
}

NOTHING = "Nothing to be done"
EXPECTED = {"snakemake -n report": NOTHING, "snakemake report": NOTHING, "dvc status": "up to date"}


def ran(command: str, folder: Path, limit: float | None = None) -> tuple[str, float, float]:
    """Run a shell command; return what it prints, and the seconds that it takes on the clock and of the CPU."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SR_", "MLFLOW", "DVC"))}
    kept |= {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}", "PYTHONPATH": str(folder)}
    begin, cpu = time.perf_counter(), cpu_of_children()
    with tempfile.TemporaryFile("w+") as printed:
        process = subprocess.Popen(
            ["bash", "-c", command], cwd=folder, env=kept, stdout=printed, stderr=printed, start_new_session=True
        )
        try:
            status = process.wait(limit)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait()
            return "", math.inf, math.inf
        seconds = time.perf_counter() - begin
        printed.seek(0)
        text = printed.read()
    if status:
        sys.exit(f"{command} in {folder} ended with {status}:\n{text[-4000:]}")
    return text, seconds, cpu_of_children() - cpu


def cpu_of_children() -> float:
    """Return the seconds of the CPU that all commands so far have taken."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def copied(folder: Path) -> None:
    """Copy the committed repository, without its results."""
    ran(f"git clone --quiet --no-hardlinks . {folder}", ROOT)
    for name in ("results", "dvc.lock"):
        path = folder / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def params_of(folder: Path, systems: dict[str, dict[str, Any]], pruned: list[str]) -> None:
    """Write params.yaml with these systems, of which some are pruned too, and 20 sets."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["sets"] = {
        name: {"role": "training" if number < 2 else "evaluation", "folder": f"photographs/{name}"}
        for number, name in enumerate(f"set_{number:02}" for number in range(SETS))
    }
    params["build_h5"] |= {"scales": [2, 3, 4], "validation_every": 2}
    params["train"] |= {"checkpoint_every": 2, "validate_every": 2, "validation_crop": 16}
    params["quantize"] |= {"calibration_images": 1, "calibration_crop": 32, "sensitivity_images": 0}
    params["benchmark"] |= {"runs": 30, "interval": 9.0, "max_seconds": 0.2, "crops": 1, "crop_size": 16}
    params["operators"] |= {"size": [8, 12], "channels": 8, "max_seconds": 0.05}
    params["systems"] = {
        name: spec
        | {"downscaler": {"model": "bicubic"}, "benchmark_size": [180, 320]}
        | {"train": TRAINED | spec.get("train", {}), "qat": TRAINED}
        for name, spec in systems.items()
    }
    params["prune"] = {
        name: {"nets": {"l1_50": {"pruner": "l1", "sparsity": 0.5}}, "finetune": TRAINED} for name in pruned
    }
    params["search"] = {}
    params = json.loads(json.dumps(params))  # without values that are shared, for which YAML has anchors
    (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False, default_flow_style=None, width=120))


def really_run(folder: Path) -> None:
    """Run the pipeline on the four systems."""
    from PIL import Image

    sys.path.insert(0, str(ROOT / "tests"))
    from shared import photograph

    copied(folder)
    for number in range(SETS):
        of_set = folder / "photographs" / f"set_{number:02}"
        of_set.mkdir(parents=True)
        for photograph_of_set in PHOTOGRAPHS[: 3 if number < 2 else 1]:
            pixels = photograph(photograph_of_set)[10 * number :][60:156, 100:220]
            Image.fromarray(pixels).save((of_set / photograph_of_set).with_suffix(".png"))
    params_of(folder, REALLY_RUN, [PRUNED])
    print(
        f"four systems, really run: {ran('SR_TRACKING=off snakemake --cores all report', folder)[1]:.0f} s", flush=True
    )


def made(origin: Path, folder: Path, count: int) -> None:
    """Make ``count`` systems in a copy of the folder of the four, or bring such a copy up to the present commit."""
    commit, done = ran("git rev-parse HEAD", ROOT)[0], folder / ".dvc/made_of"
    if not done.exists():
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(origin, folder, symlinks=True)
        multiply(folder, count)
    elif done.read_text() == commit:
        return
    ran("rm -rf pipeline_src workflow mlflow.db* mlartifacts", folder)
    ran(f"git archive HEAD {' '.join(CODE)} | tar x -C {folder}", ROOT)
    seconds = ran(f"{sys.executable} {Path(__file__)} --hash {folder}", folder)[1]
    ran("git add --all && git -c user.name=made -c user.email=made@localhost commit --quiet --message made", folder)
    done.write_text(commit)
    print(f"{count} systems, their results hashed by DVC: {seconds:.0f} s", flush=True)


def multiply(folder: Path, count: int) -> None:
    """Put ``count`` systems in the place of the four, whose results they have under their own names."""
    likes = [[*REALLY_RUN][number % len(REALLY_RUN)] for number in range(count)]
    names = {f"{like}_{number // len(REALLY_RUN):04}": like for number, like in enumerate(likes)}
    specs = {
        name: REALLY_RUN[like] | {"train": {"lr": round(1e-4 * (1 + number / 1000), 8)}}
        for number, (name, like) in enumerate(names.items())
    }
    params_of(folder, specs, [name for name, like in names.items() if like == PRUNED])
    for stage in ("nets", "train", "quantize", "export", "benchmark"):
        results = folder / "results" / stage
        for number, (name, like) in enumerate(names.items()):
            renamed(results / like, results / name, like, name, number)
        for like in REALLY_RUN:
            shutil.rmtree(results / like)


def renamed(source: Path, target: Path, like: str, name: str, number: int) -> None:
    """Copy the results of a system under another name; files without a name in them are linked."""
    for file in sorted(path for path in source.rglob("*") if path.is_file()):
        copy = target / file.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        if file.name == "benchmark.csv":
            copy.write_text(with_figures_of(number, file.read_text().replace(like, name)))
        elif file.suffix in TEXTS and like in (text := file.read_text()):
            copy.write_text(text.replace(like, name))
        else:
            os.link(file, copy)
    for empty in (path for path in source.rglob("*") if path.is_dir()):
        (target / empty.relative_to(source)).mkdir(parents=True, exist_ok=True)


def with_figures_of(number: int, text: str) -> str:
    """Return a table of benchmarks with other figures: the slower, the better, but most not as good as may be."""
    rows = list(csv.DictReader(io.StringIO(text)))
    factor = 1 + number * 271 % 997 / 100
    for row in rows:
        for key in row:
            if row[key] and (key.endswith("_ms") or key in ("mult_adds", "params", "file_bytes")):
                number = float(row[key]) * factor
                row[key] = str(number if key.endswith("_ms") else round(number))
        if row["variant"] != "bicubic":
            row["psnr_y"] = str(float(row["psnr_y"]) + math.log(factor) - number * 89 % 101 / 50)
    written = io.StringIO()
    table = csv.DictWriter(written, rows[0].keys(), lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    return written.getvalue()


def hashed(folder: Path) -> None:
    """Let DVC hash what every stage has read and written, put it into the cache, and write dvc.lock once."""
    sys.path.insert(0, str(folder / "workflow"))
    from dvc.dependency.param import ParamsDependency
    from dvc.repo import Repo
    from dvc.stage.serialize import to_lockfile
    from dvc_files import Contents

    now = Contents()
    ParamsDependency.read_params = lambda dep, **_: now.params(dep)  # reads params.yaml once, and not once per stage
    os.chdir(folder)
    repo = Repo(str(folder))
    with repo.lock:
        stages = repo.index.stages
        for stage in stages:
            stage.save(allow_missing=False, run_cache=False)
            stage.commit(allow_missing=False, relink=False)
        locked = json.loads(json.dumps({name: entry for stage in stages for name, entry in to_lockfile(stage).items()}))
    (folder / "dvc.lock").write_text(
        yaml.dump({"schema": "2.0", "stages": locked}, Dumper=yaml.CSafeDumper, sort_keys=False)
    )


def measured(folder: Path, skipped: list[str], limit: float) -> dict[str, tuple[float, float]]:
    """Return the seconds of each command on the clock and of the CPU, by its name; and the megabytes of the page."""
    figures: dict[str, tuple[float, float]] = {}
    for name, command in COMMANDS.items():
        if name in skipped:
            continue
        printed, *figures[name] = ran(command, folder, limit)
        seconds, cpu = figures[name]
        print(f"  {name:<34} {seconds:8.1f} s, {cpu:8.1f} s of the CPU", flush=True)
        if seconds < limit and (wanted := EXPECTED.get(name, "")) not in printed:
            sys.exit(f"{command} does not say {wanted!r}:\n{printed[-2000:]}")
    if (page := folder / "new_report/index.html").exists():
        figures["the page (MB)"] = (page.stat().st_size / 1e6,) * 2
    return figures


def table(figures: dict[int, dict[str, tuple[float, float]]]) -> str:
    """Return the figures as a Markdown table, and how many times as much of the CPU the last systems take."""
    counts = list(figures)
    titles = ["seconds (of the CPU)", *(f"{count:,} systems" for count in counts), "growth of the last"]
    lines = [" | ".join(titles), "|".join(["---", *["---:"] * (len(counts) + 1)])]
    for name in dict.fromkeys(name for of_count in figures.values() for name in of_count):
        found = [figures[count].get(name, (math.nan, math.nan)) for count in counts]
        growth = f"{found[-1][1] / found[-2][1]:.1f}" if len(counts) > 1 else ""
        cells = [f"{clock:.1f}" if clock == cpu else f"{clock:.0f} ({cpu:.1f})" for clock, cpu in found]
        lines.append(" | ".join([name, *cells, growth]))
    return "\n".join(f"| {line} |" for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("counts", nargs="*", type=int, default=[12, 100], help="of systems (12 100)")
    parser.add_argument("--folder", type=Path, help="where the copies are made and stay; else a temporary folder")
    parser.add_argument("--skip", action="append", default=[], choices=[*COMMANDS], help="a command not to time")
    parser.add_argument("--only", action="append", default=[], choices=[*COMMANDS], help="the commands to time")
    parser.add_argument("--limit", type=float, default=3600, help="seconds after which a command is ended (3600)")
    parser.add_argument("--hash", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.hash:
        return hashed(args.hash)
    skipped = args.skip + ([name for name in COMMANDS if name not in args.only] if args.only else [])
    with contextlib.nullcontext(args.folder) if args.folder else tempfile.TemporaryDirectory() as scratch:
        base = Path(scratch).resolve()
        base.mkdir(parents=True, exist_ok=True)
        if not (base / "four").exists():
            really_run(base / "four.making")
            (base / "four.making").rename(base / "four")
        figures = {}
        for count in args.counts:
            made(base / "four", base / str(count), count)
            print(f"{count} systems", flush=True)
            figures[count] = measured(base / str(count), skipped, args.limit)
        print(table(figures))


if __name__ == "__main__":
    main()
