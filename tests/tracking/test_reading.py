"""What a run of the store keeps is read again."""

import shutil
from pathlib import Path

import pytest
from made_states import found, image_rows, write_state
from runs import runs_in, split, store_of

from pipeline_src import paths
from pipeline_src.errors import UserError
from pipeline_src.reporting.comparison import measurements
from pipeline_src.reporting.comparison.changes import WORSE
from pipeline_src.reporting.comparison.compared import compare
from pipeline_src.reporting.comparison.tolerances import Tolerances
from pipeline_src.tracking import stage_run


def test_two_states_are_compared_by_their_runs(folder: Path) -> None:
    """As the stage report records them: the states differ in params.yaml."""
    for seed, loss in ((1, 0.0), (2, -0.05)):
        (folder / "params.yaml").write_text(f"seed: {seed}\n")
        with stage_run("report", None, {"seed": seed}) as run:
            for net in ("abpn_x3", "abpn_x3/l1_50"):
                write_state(folder, net, images=image_rows(qat=loss))
                for name in paths.COMPARED:
                    run.state.log_artifact(paths.results("benchmark", net) / name, f"benchmark/{net}")
    shutil.rmtree(folder / "results")
    states, stages = split(runs_in(store_of(folder))[1])
    new, base = (state.info.run_id for state in states)  # the last one comes first
    comparison = compare(measurements.read(base), measurements.read(new), Tolerances())
    assert found(comparison, WORSE) == [("qat", "tflite", "psnr_y")] * 2
    assert {change.file.system for change in comparison.of(WORSE)} == {"abpn_x3", "abpn_x3/l1_50"}
    assert comparison.base.name == f"run {base[:7]}"
    with pytest.raises(UserError, match=r"keeps no benchmark/<net>/benchmark\.csv; name the run of a state"):
        measurements.read(stages[0].info.run_id)


def test_a_run_that_there_is_not_is_told(folder: Path) -> None:
    with pytest.raises(UserError, match=r"the MLflow store sqlite:.*mlflow\.db has no run 0{32}; correct the id"):
        measurements.read("0" * 32)


def test_no_store_is_made_where_there_is_none(folder_without_store: Path) -> None:
    with pytest.raises(UserError, match=r"mlflow\.db does not exist; name the store of the run by MLFLOW_TRACKING_URI"):
        measurements.read("0" * 32)
    assert not (folder_without_store / "mlflow.db").exists()
