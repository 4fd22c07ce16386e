"""Train one system on train.h5. A training that was stopped goes on where it was, to the same weights.

Several processes: torchrun --nproc-per-node 2 -m pipeline_src.stages.train SYSTEM, then dvc commit train@SYSTEM.
"""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline_src import command, tracking
from pipeline_src import params as settings
from pipeline_src.files import empty, sha256, write_json

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

    from pipeline_src.data.hdf5 import ImagePairs
    from pipeline_src.training.loop import Row


def train(system: str) -> None:
    params = settings.load()
    import torch

    from pipeline_src import downscaling
    from pipeline_src.data.hdf5 import ImagePairs
    from pipeline_src.training import shrinking
    from pipeline_src.training import workers as processes
    from pipeline_src.training.joint import Joint
    from pipeline_src.training.loop import checkpoint_path, fit
    from pipeline_src.training.setup import patches_of, precision_of, torch_device, validator, write_curve
    from pipeline_src.training.weights import build, build_downscaler, load_into, save_net

    spec, out = params.system(system), settings.results("train", system)
    recipe = spec.train
    device = torch_device(params.train.device, params.threads)
    precision = precision_of(params.train.precision, device)
    workers = processes.join(device)
    torch.manual_seed(params.seed)
    where = f"params.yaml: systems.{system}"
    upscaler = build(spec.model, spec.scales, spec.net, where)
    shrinking.check(upscaler, recipe)
    if recipe.start:
        load_into(upscaler, Path(recipe.start.file), recipe.start.sha256)
    if spec.downscaler.learns:
        downscaler = build_downscaler(spec.downscaler.model, spec.scales, spec.downscaler.net, where)
        if spec.downscaler.start:
            load_into(downscaler, Path(spec.downscaler.start.file), spec.downscaler.start.sha256)
    training, validation = (ImagePairs(settings.TRAIN_H5, part) for part in ("training", "validation"))
    made_from = {
        "model": spec.model,
        "scales": spec.scales,
        "net": spec.net,
        "recipe": recipe.model_dump(),
        "downscaler": spec.downscaler.model_dump(),
        "seed": params.seed,
        "train_h5": sha256(settings.TRAIN_H5),
    }
    identity = made_from | {
        "train": params.train.model_dump(exclude={"checkpoint_every"}),
        "threads": params.threads,
        "device": device.type,
        "precision": str(precision),
        "processes": workers.size,
    }
    checkpoints: list[Path] = []

    def fit_net(net: Any, recipe: settings.Recipe, scales: list[int], phase: int) -> "list[Row]":
        validate = validator(validation, scales, params.train.validation_crop, device)
        checkpoints.append(checkpoint_path(f"{system}-{phase}" if phase else system, identity))
        return fit(
            Joint(net, downscaler, spec.downscaler) if spec.downscaler.learns else net,
            patches_of(training, scales, recipe, params.seed + phase),
            recipe,
            name=f"train@{system}" + (f" phase {phase}" if phase else ""),
            device=device,
            precision=precision,
            compiled=params.train.compile and not phase,  # every subnet would be compiled by itself
            checkpoint=checkpoints[-1],
            checkpoint_every=params.train.checkpoint_every,
            validate=shrinking.with_smallest(validate) if phase else validate,
            validate_every=params.train.validate_every,
            rates={"downscaler": spec.downscaler.rate} if spec.downscaler.learns else {},
        )

    def run_training() -> "list[Row]":
        if not spec.train.shrink:
            return fit_net(upscaler, recipe, spec.scales, 0)
        return shrinking.shrink(upscaler, recipe, recipe.shrink, recipe.distil, params.seed, fit_net)

    if not workers.first:
        run_training()
        return
    with tracking.stage_run("train", system, made_from | {"train": params.train.model_dump()}) as run:
        curve = run_training()
        empty(settings.downscaler(system))
        if spec.downscaler.learns:
            of_downscaler = {"downscaler": spec.downscaler.model, "scales": spec.scales, "net": spec.downscaler.net}
            save_net(settings.downscaler(system) / "weights.safetensors", downscaler, of_downscaler)
            makes_lr = partial(downscaling.downscale, spec.downscaler.model, downscaler.eval())
            _write_lr(settings.downscaler(system) / "lr.h5", spec.scales[0], makes_lr, (training, validation))
        save_net(out / "weights.safetensors", upscaler, {"system": system, **made_from})
        write_curve(out / "curve.csv", curve)
        write_json(out / "metrics.json", curve[-1])
        for checkpoint in checkpoints:
            checkpoint.unlink(missing_ok=True)
        run.log_curve(curve)
        for file in ("weights.safetensors", "curve.csv"):
            run.log_artifact(out / file)
            run.tag_output(out / file)


def _write_lr(
    path: Path, scale: int, downscale: "Callable[[np.ndarray], np.ndarray]", parts: "tuple[ImagePairs, ...]"
) -> None:
    """The LR images that the trained downscaler makes of all in ``train.h5``: what the stages to come work on."""
    from tqdm import tqdm

    from pipeline_src.data import hdf5
    from pipeline_src.data.imresize import modcrop

    images = [(images, name) for images in parts for name in images.names]
    hdf5.write_learned(
        path,
        (
            (images.part, name, {scale: downscale(modcrop(images.hr(name), scale))})
            for images, name in tqdm(images, "downscale", unit="image")
        ),
    )


if __name__ == "__main__":
    command.stage(train, "system")
