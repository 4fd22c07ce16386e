"""Peak memory, measured in a child process."""

import resource
from pathlib import Path

import pytest

from pipeline_src.benchmarking.memory import peak_memory_mb
from pipeline_src.errors import UserError
from pipeline_src.models import build
from pipeline_src.weights import save_net


def test_the_memory_of_the_parent_process_does_not_count(tmp_path: Path) -> None:
    model = tmp_path / "weights.safetensors"
    save_net(model, build("abpn", [3], {}), {"model": "abpn", "scales": [3], "net": {}})
    held = bytearray(b"x") * (1024 * 2**20)
    small, large = (peak_memory_mb([model], side, side, 1)[model] for side in (64, 512))
    assert 0 < small < large < len(held) / 2**20
    assert large - small > 9 * 3 * (512**2 - 64**2) / 2**20  # at the least the SR image


def test_the_error_for_a_file_that_cannot_run_names_it(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nothing\.onnx could not be run"):
        peak_memory_mb([tmp_path / "nothing.onnx"], 8, 8, 1)


def test_too_few_open_files_are_told_before_a_child_starts(tmp_path: Path) -> None:
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)
    held = len([*Path("/proc/self/fd").iterdir()])
    resource.setrlimit(resource.RLIMIT_NOFILE, (held + 8, allowed[1]))
    try:
        with pytest.raises(OSError, match="Too many open files"):
            peak_memory_mb([tmp_path / "net.onnx"], 8, 8, 1)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, allowed)
