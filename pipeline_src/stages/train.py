"""Train one system on train.h5. A training that was stopped goes on where it was, to the same weights."""

from pipeline_src import command, tracking
from pipeline_src import params as settings
from pipeline_src.errors import UserError
from pipeline_src.files import sha256, write_json


def train(system: str) -> None:
    params = settings.load()
    import torch

    from pipeline_src.data.hdf5 import ImagePairs
    from pipeline_src.data.patches import Patches
    from pipeline_src.models import build
    from pipeline_src.training.loop import checkpoint_path, fit
    from pipeline_src.training.setup import torch_device, validator, write_curve
    from pipeline_src.training.weights import save_net

    spec, out = params.system(system), settings.results("train", system)
    if len(spec.scales) > 1:
        raise UserError(f"systems.{system}.scales names {len(spec.scales)} scales; a net is trained for one: keep one")
    scale = spec.scales[0]
    training, validation = (ImagePairs(settings.TRAIN_H5, part) for part in ("training", "validation"))
    device = torch_device(params.train.device, params.threads)
    torch.manual_seed(params.seed)
    net = build(spec.model, spec.scales, spec.net)
    made_from = {
        "model": spec.model,
        "scales": spec.scales,
        "net": spec.net,
        "recipe": spec.train.model_dump(),
        "seed": params.seed,
        "train_h5": sha256(settings.TRAIN_H5),
    }
    recipe = spec.train
    patches = Patches(training, scale, patch=recipe.patch, batch=recipe.batch, seed=params.seed, augment=recipe.augment)
    identity = made_from | {
        "train": params.train.model_dump(exclude={"checkpoint_every"}),
        "threads": params.threads,
        "device": device.type,
    }
    checkpoint = checkpoint_path(system, identity)
    with tracking.stage_run("train", system, made_from | {"train": params.train.model_dump()}) as run:
        curve = fit(
            net.at_scale(scale),
            patches,
            recipe,
            name=f"train@{system}",
            device=device,
            checkpoint=checkpoint,
            checkpoint_every=params.train.checkpoint_every,
            validate=validator(validation, scale, params.train.validation_crop, device),
            validate_every=params.train.validate_every,
        )
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
