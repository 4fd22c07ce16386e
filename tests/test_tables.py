"""Tables: what is written is read as it was, and a damaged file is one sentence."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from pipeline_src.errors import UserError
from pipeline_src.tables import Kind, as_csv, read_rows, read_table, write_table

COLUMNS: dict[str, Kind] = {"name": str, "scale": int, "psnr": float, "ms": float | None, "settled": bool | None}
REMEDY = "run `python -m pipeline_src.stages.benchmark abpn_x3`, or `dvc repro`"
ROWS = [
    {"name": "plain", "scale": 2, "psnr": 30.123456789012344, "ms": 0.1 + 0.2, "settled": True},
    {"name": "", "scale": 3, "psnr": float("inf"), "ms": None, "settled": None},
    {"name": "NA", "scale": -4, "psnr": -1e-17, "ms": 3.0, "settled": False},
]
NAMES = [
    *("=1+2", "+1", "-a.png", "@a", "\ta", "\ra", "'=a", "''-a", "'a", "'", "a=b", "a\rb", "a\nb", 'a"\r\n"b'),
    *("a,b", '"', "null", "1", "True", " a ", "Überbild ×3.png", "a;b"),
]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    write_table(tmp_path / "table.csv", ROWS)
    return tmp_path / "table.csv"


def test_rows_are_read_as_they_were_written(table: Path) -> None:
    assert read_rows(table, COLUMNS, REMEDY) == ROWS


def test_a_data_frame_has_nan_for_empty_numbers_and_only_the_wanted_columns(table: Path) -> None:
    rows = read_table(table, {name: COLUMNS[name] for name in ("ms", "scale", "name")}, REMEDY)
    assert [*rows] == ["name", "scale", "ms"], "in the order of the file"
    assert list(rows["ms"].isna()) == [False, True, False]
    assert rows["scale"].dtype == "int64"
    assert list(rows["name"]) == ["plain", "", "NA"]
    assert [*read_table(table, {"scale": int}, REMEDY, others=str)] == [*COLUMNS]


def test_a_table_without_rows_has_the_dtypes_of_its_columns(tmp_path: Path) -> None:
    write_table(tmp_path / "table.csv", [], [*COLUMNS])
    rows = read_table(tmp_path / "table.csv", COLUMNS, REMEDY)
    assert rows.empty
    assert rows["ms"].dtype == "float64"


def test_a_column_that_may_be_missing_is_left_out(table: Path) -> None:
    wanted = COLUMNS | {"remark": str}
    assert [*read_table(table, wanted, REMEDY, may_lack={"remark"})] == [*COLUMNS]
    with pytest.raises(UserError, match="lacks the column remark"):
        read_table(table, wanted, REMEDY)


@pytest.mark.parametrize("name", NAMES)
def test_a_text_survives_and_is_no_formula_to_a_spreadsheet(tmp_path: Path, name: str) -> None:
    path, columns = tmp_path / "table.csv", {"number": int, "name": str}
    rows = [{"number": -1, "name": name}, {"number": -2, "name": "b"}]
    write_table(path, rows)
    assert read_rows(path, columns, REMEDY) == rows
    assert list(read_table(path, columns, REMEDY)["name"]) == [name, "b"]
    lines = path.read_bytes()
    assert lines.endswith(b"\n-2,b\n"), "numbers stay numbers"
    assert lines.removeprefix(b"number,name\n-1,").lstrip(b'"')[:1] not in {b"=", b"+", b"-", b"@", b"\t", b"\r"}
    assert as_csv([["number", "name"], *(row.values() for row in rows)]).encode() == lines


def test_ordinary_rows_are_written_as_pandas_writes_them(table: Path) -> None:
    assert table.read_text() == pd.DataFrame(ROWS).to_csv(index=False)


def test_a_name_that_is_no_utf_8_survives(tmp_path: Path) -> None:
    rows = [{"name": os.fsdecode(b"-\xff.png")}, {"name": "a"}]
    write_table(tmp_path / "table.csv", rows)
    assert read_rows(tmp_path / "table.csv", {"name": str}, REMEDY, errors="surrogateescape") == rows
    with pytest.raises(UserError, match="is damaged: it is not UTF-8"):
        read_rows(tmp_path / "table.csv", {"name": str}, REMEDY)


def replaced(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    def replace(content: bytes) -> bytes:
        assert old in content
        return content.replace(old, new, 1)

    return replace


DAMAGE: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "empty": (lambda content: b"", "is empty"),
    "NUL bytes": (lambda content: b"\0" * len(content), "is damaged: it holds NUL bytes"),
    "a NUL byte in a text": (replaced(b"plain", b"pl\0in"), "is damaged: it holds NUL bytes"),
    "not UTF-8": (replaced(b"plain", b"pl\xffin"), "is damaged: it is not UTF-8"),
    "cut at 60 %": (lambda content: content[: len(content) * 6 // 10], "is damaged: it ends in the middle of a line"),
    "cut before its last byte": (lambda content: content[:-1], "is damaged: it ends in the middle of a line"),
    "cut in the middle of a line": (replaced(b"30.123456789012344,", b"30.12\n"), "line 2 has 3 cells instead of 5"),
    "cut in quotes": (replaced(b"plain", b'"plain'), r"line \d is not CSV \(unexpected end of data\)"),
    "a line break more": (lambda content: content + b"\n", "line 5 has 0 cells instead of 5"),
    "a column less": (replaced(b"name,scale", b"name,factor"), "lacks the column scale"),
    "text for a number": (replaced(b"30.123456789012344", b"much"), "line 2 has 'much' where a number belongs"),
    "NaN for a number": (replaced(b"30.123456789012344", b"nan"), "line 2 has 'nan' where a number belongs"),
    "nothing for a number": (replaced(b"30.123456789012344", b""), "line 2 has '' where a number belongs"),
    "a part of a whole": (replaced(b"plain,2,", b"plain,2.5,"), "line 2 has '2.5' where a whole number belongs"),
    "a number for a truth": (replaced(b"True", b"1"), "line 2 has '1' where True or False belongs"),
    "a long text": (replaced(b"True", b"T" * 5000), "line 2 has 'T{40}…' where True"),
}


@pytest.mark.parametrize("read", [read_rows, read_table])
@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_table_is_one_sentence(table: Path, read: Callable, damage: str) -> None:
    apply, sentence = DAMAGE[damage]
    table.write_bytes(apply(table.read_bytes()))
    with pytest.raises(UserError, match=sentence) as error:
        read(table, COLUMNS, REMEDY)
    message = str(error.value)
    assert message.startswith(f"{table} ")
    assert message.endswith(f"; {REMEDY}")
    assert "\n" not in message
    assert len(message) < len(str(table)) + 200


def test_a_missing_table_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        read_rows(tmp_path / "no.csv", COLUMNS, REMEDY)
    assert str(error.value) == f"{tmp_path / 'no.csv'} does not exist; {REMEDY}"


@pytest.mark.parametrize("number", [errno.EACCES, errno.EMFILE])
def test_an_error_of_the_system_is_not_called_damage(table: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def refuse(path: Path) -> bytes:
        raise OSError(number, os.strerror(number), str(path))

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(OSError, match=r"table\.csv") as error:
        read_rows(table, COLUMNS, REMEDY)
    assert error.value.errno == number
