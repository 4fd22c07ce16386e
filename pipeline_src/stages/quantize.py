"""Quantise the nets of one system to int8: after training (PTQ), and by quantisation-aware training on (QAT)."""

import csv
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline_src import command, tracking
from pipeline_src import params as settings
from pipeline_src.files import empty, sha256, whole_file, write_json

if TYPE_CHECKING:
    import numpy as np


def quantize(system: str) -> None:
    params = settings.load()
    import torch

    from pipeline_src.compression import quantization
    from pipeline_src.compression.calibration import calibrate
    from pipeline_src.compression.folding import fold
    from pipeline_src.compression.pruning import keep_zeros
    from pipeline_src.compression.sensitivity import layers, lost_by_layer, to_keep
    from pipeline_src.data.hdf5 import ImagePairs
    from pipeline_src.training.loop import checkpoint_path, fit
    from pipeline_src.training.setup import patches_of, torch_device, validator, write_curve
    from pipeline_src.training.weights import load_net

    out, spec = settings.results("quantize", system), params.system(system)
    recipe = spec.qat
    learned = settings.learned_lr(system, params.system(system).downscaler)
    training, validation = (ImagePairs(settings.TRAIN_H5, part, learned) for part in ("training", "validation"))
    device = torch_device(params.train.device, params.threads)
    nets = settings.nets_of(system, spec.subnets, spec.prune)
    count, crop = params.quantize.calibration_images, params.quantize.calibration_crop
    identity = {
        "train_h5": sha256(settings.TRAIN_H5),
        "recipe": recipe.model_dump(),
        "quantize": params.quantize.model_dump() | {"float_layers": spec.float_layers},
        "seed": params.seed,
    }
    machine = {"threads": params.threads, "device": device.type}
    how = params.train.model_dump(exclude={"checkpoint_every"})

    def try_layers(scale: int, graph: Any) -> None:
        if name == nets[0] and params.quantize.sensitivity_images:
            names = validation.names[: params.quantize.sensitivity_images]
            pairs = [validation.middle(image, scale, crop) for image in names]
            sensitivity.extend(lost_by_layer(graph, pairs, scale))

    empty(out / "nets")
    calibration: dict[int, dict[str, np.ndarray]] = {}
    metrics: dict[str, dict[str, Any]] = {}
    curves: list[dict[str, Any]] = []
    sensitivity: list[dict[str, Any]] = []
    checkpoints = []
    for name in nets:
        weights, ptq, qat = (settings.weights(name, variant, spec.subnets) for variant in ("fp32", "ptq", "qat"))
        net, made_from = load_net(weights, spec.scales if spec.subnets == "prune" else None)
        scales = net.description.scales
        validate = validator(validation, scales, params.train.validation_crop, device)
        calibration |= {scale: training.middles(scale, count, crop) for scale in scales}
        _write_manifest(out / "calibration.csv", calibration)
        images = {scale: list(calibration[scale].values()) for scale in scales}
        of_net = identity | {"weights": sha256(weights)}
        metadata = {"system": name, **{key: made_from[key] for key in ("model", "scales", "net")}, **of_net}
        checkpoints.append(checkpoint_path(f"{name.replace('/', '-')}-qat", of_net | machine | {"train": how}))
        with tracking.stage_run("quantize", name, of_net | {"train": params.train.model_dump()}) as run:
            folded = fold(net)
            prepared = quantization.prepare(folded)
            calibrate(prepared, images, try_layers)
            if spec.float_layers:
                names = {layer: None for scale in scales for layer in layers(prepared.at_scale(scale))}
                metadata["float_layers"] = to_keep(spec.float_layers, sensitivity, list(names))
                prepared = quantization.prepare(folded, metadata["float_layers"])
                calibrate(prepared, images)
            quantization.save(ptq, prepared, metadata | {"variant": "ptq"})
            if spec.prune.of_weights(name):
                keep_zeros(prepared)
            its = {"fp32": validate(net.to(device)), "ptq": validate(prepared.to(device))}
            quantization.follow_weights(prepared)
            curve = fit(
                prepared,
                patches_of(training, scales, recipe, params.seed),
                recipe,
                name=f"quantize@{name}",
                device=device,
                precision=torch.float32,  # bfloat16 has no more steps than int8, and would blur what is to be learnt
                compiled=False,  # a graph of fake quantisations compiles for longer than it trains
                checkpoint=checkpoints[-1],
                checkpoint_every=params.train.checkpoint_every,
                validate=validate,
                validate_every=params.train.validate_every,
            )
            quantization.settle_weights(prepared)
            quantization.save(qat, prepared, metadata | {"variant": "qat"})
            metrics[name] = its | {"qat": validate(prepared)}
            curves += [{"net": name, **row} for row in curve]
            run.log_curve(curve)
            run.log_metrics({f"{variant}_{key}": v for variant, row in metrics[name].items() for key, v in row.items()})
            for file in (ptq, qat, out / "calibration.csv"):
                run.log_artifact(file)
                run.tag_output(file)
    write_curve(out / "curve.csv", curves)
    _write_table(out / "sensitivity.csv", ["scale", "layer", "lost_db"], sensitivity)
    write_json(out / "metrics.json", metrics)
    for checkpoint in checkpoints:
        checkpoint.unlink(missing_ok=True)


def _write_manifest(path: Path, calibration: "dict[int, dict[str, np.ndarray]]") -> None:
    rows = [
        {
            **dict(zip(("set", "file"), name.split("/", 1), strict=True)),
            "scale": scale,
            "height": image.shape[0],
            "width": image.shape[1],
            "sha256_pixels": hashlib.sha256(image.tobytes()).hexdigest(),
        }
        for scale, images in calibration.items()
        for name, image in images.items()
    ]
    _write_table(path, ["set", "file", "scale", "height", "width", "sha256_pixels"], rows)


def _write_table(path: Path, columns: list[str], rows: list[dict[str, Any]]) -> None:
    with whole_file(path) as aside, aside.open("w", newline="") as file:
        table = csv.DictWriter(file, columns, lineterminator="\n")
        table.writeheader()
        table.writerows(rows)


if __name__ == "__main__":
    command.stage(quantize, "system")
