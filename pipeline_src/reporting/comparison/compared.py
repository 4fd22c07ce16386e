"""Two states beside each other: their common files, figure by figure, and those that only one of them has."""

from dataclasses import dataclass

from pipeline_src import paths
from pipeline_src.errors import UserError
from pipeline_src.reporting.comparison.changes import INCOMPARABLE, WORSE, Change, File
from pipeline_src.reporting.comparison.costs import costs, troubles
from pipeline_src.reporting.comparison.measurements import KEY, METRICS, TEXTS, State
from pipeline_src.reporting.comparison.qualities import qualities
from pipeline_src.reporting.comparison.tolerances import Tolerances

KINDS = {"quality": (*METRICS, *TEXTS), "latency": ("p50_ms", *TEXTS)}  # what --fail-on looks at; else at everything


@dataclass(frozen=True)
class Comparison:
    """Two states beside each other.

    Attributes:
        base: the first state.
        new: the second one.
        changes: every figure of every file that both have.
        added: files that only the second one has.
        gone: files that only the first one has.
    """

    base: State
    new: State
    changes: list[Change]
    added: list[File]
    gone: list[File]

    def of(self, verdict: str) -> list[Change]:
        """Return the figures of a verdict."""
        return [change for change in self.changes if change.verdict == verdict]

    def has_worse(self, kind: str = "any") -> bool:
        """Return whether something is worse.

        Args:
            kind: ``quality``, ``latency`` or ``any``; a file that fails or gives another image counts in each.
        """
        return any(kind not in KINDS or change.figure in KINDS[kind] for change in self.of(WORSE))


def compare(base: State, new: State, tolerances: Tolerances) -> Comparison:
    """Compare two states.

    Raises:
        UserError: if they have no file in common.
    """
    before, after = base.files.set_index(KEY), new.files.set_index(KEY)
    common = [key for key in after.index if key in before.index]
    if not common:
        raise UserError(
            f"{base.name} and {new.name} have no file in common (net, variant, runtime and scale); compare other states"
        )
    of_images = qualities(base, new, tolerances)
    changes: list[Change] = []
    for key in common:
        file, rows = File(*key), (before.loc[key], after.loc[key])
        found = [*troubles(file, *rows)]
        if not any(change.figure == "fails" for change in found):  # a file that fails has no figures
            unknown = Change(file, METRICS[0], INCOMPARABLE, reason=f"no {paths.BENCHMARK_IMAGES}")
            found += [*of_images.get(file, [unknown]), *costs(file, *rows, tolerances)]
        changes += found
    added = [File(*key) for key in after.index if key not in before.index]
    gone = [File(*key) for key in before.index if key not in after.index]
    return Comparison(base, new, changes, added, gone)
