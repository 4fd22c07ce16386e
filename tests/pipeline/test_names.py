"""Names of params.yaml that a shell, DVC or a file system would read as something else."""

from pathlib import Path

import pytest
import yaml
from copies import Copy, copied, copied_again

NAMES = ["x; touch PWNED #", "$(touch PWNED)", "x' || touch PWNED || '", "-rf", "a b", ".hidden"]


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    return copied(tmp_path_factory.mktemp("names"))


@pytest.mark.parametrize("name", NAMES)
def test_dvc_runs_no_command_that_stands_in_a_name(copy: Copy, tmp_path: Path, name: str) -> None:
    again = copied_again(copy, tmp_path / "copy")
    params = again.folder / "params.yaml"
    values = yaml.safe_load(params.read_text())
    values["sets"][name] = values["sets"].pop("photos")
    params.write_text(yaml.safe_dump(values, sort_keys=False))
    with pytest.raises(AssertionError, match=r"error: params\.yaml: sets\.") as failed:
        again.ran("dvc", "repro", SR_TRACKING="off")
    assert "Traceback" not in str(failed.value)
    assert not list(again.folder.rglob("PWNED"))


def test_dvc_refuses_an_unknown_key(copy: Copy, tmp_path: Path) -> None:
    again = copied_again(copy, tmp_path / "copy")
    with (again.folder / "params.yaml").open("a") as file:
        file.write("seeds: 3\n")
    with pytest.raises(AssertionError, match=r"error: params\.yaml: seeds is an unknown key"):
        again.ran("dvc", "repro", SR_TRACKING="off")


def test_a_downscaler_is_a_package_beside_the_others(copy: Copy, tmp_path: Path) -> None:
    again = copied_again(copy, tmp_path / "copy")
    params = again.folder / "params.yaml"
    values = yaml.safe_load(params.read_text())
    values["systems"]["abpn_x3"]["downscaler"]["model"] = ".."
    params.write_text(yaml.safe_dump(values, sort_keys=False))
    with pytest.raises(AssertionError, match=r"there is no model '\.\.' in pipeline_src/downscaling"):
        again.superres("preset", "check")
