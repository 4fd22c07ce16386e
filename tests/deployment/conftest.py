"""Every kind of net in files, written once."""

from pathlib import Path

import pytest
from exported import SIZE, export
from small_net import NETS

from pipeline_src.deployment import openvino


@pytest.fixture(scope="session", params=[name for name in NETS if name != "abpn"])  # which has tests of its own
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """A net's name, and the folder of its files."""
    folder = tmp_path_factory.mktemp(request.param)
    export(request.param, folder, SIZE)
    assert openvino.try_compile(folder) == {}
    return request.param, folder
