"""Arguments of models, read from their source."""

from pathlib import Path

import pytest

from pipeline_src.config import models


def test_each_model_is_read_once_however_many_systems_are_of_it() -> None:
    models.model_arguments("abpn")
    before = models._arguments_in.cache_info().misses
    for _ in range(60):
        models.model_arguments("abpn")
    assert models._arguments_in.cache_info().misses == before


def test_arguments_are_those_of_build() -> None:
    assert models.model_arguments("abpn") == {
        "channels": "int",
        "depth": "int",
        "residual": "str",
        "image_conv": "bool",
    }
    assert models.downscaler_arguments("bicubic") == {}
    assert "features" in models.downscaler_arguments("car")


def test_a_package_without_build_is_not_a_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "MODELS", tmp_path)
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "__init__.py").write_text("def make(scales: list[int]) -> None: ...\n")
    with pytest.raises(
        ValueError, match=r"pipeline_src/models/odd/__init__\.py has no function build, so it is not a model"
    ):
        models.model_arguments("odd")
    with pytest.raises(ValueError, match=r"there is no model 'even' in pipeline_src/.*; there are odd"):
        models.model_arguments("even")
