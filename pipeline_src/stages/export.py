"""Export every variant of one system (fp32, ptq, qat) to ONNX, OpenVINO and TFLite, each file with a card beside it."""

from typing import Any

from pipeline_src import command, tracking
from pipeline_src import params as settings
from pipeline_src.files import sha256, whole_folder


def export(system: str) -> None:
    params = settings.load()
    import pandas as pd
    import torch

    from pipeline_src.compression import quantization
    from pipeline_src.compression.folding import fold
    from pipeline_src.deployment import exporting, inventory, openvino
    from pipeline_src.evaluation.complexity import mult_adds, parameters
    from pipeline_src.training.weights import load_net

    torch.set_num_threads(params.threads)
    height, width = params.system(system).timing_size
    weights = {
        "fp32": settings.results("train", system) / "weights.safetensors",
        **{variant: settings.results("quantize", system) / f"{variant}.safetensors" for variant in ("ptq", "qat")},
    }
    net, made_from = load_net(weights["fp32"])
    folded = fold(net)
    prepared = quantization.prepare(folded)
    counts = {
        scale: {"parameters": parameters(net.at_scale(scale)), "mult_adds": mult_adds(net.at_scale(scale), scale)}
        for scale in net.description.scales
    }
    with (
        tracking.stage_run("export", system, {"timing_size": [height, width]}) as run,
        whole_folder(settings.results("export", system)) as out,
    ):
        files = []
        for variant, source in weights.items():
            if variant != "fp32":
                quantization.load(source, prepared)
            graphs = folded if variant == "fp32" else quantization.convert(prepared)
            for scale in net.description.scales:
                stem = f"{variant}_x{scale}"
                exporting.export(graphs.at_scale(scale), out, stem, (height, width))
                facts: dict[str, Any] = {
                    "system": system,
                    "model": made_from["model"],
                    "variant": variant,
                    "scale": scale,
                    "colour": net.description.colour,
                    "weights": {source.name: sha256(source)},
                    **counts[scale],
                }
                files += exporting.write_cards(out, stem, (height, width), **facts)
        openvino.try_compile(out)
        table = pd.DataFrame([row for file in files for row in inventory.rows(file)])
        table.to_csv(out / "inventory.csv", index=False)
        run.log_artifact(out / "inventory.csv")


if __name__ == "__main__":
    command.stage(export, "system")
