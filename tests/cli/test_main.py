"""The console script ``superres``: its subcommands, its help, and how fast it answers."""

import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import pytest
from shared import ROOT

from pipeline_src.cli.main import COMMANDS, DISTRIBUTION, main, module_of

HEAVY = {"torch", "pydantic", "ruamel", "PIL", "onnxruntime", "pandas"}  # numpy: 0.1 s, which the list of formats costs


@pytest.mark.parametrize("command", [[], *([name] for name in COMMANDS)])
def test_help_imports_nothing_heavy(command: list[str]) -> None:
    script = f"""
import sys
from pipeline_src.cli.main import main
try:
    main({[*command, "--help"]!r})
finally:
    print("imported:", *{HEAVY!r} & {{name.partition(".")[0] for name in sys.modules}})
"""
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    seconds = time.monotonic() - began
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(" ".join(["usage: superres", *command]))
    assert done.stdout.splitlines()[-1] == "imported:"
    assert seconds < 5  # half a second on an idle machine; this one may be busy


def test_an_interrupt_during_the_imports_is_one_line() -> None:
    script = """
import sys
from pipeline_src.cli.main import main
class Interrupted:
    def find_spec(self, name, *_):
        if name == "pipeline_src.command":
            sys.meta_path.remove(self)
            raise KeyboardInterrupt
sys.meta_path.insert(0, Interrupted())
main(["models"])
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (130, "interrupted; files that were finished are whole\n")


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["--help"])
    assert end.value.code == 0
    out = capsys.readouterr().out
    assert [name for name in COMMANDS if f"\n  {name}  " not in out] == []


def test_the_version_is_that_of_the_package() -> None:
    command = [sys.executable, "-m", "pipeline_src", "--version"]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    assert done.stdout == f"superres {version(DISTRIBUTION)}\n"


@pytest.mark.parametrize("arguments", [[], ["nonsense"], ["upscale"], ["preset", "nonsense"]])
def test_a_wrong_call_shows_the_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2
    assert capsys.readouterr().err.startswith("usage: superres")


@pytest.mark.parametrize(
    "arguments",
    [
        ["upscale", ""],
        ["upscale", "photo.png", ""],
        ["upscale", "photo.png", "-o", ""],
        ["upscale", "photo.png", "--model", ""],
        ["downscale", ""],
        ["downscale", "photo.png", "--scale", "2", "--model", ""],
        ["evaluate", "--hr", ""],
        ["evaluate", "--hr", "hr", "--lr", ""],
        ["evaluate", "--hr", "hr", "--save", ""],
        ["evaluate", "--hr", "hr", "--csv", ""],
        ["evaluate", "--hr", "hr", "--model", ""],
        ["export", "--model", "", "--format", "onnx"],
        ["export", "--model", "abpn_x3", "--format", "onnx", "-o", ""],
        ["export", "--model", "abpn_x3", "--format", "onnx", "--variant", "ptq", "--calibrate", ""],
        ["models", ""],
        ["compare", "", "workspace"],
        ["compare", "main", ""],
        ["compare", "main", "workspace", "--csv", ""],
        ["import", "", "--as", "carn"],
        ["preset", "add", ""],
    ],
    ids=lambda arguments: " ".join(arguments),
)
def test_an_empty_name_is_refused(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As that of a variable of the shell that is not set; a path that is empty would mean the current folder."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2
    assert "the name is empty" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["upscale", "x" * 256], ["upscale", "a.png", "-o", f"{'é' * 128}/a.png"]])
def test_a_name_that_no_file_can_have_is_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2
    assert "a name of a file has at most 255 bytes; shorten" in capsys.readouterr().err


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_runs_as_a_module_too(name: str) -> None:
    command = [sys.executable, "-m", f"pipeline_src.cli.{module_of(name)}", "--help"]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    assert done.stdout.startswith(f"usage: superres {name}")
