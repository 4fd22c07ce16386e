"""Train one system on train.h5. A training that was stopped goes on where it was, to the same weights.

Several processes: torchrun --nproc-per-node 2 -m pipeline_src.stages.train SYSTEM, then dvc commit train@SYSTEM.
"""

from functools import partial
from pathlib import Path

from pipeline_src import command, tracking
from pipeline_src import params as settings
from pipeline_src.files import sha256, write_json


def train(system: str) -> None:
    params = settings.load()
    import torch

    from pipeline_src.data.hdf5 import ImagePairs
    from pipeline_src.training import workers as processes
    from pipeline_src.training.loop import checkpoint_path, fit
    from pipeline_src.training.setup import patches_of, precision_of, torch_device, validator, write_curve
    from pipeline_src.training.weights import build, load_into, save_net

    spec, out = params.system(system), settings.results("train", system)
    recipe = spec.train
    device = torch_device(params.train.device, params.threads)
    precision = precision_of(params.train.precision, device)
    workers = processes.join(device)
    torch.manual_seed(params.seed)
    net = build(spec.model, spec.scales, spec.net, f"params.yaml: systems.{system}")
    if recipe.start:
        load_into(net, Path(recipe.start.file), recipe.start.sha256)
    training, validation = (ImagePairs(settings.TRAIN_H5, part) for part in ("training", "validation"))
    patches = patches_of(training, spec.scales, recipe, params.seed)
    made_from = {
        "model": spec.model,
        "scales": spec.scales,
        "net": spec.net,
        "recipe": recipe.model_dump(),
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
    checkpoint = checkpoint_path(system, identity)
    run_training = partial(
        fit,
        net,
        patches,
        recipe,
        name=f"train@{system}",
        device=device,
        precision=precision,
        compiled=params.train.compile,
        checkpoint=checkpoint,
        checkpoint_every=params.train.checkpoint_every,
        validate=validator(validation, spec.scales, params.train.validation_crop, device),
        validate_every=params.train.validate_every,
    )
    if not workers.first:
        run_training()
        return
    with tracking.stage_run("train", system, made_from | {"train": params.train.model_dump()}) as run:
        curve = run_training()
        save_net(out / "weights.safetensors", net, {"system": system, **made_from})
        write_curve(out / "curve.csv", curve)
        write_json(out / "metrics.json", curve[-1])
        checkpoint.unlink(missing_ok=True)
        run.log_curve(curve)
        for file in ("weights.safetensors", "curve.csv"):
            run.log_artifact(out / file)
            run.tag_output(out / file)


if __name__ == "__main__":
    command.stage(train, "system")
