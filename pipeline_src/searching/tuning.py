"""Trial trainings with NNI's TPE (Bergstra et al., NeurIPS 2011) for the numbers of a recipe."""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from pipeline_src import config
from pipeline_src.config import Recipe, Tune
from pipeline_src.errors import UserError
from pipeline_src.models import SuperResolutionNet
from pipeline_src.tracking import StageRun
from pipeline_src.training.loop import DivergedError
from pipeline_src.training.session import Options, TrainingSession

WORST = 0.0  # dB: what TPE is told of a trial whose loss was not finite

Trial = dict[str, Any]

log = logging.getLogger(__name__)


def run_trials(
    session: TrainingSession,
    name: str,
    spec: Tune,
    recipe: Recipe,
    start: Callable[[], SuperResolutionNet],
    made_from: Mapping[str, Any],
    run: StageRun,
) -> list[Trial]:
    """Train ``spec.trials`` times with numbers that TPE proposes, fewer if the space is exhausted.

    Args:
        session: of the stage.
        name: of the search, in params.yaml under ``tune``.
        spec: the search.
        recipe: the recipe, some of whose numbers are searched.
        start: from nothing to the net that a trial starts from.
        made_from: what that net depends on.
        run: of the stage; each trial is nested in it with its values and its curve, FAILED if it diverged.

    Returns:
        One row per trial: ``trial``, the values, ``psnr_y`` in dB (None if the loss was not finite), ``seconds``.
    """
    from nni import NoMoreTrialError
    from nni.algorithms.hpo.tpe_tuner import TpeTuner

    tuner = TpeTuner("maximize", session.seed, {"n_startup_jobs": max(2, spec.trials // 3)})
    tuner.update_search_space({key: values.as_nni() for key, values in spec.space.items()})
    fixed = recipe.model_dump(include={*Recipe.model_fields}) | {"steps": spec.steps}  # of a supernet the largest net
    options = Options(compiled=False, validate_every=spec.steps)  # compiling takes longer than most trials
    trials: list[Trial] = []
    for trial in range(spec.trials):
        try:
            proposed = tuner.generate_parameters(trial)
        except NoMoreTrialError:
            break
        values = {key: float(value) if isinstance(value, float) else value for key, value in proposed.items()}
        trial_recipe = config.recipe(fixed | values, f"tune.{name}.space")
        began = time.monotonic()
        try:
            label = f"tune@{name} {trial + 1} of {spec.trials}"
            with run.nested(label, values) as trial_run:
                observed = replace(options, observe=trial_run.log_point)
                psnr_y = session.fit(label, start(), trial_recipe, made_from, observed)[-1]["psnr_y"]
        except DivergedError as error:
            log.warning("%s", error)
            psnr_y = None
        seconds = round(time.monotonic() - began, 1)
        tuner.receive_trial_result(trial, proposed, WORST if psnr_y is None else psnr_y)
        trials.append({"trial": trial, **values, "psnr_y": psnr_y, "seconds": seconds})
        if psnr_y is not None:
            run.log_metrics({"psnr_y": psnr_y}, trial)
    return trials


def best_values(trials: list[Trial], spec: Tune, name: str) -> dict[str, Any]:
    """Return the searched numbers of the best trial; UserError if no trial has a finite loss."""
    finite = [trial for trial in trials if trial["psnr_y"] is not None]
    if not finite:
        raise UserError(f"no trial of tune.{name} has a finite loss; lower the lr of its space")
    best = max(finite, key=lambda trial: trial["psnr_y"])
    return {key: best[key] for key in spec.space}
