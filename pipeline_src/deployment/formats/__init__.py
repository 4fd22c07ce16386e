"""The file formats that nets are exported to, each in a module of its own."""

from collections.abc import Callable, Iterable
from pathlib import Path

from pipeline_src.deployment.formats import onnx, openvino, openvino_fp16, tflite
from pipeline_src.deployment.interface import TRIAL_SIZE, Format, Size
from pipeline_src.errors import UserError

# A new format is a module like these and an entry here. Files are exported and listed in this order.
FORMATS: dict[str, Format] = {
    "onnx": onnx,
    "openvino": openvino,
    "tflite": tflite,
    "openvino_fp16": openvino_fp16,
}


def format_of(file: Path) -> Format:
    """Return the format whose suffix is the longest that a file's name ends in.

    Raises:
        UserError: if no format has such a suffix.
    """
    matches = [file_format for file_format in FORMATS.values() if file.name.endswith(file_format.SUFFIX)]
    if not matches:
        suffixes = dict.fromkeys(Path(f"x{file_format.SUFFIX}").suffix for file_format in FORMATS.values())
        raise UserError(f"{file} is no model file; give one that ends in .safetensors, {', '.join(suffixes)}")
    return max(matches, key=lambda file_format: len(file_format.SUFFIX))


def name_of(runtime: str) -> str:
    """Return the format that a runtime runs: ``tflite`` of itself and of ``tflite_gpu``, a delegate of it; else ""."""
    names = [name for name in FORMATS if f"{runtime}_".startswith(f"{name}_")]
    return max(names, key=len, default="")


def try_out(files: Iterable[Path], size: Size = TRIAL_SIZE) -> dict[Path, str]:
    """Return the files that this machine cannot run, and the reasons; see ``Format.try_out``.

    Args:
        files: of any formats, and with any inputs.
        size: height and width of the inputs.
    """
    trials: dict[Callable[..., dict[Path, str]], list[Path]] = {}
    for file in files:
        trials.setdefault(format_of(file).try_out, []).append(file)  # formats of one runtime share a trial
    return {file: reason for trial, tried in trials.items() for file, reason in trial(tried, size).items()}
