"""One variant of a net to every format: the files, their names, and the cards beside them."""

from pathlib import Path
from typing import Any, Literal

from torch import fx, nn

from pipeline_src.deployment import cards, onnx, openvino, tflite

Size = tuple[int, int]


def export_float(net: nn.Module, folder: Path, stem: str, size: Size) -> None:
    """Write ``<stem>.onnx``, ``.xml`` and ``.bin``, ``.tflite``, and ``<stem>_<H>x<W>.tflite`` of a float net."""
    _write(folder, stem, size, onnx.export_float(net), tflite.export_float(net, size))


def export_int8(prepared: fx.GraphModule, folder: Path, stem: str, size: Size) -> None:
    """The same of a prepared graph (``compression.quantization``), as int8."""
    from pipeline_src.compression.quantization import convert

    int8_onnx = onnx.export_int8(convert(prepared, fold=True))
    _write(folder, stem, size, int8_onnx, tflite.export_int8(convert(prepared, fold=False), size))


def _write(folder: Path, stem: str, size: Size, onnx_model: Any, fixed_tflite: bytes) -> None:
    (folder / f"{stem}.onnx").write_bytes(onnx_model.SerializeToString())
    openvino.export(folder / f"{stem}.onnx", folder / f"{stem}.xml")
    openvino.try_compile(folder / f"{stem}.xml")
    (folder / f"{stem}_{size[0]}x{size[1]}.tflite").write_bytes(fixed_tflite)
    (folder / f"{stem}.tflite").write_bytes(tflite.with_any_size(fixed_tflite))


def write_cards(folder: Path, stem: str, size: Size, **facts: Any) -> list[Path]:
    """Write the card of each file of a variant; ``facts`` are the fields of a card that are alike in all of them."""
    dtype: Literal["float32", "uint8"] = "float32" if facts["variant"] == "fp32" else "uint8"
    formats: dict[str, tuple[cards.Format, list[int] | None]] = {
        f"{stem}.onnx": ("onnx", None),
        f"{stem}.xml": ("openvino", None),
        f"{stem}.tflite": ("tflite", None),
        f"{stem}_{size[0]}x{size[1]}.tflite": ("tflite", list(size)),
    }
    for name, (made_as, fixed) in formats.items():
        border = cards.Border(dtype, "NHWC" if made_as == "tflite" else "NCHW")
        cards.write(folder / name, facts | {"format": made_as, "size": fixed, "input": border, "output": border})
    return [folder / name for name in formats]
