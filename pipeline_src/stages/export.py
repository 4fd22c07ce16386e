"""Export the nets of one system in every variant (fp32, ptq, qat) to every file format, a card beside each file."""

import logging
from pathlib import Path

from pipeline_src import command, config, paths, tracking
from pipeline_src.errors import UserError
from pipeline_src.files import read_json, whole_folder
from pipeline_src.tables import write_table

SHIPPED = ("qat", "tflite")  # variant and format of the files that the tables show first, of any and of fixed size
MODEL_SUFFIXES = (".onnx", ".xml", ".bin", ".tflite")

log = logging.getLogger(__name__)


def export(system: str) -> None:
    """Run the stage for one system of params.yaml."""
    params = config.load()
    import torch

    from pipeline_src import exporting
    from pipeline_src.deployment import cards, formats
    from pipeline_src.exporting import inventory
    from pipeline_src.exporting.variants import FloatNet, variants
    from pipeline_src.weights import load_downscaler, require_system

    torch.set_num_threads(params.threads)
    height, width = params.system(system).benchmark_size
    metrics, remedy = paths.results("quantize", system) / "metrics.json", paths.remedy("quantize", system)
    validation = read_json(metrics, dict[str, dict[str, dict[str, float]]], remedy)
    nets = paths.all_nets(system, params.nets_of(system))
    if missing := [net for net in nets if net not in validation]:
        raise UserError(f"{metrics} lacks the net {missing[0]}; {remedy}")
    with tracking.stage_run("export", system, {"benchmark_size": [height, width]}) as run:
        with whole_folder(paths.results("export", system)) as out:
            files: list[Path] = []
            operators: list[dict[str, object]] = []
            for net, weights in nets.items():
                folder = out / net.removeprefix(system).strip("/")
                folder.mkdir(exist_ok=True)
                of_net: list[Path] = []
                states = {variant: paths.quantized(net, variant) for variant in exporting.INT8}
                float_net = FloatNet.load(net, weights)
                require_system(weights, dict(float_net.metadata), system)
                for graph, facts in variants(float_net, states, validation[net]):
                    stem = f"{facts.variant}_x{facts.scale}"
                    of_net += exporting.export(graph, folder, stem, (height, width), facts)
                operators += [{"net": net, **row} for file in of_net for row in inventory.rows(file)]
                files += of_net
            for file, reason in formats.try_out(files).items():
                log.warning("%s: %s", file.relative_to(out), reason)
                cards.mark_as_failing(file, reason)
            downscaler = paths.downscaler(system) / "weights.safetensors"
            if downscaler.exists():
                exporting.export_downscaler(load_downscaler(downscaler), downscaler, out, system)
            write_table(out / "inventory.csv", operators)
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


if __name__ == "__main__":
    command.stage(export, "system")
