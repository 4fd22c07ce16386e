"""Export the nets of one system in every variant (fp32, ptq, qat) to every file format, a card beside each file.

So is a learned downscaler (fp32, ptq), or where the formats lack its operators, to float ONNX and OpenVINO alone.
"""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline_src import command, config, paths, tracking
from pipeline_src.errors import UserError
from pipeline_src.files import read_json, whole_folder
from pipeline_src.tables import write_table

SHIPPED = ("qat", "tflite")  # variant and format of the files that the tables show first, of any and of fixed size
DOWNSCALER_SHIPPED = ("ptq", "tflite")
MODEL_SUFFIXES = (".onnx", ".xml", ".bin", ".tflite")

if TYPE_CHECKING:
    from pipeline_src.deployment.interface import Size
    from pipeline_src.exporting.variants import FloatNet

log = logging.getLogger(__name__)


def export(system: str) -> None:
    """Run the stage for one system of params.yaml."""
    params = config.load()
    import torch

    from pipeline_src import exporting
    from pipeline_src.deployment import cards, formats
    from pipeline_src.exporting import inventory
    from pipeline_src.exporting.variants import variants

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
            for net, int8, size in _nets(system, nets, out, (height, width)):
                folder = out / net.name.removeprefix(system).strip("/")
                folder.mkdir(exist_ok=True)
                of_net: list[Path] = []
                states = {variant: paths.quantized(net.name, variant) for variant in int8}
                for graph, facts in variants(net, states, validation.get(net.name, {})):
                    of_net += exporting.export(graph, folder, f"{facts.variant}_x{facts.scale}", size, facts)
                operators += [{"net": net.name, **row} for file in of_net for row in inventory.rows(file)]
                files += of_net
            for file, reason in formats.try_out(files).items():
                log.warning("%s: %s", file.relative_to(out), reason)
                cards.mark_as_failing(file, reason)
            write_table(out / "inventory.csv", operators)
        _track(run, paths.results("export", system))


def _nets(
    system: str, nets: dict[str, Path], out: Path, size: "Size"
) -> Iterator[tuple["FloatNet", tuple[str, ...], "Size"]]:
    """Yield the nets of a system and its learned downscaler, their int8 variants, and the size of their input images.

    A downscaler whose operators the file formats lack is not among them: its files are written to ``out``.
    """
    from pipeline_src import exporting
    from pipeline_src.exporting.variants import FloatNet
    from pipeline_src.weights import load_downscaler, require_system

    for name, weights in nets.items():
        net = FloatNet.load(name, weights)
        require_system(weights, dict(net.metadata), system)
        yield net, exporting.INT8, size
    weights = paths.downscaler_weights(system)
    if weights.exists():
        downscaler = load_downscaler(weights)
        if downscaler.plain:
            hr_size = size[0] * downscaler.scale, size[1] * downscaler.scale
            yield FloatNet.of_downscaler(paths.downscaler_name(system), weights, downscaler), ("ptq",), hr_size
        else:
            exporting.export_downscaler(downscaler, weights, out, system)


def _track(run: tracking.StageRun, folder: Path) -> None:
    """Copy the files that each net ships as, and their cards, into the run; tag it with the hashes of all files."""
    from pipeline_src.deployment import cards

    run.log_artifact(folder / "inventory.csv")
    for file, card in cards.read_folder(folder).items():
        if (card.variant, card.format) == (DOWNSCALER_SHIPPED if card.downscales else SHIPPED):
            run.log_artifact(file, card.system)
            run.log_artifact(cards.path_of(file), card.system)
    run.tag_outputs(*(file for file in sorted(folder.rglob("*")) if file.suffix in MODEL_SUFFIXES))


if __name__ == "__main__":
    command.stage(export, "system")
