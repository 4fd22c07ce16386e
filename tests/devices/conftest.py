"""A board on this machine: an SSH server on the loopback, and a Python that has NumPy and ai-edge-litert alone."""

import importlib.util
import venv
from collections.abc import Iterator
from pathlib import Path

import pytest
from exported import SIZE, export
from loopback import SSHD, Server, started

PACKAGES = ("numpy", "ai_edge_litert")


@pytest.fixture(scope="session")
def board_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a virtual environment with links to some packages of this one, and return its Python."""
    folder = tmp_path_factory.mktemp("board") / "venv"
    venv.create(folder, symlinks=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    for name in PACKAGES:
        spec = importlib.util.find_spec(name)
        assert spec
        assert spec.origin
        installed = Path(spec.origin).parents[1]
        for path in installed.glob(f"{name}*"):
            if path.name in (name, f"{name}.libs") or path.suffix == ".dist-info":
                (packages / path.name).symlink_to(path)
    return folder / "bin" / "python"


@pytest.fixture
def server(tmp_path: Path, board_python: Path) -> Iterator[Server]:
    """Start the server; the test is skipped where none is installed."""
    if SSHD is None:
        pytest.skip("no SSH server is installed (on Debian: apt install openssh-server)")
    with started(tmp_path / "ssh", board_python, tmp_path / "temporary") as board:
        yield board


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Export the net "small", ABPN ×3; tests must not change it."""
    folder = tmp_path_factory.mktemp("export")
    export("abpn", folder, SIZE)
    return folder
