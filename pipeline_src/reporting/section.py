"""Building blocks of the report: a section is a title and a sequence of blocks, and :mod:`.page` renders them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import pandas as pd

from pipeline_src.reporting.drawing import DARK, LIGHT, Theme, recolour
from pipeline_src.reporting.tables import Column, line

SETS_DRAWN = 8  # image sets that have a figure of each kind
NETS_DRAWN = 150  # nets in all of them together: the figures of 40 nets on 8 sets would be 5 MB of the page


@dataclass(frozen=True)
class Text:
    """A paragraph; ``text`` is escaped unless it is a ``markupsafe.Markup``."""

    kind: ClassVar = "text"
    text: str
    style: Literal["", "note", "warning"] = ""


@dataclass(frozen=True)
class Items:
    """A bulleted list."""

    kind: ClassVar = "items"
    texts: Sequence[str]


@dataclass(frozen=True)
class Finding:
    """One sentence of the verdict, and whether it is good news."""

    good: bool
    text: str


@dataclass(frozen=True)
class Question:
    """A question with its answer in a sentence, and the findings behind it, which are folded away.

    Attributes:
        question: as a reader would ask it.
        answers: a sentence each, for every device if the answer depends on it.
        findings: what the answers sum up.
        note: how it was measured, and what counts.
    """

    question: str
    answers: Sequence[Finding]
    findings: Sequence[Finding]
    note: str


@dataclass(frozen=True)
class Questions:
    """Questions and their answers."""

    kind: ClassVar = "questions"
    questions: Sequence[Question]


@dataclass(frozen=True)
class Table:
    """A table whose cells are text already; numeric columns are aligned to the right.

    Attributes:
        label: names the table for screen readers, and is its title in Markdown and LaTeX.
        columns: one per cell of each row.
        rows: the cells as they are shown.
        tall: scroll the rows in a box of limited height.
    """

    kind: ClassVar = "table"
    label: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[str]]
    tall: bool = False


@dataclass(frozen=True)
class Figure:
    """A figure in the colours of a light and of a dark page.

    Attributes:
        name: the files are ``figures/<name>_light.svg`` and ``figures/<name>_dark.svg``.
        label: what tells it from the other figures of its block, such as the image set.
        alt: the content of the figure in words.
        draw: write the picture to a path, PNG or SVG by its suffix, in the colours of a theme.
    """

    name: str
    label: str
    alt: str
    draw: Callable[[Path, Theme], Path]

    def file_name(self, theme: Theme) -> str:
        """Return the name of the SVG for one theme."""
        return f"{self.name}_{theme.name}.svg"


@dataclass(frozen=True)
class Figures:
    """Figures of one kind; the first is visible, the others are folded away below their labels.

    Attributes:
        figures: from top to bottom.
        note: what is left out; empty if nothing is.
    """

    kind: ClassVar = "figures"
    figures: Sequence[Figure]
    note: str = ""


@dataclass(frozen=True)
class Details:
    """Blocks that are folded away below a summary."""

    kind: ClassVar = "details"
    summary: str
    blocks: Sequence[Text | Table]


@dataclass(frozen=True)
class Template:
    """A block with a template of its own.

    Attributes:
        path: the Jinja template, relative to ``reporting/``.
        values: what the template reads, as ``block.values``.
    """

    kind: ClassVar = "template"
    path: str
    values: Mapping[str, Any]


Block = Text | Items | Questions | Table | Figures | Details | Template


@dataclass(frozen=True)
class Section:
    """One section of the page.

    Attributes:
        id: anchor of the section, unique on the page.
        title: heading of the section.
        label: its short name in the navigation.
        blocks: the content, from top to bottom.
        lead: what is in it, in a sentence below the heading.
        folded: fold the content away below heading and lead.
        footer: place it after the main content.
    """

    id: str
    title: str
    label: str
    blocks: Sequence[Block]
    lead: str = ""
    folded: bool = False
    footer: bool = False

    def figures(self) -> Iterator[Figure]:
        """Yield every figure of the section."""
        for block in self.blocks:
            if isinstance(block, Figures):
                yield from block.figures

    def draw(self, folder: Path) -> None:
        """Draw every figure of the section into ``folder``, for both themes."""
        for figure in self.figures():
            light = figure.draw(folder / figure.file_name(LIGHT), LIGHT)
            recolour(light, folder / figure.file_name(DARK), LIGHT, DARK)


def table(label: str, columns: Sequence[Column], rows: pd.DataFrame, tall: bool = False) -> Table:
    """Return the table that shows ``columns`` of ``rows``."""
    return Table(label, columns, [line(row, columns) for _, row in rows.iterrows()], tall)


def figure_per_set(
    name: str,
    rows: pd.DataFrame,
    draw: Callable[[pd.DataFrame, Path, Theme], Path],
    describe: Callable[[pd.DataFrame], str],
) -> Figures:
    """Return a figure for each value of the column ``set``, or for the first of them where that would be too much.

    Args:
        name: how the names of the figures begin; the set follows.
        rows: the measurements, with a column ``set``.
        draw: draw the rows of one set to a path in the colours of a theme.
        describe: return the alt text for the rows of one set.
    """

    def figure(label: str, rows_of_set: pd.DataFrame) -> Figure:
        return Figure(
            f"{name}_{label}", label, describe(rows_of_set), lambda path, theme: draw(rows_of_set, path, theme)
        )

    sets = list(rows.groupby("set", sort=False))
    drawn = min(SETS_DRAWN, max(1, NETS_DRAWN // rows["system"].nunique()))
    note = f"Drawn are the first {drawn} of {len(sets)} image sets." if drawn < len(sets) else ""
    return Figures([figure(str(label), rows_of_set) for label, rows_of_set in sets[:drawn]], note)
