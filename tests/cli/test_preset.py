"""The command ``superres preset``, run as a user runs it."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from shared import ROOT, link_starts

from pipeline_src.cli.main import main


@pytest.fixture
def run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[str, str]]:
    """Run the command in a copy of the project; returns what it prints to stdout and stderr."""
    shutil.copy(ROOT / "params.yaml", tmp_path)
    shutil.copytree(ROOT / "workflow" / "presets", tmp_path / "workflow" / "presets")
    link_starts(tmp_path)
    monkeypatch.chdir(tmp_path)

    def preset(*arguments: str, status: int = 0) -> tuple[str, str]:
        with pytest.raises(SystemExit) as end:
            main(["preset", *arguments])
        captured = capsys.readouterr()
        assert end.value.code == status, captured.err
        return captured.out, captured.err

    return preset


def test_presets_are_added_listed_and_removed(run: Callable[..., tuple[str, str]]) -> None:
    before = Path("params.yaml").read_bytes()
    assert run("add", "reference", "pretrained")[0] == "params.yaml with reference, pretrained\n"
    listed = run("list")[0].splitlines()
    names = "ablations large paper photo pretrained pruning published reference reference_family"
    names += " reference_large reference_photo residuals tutorial"
    assert [line.split()[0] for line in listed[:-1]] == names.split()
    assert listed[-1] == "params.yaml with reference, pretrained"
    run()
    assert run("remove", "reference")[0] == "params.yaml with pretrained\n"
    assert run("remove", "--all")[0] == "params.yaml without presets\n"
    assert Path("params.yaml").read_bytes() == before


@pytest.mark.parametrize("arguments", [(), ("check",)])
def test_without_an_action_params_are_checked(run: Callable[..., tuple[str, str]], arguments: tuple[str, ...]) -> None:
    out, err = run(*arguments)
    assert (out.startswith("usage: superres preset"), err) == (not arguments, "")
    Path("params.yaml").write_text("seed: one\n")
    assert run(*arguments, status=1)[1].startswith(
        "error: params.yaml: seed: Input should be a valid integer, not 'one'"
    )


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ("add", "peper"),
            "error: the preset workflow/presets/peper.yaml does not exist; name a YAML file, or one of: ",
        ),
        (("remove", "paper"), "error: paper is not layered over params.yaml; layered are: none"),
        (("remove",), "error: name the presets to remove, or give --all"),
        (("remove", "paper", "--all"), "error: name the presets to remove, or give --all"),
    ],
)
def test_a_mistake_is_one_sentence(
    run: Callable[..., tuple[str, str]], arguments: tuple[str, ...], sentence: str
) -> None:
    out, err = run(*arguments, status=1)
    assert err.startswith(sentence)
    assert err.count("\n") == 1
    assert out == ""
