"""One variant of a net to every format: the files, their names, and the cards beside them."""

from pathlib import Path
from typing import Any, Literal

from torch import fx

from pipeline_src.deployment import cards, onnx, openvino, reading, tflite

Size = tuple[int, int]


def export(graph: fx.GraphModule, folder: Path, stem: str, size: Size) -> None:
    """Write ``<stem>.onnx``, ``.xml`` and ``.bin``, ``.tflite``, and ``<stem>_<H>x<W>.tflite``, timed at that size.

    Of a float net also ``<stem>_fp16.xml`` and ``.bin``, whose weights are halves. ``graph`` is a float net's
    (``folding.fold``) or an int8 one (a scale of ``quantization.convert``).
    """
    net = reading.read(graph)
    (folder / f"{stem}.onnx").write_bytes(onnx.write(net))
    openvino.export(folder / f"{stem}.onnx", folder / f"{stem}.xml")
    if net.inputs["lr"].scale is None:
        openvino.export(folder / f"{stem}.onnx", folder / f"{stem}_fp16.xml", halves=True)
    (folder / f"{stem}.tflite").write_bytes(tflite.write(net))
    (folder / f"{stem}_{size[0]}x{size[1]}.tflite").write_bytes(tflite.write(net, size))


def write_cards(folder: Path, stem: str, size: Size, **facts: Any) -> list[Path]:
    """Write the card of each file of a variant; ``facts`` are the fields of a card that are alike in all of them."""
    dtype: Literal["float32", "uint8"] = "float32" if facts["variant"] == "fp32" else "uint8"
    formats: dict[str, tuple[cards.Format, list[int] | None]] = {
        f"{stem}.onnx": ("onnx", None),
        f"{stem}.xml": ("openvino", None),
        f"{stem}.tflite": ("tflite", None),
        f"{stem}_{size[0]}x{size[1]}.tflite": ("tflite", list(size)),
    }
    if facts["variant"] == "fp32":
        formats[f"{stem}_fp16.xml"] = "openvino_fp16", None
    for name, (made_as, fixed) in formats.items():
        border = cards.Border(dtype, "NHWC" if made_as == "tflite" else "NCHW")
        cards.write(folder / name, facts | {"format": made_as, "size": fixed, "input": border, "output": border})
    return [folder / name for name in formats]
