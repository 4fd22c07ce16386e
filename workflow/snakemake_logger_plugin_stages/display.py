"""How a run looks: on a terminal a line for each running stage, below those that have ended; elsewhere plain lines."""

import sys
import time

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from pipeline_src import config, paths
from pipeline_src.errors import UserError
from pipeline_src.reporting.summary import summary
from snakemake_logger_plugin_stages.run import LAST_LINES, Run, Stage

REPORT = "report"  # the stage that makes the page
FRAMES = 4  # per second
TIME = len("59 min 59 s")


class Display:
    """Prints on stderr, as Snakemake does. Every text is printed as it is, without markup or wrapping."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.began = time.time()
        self.console = Console(file=sys.stderr, force_terminal=sys.stderr.isatty(), highlight=False)
        self.spinner = Spinner("line")
        self.live = Live(console=self.console, get_renderable=self._running, refresh_per_second=FRAMES, transient=True)
        self.is_live = self.console.is_interactive and not self.console.is_dumb_terminal

    def started(self, stage: Stage) -> None:
        """Show that a stage begins."""
        if self.is_live:
            self.live.start()
        else:
            self.message(f"started   {stage.name}")

    def finished(self, stage: Stage, now: float) -> None:
        """Print how long a stage took, and what the pipeline warned of in it."""
        name = f"{stage.name}, as it was in DVC's cache" if stage.from_cache() else stage.name
        total = str(self.run.total)
        self._with_time("done", "green", f"{len(self.run.done):>{len(total)}}/{total}  {name}", now - stage.began)
        for warning in stage.warnings():
            self.message(f"          {warning}", "yellow")

    def failed(self, stage: Stage, now: float) -> None:
        """Print the end of the log of a stage that failed."""
        self._with_time("failed", "red", stage.name, now - stage.began)
        for line in stage.lines()[-LAST_LINES:]:
            self.message(f"          {line}", "dim")

    def message(self, text: str, style: str = "") -> None:
        """Print one text."""
        self.console.print(Text(text, style), soft_wrap=True)

    def ended(self, now: float) -> None:
        """Print how the run ended, at its very end."""
        self.live.stop()
        run = self.run
        if run.interrupted:
            self.message(f"stopped after {len(run.done)} of {run.total} stages; the same command goes on from there")
        elif run.failed:
            self._failures()
        elif run.errors:
            self.message("\n".join(run.errors), "red")
        else:
            took = f"finished in {duration(now - self.began)}"
            self.message(took if run.total else "nothing to do: all results are up to date")
            if not run.total or REPORT in run.done:
                self._summary()

    def _failures(self) -> None:
        left = self.run.total - len(self.run.done) - len(self.run.failed)
        counts = f"stages: {len(self.run.done)} done, {len(self.run.failed)} failed, {left} not run"
        self.message(f"{counts}; the same command goes on from there", "red")
        if any(not stage.error() for stage in self.run.failed):
            self.message("\n".join(self.run.errors), "red")
        for stage in self.run.failed:
            self.message(f"  {stage.name}: {stage.error()}", "red")
            self.message(f"    whole log: {stage.log}")

    def _summary(self) -> None:
        try:
            lines = summary(paths.results(REPORT), config.load())
        except (FileNotFoundError, UserError):  # nothing to do for another target, and no report yet
            return
        for line in lines:
            self.message(line, "bold")

    def _with_time(self, word: str, style: str, text: str, seconds: float) -> None:
        line = Text.assemble((f"{word:<10}", style), f"{text:<44} ", (f"{duration(seconds):>{TIME}}", "dim"))
        self.console.print(line, soft_wrap=True)

    def _running(self) -> Table:
        """Return the lines of the running stages, and one that counts."""
        now = time.time()
        table = Table.grid(padding=(0, 2))
        running = [*self.run.running.values()]  # at this moment: this is called from the thread of the display
        for width in (1, max((len(stage.name) for stage in running), default=0), TIME, 0):
            table.add_column(min_width=width, no_wrap=True, overflow="ellipsis")
        for stage in running:
            table.add_row(self.spinner, Text(stage.name), Text(duration(now - stage.began)), Text(stage.progress()))
        counts = f"{len(self.run.done)} of {self.run.total} stages done"
        table.add_row("", Text(counts, "dim"), Text(duration(now - self.began), "dim"), "")
        return table


def duration(seconds: float) -> str:
    """Return a time as ``12 s``, ``3 min 05 s`` or ``2 h 07 min``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"
