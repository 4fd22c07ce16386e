"""Bars of long work: one on a terminal, a line in a file for a launcher, and nothing elsewhere."""

import os
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest
from shared import ROOT

from pipeline_src.progress import VARIABLE, progress_bar


@pytest.fixture
def line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The file that a launcher watches, in a folder that is not there yet."""
    file = tmp_path / "logs" / "train@net.progress"
    monkeypatch.setenv(VARIABLE, str(file))
    return file


def test_a_launcher_gets_one_line_which_ends_with_the_work(line: Path, capfd: pytest.CaptureFixture[str]) -> None:
    lines = []
    for item in progress_bar(range(3), "train@net", "step", initial=1, total=4):
        lines.append((item, line.read_text()))
    assert lines[0][1].startswith("train@net: 25 % (1/4 step, ")
    assert {text.count("\n") + text.count("\r") for _, text in lines} == {0}
    assert not line.exists()
    assert capfd.readouterr() == ("", "")


def test_figures_stand_behind_the_count(line: Path) -> None:
    with progress_bar(None, "train@net", "step", total=2) as bar:
        bar.update()
        bar.set_postfix({"psnr_y": "30.12"})
        assert line.read_text().startswith("train@net: 50 % (1/2 step, ")
        assert line.read_text().endswith("left), psnr_y=30.12")


def test_where_stderr_is_no_terminal_there_is_no_bar(capfd: pytest.CaptureFixture[str]) -> None:
    assert list(progress_bar(range(3), "train@net", "step")) == [0, 1, 2]
    assert capfd.readouterr() == ("", "")


def test_a_process_that_is_not_the_first_shows_nothing(line: Path) -> None:
    def seen() -> Iterator[bool]:
        for _ in progress_bar(range(3), "train@net", "step", enabled=False):
            yield line.exists()

    assert not any(seen())


def test_a_terminal_has_a_bar() -> None:
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r})\nfrom pipeline_src.progress import progress_bar\n"
    code += "list(progress_bar(range(3), 'train@net', 'step'))"
    terminal, inside = os.openpty()
    termios.tcsetwinsize(inside, (24, 80))
    subprocess.run([sys.executable, "-c", code], stderr=inside, check=True)
    os.close(inside)
    assert "train@net: 100%|" in os.read(terminal, 1 << 16).decode()
