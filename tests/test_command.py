"""Exit statuses, and messages that are one line whatever a file is called."""

import logging
import warnings

import pytest

from pipeline_src.command import OneLine, exit_status, printable
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
