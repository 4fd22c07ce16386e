"""Make smaller nets of one system: remove filters or weights of the trained net, and fine-tune what remains."""

from typing import Any

from pipeline_src import command, config, paths, tracking
from pipeline_src.errors import UserError
from pipeline_src.files import empty, sha256, write_json
from pipeline_src.tables import write_table


def prune(system: str) -> None:
    """Write the nets of ``prune.<system>`` to ``results/nets/<system>/prune``, their curves and metrics beside them.

    Raises:
        UserError: If ``params.yaml`` prunes nothing of this system.
    """
    params = config.load()
    if system not in params.prune:
        raise UserError(f"params.yaml: prune has no {system!r}; it has {', '.join(params.prune) or 'nothing'}")
    spec, out, weights = params.prune[system], paths.smaller_nets("prune", system), paths.weights(system)
    import torch

    from pipeline_src.compression import pruning
    from pipeline_src.compression.pruning.channels import read
    from pipeline_src.training.session import Options, TrainingSession
    from pipeline_src.weights import dtype_name, load_net, other_lr, require_system, save_net

    empty(out / "nets")
    session = TrainingSession(params.train, params.seed, params.threads, other_lr(system))
    net, trained_from = load_net(weights)
    require_system(weights, trained_from, system)
    validate = session.validator(net.description.scales)
    examples = pruning.examples(session.training, net.description.scales)
    channels = read(net)
    metrics = {system: validate(net.to(session.device))}
    layers: list[dict[str, Any]] = []
    curves: list[dict[str, Any]] = []
    for name, pruning_spec in spec.nets.items():
        label, file = f"{system}/{name}", out / "nets" / f"{name}.safetensors"
        made_from = session.made_from | {"weights": sha256(weights), "pruned": pruning_spec.model_dump()}
        made_from["recipe"] = spec.finetune.model_dump()
        with tracking.stage_run("prune", label, made_from | {"train": params.train.model_dump()}) as run:
            torch.manual_seed(params.seed)
            net, _ = load_net(weights)
            pruned = pruning.prune(net, pruning_spec, examples, channels)
            layers += [{"net": label, **vars(layer)} for layer in pruned]
            before = validate(net.to(session.device))
            run.log_data(paths.TRAIN_H5.name, paths.TRAIN_H5, "training", made_from["train_h5"])
            run.log_point({"step": 0, **before})
            curve = session.fit(f"prune@{label}", net, spec.finetune, made_from, Options(observe=run.log_point))
            metrics[label] = {key: curve[-1][key] for key in before}
            own = {"system": label, "dtype": dtype_name(session.precision), "over_bicubic": curve[-1]["over_bicubic"]}
            save_net(file, net, trained_from | own | made_from)
            curves += [{"net": label, **row} for row in ({"step": 0, **before}, *curve)]
            run.log_outputs(file)
    write_table(out / "layers.csv", layers)
    write_table(out / "curve.csv", curves)
    write_json(out / "metrics.json", metrics)
    session.close()


if __name__ == "__main__":
    command.stage(prune, "system")
