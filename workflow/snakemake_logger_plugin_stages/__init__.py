"""What ``make report`` prints: a logger plugin of Snakemake, which ``PYTHONPATH=workflow`` makes known to it.

    PYTHONPATH=workflow snakemake --logger stages report

Snakemake calls the plugin in a thread of its own with each event of the run. ``run`` holds what is known and reads
the logs of stages, and ``display`` says how it looks. Snakemake's own log is in ``.snakemake/log``, as it is without
the plugin.
"""

import time
from logging import ERROR, WARNING, LogRecord
from pathlib import Path

from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent

from snakemake_logger_plugin_stages.display import Display
from snakemake_logger_plugin_stages.run import Run, Stage


class LogHandler(LogHandlerBase):
    """Turns Snakemake's events into what is known of the run, and shows it."""

    def __post_init__(self) -> None:
        self.run = Run()
        self.display = Display(self.run)

    @property
    def writes_to_stream(self) -> bool:
        """Yes, so Snakemake prints nothing beside it."""
        return True

    @property
    def writes_to_file(self) -> bool:
        """No."""
        return False

    @property
    def has_filter(self) -> bool:
        """Yes: every event is used."""
        return True

    @property
    def has_formatter(self) -> bool:
        """Yes."""
        return True

    @property
    def needs_rulegraph(self) -> bool:
        """No."""
        return False

    def emit(self, record: LogRecord) -> None:
        """Take one event in."""
        event = getattr(record, "event", None)
        run = self.run
        if event == LogEvent.RUN_INFO:
            run.total = record.stats["total"]
        elif event == LogEvent.JOB_INFO:
            stage = Stage(record.rule_name, [Path(log) for log in record.log], record.created)
            stage.forget_progress()
            run.running[record.jobid] = stage
            self.display.started(stage)
        elif event == LogEvent.JOB_FINISHED and record.job_id in run.running:
            stage = run.running.pop(record.job_id)
            run.done.append(stage.name)
            self.display.finished(stage, record.created)
        elif event == LogEvent.JOB_ERROR and record.jobid in run.running and not run.interrupted:
            stage = run.running.pop(record.jobid)
            run.failed.append(stage)
            self.display.failed(stage, record.created)
        elif event == LogEvent.ERROR or (event is None and record.levelno >= ERROR):
            run.errors.append(record.getMessage())  # for the end: if a stage has failed, its log says more
        elif event is None and record.levelno >= WARNING:
            self.display.message(record.getMessage())
        elif event is None and "on user request" in record.getMessage():
            run.interrupted = True

    def close(self) -> None:
        """Show how the run ended, once: Python closes every handler again when it exits."""
        if not self.run.ended:
            self.run.ended = True
            self.display.ended(time.time())
        super().close()
