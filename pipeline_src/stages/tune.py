"""Tune the numbers of a recipe by trial trainings, with NNI's TPE on the validation images of train.h5.

Writes every trial to trials.csv, and the best values to best.yaml, a preset: superres preset add <that file>.
"""

from typing import Any

from pipeline_src import command, config, paths, tracking
from pipeline_src.errors import UserError
from pipeline_src.files import sha256, whole_file
from pipeline_src.tables import write_table


def tune(name: str) -> None:
    """Write the trials of ``tune.<name>`` and a preset of the best values to ``results/tune/<name>``.

    Raises:
        UserError: If ``params.yaml`` has no ``tune.<name>``.
    """
    params = config.load()
    if name not in params.tune:
        raise UserError(f"params.yaml has no tune.{name}; it has {', '.join(params.tune) or 'none'}")
    spec = params.tune[name]
    system, weights, out = params.system(spec.system), paths.weights(spec.system), paths.results("tune", name)
    pruned = params.prune[spec.system] if spec.net else None
    import torch
    from ruamel.yaml import YAML

    from pipeline_src.compression import pruning
    from pipeline_src.models import SuperResolutionNet
    from pipeline_src.searching.tuning import best_values, run_trials
    from pipeline_src.starts import begin
    from pipeline_src.training.session import TrainingSession
    from pipeline_src.weights import build, load_net, other_lr

    session = TrainingSession(params.train, params.seed, params.threads, other_lr(spec.system))
    recipe = pruned.finetune if pruned else system.train
    made_from = session.made_from | {"system": system.model_dump(), "tune": spec.model_dump()}
    made_from["weights"] = sha256(weights)
    examples = pruning.examples(session.training, system.scales) if pruned else {}

    def start() -> SuperResolutionNet:
        """Return a new net with the weights that every trial starts from."""
        torch.manual_seed(params.seed)
        if pruned and spec.net:
            net, _ = load_net(weights, system.scales)
            pruning.prune(net, pruned.nets[spec.net], examples)
            return net
        net = build(system.model, system.scales, system.net, f"params.yaml: systems.{spec.system}")
        begin(net, system.model, recipe, session.training)
        return net

    with tracking.stage_run("tune", name, spec.model_dump()) as run:
        run.log_data(paths.TRAIN_H5.name, paths.TRAIN_H5, "training", made_from["train_h5"])
        trials = run_trials(session, name, spec, recipe, start, made_from, run)
        best = best_values(trials, spec, name)
        preset: dict[str, Any] = (
            {"prune": {spec.system: {"finetune": best}}} if pruned else {"systems": {spec.system: {"train": best}}}
        )
        write_table(out / "trials.csv", trials)
        with whole_file(out / "best.yaml") as unfinished:
            YAML().dump(preset, unfinished)
        run.log_metrics({"best_psnr_y": max(trial["psnr_y"] for trial in trials if trial["psnr_y"] is not None)})
        run.log_outputs(out / "trials.csv", out / "best.yaml")
    session.close()


if __name__ == "__main__":
    command.stage(tune, "name")
