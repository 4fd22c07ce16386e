"""The tables as files: CSV with every row, Markdown and LaTeX with the headline and ours beside what was published."""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from pipeline_src.files import whole_file
from pipeline_src.reporting import pruning, tables
from pipeline_src.reporting.published import PLACE, Pair, beside, grids

COLUMNS = [column for column in tables.COLUMNS if column.name != "scale"]  # one table per scale
CSV_DECIMALS = {
    "psnr_y": 4, "ssim_y": 6, "gain_db": 4, "loss_db": 4, "published_psnr_y": 4, "published_ssim_y": 6,
    "difference_db": 4, "p50_ms": 3, "p90_ms": 3, "iqr_ms": 3, "ms_per_mp": 3, "size_kib": 1, "peak_memory_mb": 1,
}  # fmt: skip
Rows = list[list[str]]


def _headlines(table: pd.DataFrame) -> Iterator[tuple[str, str, Rows]]:
    """Of each scale its title, the alignment of the columns (l or r), and the rows as they are shown, titles first."""
    for scale, rows in tables.headline(table).groupby("scale"):
        lines = [tables.line(row, COLUMNS) for _, row in rows.iterrows()]
        yield (
            f"×{scale:.0f}",
            "".join("r" if column.shown else "l" for column in COLUMNS),
            [[column.title for column in COLUMNS], *lines],
        )


def _beside(table: pd.DataFrame) -> Iterator[tuple[str, str, Rows]]:
    """The same of ours beside what was published; each set has three columns."""
    for grid in grids(beside(table))[0]:
        titles = ["System", "Variant", "Source"]
        for name in grid.sets:
            titles += [f"{name}: ours", "published", "difference (dB)"]
        lines = []
        for line in grid.lines:
            cells = [line.system, line.variant, f"[{line.source}]"]
            for pair in line.pairs:
                cells += ["–"] * 3 if pair is None else _cells(pair)
            lines.append(cells)
        yield f"×{grid.scale}, ours beside published: PSNR Y / SSIM Y", "lll" + "rrr" * len(grid.sets), [titles, *lines]


def _cells(pair: Pair) -> list[str]:
    return [_both(pair.psnr, pair.ssim), _both(pair.published_psnr, pair.published_ssim), pair.difference]


def _both(psnr: str, ssim: str) -> str:
    return f"{psnr} / {ssim}" if ssim else psnr


def _sources(table: pd.DataFrame) -> list[str]:
    return [f"[{number}] {source}" for number, source in enumerate(grids(beside(table))[1], 1)]


def _pruned(pruned: pd.DataFrame) -> Iterator[tuple[str, str, Rows]]:
    """The same of the nets that were pruned beside the whole ones, if there are any."""
    if not pruned.empty:
        lines = [tables.line(row, pruning.COLUMNS) for _, row in pruned.iterrows()]
        align = "".join("r" if column.shown else "l" for column in pruning.COLUMNS)
        yield "Pruned nets, fp32", align, [[column.title for column in pruning.COLUMNS], *lines]


def markdown(table: pd.DataFrame, pruned: pd.DataFrame) -> str:
    """GitHub-flavoured Markdown: the headline rows scale by scale, pruned nets, then ours beside what was published."""

    def block(title: str, align: str, rows: Rows) -> str:
        first, *rest = ("| " + " | ".join(text.replace("|", "\\|") for text in cells) + " |" for cells in rows)
        rule = "|" + "|".join("---:" if side == "r" else "---" for side in align) + "|"
        return "\n".join([f"**{title}**", "", first, rule, *rest])

    blocks = [block(*one) for one in (*_headlines(table), *_pruned(pruned), *_beside(table))]
    if notes := _sources(table):
        blocks.append("\n".join(f"{note}  " for note in notes))
    return "\n\n".join(blocks) + "\n"


LATEX = str.maketrans({
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "×": r"$\times$", "–": "--", "−": "$-$",
})  # fmt: skip


def latex(table: pd.DataFrame, pruned: pd.DataFrame) -> str:
    """The same as plain LaTeX ``tabular``s that need no package."""

    def block(title: str, align: str, rows: Rows) -> str:
        first, *rest = (" & ".join(text.translate(LATEX) for text in cells) + r" \\" for cells in rows)
        head = [rf"\par\textbf{{{title.translate(LATEX)}}}\par", rf"\begin{{tabular}}{{{align}}}", r"\hline", first]
        return "\n".join([*head, r"\hline", *rest, r"\hline", r"\end{tabular}"])

    blocks = [block(*one) for one in (*_headlines(table), *_pruned(pruned), *_beside(table))]
    notes = [rf"\par {note.translate(LATEX)}" for note in _sources(table)]
    return "\n".join([*blocks, *notes]) + "\n"


def write(table: pd.DataFrame, pruned: pd.DataFrame, learned: list[str], folder: Path) -> None:
    """``table.csv`` with every row and plain numbers; ``table.md`` and ``table.tex`` with the headline rows.

    ``learned`` are the systems whose LR images are their own, which the Markdown says.
    """
    texts = {"csv": _plain(table).to_csv(index=False), "md": markdown(table, pruned), "tex": latex(table, pruned)}
    if learned:
        texts["md"] += f"\n{', '.join(learned)}: LR made by a learned downscaler, for the others by MATLAB's bicubic.\n"
    for suffix, text in texts.items():
        with whole_file(folder / f"table.{suffix}") as aside:
            aside.write_text(text, encoding="utf-8", newline="\n")


def _plain(table: pd.DataFrame) -> pd.DataFrame:
    theirs = beside(table).drop_duplicates(PLACE)[[*PLACE, "published_psnr_y", "published_ssim_y", "source"]]
    rows = table.merge(theirs.rename(columns={"source": "published_source"}), how="left", on=PLACE)
    rows["difference_db"] = rows["psnr_y"] - rows["published_psnr_y"]
    measured = [column.name for column in tables.COLUMNS if column.name not in ("lr_size", "faster")]
    at = measured.index("p90_ms") + 1
    measured[at:at] = ["iqr_ms", "lr_height", "lr_width", "threads"]
    theirs_too = ["published_psnr_y", "published_ssim_y", "difference_db", "published_source"]
    counts = ["scale", "lr_height", "lr_width", "threads", "mult_adds", "params"]
    return rows[[*measured, *theirs_too]].round(CSV_DECIMALS).astype(dict.fromkeys(counts, "Int64"))
