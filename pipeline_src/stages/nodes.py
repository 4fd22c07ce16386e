"""Measure what each operator costs that a net could be built of: in float and in int8, in TFLite and in OpenVINO."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline_src import command, tracking
from pipeline_src import params as settings
from pipeline_src.files import write_json


def nodes() -> None:
    params = settings.load()
    import pandas as pd

    from pipeline_src.deployment import openvino
    from pipeline_src.deployment.calls import ready
    from pipeline_src.evaluation import machine
    from pipeline_src.evaluation.latency import in_turns, pin, timed
    from pipeline_src.files import whole_folder

    spec = params.nodes
    height, width = spec.size
    limits: dict[str, Any] = spec.model_dump(include={"warmup", "runs", "max_seconds"})
    pin(spec.threads)
    # Before the run is recorded: MLflow's sampling of the system would be timed along.
    with whole_folder(settings.results("nodes")) as out:
        files = list(_export(spec, out))
        failed = openvino.try_compile(out, (height, width))
        rows = [place | {"fails": failed[file]} for place, file in files if file in failed]
        for node in dict.fromkeys(place["node"] for place, _ in files):
            its = [(place, file) for place, file in files if place["node"] == node and file not in failed]
            calls = {str(file): timed(ready(file, (height, width), spec.threads)) for _, file in its}
            latency = in_turns(calls, min_seconds=0, **limits)
            rows += [place | vars(latency[str(file)]["ms"]) | {"fails": ""} for place, file in its]
        pd.DataFrame(rows).to_csv(out / "nodes.csv", index=False)
        write_json(out / "machine.json", machine.describe(spec.threads))
    with tracking.stage_run("nodes", None, spec.model_dump()) as run:
        run.log_artifact(settings.results("nodes") / "nodes.csv")


def _export(spec: settings.Nodes, out: Path) -> Iterator[tuple[dict[str, Any], Path]]:
    """Of every node, in each precision and format: what it is, and its file."""
    from pipeline_src.deployment import onnx, openvino, tflite
    from pipeline_src.deployment.nodes import nodes as all_nodes

    height, width = spec.size
    for precision in ("float32", "int8"):
        for number, (name, net) in enumerate(all_nodes(spec.channels, width, precision == "int8").items()):
            stem = out / f"{precision}_{number:02}"
            place = {"node": name, "precision": precision, "channels": spec.channels, "height": height, "width": width}
            place |= {"threads": spec.threads}
            stem.with_suffix(".tflite").write_bytes(tflite.write(net, (height, width)))
            stem.with_suffix(".onnx").write_bytes(onnx.write(net))
            openvino.export(stem.with_suffix(".onnx"), stem.with_suffix(".xml"))
            stem.with_suffix(".onnx").unlink()
            yield place | {"runtime": "tflite"}, stem.with_suffix(".tflite")
            yield place | {"runtime": "openvino"}, stem.with_suffix(".xml")


if __name__ == "__main__":
    command.stage(nodes)
