"""Search the subnets of a once-for-all system for the best at each cost, and extract those that fit the budgets.

A latency table of this machine and a predictor of quality guide an evolution; what it finds is measured, and so is a
random search of as many measurements, beside it.
"""

import shutil
from typing import Any

from pipeline_src import command, config, paths, tracking
from pipeline_src.errors import UserError
from pipeline_src.files import empty, sha256, write_json, write_table


def search(system: str) -> None:
    params = config.load()
    if system not in params.search:
        raise UserError(f"params.yaml: search has no {system!r}; it has {', '.join(params.search) or 'nothing'}")
    spec, scales, out = params.search[system], params.system(system).scales, paths.smaller_nets("search", system)
    weights = paths.weights(system)
    import torch

    from pipeline_src.searching.latency import Table
    from pipeline_src.searching.quality import extract_subnet
    from pipeline_src.searching.search import latency_table, median_error, search_scales
    from pipeline_src.training.devices import torch_device
    from pipeline_src.training.session import TrainingSession, checkpoint_path
    from pipeline_src.weights import learned_lr, load_net, save_net

    session = TrainingSession(params.train, params.seed, params.threads, learned_lr(system))
    supernet, trained_from = load_net(weights, scales)
    made_from = session.made_from | {"weights": sha256(weights)}
    empty(out / "nets")
    torch_device("cpu", threads=1)  # every subnet is measured by one thread
    # Before the run is recorded: MLflow's sampling of the system would be timed along.
    kept = checkpoint_path(f"{system}-latency", made_from | spec.latency.model_dump()).with_suffix("")
    latency, checks = latency_table(supernet, spec, kept)
    with tracking.stage_run("search", system, made_from | spec.model_dump()) as run:
        picked, rows, metrics = search_scales(supernet, spec, session.validation, Table(latency))
        metrics = {"latency_error": median_error(checks)} | metrics
        for name, table in (("latency", latency), ("latency_check", checks), ("subnets", rows)):
            write_table(out / f"{name}.csv", table)
        torch_device(params.train.device, params.threads)
        curves = []
        for name, subnet in picked.items():
            label = f"{system}/{name}"
            torch.manual_seed(params.seed)
            net = extract_subnet(supernet, subnet)
            facts: dict[str, Any] = trained_from | made_from | {"system": label, "scales": [subnet["scale"]]}
            facts["net"] = trained_from["net"] | {"subnet": subnet}
            curve = [{"step": 0, **session.validator([subnet["scale"]])(net.to(session.device))}]
            if recipe := spec.finetune:
                facts["recipe"] = recipe.model_dump()
                curve += session.fit(f"search@{label}", net, recipe, facts)
            save_net(out / "nets" / f"{name}.safetensors", net, facts)
            curves += [{"net": label, **row} for row in curve]
            metrics[name] = {"subnet": subnet, "validation": curve[-1]}
        write_table(out / "curve.csv", curves)
        write_json(out / "metrics.json", metrics)
        session.close()
        shutil.rmtree(kept, ignore_errors=True)
        run.log_outputs(*(out / f"{name}.csv" for name in ("latency", "latency_check", "subnets", "curve")))


if __name__ == "__main__":
    command.stage(search, "system")
