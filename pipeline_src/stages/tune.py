"""Search the numbers of a recipe by trial trainings, with NNI's TPE, judged on the validation images of train.h5.

Writes every trial to trials.csv, and the best to best.yaml, a preset: python -m pipeline_src.params <that file>.
"""

import sys
import time
from pathlib import Path
from typing import Any

from pipeline_src import command, tracking
from pipeline_src import params as settings
from pipeline_src.errors import UserError
from pipeline_src.files import sha256, whole_file

WORST = 0.0  # dB: what TPE is told of a trial whose loss was not finite


def tune(name: str) -> None:
    params = settings.load()
    if name not in params.tune:
        raise UserError(f"params.yaml has no tune.{name}; it has {', '.join(params.tune) or 'none'}")
    spec = params.tune[name]
    import pandas as pd
    import torch
    from nni import NoMoreTrialError
    from nni.algorithms.hpo.tpe_tuner import TpeTuner
    from ruamel.yaml import YAML

    from pipeline_src.compression import pruning
    from pipeline_src.data.hdf5 import ImagePairs
    from pipeline_src.training.loop import Diverged, checkpoint_path, fit
    from pipeline_src.training.setup import patches_of, precision_of, torch_device, validator
    from pipeline_src.training.weights import build, load_into, load_net

    system, weights, out = params.system(spec.system), settings.weights(spec.system), settings.results("tune", name)
    given = system.prune.finetune if spec.net else system.train
    assert given
    learned = settings.learned_lr(spec.system, system.downscaler)
    training, validation = (ImagePairs(settings.TRAIN_H5, part, learned) for part in ("training", "validation"))
    device = torch_device(params.train.device, params.threads)
    validate = validator(validation, system.scales, params.train.validation_crop, device)
    identity = {
        "weights": sha256(weights),
        "train_h5": sha256(settings.TRAIN_H5),
        "seed": params.seed,
        "system": system.model_dump(),
        "train": params.train.model_dump(exclude={"checkpoint_every"}),
        "threads": params.threads,
        "device": device.type,
    }
    tuner = TpeTuner("maximize", params.seed, {"n_startup_jobs": max(2, spec.trials // 3)})
    tuner.update_search_space({key: values.as_nni() for key, values in spec.space.items()})
    examples = pruning.examples(training, system.scales) if spec.net else {}
    trials: list[dict[str, Any]] = []
    checkpoints = []
    with tracking.stage_run("tune", name, spec.model_dump()) as run:
        for trial in range(spec.trials):
            try:
                drawn = tuner.generate_parameters(trial)
            except NoMoreTrialError:  # all that the space holds was tried
                break
            values = {key: float(value) if isinstance(value, float) else value for key, value in drawn.items()}
            plain = given.model_dump(include={*settings.Recipe.model_fields})  # of a once-for-all net the largest
            recipe = settings.recipe(plain | {"steps": spec.steps} | values, f"tune.{name}.space")
            checkpoints.append(checkpoint_path(f"tune-{name}-{trial}", identity | {"recipe": recipe.model_dump()}))
            torch.manual_seed(params.seed)
            if spec.net:
                net, _ = load_net(weights, system.scales)
                pruning.prune(net, system.prune.nets[spec.net], examples)
            else:
                net = build(system.model, system.scales, system.net, f"params.yaml: systems.{spec.system}")
                if given.start:
                    load_into(net, Path(given.start.file), given.start.sha256)
            began = time.monotonic()
            try:
                curve = fit(
                    net,
                    patches_of(training, system.scales, recipe, params.seed),
                    recipe,
                    name=f"tune@{name} {trial + 1}/{spec.trials}",
                    device=device,
                    precision=precision_of(params.train.precision, device),
                    compiled=False,  # which takes longer than most trials
                    checkpoint=checkpoints[-1],
                    checkpoint_every=params.train.checkpoint_every,
                    validate=validate,
                    validate_every=spec.steps,
                )
                psnr = curve[-1]["psnr_y"]
            except Diverged as error:
                print(error, file=sys.stderr)
                psnr = None
            tuner.receive_trial_result(trial, drawn, WORST if psnr is None else psnr)
            trials.append({"trial": trial, **values, "psnr_y": psnr, "seconds": round(time.monotonic() - began, 1)})
            run.log_metrics({"psnr_y": WORST if psnr is None else psnr}, trial)
        finite = [trial for trial in trials if trial["psnr_y"] is not None]
        if not finite:
            raise UserError(f"no trial of tune.{name} has a finite loss; lower the lr of its space")
        best = max(finite, key=lambda trial: trial["psnr_y"])
        found = {key: best[key] for key in spec.space}
        preset: dict[str, Any] = {"prune": {"finetune": found}} if spec.net else {"train": found}
        with whole_file(out / "trials.csv") as aside:
            pd.DataFrame(trials).to_csv(aside, index=False)
        with whole_file(out / "best.yaml") as aside:
            YAML().dump({"systems": {spec.system: preset}}, aside)
        run.log_artifact(out / "trials.csv")
        run.log_artifact(out / "best.yaml")
    for checkpoint in checkpoints:
        checkpoint.unlink(missing_ok=True)


if __name__ == "__main__":
    command.stage(tune, "name")
