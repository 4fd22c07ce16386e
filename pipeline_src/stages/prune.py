"""Make smaller nets of one system: leave out filters or weights of the trained net, and train the rest on."""

from typing import Any

from pipeline_src import command, tracking
from pipeline_src import params as settings
from pipeline_src.files import empty, sha256, whole_file, write_json


def prune(system: str) -> None:
    params = settings.load()
    spec, out, weights = params.system(system).prune, settings.results("prune", system), settings.weights(system)
    empty(out / "nets")
    if not spec.nets:
        for name, text in (
            ("layers.csv", "net,layer,before,after\n"),
            ("curve.csv", "net,step\n"),
            ("metrics.json", "{}\n"),
        ):
            (out / name).write_text(text)
        return
    import pandas as pd
    import torch

    from pipeline_src.compression import pruning
    from pipeline_src.data.hdf5 import ImagePairs
    from pipeline_src.training.loop import checkpoint_path, fit
    from pipeline_src.training.setup import patches_of, precision_of, torch_device, validator, write_curve
    from pipeline_src.training.weights import load_net, save_net

    learned = settings.learned_lr(system, params.system(system).downscaler)
    training, validation = (ImagePairs(settings.TRAIN_H5, part, learned) for part in ("training", "validation"))
    device = torch_device(params.train.device, params.threads)
    precision = precision_of(params.train.precision, device)
    identity = {"weights": sha256(weights), "train_h5": sha256(settings.TRAIN_H5), "seed": params.seed}
    how = {"train": params.train.model_dump(exclude={"checkpoint_every"}), "threads": params.threads}
    net, made_from = load_net(weights)
    scales = net.description.scales
    validate = validator(validation, scales, params.train.validation_crop, device)
    metrics = {system: validate(net.to(device))}
    examples = pruning.examples(training, scales)
    layers: list[dict[str, Any]] = []
    curves: list[dict[str, Any]] = []
    checkpoints = []
    for name, cut, recipe in spec.jobs(system):
        made_by = identity | {"pruned": cut.model_dump(), "recipe": recipe.model_dump()}
        checkpoints.append(checkpoint_path(name.replace("/", "-"), made_by | how | {"device": device.type}))
        with tracking.stage_run("prune", name, made_by | {"train": params.train.model_dump()}) as run:
            torch.manual_seed(params.seed)
            net, _ = load_net(weights)
            layers += [{"net": name, **vars(layer)} for layer in pruning.prune(net, cut, examples)]
            at_once = validate(net.to(device))
            curve = fit(
                net,
                patches_of(training, scales, recipe, params.seed),
                recipe,
                name=f"prune@{name}",
                device=device,
                precision=precision,
                compiled=params.train.compile,
                checkpoint=checkpoints[-1],
                checkpoint_every=params.train.checkpoint_every,
                validate=validate,
                validate_every=params.train.validate_every,
            )
            save_net(settings.weights(name), net, made_from | {"system": name} | made_by)
            metrics[name] = {key: curve[-1][key] for key in at_once}
            curves += [{"net": name, **row} for row in ({"step": 0, **at_once}, *curve)]
            run.log_curve(curve)
            run.log_artifact(settings.weights(name))
            run.tag_output(settings.weights(name))
    with whole_file(out / "layers.csv") as aside:
        pd.DataFrame(layers).to_csv(aside, index=False)
    write_curve(out / "curve.csv", curves)
    write_json(out / "metrics.json", metrics)
    for checkpoint in checkpoints:
        checkpoint.unlink(missing_ok=True)


if __name__ == "__main__":
    command.stage(prune, "system")
