"""One variant of a net to every format: the files, their names, and the cards beside them."""

from pathlib import Path
from typing import Any

from torch import fx

from pipeline_src.deployment import cards, onnx, openvino, reading, tflite
from pipeline_src.deployment.operations import repeats_as_convolutions

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
    of_tflite = repeats_as_convolutions(net)
    (folder / f"{stem}.tflite").write_bytes(tflite.write(of_tflite))
    (folder / f"{stem}_{size[0]}x{size[1]}.tflite").write_bytes(tflite.write(of_tflite, size))


def write_cards(folder: Path, stem: str, size: Size, **facts: Any) -> list[Path]:
    """Write the card of each file of a variant; ``facts`` are the fields of a card that are alike in all of them."""
    int8 = facts["variant"] != "fp32"
    planes, pixels = (cards.Border("uint8" if int8 else "float32", layout) for layout in ("NCHW", "NHWC"))
    formats: dict[str, tuple[cards.Format, list[int] | None, cards.Border]] = {
        f"{stem}.onnx": ("onnx", None, planes),
        f"{stem}.xml": ("openvino", None, planes),
        f"{stem}.tflite": ("tflite", None, pixels),
        f"{stem}_{size[0]}x{size[1]}.tflite": (
            "tflite",
            [*size],
            cards.Border("int8", "NHWC", zero_point=-128) if int8 else pixels,
        ),
    }
    if not int8:
        formats[f"{stem}_fp16.xml"] = "openvino_fp16", None, planes
    for name, (made_as, fixed, border) in formats.items():
        cards.write(folder / name, facts | {"format": made_as, "size": fixed, "input": border, "output": border})
    return [folder / name for name in formats]
