"""Exported files of small nets, written once for all tests."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from exported import SIZE, export
from small_net import NETS, calibrated, trained_net

from pipeline_src.compression import quantization
from pipeline_src.deployment import formats
from pipeline_src.weights import save_net


@pytest.fixture(scope="session", params=[name for name in NETS if name != "abpn"])  # ABPN has tests of its own
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """Export a net and return its name and the folder of its files."""
    folder = tmp_path_factory.mktemp(request.param)
    export(request.param, folder, SIZE)
    assert formats.try_out(folder.rglob("*.xml")) == {}
    return request.param, folder


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Export the small ABPN, fp32 and ptq, with 360×640 as the fixed size, beside its weights."""
    folder, net = tmp_path_factory.mktemp("export"), trained_net()
    export("abpn", folder, (360, 640))
    save_net(folder / "weights.safetensors", net, {"model": "abpn", "scales": [3], "net": {"channels": 12, "depth": 2}})
    return folder


@pytest.fixture(scope="session")
def converted() -> Any:
    """Return the int8 graph of the small ABPN."""
    return quantization.convert(calibrated(trained_net())).at_scale(3)


@pytest.fixture
def folder_copy(folder: Path, tmp_path: Path) -> Path:
    """Copy the exported folder, for tests that change its files."""
    return Path(shutil.copytree(folder, tmp_path / "export"))
