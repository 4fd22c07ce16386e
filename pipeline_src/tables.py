"""Tables that one stage writes and another one reads: CSV files, checked when they are read.

A text that begins with one of ``= + - @``, a tab or a carriage return is a formula to a spreadsheet, and names of files
can begin so. An apostrophe before it makes it a text there, and the reader takes the apostrophe off again.
"""

import csv
import io
import itertools
import re
from collections.abc import Container, Iterable, Mapping, Sequence
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Any, get_args

from pipeline_src.errors import UserError
from pipeline_src.files import whole_file

if TYPE_CHECKING:
    import pandas as pd

Kind = type | UnionType  # of a column: str, int, float or bool; ``float | None`` where a cell may be empty
Row = dict[str, Any]  # column → cell

FORMULA = re.compile(r"'*[=+\-@\t\r]")
QUOTED_OR_LINE_BREAK = re.compile(r'("[^"]*")|\r\n')
NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?|-?inf", re.IGNORECASE | re.ASCII)
WHOLE_NUMBER = re.compile(r"(-?\d+)(\.0*)?", re.ASCII)
NAMES = {int: "a whole number", float: "a number", bool: "True or False"}
DTYPES = {str: "str", int: "int64", float: "float64", bool: "bool"}
DTYPES_WITH_EMPTY = DTYPES | {int: "float64", bool: "object"}  # these have no NaN
SHOWN = 40  # letters of a wrong cell in a message


def write_table(path: Path, rows: Any, columns: Sequence[str] | None = None) -> None:
    """Write rows as CSV, whole or not at all.

    Args:
        path: the file.
        rows: a pandas DataFrame, or a list of dicts of one value per column.
        columns: their order; needed if there may be no row.
    """
    import pandas as pd

    def column(cells: Any) -> "pd.Series":
        """Return a column; texts are objects, because pandas' own cannot hold every name of a file."""
        has_text = any(isinstance(cell, str) for cell in cells)
        return pd.Series([*map(_neutral, cells)], dtype=object) if has_text else pd.Series(cells)

    if isinstance(rows, pd.DataFrame):
        table = pd.DataFrame({name: column(cells) for name, cells in rows.reset_index(drop=True).items()})
    else:
        names = columns or dict.fromkeys(itertools.chain(*rows))
        table = pd.DataFrame({name: column([row.get(name) for row in rows]) for name in names})
    text = table.to_csv(index=False, lineterminator="\r\n")
    with whole_file(path) as aside:
        aside.write_bytes(_with_line_feeds(text).encode(errors="surrogateescape"))  # names of files can hold any byte


def as_csv(rows: Iterable[Iterable[object]]) -> str:
    """Return rows, the head included, as :func:`write_table` writes them, without pandas."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows([_neutral(cell) for cell in row] for row in rows)
    return _with_line_feeds(text.getvalue())


def _neutral(cell: object) -> object:
    return f"'{cell}" if isinstance(cell, str) and FORMULA.match(cell) else cell


def _with_line_feeds(text: str) -> str:
    r"""Return a CSV text whose lines end in ``\n``; written with ``\r\n``, cells with a carriage return are quoted."""
    return QUOTED_OR_LINE_BREAK.sub(lambda found: found[1] or "\n", text)


def read_table(
    path: Path,
    columns: Mapping[str, Kind],
    remedy: str,
    *,
    others: Kind | None = None,
    may_lack: Container[str] = (),
) -> "pd.DataFrame":
    """Return what :func:`read_rows` returns as a pandas DataFrame, with NaN for empty numbers."""
    import pandas as pd

    kinds, rows = _read(path, columns, remedy, others, may_lack)
    return pd.DataFrame(
        {name: pd.Series([row[name] for row in rows], dtype=_dtype(kind)) for name, kind in kinds.items()}
    )


def read_rows(path: Path, columns: Mapping[str, Kind], remedy: str, *, errors: str = "strict") -> list[Row]:
    """Return the rows of a table that :func:`write_table` or :func:`as_csv` has written, without pandas.

    Args:
        path: the file.
        columns: the wanted columns and what their cells are; the rows have no others.
        remedy: the end of a message: what to do where the file is missing or damaged.
        errors: of the decoding; ``surrogateescape`` where names of files may hold any byte.

    Raises:
        UserError: naming what is wrong, if the file is missing, empty, no UTF-8 or cut short, lacks a column, or has a
            row that is not whole or a cell that is not of its kind.
    """
    return _read(path, columns, remedy, errors=errors)[1]


def _read(
    path: Path,
    columns: Mapping[str, Kind],
    remedy: str,
    others: Kind | None = None,
    may_lack: Container[str] = (),
    errors: str = "strict",
) -> tuple[dict[str, Kind], list[Row]]:
    """Return the kinds of the columns that are read, in their order in the file, and the rows.

    Args:
        path: the file.
        columns: the wanted columns and what their cells are.
        remedy: the end of a message.
        others: what the cells of all other columns are; None to leave them out.
        may_lack: wanted columns that may be missing.
        errors: of the decoding.
    """
    lines = csv.reader(io.StringIO(_text(path, remedy, errors), newline=""), strict=True)
    rows: list[Row] = []
    try:
        head = next(lines)
        if missing := [name for name in columns if name not in head and name not in may_lack]:
            raise UserError(f"{path} lacks the column {missing[0]}; {remedy}")
        kinds = {name: kind for name in head if (kind := columns.get(name, others))}
        for cells in lines:
            if len(cells) != len(head):
                raise _DamagedError(f"has {len(cells)} cells instead of {len(head)}")
            row = dict(zip(head, cells, strict=True))
            rows.append({name: _value(row[name], kind) for name, kind in kinds.items()})
    except (csv.Error, _DamagedError) as error:
        what = error if isinstance(error, _DamagedError) else f"is not CSV ({error})"
        raise UserError(f"{path} is damaged: line {lines.line_num} {what}; {remedy}") from None
    return kinds, rows


def _text(path: Path, remedy: str, errors: str) -> str:
    try:
        text = path.read_bytes().decode("utf-8-sig", errors)  # some spreadsheets mark UTF-8
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; {remedy}") from None
    except UnicodeDecodeError:
        raise UserError(f"{path} is damaged: it is not UTF-8; {remedy}") from None
    if not text:
        raise UserError(f"{path} is empty; {remedy}")
    if "\0" in text:
        raise UserError(f"{path} is damaged: it holds NUL bytes; {remedy}")
    if not text.endswith("\n"):
        raise UserError(f"{path} is damaged: it ends in the middle of a line; {remedy}")
    return text


class _DamagedError(Exception):
    """What is wrong with a line."""


def _value(cell: str, kind: Kind) -> Any:
    if kind is str:
        return cell[1:] if cell.startswith("'") and FORMULA.match(cell) else cell
    exact = _without_none(kind)
    if not cell and exact is not kind:
        return None
    if exact is bool and cell in ("True", "False"):
        return cell == "True"
    if exact is int and (whole := WHOLE_NUMBER.fullmatch(cell)):
        return int(whole[1])
    if exact is float and NUMBER.fullmatch(cell):
        return float(cell)
    shown = cell if len(cell) <= SHOWN else f"{cell[:SHOWN]}…"
    raise _DamagedError(f"has {shown!r} where {NAMES[exact]} belongs")


def _without_none(kind: Kind) -> type:
    return kind if isinstance(kind, type) else next(member for member in get_args(kind) if member is not type(None))


def _dtype(kind: Kind) -> str:
    return DTYPES[kind] if isinstance(kind, type) else DTYPES_WITH_EMPTY[_without_none(kind)]
