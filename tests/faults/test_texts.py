"""Params, cards and tables that hypothesis makes up: each is read, or refused in one sentence."""

import csv
import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from shared import ROOT

from pipeline_src import config
from pipeline_src.command import printable
from pipeline_src.config.reading import parse
from pipeline_src.deployment import cards
from pipeline_src.deployment.cards import Card, TensorSpec
from pipeline_src.errors import UserError
from pipeline_src.files import sha256
from pipeline_src.tables import read_rows, write_table

PARAMS = yaml.safe_load((ROOT / "params.yaml").read_text())
LONGEST = 1500  # letters of a message
EXAMPLES = settings(
    max_examples=int(os.environ.get("SR_FAULTS", "20")), deadline=None, derandomize=True, database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip

ANY_LEAF = (
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=20)
    | st.sampled_from(["..", "-rf", "a/b", "x; touch y", "\0", "1e999", "a" * 5000])
)  # fmt: skip
ANYTHING = st.recursive(
    ANY_LEAF, lambda part: st.lists(part, max_size=3) | st.dictionaries(st.text(), part, max_size=3)
)


def assert_one_sentence(error: UserError) -> None:
    """Assert that a message is one line that a person can read."""
    message = printable(str(error))  # as commands print it
    assert message.isprintable()
    assert 0 < len(message) <= LONGEST
    assert "Traceback" not in message


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the path to every value inside a value, the whole first."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, part in inside for place in places(part, (*path, key)))]


def replaced(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    """Return a copy of a value with another part at a path."""
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else [*value]
    copy[path[0]] = replaced(value[path[0]], path[1:], new)
    return copy


@EXAMPLES
@given(place=st.sampled_from(places(PARAMS)), new=ANYTHING)
def test_params_with_any_value_anywhere(place: tuple[Any, ...], new: Any) -> None:
    text = yaml.safe_dump(replaced(PARAMS, place, new), allow_unicode=True)
    try:
        assert isinstance(parse(text, "params.yaml"), config.Params)
    except UserError as error:
        assert_one_sentence(error)


@EXAMPLES
@given(place=st.sampled_from(places(PARAMS)), key=st.text(max_size=30))
def test_params_with_a_key_of_any_name(place: tuple[Any, ...], key: str) -> None:
    part = PARAMS
    for name in place:
        part = part[name]
    if not isinstance(part, dict) or key in part:
        return
    text = yaml.safe_dump(replaced(PARAMS, place, {**part, key: {}}), allow_unicode=True)
    try:
        assert isinstance(parse(text, "params.yaml"), config.Params)
    except UserError as error:
        assert_one_sentence(error)


@EXAMPLES
@given(start=st.integers(0, 12_000), length=st.integers(0, 40), new=st.binary(max_size=12))
def test_params_with_any_bytes_anywhere(tmp_path: Path, start: int, length: int, new: bytes) -> None:
    content, file = (ROOT / "params.yaml").read_bytes(), tmp_path / "params.yaml"
    file.write_bytes(content[:start] + new + content[start + length :])
    try:
        assert isinstance(config.load(file), config.Params)
    except UserError as error:
        assert_one_sentence(error)


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    """A file with a card, as the stage export writes both."""
    file = tmp_path / "net.tflite"
    file.write_bytes(b"a net")
    image = TensorSpec("uint8", "NHWC")
    card = Card(
        system="abpn_x3", model="abpn", variant="qat", format="tflite", scale=3, colour="RGB", lr="bicubic",
        origin="trained here", dtype="float32", parameters=9, mult_adds=9, float_layers=[], largest_sum=9,
        reference="", size=(24, 32), input=image, output=image, validation={"psnr_y": 30.0},
        files={file.name: sha256(file)}, weights={"a": "b"}, versions={"tflite": "1"}, licence="MIT", example="",
    )  # fmt: skip
    cards.write(file, card)
    assert cards.read(file) == card
    return file


@EXAMPLES
@given(data=st.data(), new=ANYTHING)
def test_a_card_with_any_value_anywhere(exported: Path, data: st.DataObject, new: Any) -> None:
    path = cards.path_of(exported)
    whole = path.read_text()
    content = json.loads(whole)
    place = data.draw(st.sampled_from(places(content)))
    path.write_text(json.dumps(replaced(content, place, new)))
    try:
        read = cards.read(exported)
        assert read.scale >= 1
        assert read.files == {exported.name: sha256(exported)}
    except UserError as error:
        assert_one_sentence(error)
    finally:
        path.write_text(whole)


CELLS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
ROWS = st.lists(st.fixed_dictionaries({"file": CELLS, "runs": st.integers(-(2**60), 2**60), "ms": st.floats(0, 1e6)}))


@EXAMPLES
@given(rows=ROWS)
def test_a_table_of_any_cells_is_read_as_it_was_written(tmp_path: Path, rows: list[dict[str, Any]]) -> None:
    table = tmp_path / "table.csv"
    write_table(table, rows, ["file", "runs", "ms"])
    assert read_rows(table, {"file": str, "runs": int, "ms": float}, "again") == rows
    with table.open(newline="") as file:
        names = [cells[0] for cells in csv.reader(file)]
    assert not any(name.startswith(("=", "+", "-", "@", "\t", "\r")) for name in names), "a formula of a spreadsheet"


@EXAMPLES
@given(start=st.integers(0, 300), length=st.integers(0, 60), new=st.binary(max_size=12))
def test_a_table_with_any_bytes_anywhere(tmp_path: Path, start: int, length: int, new: bytes) -> None:
    table, kinds = tmp_path / "table.csv", {"file": str, "runs": int, "ms": float}
    write_table(table, [{"file": f"{n}.png", "runs": n, "ms": n / 7} for n in range(12)])
    content = table.read_bytes()
    table.write_bytes(content[:start] + new + content[start + length :])
    try:
        rows = read_rows(table, kinds, "run the stage again")
        assert all(isinstance(row["runs"], int) and isinstance(row["ms"], float) for row in rows)
    except UserError as error:
        assert_one_sentence(error)
