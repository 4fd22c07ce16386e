"""Search the subnets of a once-for-all system for the best at each cost, and cut out what fits the budgets.

A latency table of this machine and a predictor of quality guide an evolution; what it finds is measured, and so is a
random search of as many measurements, beside it.
"""

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline_src import command, tracking
from pipeline_src import params as settings
from pipeline_src.errors import UserError
from pipeline_src.files import empty, sha256, whole_file, write_json

if TYPE_CHECKING:
    import pandas as pd


Subnet = dict[str, int]
Rows = list[dict[str, Any]]


def search(system: str) -> None:
    params = settings.load()
    if system not in params.search:
        raise UserError(f"params.yaml: search has no {system!r}; it has {', '.join(params.search) or 'nothing'}")
    spec, scales, out = params.search[system], params.system(system).scales, settings.results("search", system)
    seed, threads, how = params.seed, params.threads, params.train
    import pandas as pd
    import torch

    from pipeline_src.data.hdf5 import ImagePairs
    from pipeline_src.searching.latency import Table
    from pipeline_src.searching.quality import Judge, cut_out
    from pipeline_src.searching.search import ScaleSearch, latency_table, median_error
    from pipeline_src.training.loop import checkpoint_path, fit
    from pipeline_src.training.setup import patches_of, precision_of, torch_device, validator
    from pipeline_src.training.weights import load_net, save_net

    torch_device("cpu", 1)
    weights = settings.weights(system)
    whole, made_from = load_net(weights, scales)
    learned = settings.learned_lr(system, params.system(system).downscaler)
    training, validation = (ImagePairs(settings.TRAIN_H5, part, learned) for part in ("training", "validation"))
    made_by = {"weights": sha256(weights), "train_h5": sha256(settings.TRAIN_H5), "seed": seed}
    empty(out / "nets")
    # Before the run is recorded: MLflow's sampling of the system would be timed along.
    kept = checkpoint_path(f"{system}-latency", made_by | spec.latency.model_dump()).with_suffix("")
    latency, checks = latency_table(whole, spec, kept)
    table = Table(latency)
    with tracking.stage_run("search", system, made_by | spec.model_dump()) as run:
        rows: Rows = []
        metrics: dict[str, Any] = {"latency_error": median_error(checks)}
        picked: dict[str, dict[str, int]] = {}
        for scale in spec.scales:
            judge = Judge(whole, validation, scale, spec.images, spec.crop, os.cpu_count() or 1)
            of_scale = ScaleSearch(whole, scale, spec, judge, table)
            metrics |= {f"{key}_x{scale}": value for key, value in of_scale.run().items()}
            picked |= {name: of_scale.best(name, budget) for name, budget in spec.nets.items() if budget.scale == scale}
            rows += of_scale.table(picked)
        _write(out / "latency.csv", latency)
        _write(out / "latency_check.csv", checks)
        _write(out / "subnets.csv", pd.DataFrame(rows))
        device = torch_device(how.device, threads)
        curves, checkpoints = [], []
        for name, subnet in picked.items():
            label = f"{system}/{name}"
            torch.manual_seed(seed)
            net, scales = cut_out(whole, subnet), [subnet["scale"]]
            validate = validator(validation, scales, how.validation_crop, device)
            curve: Rows = [{"step": 0, **validate(net.to(device))}]
            its = made_from | made_by | {"system": label, "scales": scales}
            its["net"] = made_from["net"] | {"subnet": subnet}
            if recipe := spec.finetune:
                its["recipe"] = recipe.model_dump()
                machine = {
                    "train": how.model_dump(exclude={"checkpoint_every"}),
                    "threads": threads,
                    "device": device.type,
                }
                checkpoints.append(checkpoint_path(label.replace("/", "-"), its | machine))
                curve += fit(
                    net,
                    patches_of(training, scales, recipe, seed),
                    recipe,
                    name=f"search@{label}",
                    device=device,
                    precision=precision_of(how.precision, device),
                    compiled=how.compile,
                    checkpoint=checkpoints[-1],
                    checkpoint_every=how.checkpoint_every,
                    validate=validate,
                    validate_every=how.validate_every,
                )
            save_net(settings.weights(label, made_by="search"), net, its)
            curves += [{"net": label, **row} for row in curve]
            metrics[name] = {"subnet": subnet, "validation": curve[-1]}
        _write(out / "curve.csv", pd.DataFrame(curves))
        write_json(out / "metrics.json", metrics)
        for checkpoint in checkpoints:
            checkpoint.unlink(missing_ok=True)
        shutil.rmtree(kept, ignore_errors=True)
        for file in ("latency.csv", "latency_check.csv", "subnets.csv", "curve.csv"):
            run.log_artifact(out / file)
            run.tag_output(out / file)


def _write(path: Path, table: "pd.DataFrame") -> None:
    with whole_file(path) as aside:
        table.to_csv(aside, index=False)


if __name__ == "__main__":
    command.stage(search, "system")
