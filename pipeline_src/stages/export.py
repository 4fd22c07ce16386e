"""Export the nets of one system in every variant (fp32, ptq, qat) to every file format, a card beside each file."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline_src import command, config, paths, tracking
from pipeline_src.files import read_json, sha256, whole_folder

if TYPE_CHECKING:
    from torch import fx

    from pipeline_src.deployment.cards import Facts

SHIPPED = ("qat", "tflite")  # variant and format of the files that the tables show first, of any and of fixed size
MODEL_SUFFIXES = (".onnx", ".xml", ".bin", ".tflite")

log = logging.getLogger(__name__)


def export(system: str) -> None:
    """Run the stage for one system of params.yaml."""
    params = config.load()
    import pandas as pd
    import torch

    from pipeline_src import exporting
    from pipeline_src.deployment import cards, formats
    from pipeline_src.exporting import inventory
    from pipeline_src.weights import load_downscaler

    torch.set_num_threads(params.threads)
    height, width = params.system(system).benchmark_size
    validation = read_json(paths.results("quantize", system) / "metrics.json")
    with tracking.stage_run("export", system, {"benchmark_size": [height, width]}) as run:
        with whole_folder(paths.results("export", system)) as out:
            files: list[Path] = []
            operators: list[dict[str, object]] = []
            for net, weights in paths.nets(system).items():
                folder = out / net.removeprefix(system).strip("/")
                folder.mkdir(exist_ok=True)
                of_net: list[Path] = []
                for graph, facts in _variants(net, weights, validation[net]):
                    stem = f"{facts.variant}_x{facts.scale}"
                    of_net += exporting.export(graph, folder, stem, (height, width), facts)
                operators += [{"net": net, **row} for file in of_net for row in inventory.rows(file)]
                files += of_net
            for file, reason in formats.try_out(files).items():
                log.warning("%s: %s", file.relative_to(out), reason)
                cards.mark_as_failing(file, reason)
            downscaler = paths.downscaler(system) / "weights.safetensors"
            if downscaler.exists():
                exporting.export_downscaler(load_downscaler(downscaler)[0], downscaler, out, system)
            pd.DataFrame(operators).to_csv(out / "inventory.csv", index=False)
        _track(run, paths.results("export", system))


def _track(run: tracking.StageRun, folder: Path) -> None:
    """Copy the files that each net ships as, and their cards, into the run; tag it with the hashes of all files."""
    from pipeline_src.deployment import cards

    run.log_artifact(folder / "inventory.csv")
    for file, card in cards.read_folder(folder).items():
        if (card.variant, card.format) == SHIPPED:
            run.log_artifact(file, card.system)
            run.log_artifact(cards.path_of(file), card.system)
    run.tag_outputs(*(file for file in sorted(folder.rglob("*")) if file.suffix in MODEL_SUFFIXES))


def _variants(
    name: str, float_weights: Path, validation: dict[str, dict[str, float]]
) -> Iterator[tuple["fx.GraphModule", "Facts"]]:
    """Yield the graph of a net in each variant and scale, valid until the next, and the facts for its cards."""
    from pipeline_src.compression import quantization
    from pipeline_src.deployment.cards import Facts
    from pipeline_src.graph.folding import fold
    from pipeline_src.metrics.complexity import mult_adds, parameters
    from pipeline_src.weights import load_deployed_net

    weights = {"fp32": float_weights} | {variant: paths.quantized(name, variant) for variant in ("ptq", "qat")}
    net, metadata = load_deployed_net(float_weights)
    graphs = float_graphs = fold(net)
    float_layers = quantization.float_layers(weights["ptq"])
    prepared = quantization.prepare(float_graphs, float_layers)
    for variant, source in weights.items():
        if variant != "fp32":
            quantization.load(source, prepared)
            graphs = quantization.convert(prepared)
        for scale in net.description.scales:
            yield (
                graphs.at_scale(scale),
                Facts(
                    system=name,
                    model=metadata["model"],
                    variant=variant,
                    scale=scale,
                    colour=net.description.colour,
                    lr=metadata["downscaler"]["model"],
                    origin=metadata["origin"],
                    dtype=metadata["dtype"],
                    parameters=parameters(net.at_scale(scale)),
                    mult_adds=mult_adds(net.at_scale(scale), scale),
                    float_layers=[] if variant == "fp32" else float_layers,
                    validation=validation[variant],
                    weights={source.name: sha256(source)},
                ),
            )


if __name__ == "__main__":
    command.stage(export, "system")
