"""The generated reference of params.yaml and its JSON schema."""

import subprocess
import sys

import pytest
import yaml
from shared import ROOT

from pipeline_src import config
from pipeline_src.config import reference


@pytest.mark.parametrize("path", reference.files())
def test_the_generated_files_are_current(path: object) -> None:
    assert (ROOT / str(path)).read_text() == reference.files()[path], f"run {reference.COMMAND}"  # type: ignore[index]


def test_every_key_has_a_description() -> None:
    schema = reference.json_schema()
    for name, section in [("Params", schema), *schema["$defs"].items()]:
        for key, value in section["properties"].items():
            assert value.get("description", "").endswith("."), f"{name}.{key}"


def test_the_page_names_every_key() -> None:
    page = reference.page()
    for key in (
        "sets.<name>.role",
        "systems.<name>.train.shrink[].choices",
        "systems.<name>.qat.float_layers",
        "patch_of",
    ):
        assert f"| `{key}` |" in page
    for section in config.Params.model_fields:
        assert f"| `{section}` |" in page
    for key in config.Recipe.model_fields:
        assert page.count(f"| `{key}` |") >= 1
    assert "| `batch` | integer |  | ≥ 1, ≤ 1000000000 |" in page
    assert "| `decay` | number or `cosine` | `cosine` | > 0, ≤ 1 |" in page


def test_editors_are_told_of_the_schema() -> None:
    assert "# yaml-language-server: $schema=docs/reference/params.schema.json\n" in (ROOT / "params.yaml").read_text()
    schema, params = reference.json_schema(), yaml.safe_load((ROOT / "params.yaml").read_text())
    assert set(params) == set(schema["required"]) == set(schema["properties"])
    assert schema["properties"]["systems"]["additionalProperties"] is False


def test_check_fails_where_the_files_are_not_there(tmp_path: object) -> None:
    command = [sys.executable, "-m", "pipeline_src.config.reference", "--check"]
    done = subprocess.run(command, cwd=str(tmp_path), env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("error: docs/reference/params.md is not")
