"""The time that trainings take, from a step of each that is really trained."""

from pathlib import Path

import pytest
import torch
from shared import ROOT, TINY, link_starts, merged

from pipeline_src import config
from pipeline_src.config.merging import load_yaml
from pipeline_src.errors import UserError
from pipeline_src.preflight import trainings
from pipeline_src.preflight.check import check, duration
from pipeline_src.preflight.work import works

LOADED = config.Params.model_validate(
    merged(*(load_yaml((ROOT / name).read_text(), name) for name in ("params.yaml", "workflow/presets/large.yaml")))
)


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    link_starts(tmp_path)
    monkeypatch.chdir(tmp_path)


def with_systems(*names: str, steps: int = 100) -> config.Params:
    """Params with some systems alone, whose trainings and QAT have tiny batches."""
    systems = {}
    for name in names:
        system = LOADED.systems[name]
        tiny = {"batch": 4, "patch": TINY["patch"], "steps": steps}
        recipes = {key: getattr(system, key).model_copy(update=tiny) for key in ("train", "qat")}
        systems[name] = system.model_copy(update=recipes)
    smaller = {
        section: {name: spec for name, spec in getattr(LOADED, section).items() if name in names}
        for section in ("prune", "search")
    }
    train = LOADED.train.model_copy(update={"device": "cpu"})
    return LOADED.model_copy(update={"systems": systems, "train": train, **smaller})


def test_every_training_counts() -> None:
    names = [work.name for work in works(with_systems("abpn_x3", "ofa_sr"))]
    assert names == [
        *("train@abpn_x3", "prune@abpn_x3/l1_50", "quantize@abpn_x3", "quantize@abpn_x3/l1_50"),
        *["train@ofa_sr"] * 4,  # and the phases of its shrinking
        *("search@ofa_sr/half", "quantize@ofa_sr/half"),
    ]


def test_twice_the_steps_take_twice_the_time_and_are_measured_once() -> None:
    once, twice = (trainings.estimate(with_systems("abpn_x2", steps=steps)) for steps in (100, 200))
    assert once.seconds > 0
    assert twice.seconds == pytest.approx(2 * once.seconds)
    measured = trainings.MEASURED.read_bytes()
    trainings.estimate(with_systems("abpn_x2", steps=100))
    assert trainings.MEASURED.read_bytes() == measured
    trainings.MEASURED.write_bytes(measured[:-9])
    with pytest.raises(UserError, match=r"preflight\.json is not valid JSON \(.*\); delete it$"):
        trainings.estimate(with_systems("abpn_x2", steps=100))


@pytest.mark.parametrize("name", ["conv_x4", "vdsr", "ofa_sr"])
def test_any_net_can_be_measured(name: str) -> None:
    """With a learned downscaler; in luma, with patches of HR pixels; a supernet at two scales."""
    estimate = trainings.estimate(with_systems(name))
    assert estimate.seconds > 0
    assert (estimate.peak_bytes, estimate.memory_bytes) == (0, 0)


def test_a_net_that_cannot_be_built_is_said() -> None:
    params = with_systems("carn_m")
    params.systems["carn_m"].net["groups"] = 5
    with pytest.raises(UserError, match=r"systems\.carn_m: the model carn cannot be built so"):
        trainings.estimate(params)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_gpu_that_is_asked_for_and_missing_is_said() -> None:
    params = with_systems("abpn_x2")
    train = params.train.model_copy(update={"device": "cuda"})
    with pytest.raises(UserError, match=r"train\.device is cuda, but torch sees no CUDA device"):
        trainings.estimate(params.model_copy(update={"train": train}))


def test_short_runs_are_not_measured_and_long_ones_say_their_time() -> None:
    assert check(with_systems("abpn_x2")) == []
    assert not trainings.MEASURED.exists()
    (said,) = check(with_systems("abpn_x2", steps=10_000))
    assert said.startswith("time: about ")
    assert trainings.MEASURED.exists()


def test_durations_are_said_in_words() -> None:
    assert [duration(seconds) for seconds in (90, 150, 3 * 3600, 47 * 3600, 9.4 * 86400)] == [
        *("90 seconds", "2 minutes", "3 hours", "47 hours", "9 days")
    ]
