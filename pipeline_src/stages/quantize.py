"""Quantise the nets of one system to int8: post-training (PTQ), and then by quantisation-aware training (QAT).

A learned downscaler is quantised too, where the file formats have its operators, by PTQ alone: that costs it a few
hundredths of a dB (docs/studies.md).
"""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pipeline_src import command, config, paths, tracking
from pipeline_src.files import empty, sha256, write_json
from pipeline_src.pruners import removes_weights
from pipeline_src.tables import write_table

if TYPE_CHECKING:
    from pipeline_src.compression.calibration.ptq import CalibrationImages
    from pipeline_src.metrics.validation import Row
    from pipeline_src.models import SuperResolutionNet
    from pipeline_src.training.session import TrainingSession


def quantize(system: str) -> None:
    """Write a PTQ and a QAT net of every net of the system, and their metrics, to ``results/quantize/<system>``."""
    params = config.load()
    import torch

    from pipeline_src.compression import pruning, quantization
    from pipeline_src.compression.calibration.ptq import CalibrationImages, Sensitivity, post_training_quantize
    from pipeline_src.graph.folding import fold
    from pipeline_src.training.session import Options, TrainingSession
    from pipeline_src.weights import load_deployed_net, other_lr, require_system

    out, recipe = paths.results("quantize", system), params.system(system).qat
    nets = paths.all_nets(system, params.nets_of(system))
    session = TrainingSession(params.train, params.seed, params.threads, other_lr(system))
    settings = params.quantize.model_dump() | {"float_layers": recipe.float_layers}
    # bfloat16 is no finer than int8, and a graph with fake quantisation takes longer to compile than to train
    options = Options(precision=torch.float32, compiled=False)
    empty(out / "nets")
    images = CalibrationImages(session.training, params.quantize)
    sensitivity = Sensitivity(session.validation, params.quantize)  # measured on the first net, if at all
    metrics: dict[str, dict[str, Any]] = {}
    curves: list[dict[str, Any]] = []
    for name, weights in nets.items():
        net, trained_from = load_deployed_net(weights)
        require_system(weights, trained_from, system)
        made_from = session.made_from | {"recipe": recipe.model_dump(), "quantize": settings}
        made_from["weights"] = sha256(weights)
        metadata = {"system": name, **{key: trained_from[key] for key in ("model", "scales", "net")}, **made_from}
        ptq, qat = paths.quantized(name, "ptq"), paths.quantized(name, "qat")
        with tracking.stage_run("quantize", name, made_from | {"train": params.train.model_dump()}) as run:
            run.log_data(paths.TRAIN_H5.name, paths.TRAIN_H5, "training", made_from["train_h5"])
            prepared, metadata["float_layers"] = post_training_quantize(
                fold(net), images, recipe.float_layers, sensitivity, measure=recipe.sensitivity and not metrics
            )
            quantization.save(ptq, prepared, metadata | {"variant": "ptq"})
            validate = session.validator(net.description.scales)
            metrics[name] = {"fp32": validate(net.to(session.device)), "ptq": validate(prepared.to(session.device))}
            if removes_weights(trained_from.get("pruned", {}).get("pruner", "")):
                pruning.keep_zeros(prepared)
            quantization.begin_qat(prepared)
            observed = replace(options, observe=run.log_point)
            curve = session.fit(f"quantize@{name}", prepared, recipe, made_from, observed)
            quantization.end_qat(prepared)
            quantization.save(qat, prepared, metadata | {"variant": "qat"})
            metrics[name]["qat"] = validate(prepared)
            curves += [{"net": name, **row} for row in curve]
            write_table(out / "calibration.csv", images.manifest())
            run.log_metrics({f"{variant}_{key}": v for variant, row in metrics[name].items() for key, v in row.items()})
            run.log_outputs(ptq, qat, out / "calibration.csv")
    if paths.downscaler_weights(system).exists():
        upscaler, _ = load_deployed_net(next(iter(nets.values())))
        metrics |= _quantize_downscaler(system, upscaler, session, images)
    write_table(out / "curve.csv", curves)
    write_table(out / "sensitivity.csv", sensitivity.rows, ["scale", "layer", "lost_db"])
    write_json(out / "metrics.json", metrics)
    session.close()


def _quantize_downscaler(
    system: str, upscaler: "SuperResolutionNet", session: "TrainingSession", images: "CalibrationImages"
) -> dict[str, dict[str, "Row"]]:
    """Write a PTQ net of a system's downscaler, and return what the fp32 upscaler makes of its LR images, by variant.

    Returns:
        The metrics by the downscaler's name; nothing if file formats lack operators of the downscaler.
    """
    from pipeline_src.compression import quantization
    from pipeline_src.compression.calibration import calibrate
    from pipeline_src.graph.folding import fold
    from pipeline_src.metrics.validation import BehindDownscaler
    from pipeline_src.weights import load_downscaler

    weights, name = paths.downscaler_weights(system), paths.downscaler_name(system)
    downscaler, state = load_downscaler(weights), paths.quantized(name, "ptq")
    if not downscaler.plain:
        return {}
    folded, scale = fold(downscaler.in_standard_operators()), downscaler.scale
    made_from = session.made_from | {"weights": sha256(weights)}
    with tracking.stage_run("quantize", name, made_from) as run:
        prepared = quantization.prepare(folded)
        calibrate(prepared, {scale: images.hr(scale)})
        quantization.save(state, prepared, {"system": name, "variant": "ptq", "float_layers": [], **made_from})
        validate = session.validator([scale])
        metrics = {
            variant: validate(BehindDownscaler(upscaler, graphs.at_scale(scale)).to(session.device))
            for variant, graphs in (("fp32", folded), ("ptq", prepared))
        }
        run.log_metrics({f"{variant}_{key}": v for variant, row in metrics.items() for key, v in row.items()})
        run.log_outputs(state)
    return {name: metrics}


if __name__ == "__main__":
    command.stage(quantize, "system")
