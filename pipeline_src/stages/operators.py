"""Measure what each operator costs that a net could be built of: in float and in int8, in TFLite and in OpenVINO."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline_src import command, config, paths, tracking
from pipeline_src.files import whole_folder, write_json
from pipeline_src.tables import write_table

RUNTIMES = ("tflite", "openvino")


def operators() -> None:
    """Run the stage."""
    params = config.load()
    from pipeline_src.benchmarking import machine
    from pipeline_src.benchmarking.latency import in_turns, pin, timed
    from pipeline_src.deployment.formats import format_of, try_out

    spec = params.operators
    size = spec.size[0], spec.size[1]
    limits: dict[str, Any] = spec.model_dump(include={"warmup", "runs", "interval", "max_seconds"})
    pin(spec.threads)
    # Before the run is recorded: MLflow's sampling of the system would be timed along.
    with whole_folder(paths.results("operators")) as out:
        files = dict(_export(spec, out))
        failed = try_out(files, size)
        rows = [row | {"fails": failed[file]} for file, row in files.items() if file in failed]
        for name in dict.fromkeys(row["operator"] for row in files.values()):
            in_turn = [file for file, row in files.items() if row["operator"] == name and file not in failed]
            calls = {str(file): timed(format_of(file).raw_call(file, size, spec.threads)) for file in in_turn}
            latency = in_turns(calls, min_seconds=0, **limits)
            rows += [files[file] | vars(latency[str(file)]["ms"]) | {"fails": ""} for file in in_turn]
        write_table(out / "operators.csv", rows)
        write_json(out / "machine.json", machine.describe(spec.threads))
    with tracking.stage_run("operators", None, spec.model_dump()) as run:
        run.log_artifact(paths.results("operators") / "operators.csv")


def _export(spec: config.Operators, out: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Write every operator in each precision and format; yield the files and the beginnings of their rows."""
    from pipeline_src.deployment.formats import FORMATS
    from pipeline_src.microbenchmarks.operators import operators as all_operators

    height, width = spec.size
    for precision in ("float32", "int8"):
        for number, (name, net) in enumerate(all_operators(spec.channels, width, precision == "int8").items()):
            row = {
                "operator": name,
                "precision": precision,
                "channels": spec.channels,
                "height": height,
                "width": width,
                "threads": spec.threads,
            }
            for runtime in RUNTIMES:
                file = out / f"{precision}_{number:02}{FORMATS[runtime].SUFFIX}"
                FORMATS[runtime].write(net, file, (height, width))
                yield file, row | {"runtime": runtime}


if __name__ == "__main__":
    command.stage(operators)
