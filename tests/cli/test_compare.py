"""``superres compare``: what it prints, and its status."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from made_states import image_rows, write_state

from pipeline_src.cli.main import main


@pytest.fixture
def status(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """A function that compares two folders, ``base`` and ``new`` or those given, and returns the status."""
    monkeypatch.chdir(tmp_path)

    def run(*options: str, states: tuple[str, str] = ("base", "new")) -> int:
        with pytest.raises(SystemExit) as ended:
            main(["compare", *states, *options])
        assert isinstance(ended.value.code, int)
        return ended.value.code

    return run


def test_the_status_says_whether_something_is_worse(
    status: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_state(tmp_path / "base")
    write_state(tmp_path / "new", images=image_rows(qat=-0.05))
    assert status() == 1
    assert "worse  abpn_x3 ×3  qat tflite  PSNR Y (dB) Set5" in capsys.readouterr().out
    assert status("--fail-on", "latency") == 0
    assert status("--psnr", "0.1") == 0
    assert status(states=("new", "base")) == 0
    capsys.readouterr()
    assert status("--format", "markdown", "--csv", "all.csv") == 1
    assert capsys.readouterr().out.startswith("### What became better or worse\n\n**3 files compared")
    assert len(pd.read_csv("all.csv")) == 21


def test_a_mistake_is_no_regression(
    status: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_state(tmp_path / "base")
    assert status() == 2
    assert capsys.readouterr().err.startswith("error: new is neither a folder, nor a revision of git here")
    assert status("--psnr", "0") == 2
