"""What is known of a run of Snakemake, and what the log of a stage says."""

from dataclasses import dataclass, field
from pathlib import Path

LAST_LINES = 12  # of the log of a stage that failed
PROGRESS = ".progress"  # suffix of the file beside the log, as the Snakefile names it
OF_DVC = "ERROR: failed to reproduce"  # DVC's last line, which says no more than the name of the stage


@dataclass(frozen=True)
class Stage:
    """A stage that runs, or ran.

    Attributes:
        name: as in DVC, such as ``train@abpn_x3``.
        logs: its log, if the rule has one.
        began: when, in seconds since 1970.
    """

    name: str
    logs: list[Path]
    began: float

    @property
    def log(self) -> str:
        """The path of its log, or nothing."""
        return ", ".join(map(str, self.logs))

    def lines(self) -> list[str]:
        """Return the lines of its log that are not blank, with a space for what would control a terminal."""
        texts = [log.read_text(encoding="utf-8", errors="replace") for log in self.logs if log.exists()]
        return [printable(line) for text in texts for line in text.splitlines() if line.strip()]

    def forget_progress(self) -> None:
        """Remove what an earlier run left of its progress when it was killed."""
        for log in self.logs:
            log.with_suffix(PROGRESS).unlink(missing_ok=True)

    def progress(self) -> str:
        """Return the latest line of its progress bar, or nothing where it has none."""
        for log in self.logs:
            try:
                return log.with_suffix(PROGRESS).read_text("utf-8", "replace").removeprefix(f"{self.name}: ")
            except FileNotFoundError:
                continue  # between two bars
        return ""

    def from_cache(self) -> bool:
        """Return whether DVC had its results already."""
        return any(line.startswith(f"Stage '{self.name}' ") and "skipping" in line for line in self.lines())

    def warnings(self) -> list[str]:
        """Return what the pipeline itself warned of, each once; the warnings of libraries look otherwise."""
        return list(dict.fromkeys(line for line in self.lines() if line.startswith("warning: ")))

    def error(self) -> str:
        """Return why it failed: its own sentence, or the last line of its log that is not DVC's."""
        lines = [line for line in self.lines() if not line.startswith(OF_DVC)]
        sentences = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
        return [*lines, *sentences][-1] if lines else ""


def printable(text: str) -> str:
    """Return a text with a space for each character that is none to be seen."""
    return "".join(character if character.isprintable() else " " for character in text)


@dataclass
class Run:
    """The state of a run.

    Attributes:
        total: number of its stages; 0 if there is nothing to do.
        done: names of the stages that have finished.
        running: stages that run, by the number of Snakemake's job.
        failed: stages that have failed.
        errors: Snakemake's own error messages.
        interrupted: whether the user has stopped it.
        ended: whether its end has been shown.
    """

    total: int = 0
    done: list[str] = field(default_factory=list)
    running: dict[int, Stage] = field(default_factory=dict)
    failed: list[Stage] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    interrupted: bool = False
    ended: bool = False
