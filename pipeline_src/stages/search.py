"""Search the subnets of a once-for-all system for the best at each cost, and extract those that meet the budgets.

An evolution is guided by a latency table, of this machine or of a device, and a predictor of quality. The subnets that
it proposes are measured, and so are as many random ones for comparison.
"""

import shutil
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from pipeline_src import command, config, paths, tracking
from pipeline_src.errors import UserError
from pipeline_src.files import empty, sha256, write_json
from pipeline_src.tables import write_table

if TYPE_CHECKING:
    from pipeline_src.models import SuperResolutionNet
    from pipeline_src.training.session import TrainingSession


def search(system: str) -> None:
    """Write the subnets that fit the budgets, and the tables of the search, to ``results/nets/<system>/search``.

    Raises:
        UserError: If ``params.yaml`` has no search for this system.
    """
    params = config.load()
    if system not in params.search:
        raise UserError(f"params.yaml: search has no {system!r}; it has {', '.join(params.search) or 'nothing'}")
    spec, scales, out = params.search[system], params.system(system).scales, paths.smaller_nets("search", system)
    weights = paths.weights(system)
    import torch

    from pipeline_src.devices.ssh import Board
    from pipeline_src.searching.latency import Table, latency_table, median_error
    from pipeline_src.searching.quality import extract_subnet, load_supernet
    from pipeline_src.searching.search import search_scales, tracked_metrics
    from pipeline_src.training.devices import torch_device
    from pipeline_src.training.session import TrainingSession, checkpoint_path
    from pipeline_src.weights import other_lr, save_net

    session = TrainingSession(params.train, params.seed, params.threads, other_lr(system))
    supernet, trained_from = load_supernet(weights, scales)
    made_from = session.made_from | {"weights": sha256(weights)}
    empty(out / "nets")
    torch_device("cpu", threads=1)  # every subnet is measured by one thread
    where = spec.latency.device
    board = None if where == config.HERE else Board(where, params.device(where))
    address = {"address": board.address} if board else {}
    kept_table = checkpoint_path(f"{system}-latency", made_from | spec.latency.model_dump() | address).with_suffix("")
    # Before the run is recorded, because MLflow's sampling of the machine would slow down what is timed.
    latency, checks = latency_table(supernet, spec, kept_table, board)
    with tracking.stage_run("search", system, made_from | spec.model_dump()) as run:
        run.log_data(paths.TRAIN_H5.name, paths.TRAIN_H5, "training", made_from["train_h5"])
        subnets, rows, search_metrics = search_scales(supernet, spec, session.validation, Table(latency))
        metrics: dict[str, Any] = {"latency_error": median_error(checks)} | search_metrics
        run.log_metrics(tracked_metrics(metrics, spec.seeds))
        for name, table in (("latency", latency), ("latency_check", checks), ("subnets", rows)):
            write_table(out / f"{name}.csv", table)
        torch_device(params.train.device, params.threads)
        curves: list[dict[str, Any]] = []
        for name, subnet in subnets.items():
            label = f"{system}/{name}"
            metadata: dict[str, Any] = trained_from | made_from | {"system": label, "scales": [subnet["scale"]]}
            metadata["net"] = trained_from["net"] | {"subnet": subnet}
            torch.manual_seed(params.seed)
            net = extract_subnet(supernet, subnet)
            curve = _fine_tune(session, net, spec.finetune, metadata, partial(_log_point, run, name))
            gain = {"over_bicubic": curve[-1]["over_bicubic"]}
            save_net(out / "nets" / f"{name}.safetensors", net, metadata | gain)
            curves += [{"net": label, **row} for row in curve]
            metrics[name] = {"subnet": subnet, "validation": curve[-1]}
        write_table(out / "curve.csv", curves)
        write_json(out / "metrics.json", metrics)
        session.close()
        shutil.rmtree(kept_table, ignore_errors=True)
        run.log_outputs(*(out / f"{name}.csv" for name in ("latency", "latency_check", "subnets", "curve")))
        run.log_outputs(*(out / "nets" / f"{name}.safetensors" for name in subnets))


def _log_point(run: tracking.StageRun, subnet: str, row: dict[str, float]) -> None:
    """Log a point of a subnet's curves, under names that begin with the subnet's."""
    run.log_point({key if key == "step" else f"{subnet}/{key}": value for key, value in row.items()})


def _fine_tune(
    session: "TrainingSession",
    net: "SuperResolutionNet",
    recipe: config.Recipe | None,
    metadata: dict[str, Any],
    observe: Callable[[dict[str, float]], None],
) -> list[dict[str, Any]]:
    """Train an extracted subnet in place, if there is a recipe, and return its curve from step 0 on."""
    from pipeline_src.training.session import Options
    from pipeline_src.weights import dtype_name

    curve: list[dict[str, Any]] = [{"step": 0, **session.validator(metadata["scales"])(net.to(session.device))}]
    observe(curve[0])
    if recipe:
        metadata |= {"recipe": recipe.model_dump(), "dtype": dtype_name(session.precision)}
        curve += session.fit(f"search@{metadata['system']}", net, recipe, metadata, Options(observe=observe))
    return curve


if __name__ == "__main__":
    command.stage(search, "system")
