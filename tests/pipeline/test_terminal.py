"""What ``make report`` prints: Snakemake's events as lines, on a terminal and elsewhere."""

import contextlib
import io
import logging
import os
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import snakemake_logger_plugin_stages as plugin
from snakemake_interface_logger_plugins.common import LogEvent
from snakemake_logger_plugin_stages.display import duration

BEGAN = time.time()
Handler = plugin.LogHandler
SUMMARY = ["results/report/index.html", "best int8 file: net"]


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], Path]:
    """A function that writes the log of a stage; the report's summary is made up."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("snakemake_logger_plugin_stages.display.config.load", lambda: None)
    monkeypatch.setattr("snakemake_logger_plugin_stages.display.summary", lambda folder, params: SUMMARY)

    def write(stage: str, text: str) -> Path:
        file = tmp_path / f"{stage}.log"
        file.write_text(text)
        return file

    return write


@pytest.fixture
def plain(log: Callable[[str, str], Path], monkeypatch: pytest.MonkeyPatch) -> tuple[Handler, io.StringIO]:
    """The plugin where stderr is no terminal, and what it prints."""
    stderr = io.StringIO()
    monkeypatch.setenv("FORCE_COLOR", "1")  # as some CI services have it
    monkeypatch.setattr(sys, "stderr", stderr)
    return Handler(None, None), stderr


def event(handler: Handler, event: LogEvent | None, text: str = "", level: int = logging.INFO, **about: Any) -> None:
    at = about.pop("at", BEGAN)
    record = logging.makeLogRecord({"msg": text, "levelno": level, "created": at, **about})
    if event:
        record.event = event
    handler.handle(record)


def begin(handler: Handler, total: int, **logs: Path) -> None:
    event(handler, LogEvent.RUN_INFO, stats={"total": total})
    for number, (name, file) in enumerate(logs.items()):
        event(handler, LogEvent.JOB_INFO, jobid=number, rule_name=name, log=[str(file)])


def test_elsewhere_than_on_a_terminal_lines_are_plain(
    plain: tuple[Handler, io.StringIO], log: Callable[[str, str], Path]
) -> None:
    handler, stderr = plain
    own = "warning: net has stalled\n"
    begin(handler, 12, train=log("train", f"{own}lib.py:3: FutureWarning: old\n{own}"), report=log("report", "\n"))
    event(handler, LogEvent.JOB_FINISHED, job_id=1, at=BEGAN + 3)
    event(handler, LogEvent.JOB_FINISHED, job_id=0, at=BEGAN + 185)
    handler.close()
    handler.close()  # as Python does at its exit
    lines = [" ".join(line.split()) for line in stderr.getvalue().splitlines()]
    assert lines[:5] == [
        "started train",
        "started report",
        "done 1/12 report 3 s",
        "done 2/12 train 3 min 05 s",
        "warning: net has stalled",
    ]
    assert lines[5].startswith("finished in ")
    assert lines[6:] == SUMMARY
    assert stderr.getvalue().isprintable() or not {"\x1b", "\r", "\b"} & {*stderr.getvalue()}


def test_another_target_than_the_report_has_no_summary(
    plain: tuple[Handler, io.StringIO], log: Callable[[str, str], Path]
) -> None:
    handler, stderr = plain
    begin(handler, 1, train=log("train", ""))
    event(handler, LogEvent.JOB_FINISHED, job_id=0)
    handler.close()
    assert stderr.getvalue().splitlines()[-1].startswith("finished in ")


def test_what_dvc_had_already_is_said(plain: tuple[Handler, io.StringIO], log: Callable[[str, str], Path]) -> None:
    handler, stderr = plain
    begin(handler, 1, train=log("train", "Stage 'train' is cached - skipping run, checking out outputs\n"))
    event(handler, LogEvent.JOB_FINISHED, job_id=0)
    assert "1/1  train, as it was in DVC's cache" in stderr.getvalue()


def test_a_failure_ends_with_the_stage_its_sentence_and_its_log(
    plain: tuple[Handler, io.StringIO], log: Callable[[str, str], Path]
) -> None:
    handler, stderr = plain
    sentence = "the loss of net is nan at step 20; lower its lr (0.1)"
    text = "".join(f"line {number}\n" for number in range(99)) + f"error: {sentence}\n"
    file = log("train", f"{text}ERROR: failed to reproduce 'train': failed to run: python, exited with 1\n")
    begin(handler, 5, train=file)
    event(handler, LogEvent.ERROR, "CalledProcessError in file Snakefile", logging.ERROR)
    event(handler, LogEvent.JOB_ERROR, level=logging.ERROR, jobid=0, at=BEGAN + 7)
    event(handler, None, "Exiting because a job execution failed. Look above for error messages", logging.ERROR)
    handler.close()
    lines = stderr.getvalue().splitlines()
    assert lines[1].split() == ["failed", "train", "7", "s"]
    assert [line.split()[-1] for line in lines[2:6]] == ["89", "90", "91", "92"]  # the last lines of the log
    assert lines[-3:] == [
        "stages: 0 done, 1 failed, 4 not run; the same command goes on from there",
        f"  train: {sentence}",
        f"    whole log: {file}",
    ]
    assert "CalledProcessError" not in stderr.getvalue()


def test_a_stage_without_a_sentence_is_explained_by_its_last_line_and_an_empty_log_by_snakemake(
    plain: tuple[Handler, io.StringIO], log: Callable[[str, str], Path]
) -> None:
    handler, stderr = plain
    begin(handler, 2, train=log("train", "Traceback\nValueError: \x1b[31mno [bold] pixels\n"), fetch=log("fetch", ""))
    event(handler, LogEvent.JOB_ERROR, level=logging.ERROR, jobid=0)
    assert " [31mno [bold] pixels" in stderr.getvalue()  # neither markup nor colour
    event(handler, LogEvent.ERROR, "MissingOutputException: results/fetch", logging.ERROR)
    event(handler, LogEvent.JOB_ERROR, level=logging.ERROR, jobid=1)
    handler.close()
    end = stderr.getvalue().partition("stages: ")[2]
    assert "MissingOutputException" in end
    assert "  train: ValueError:  [31mno [bold] pixels\n" in end


def test_before_any_stage_snakemakes_error_is_all(plain: tuple[Handler, io.StringIO]) -> None:
    handler, stderr = plain
    event(handler, None, "Building DAG of jobs...")
    event(handler, None, "an old option is used", logging.WARNING)
    event(handler, LogEvent.ERROR, "Error: Directory cannot be locked.", logging.ERROR)
    handler.close()
    assert stderr.getvalue() == "an old option is used\nError: Directory cannot be locked.\n"


def test_a_run_with_nothing_to_do_says_so(plain: tuple[Handler, io.StringIO]) -> None:
    handler, stderr = plain
    event(handler, None, "Nothing to be done (all requested files are present and up to date).")
    handler.close()
    assert stderr.getvalue().splitlines() == ["nothing to do: all results are up to date", *SUMMARY]


def test_a_stopped_run_is_no_failure(plain: tuple[Handler, io.StringIO], log: Callable[[str, str], Path]) -> None:
    handler, stderr = plain
    begin(handler, 3, train=log("train", "KeyboardInterrupt\n"))
    event(handler, None, "Terminating processes on user request, this might take some time.")
    event(handler, LogEvent.JOB_ERROR, level=logging.ERROR, jobid=0)
    handler.close()
    assert stderr.getvalue().splitlines()[1:] == ["stopped after 0 of 3 stages; the same command goes on from there"]


def chunks(terminal: int) -> Iterator[str]:
    """Yield what was written to the other side, which is closed."""
    with contextlib.suppress(OSError):  # the end
        while chunk := os.read(terminal, 1 << 16):
            yield chunk.decode()


def test_a_terminal_has_a_line_for_each_running_stage(
    log: Callable[[str, str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal, inside = os.openpty()
    termios.tcsetwinsize(inside, (24, 100))
    monkeypatch.setenv("TERM", "xterm")
    train, report = log("train", ""), log("report", "")
    stale = train.with_suffix(".progress")
    stale.write_text("train: 99 % (of a run that was killed)")
    with os.fdopen(inside, "w") as stderr:
        monkeypatch.setattr(sys, "stderr", stderr)
        handler = Handler(None, None)
        begin(handler, 7, train=train, report=report)
        assert not stale.exists()
        stale.write_text("train: 37 % (222/600 step, 00:26 left), psnr_y=30.1")
        handler.display.live.refresh()
        event(handler, LogEvent.JOB_FINISHED, job_id=1)
        handler.close()
        handler.display.live.stop()
    shown = "".join(chunks(terminal))
    assert "  37 % (222/600 step, 00:26 left), psnr_y=30.1" in shown
    assert "0 of 7 stages done" in shown
    assert "99 %" not in shown
    assert shown.rstrip().splitlines()[-2:] == [f"\x1b[1m{line}\x1b[0m" for line in SUMMARY]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (59.6, "1 min 00 s"), (185, "3 min 05 s"), (7620, "2 h 07 min"), (3600, "1 h 00 min")],
)
def test_times_are_short(seconds: float, text: str) -> None:
    assert duration(seconds) == text
