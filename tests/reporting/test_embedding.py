"""What the page carries inside itself, where the system refuses it."""

import errno
import os
import subprocess
import sys
from pathlib import Path

from shared import ROOT

FEW_FILES = f"""
import resource
import vl_convert
from pipeline_src.reporting.page import embedding
resource.setrlimit(resource.RLIMIT_NOFILE, (8, 8))
try:
    embedding.vega()
except OSError as error:
    raise SystemExit(50 if error.errno == {errno.EMFILE} else 51)
"""


def test_too_few_files_for_vega_are_an_error_of_the_system(tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", FEW_FILES], cwd=tmp_path, env=environment, capture_output=True)
    assert done.returncode == 50, done.stderr
    assert not list(tmp_path.rglob("*.js"))
