"""The program that is sent to a board: one file, of those modules of this package that need NumPy alone."""

import io
import zipapp
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType

from pipeline_src import errors, files
from pipeline_src.benchmarking import cpu, latency, resident
from pipeline_src.deployment import cards, examples, formats, interface, pixels, reference, rounding_in_numpy
from pipeline_src.deployment.formats import onnx, openvino, openvino_fp16, tflite
from pipeline_src.devices import job, runner
from pipeline_src.graph import operations, saturation

NAME = "runner.pyz"
OLDEST = (3, 10)
MODULES: tuple[ModuleType, ...] = (
    errors, files, cpu, latency, resident, cards, examples, formats, interface, pixels, reference, rounding_in_numpy,
    onnx, openvino, openvino_fp16, tflite, job, runner, operations, saturation,
)  # fmt: skip
# Of a syntax that every Python can read.
MAIN = f"""import sys

if sys.version_info < {OLDEST}:
    print('{{"refuses": "its Python is %d.%d, not {OLDEST[0]}.{OLDEST[1]} or later"}}' % sys.version_info[:2])
    sys.exit()
try:
    import numpy
except ImportError:
    print('{{"refuses": "its Python has no NumPy"}}')
    sys.exit()

from pipeline_src.devices.runner import main

main()
"""


def build() -> bytes:
    """Return the program, which every Python from :data:`OLDEST` on runs."""
    program = io.BytesIO()
    with TemporaryDirectory() as scratch:
        folder = Path(scratch)
        for module in MODULES:
            assert module.__file__
            file = folder.joinpath(*module.__name__.split("."))
            if Path(module.__file__).name == "__init__.py":
                file = file / "__init__"
            for package in file.relative_to(folder).parents[:-1]:
                (folder / package).mkdir(parents=True, exist_ok=True)
                (folder / package / "__init__.py").touch()
            file.with_suffix(".py").write_bytes(Path(module.__file__).read_bytes())
        (folder / "__main__.py").write_text(MAIN)
        zipapp.create_archive(folder, program, compressed=True)
    return program.getvalue()
