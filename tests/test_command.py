"""Exit statuses, and messages that are one line whatever a file is called."""

import argparse
import errno
import logging
import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from shared import ROOT

from pipeline_src.command import REASONS, OneLine, exit_status, printable, threads
from pipeline_src.errors import UserError


def raising(error: BaseException) -> None:
    raise error


def test_ctrl_c_ends_with_130_and_without_a_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_status(raising, KeyboardInterrupt()) == 130
    assert capsys.readouterr().err == "interrupted; files that were finished are whole\n"


def test_a_mistake_is_one_line_whatever_the_file_is_called(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_status(raising, UserError("new\nline \x1b[31m.png is broken")) == 1
    assert capsys.readouterr().err == "error: new\\nline \\x1b[31m.png is broken\n"


def test_a_warning_is_one_line_too() -> None:
    record = logging.LogRecord("a", logging.WARNING, "", 0, "%s is skipped", ("new\nline.png",), None)
    assert OneLine("%(message)s").format(record) == "new\\nline.png is skipped"


def test_letters_of_every_language_are_printed_as_they_are() -> None:
    assert printable("日本語 фото 🐱.png ×4") == "日本語 фото 🐱.png ×4"


TORCHAO = "`isinstance(treespec, LeafSpec)` is deprecated, use `isinstance(treespec, TreeSpec)` instead."


@pytest.mark.parametrize(("text", "count"), [(TORCHAO, 0), ("the results of this function will change", 1)])
def test_what_torch_says_to_the_authors_of_torchao_is_hidden_and_nothing_else(text: str, count: int) -> None:
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        assert exit_status(warnings.warn, text, FutureWarning) == 0
    assert len(said) == count


@pytest.mark.parametrize("number", REASONS)
def test_an_error_of_the_operating_system_is_a_sentence_with_its_file(
    number: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_status(raising, OSError(number, os.strerror(number), "results/a\nb.csv")) == 1
    reason, advice = REASONS[number]
    assert capsys.readouterr().err == f"error: results/a\\nb.csv: {reason}; {advice}\n"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.EMFILE, "Too many open files"), "too many files are open; raise the limit with `ulimit -n` and"),
        (OSError(errno.ENOENT, "No such file or directory", "a", None, "b"), "a → b: there is no such file or folder;"),
        (OSError(errno.EXDEV, "Invalid cross-device link", "a"), "a: Invalid cross-device link"),
        (OSError("unable to open file"), "unable to open file"),  # as h5py raises it
        (TimeoutError(), "TimeoutError"),
    ],
)
def test_whatever_a_library_says_is_one_sentence(error: OSError, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_status(raising, error) == 1
    assert capsys.readouterr().err.startswith(f"error: {said}")


def test_a_file_where_a_folder_has_to_be_is_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "cache").touch()
    assert exit_status((tmp_path / "cache" / "kept").mkdir) == 1
    assert capsys.readouterr().err.startswith(f"error: {tmp_path}/cache/kept: a part of this path is a file")


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    code = "from pipeline_src.command import exit_status as e; e(lambda: [print('x' * 99) for _ in range(9999)])"
    shell = f'{sys.executable} -c "$CODE" | head -1'
    done = subprocess.run(shell, shell=True, env=os.environ | {"CODE": code}, capture_output=True, text=True)
    assert (done.stdout.strip("x\n"), done.stderr) == ("", "")


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_closed_streams_are_no_error(closed: str, tmp_path: Path) -> None:
    code = (
        "import sys; from pipeline_src.command import exit_status; sys.exit(exit_status(lambda: print(open('a', 'w'))))"
    )
    environment = os.environ | {"CODE": code, "PYTHONPATH": str(ROOT)}
    command = f'{sys.executable} -c "$CODE" {closed}'
    assert subprocess.run(command, shell=True, env=environment, cwd=tmp_path).returncode == 0
    assert (tmp_path / "a").exists()


def test_what_an_encoding_lacks_is_escaped(tmp_path: Path) -> None:
    code = "from pipeline_src.command import exit_status as e; e(lambda: print('×3'))"
    environment = os.environ | {"PYTHONIOENCODING": "ascii", "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("\\xd73\n", "")


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
    ],
)
def test_a_lack_of_memory_is_a_sentence(error: Exception, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_status(raising, error) == 1
    assert capsys.readouterr().err.startswith("error: there is not enough memory; end other programs, or lower")
    with pytest.raises(RuntimeError, match="shapes"):
        exit_status(raising, RuntimeError("shapes do not match"))


def test_there_is_a_limit_of_threads() -> None:
    assert threads("1024") == 1024
    with pytest.raises(argparse.ArgumentTypeError, match="there can be 1024 threads at most, not 1000000"):
        threads("1000000")
