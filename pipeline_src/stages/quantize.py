"""Quantise one system to int8: after training (PTQ), and by quantisation-aware training (QAT) from the float net."""

import csv
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline_src import command, tracking
from pipeline_src import params as settings
from pipeline_src.files import sha256, whole_file, write_json

if TYPE_CHECKING:
    import numpy as np

    from pipeline_src.data.hdf5 import ImagePairs


def quantize(system: str) -> None:
    params = settings.load()
    from pipeline_src.compression import quantization
    from pipeline_src.data.hdf5 import ImagePairs
    from pipeline_src.data.patches import Patches
    from pipeline_src.training.loop import checkpoint_path, fit
    from pipeline_src.training.setup import torch_device, validator, write_curve
    from pipeline_src.training.weights import load_net

    out, recipe = settings.results("quantize", system), params.system(system).qat
    weights = settings.results("train", system) / "weights.safetensors"
    training, validation = (ImagePairs(settings.TRAIN_H5, part) for part in ("training", "validation"))
    device = torch_device(params.train.device, params.threads)
    net, made_from = load_net(weights)
    (scale,) = net.description.scales
    validate = validator(validation, scale, params.train.validation_crop, device)
    identity = {
        "weights": sha256(weights),
        "train_h5": sha256(settings.TRAIN_H5),
        "recipe": recipe.model_dump(),
        "quantize": params.quantize.model_dump(),
        "seed": params.seed,
    }
    metadata = {"system": system, **{key: made_from[key] for key in ("model", "scales", "net")}, **identity}
    machine = {"threads": params.threads, "device": device.type}
    how = params.train.model_dump(exclude={"checkpoint_every"})
    checkpoint = checkpoint_path(f"{system}-qat", identity | machine | {"train": how})
    with tracking.stage_run("quantize", system, identity | {"train": params.train.model_dump()}) as run:
        calibration = _calibration_images(training, scale, **params.quantize.model_dump())
        _write_manifest(out / "calibration.csv", calibration)

        prepared = quantization.prepare(net.at_scale(scale))
        quantization.calibrate(prepared, [image for _, image in calibration])
        quantization.save(out / "ptq.safetensors", {scale: prepared}, metadata | {"variant": "ptq"})
        metrics = {
            "fp32": validate(net.at_scale(scale).to(device)),
            "ptq": validate(quantization.convert(prepared, fold=False).to(device)),
        }

        def validate_prepared(graph: Any) -> dict[str, float]:
            with quantization.observers_off(graph):
                return validate(graph)

        curve = fit(
            prepared,
            Patches(training, scale, patch=recipe.patch, batch=recipe.batch, seed=params.seed, augment=recipe.augment),
            recipe,
            name=f"quantize@{system}",
            device=device,
            checkpoint=checkpoint,
            checkpoint_every=params.train.checkpoint_every,
            validate=validate_prepared,
            validate_every=params.train.validate_every,
            before_step=quantization.freeze_ranges(prepared, after=recipe.steps * 3 // 4),
        )
        quantization.save(out / "qat.safetensors", {scale: prepared}, metadata | {"variant": "qat"})
        metrics["qat"] = validate(quantization.convert(prepared, fold=False).to(device))
        write_curve(out / "curve.csv", curve)
        write_json(out / "metrics.json", metrics)
        checkpoint.unlink(missing_ok=True)
        run.log_curve(curve)
        run.log_metrics({f"{variant}_{key}": value for variant, row in metrics.items() for key, value in row.items()})
        for file in ("ptq.safetensors", "qat.safetensors", "calibration.csv", "curve.csv"):
            run.log_artifact(out / file)
            run.tag_output(out / file)


def _calibration_images(
    training: "ImagePairs", scale: int, calibration_images: int, calibration_crop: int
) -> "list[tuple[str, np.ndarray]]":
    """The middles of training images spread evenly over the set, with their names: never an evaluation image."""
    names = training.names
    count = min(calibration_images, len(names))
    chosen = [names[i * len(names) // count] for i in range(count)]
    return [(name, training.middle(name, scale, calibration_crop)[0]) for name in chosen]


def _write_manifest(path: Path, calibration: "list[tuple[str, np.ndarray]]") -> None:
    with whole_file(path) as aside, aside.open("w", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["set", "file", "height", "width", "sha256_pixels"])
        for name, image in calibration:
            rows.writerow([*name.split("/", 1), *image.shape[:2], hashlib.sha256(image.tobytes()).hexdigest()])


if __name__ == "__main__":
    command.stage(quantize, "system")
