"""Train one system on train.h5. A training that was stopped goes on where it was, to the same weights."""

from functools import partial

from pipeline_src import command, config, paths, tracking
from pipeline_src.files import empty, write_json
from pipeline_src.tables import write_table


def train(system: str) -> None:
    """Write the trained weights to ``results/nets/<system>``, curve and metrics to ``results/train/<system>``.

    With ``processes`` or ``nodes`` in the recipe it starts the processes that train, of which only the first writes.
    """
    params = config.load()
    from pipeline_src.models import SuperResolutionNet
    from pipeline_src.starts import begin
    from pipeline_src.training import joint, launching, shrinking
    from pipeline_src.training.degraded import degraded
    from pipeline_src.training.devices import torch_device
    from pipeline_src.training.reparameterisation import reparameterised
    from pipeline_src.training.session import Options, TrainingSession
    from pipeline_src.weights import build, dtype_name, origin, save_net

    spec, out, weights = params.system(system), paths.results("train", system), paths.weights(system)
    recipe, where = spec.train, f"params.yaml: systems.{system}"
    if launching.to_launch(recipe):
        return launching.launch(system, recipe, torch_device(params.train.device, params.threads))
    session = TrainingSession(params.train, params.seed, params.threads)
    upscaler = build(spec.model, spec.scales, spec.net, where)
    shrinking.check(upscaler, recipe)
    if spec.downscaler.degrades:
        session.other_lr = degraded(session, spec.downscaler.degradation, spec.scales, paths.downscaler(system))
    begin(upscaler, spec.model, recipe, session.training)
    downscaler = joint.untrained_downscaler(spec.downscaler, spec.scales, where)
    made_from = session.made_from | {
        **{"model": spec.model, "scales": spec.scales, "net": spec.net},
        **{"recipe": recipe.model_dump(), "downscaler": spec.downscaler.settings()},
    }

    def fit(
        run: tracking.StageRun, net: SuperResolutionNet, recipe: config.Recipe, scales: list[int], phase: int
    ) -> list[dict[str, float]]:
        validate, steps_before = session.validator(scales), shrinking.steps_before(spec.train, spec.train.shrink, phase)
        options = Options(
            scales=scales,
            seed=params.seed + phase,
            validate=shrinking.with_smallest(validate) if phase else validate,
            compiled=False if phase else None,  # each subnet would be compiled by itself
            lr_factors={"downscaler": spec.downscaler.lr_factor} if downscaler else {},
            observe=lambda row: run.log_point(row | {"step": steps_before + row["step"]}),
        )
        name = f"train@{system} phase {phase}" if phase else f"train@{system}"
        trained = joint.Joint(net, downscaler, spec.downscaler) if downscaler else net
        with reparameterised(net, spec.train.reparameterise):
            return session.fit(name, trained, recipe, made_from, options)

    def run_training(run: tracking.StageRun) -> list[dict[str, float]]:
        if not recipe.shrink:
            return fit(run, upscaler, recipe, spec.scales, 0)
        return shrinking.shrink(upscaler, recipe, params.seed, partial(fit, run))

    if not session.workers.first:
        run_training(tracking.StageRun())
        return
    with tracking.stage_run("train", system, made_from | {"train": params.train.model_dump()}) as run:
        run.log_data(paths.TRAIN_H5.name, paths.TRAIN_H5, "training", made_from["train_h5"])
        curve = run_training(run)
        if not session.other_lr:
            empty(paths.downscaler(system))
        if downscaler:
            images = (session.training, session.validation)
            joint.save_downscaler(downscaler, spec.downscaler, recipe.steps, images, paths.downscaler(system))
        provenance = {"origin": origin(recipe), "dtype": dtype_name(session.precision)}
        gain = {"over_bicubic": curve[-1]["over_bicubic"]}  # which tells whoever has the file alone what it is worth
        save_net(weights, upscaler, {"system": system, **made_from, **provenance, **gain})
        write_table(out / "curve.csv", curve)
        write_json(out / "metrics.json", curve[-1])
        session.close()
        run.log_outputs(weights, out / "curve.csv")


if __name__ == "__main__":
    command.stage(train, "system")
