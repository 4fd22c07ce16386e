"""Export the nets of one system in every variant (fp32, ptq, qat) to ONNX, OpenVINO and TFLite, a card beside each."""

import sys
from typing import Any

from pipeline_src import command, tracking
from pipeline_src import params as settings
from pipeline_src.files import read_json, sha256, whole_folder


def export(system: str) -> None:
    params = settings.load()
    import pandas as pd
    import torch

    from pipeline_src.compression import quantization
    from pipeline_src.compression.folding import fold
    from pipeline_src.deployment import cards, downscalers, exporting, inventory, openvino
    from pipeline_src.evaluation.complexity import mult_adds, parameters
    from pipeline_src.training.weights import load_downscaler, load_net

    torch.set_num_threads(params.threads)
    spec = params.system(system)
    height, width = spec.timing_size
    validation = read_json(settings.results("quantize", system) / "metrics.json")
    with (
        tracking.stage_run("export", system, {"timing_size": [height, width]}) as run,
        whole_folder(settings.results("export", system)) as out,
    ):
        ops: list[dict[str, Any]] = []
        for label in settings.nets_of(system, spec.subnets, spec.prune):
            folder = out / label.removeprefix(system).strip("/")
            folder.mkdir(exist_ok=True)
            weights = {variant: settings.weights(label, variant, spec.subnets) for variant in ("fp32", "ptq", "qat")}
            net, made_from = load_net(weights["fp32"])
            folded = fold(net)
            in_float = quantization.float_layers(weights["ptq"])
            prepared = quantization.prepare(folded, in_float)
            files = []
            for variant, source in weights.items():
                if variant != "fp32":
                    quantization.load(source, prepared)
                graphs = folded if variant == "fp32" else quantization.convert(prepared)
                for scale in net.description.scales:
                    stem = f"{variant}_x{scale}"
                    facts: dict[str, Any] = {
                        "system": label,
                        "model": made_from["model"],
                        "variant": variant,
                        "scale": scale,
                        "colour": net.description.colour,
                        "lr": spec.downscaler.model,
                        "float_layers": [] if variant == "fp32" else in_float,
                        "validation": validation[label][variant],
                        "weights": {source.name: sha256(source)},
                        "parameters": parameters(net.at_scale(scale)),
                        "mult_adds": mult_adds(net.at_scale(scale), scale),
                    }
                    files += exporting.export(graphs.at_scale(scale), folder, stem, (height, width), **facts)
            ops += [{"net": label, **row} for file in files for row in inventory.rows(file)]
        for file, reason in openvino.try_compile(out).items():
            print(f"{file.relative_to(out)}: {reason}", file=sys.stderr)
            cards.mark_as_failing(file, reason)
        if spec.downscaler.learns:
            source = settings.downscaler(system) / "weights.safetensors"
            downscalers.export(load_downscaler(source), source, out, system)
        pd.DataFrame(ops).to_csv(out / "inventory.csv", index=False)
        run.log_artifact(out / "inventory.csv")


if __name__ == "__main__":
    command.stage(export, "system")
