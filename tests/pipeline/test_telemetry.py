"""No library reports home, also where make, which sets a variable for it, does not start the command.

That each is silent after the import by its module is in tests/tracking/test_store.py and tests/library/test_loading.py.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from dvc import analytics
from shared import ROOT

REPORTING = {  # libraries that report home, and the one place that imports them after it has switched that off
    "mlflow": "tracking",
    "onnxruntime": "deployment/formats/onnx.py",
    "openvino": "deployment/formats/openvino.py",
}


def imported(source: str) -> Iterator[str]:
    """Yield the libraries that a module imports anywhere in its functions."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.partition(".")[0]


def test_each_library_that_reports_home_is_imported_in_one_place() -> None:
    package = ROOT / "pipeline_src"
    found = set()
    for file in package.rglob("*.py"):
        for library in REPORTING.keys() & set(imported(file.read_text())):
            found.add(library)
            assert file.is_relative_to(package / REPORTING[library]), f"{file} imports {library}"
    assert found == set(REPORTING)


def test_dvc_reports_nothing_home(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DVC_TEST", "DVC_NO_ANALYTICS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(ROOT)
    assert not analytics.is_enabled()


def test_dvc_would_report_without_our_setting(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("DVC_TEST", "DVC_NO_ANALYTICS"):
        monkeypatch.delenv(name, raising=False)
    for name in ("DVC_GLOBAL_CONFIG_DIR", "DVC_SYSTEM_CONFIG_DIR"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert analytics.is_enabled(), "or the test above says nothing"
