"""Compilation of loops where Numba may find no folder for its results."""

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from numba.core import config

SOURCE = """
from pipeline_src.imaging.compiled import compiled


@compiled(nogil=True)
def doubled(values):
    for i in range(len(values)):
        values[i] *= 2
"""


def loaded(folder: Path) -> ModuleType:
    """Import a module with a compiled loop from a folder."""
    (folder / "loops.py").write_text(SOURCE)
    spec = importlib.util.spec_from_file_location("loops", folder / "loops.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def doubled_values(module: ModuleType) -> list[int]:
    values = np.arange(3)
    module.doubled(values)
    return values.tolist()


def test_the_result_is_kept_beside_the_source(tmp_path: Path) -> None:
    assert doubled_values(loaded(tmp_path)) == [0, 2, 4]
    assert list((tmp_path / "__pycache__").glob("loops.doubled-*.nbi"))


def test_a_loop_runs_where_no_folder_can_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file stands where each of Numba's folders would be, which stops even root."""
    (tmp_path / "__pycache__").write_text("")
    (tmp_path / "cache").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache" / "inside"))
    monkeypatch.setattr(config, "CACHE_DIR", "")
    with pytest.raises(RuntimeError, match="cannot cache function"):
        __import__("numba").njit(cache=True)(loaded(tmp_path).doubled.py_func)
    assert doubled_values(loaded(tmp_path)) == [0, 2, 4]
