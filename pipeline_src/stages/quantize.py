"""Quantise one system to int8: after training (PTQ), and by quantisation-aware training (QAT) from the float net."""

import csv
import hashlib
from collections.abc import Sequence
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
    import torch

    from pipeline_src.compression import quantization
    from pipeline_src.compression.calibration import calibrate
    from pipeline_src.compression.folding import fold
    from pipeline_src.data.hdf5 import ImagePairs
    from pipeline_src.training.loop import checkpoint_path, fit
    from pipeline_src.training.setup import patches_of, torch_device, validator, write_curve
    from pipeline_src.training.weights import load_net

    out, recipe = settings.results("quantize", system), params.system(system).qat
    weights = settings.results("train", system) / "weights.safetensors"
    training, validation = (ImagePairs(settings.TRAIN_H5, part) for part in ("training", "validation"))
    device = torch_device(params.train.device, params.threads)
    net, made_from = load_net(weights)
    scales = net.description.scales
    validate = validator(validation, scales, params.train.validation_crop, device)
    patches = patches_of(training, scales, recipe, params.seed)
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
        calibration = _calibration_images(training, scales, **params.quantize.model_dump())
        _write_manifest(out / "calibration.csv", calibration)

        def validate_prepared(prepared: Any) -> dict[str, float]:
            with quantization.observers_off(prepared):
                return validate(prepared)

        prepared = quantization.prepare(fold(net))
        calibrate(prepared, {scale: list(images.values()) for scale, images in calibration.items()})
        quantization.save(out / "ptq.safetensors", prepared, metadata | {"variant": "ptq"})
        metrics = {"fp32": validate(net.to(device)), "ptq": validate_prepared(prepared.to(device))}
        curve = fit(
            prepared,
            patches,
            recipe,
            name=f"quantize@{system}",
            device=device,
            precision=torch.float32,  # bfloat16 has no more steps than int8, and would blur what is to be learnt
            compiled=False,  # a graph of fake quantisations compiles for longer than it trains
            checkpoint=checkpoint,
            checkpoint_every=params.train.checkpoint_every,
            validate=validate_prepared,
            validate_every=params.train.validate_every,
            before_step=quantization.freeze_ranges(prepared, after=recipe.steps * 3 // 4),
        )
        quantization.save(out / "qat.safetensors", prepared, metadata | {"variant": "qat"})
        metrics["qat"] = {key: curve[-1][key] for key in metrics["ptq"]}
        write_curve(out / "curve.csv", curve)
        write_json(out / "metrics.json", metrics)
        checkpoint.unlink(missing_ok=True)
        run.log_curve(curve)
        run.log_metrics({f"{variant}_{key}": value for variant, row in metrics.items() for key, value in row.items()})
        for file in ("ptq.safetensors", "qat.safetensors", "calibration.csv", "curve.csv"):
            run.log_artifact(out / file)
            run.tag_output(out / file)


def _calibration_images(
    training: "ImagePairs", scales: Sequence[int], calibration_images: int, calibration_crop: int
) -> "dict[int, dict[str, np.ndarray]]":
    """The middles of training images spread evenly over the set, by scale and name: never an evaluation image."""
    names = training.names
    count = min(calibration_images, len(names))
    chosen = [names[i * len(names) // count] for i in range(count)]
    return {scale: {name: training.middle(name, scale, calibration_crop)[0] for name in chosen} for scale in scales}


def _write_manifest(path: Path, calibration: "dict[int, dict[str, np.ndarray]]") -> None:
    with whole_file(path) as aside, aside.open("w", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["set", "file", "scale", "height", "width", "sha256_pixels"])
        for scale, images in calibration.items():
            for name, image in images.items():
                digest = hashlib.sha256(image.tobytes()).hexdigest()
                rows.writerow([*name.split("/", 1), scale, *image.shape[:2], digest])


if __name__ == "__main__":
    command.stage(quantize, "system")
