"""Compilation of loops where Numba may find no folder for its results."""

import importlib.util
import shutil
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


@pytest.mark.parametrize(("suffix", "content"), [(".nbi", b""), (".nbc", b""), (".nbc", b"no pickle")])
def test_a_damaged_file_is_written_anew(tmp_path: Path, suffix: str, content: bytes) -> None:
    """Such files are left by a power failure."""
    assert doubled_values(loaded(tmp_path)) == [0, 2, 4]
    (file,) = (tmp_path / "__pycache__").glob(f"loops.doubled-*{suffix}")
    whole = file.read_bytes()
    file.write_bytes(content)
    assert doubled_values(loaded(tmp_path)) == [0, 2, 4]
    assert len(file.read_bytes()) == len(whole)
    again = loaded(tmp_path)
    assert doubled_values(again) == [0, 2, 4]
    assert sum(again.doubled.stats.cache_hits.values()) == 1


def test_a_loop_runs_where_its_result_cannot_be_written(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """As on a disk that is full, which lets files be made, but not be filled."""
    caplog.set_level("INFO")
    module = loaded(tmp_path)
    shutil.rmtree(tmp_path / "__pycache__")
    (tmp_path / "__pycache__").write_text("")
    assert doubled_values(module) == [0, 2, 4]
    assert "the cache of Numba cannot be written" in caplog.text
