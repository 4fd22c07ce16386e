"""One variant of a net to every format: the files, the image they should give, and the cards beside them."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import fx

from pipeline_src.compression.ranges import LARGEST_SUM
from pipeline_src.data.images import write_png
from pipeline_src.deployment import cards, onnx, openvino, pixels, reading, reference, tflite
from pipeline_src.deployment.operations import Operations, largest_sum, repeats_as_convolutions

Size = tuple[int, int]


def export(graph: fx.GraphModule, folder: Path, stem: str, size: Size, **facts: Any) -> list[Path]:
    """Write a net in every format, each file with its card, and the image that they should give.

    Warns on stderr when the int8 weights can saturate on a CPU without VNNI, which those of ``calibrate`` cannot.

    Args:
        graph: a float net's (``folding.fold``) or an int8 one (a scale of ``quantization.convert``).
        folder: gets ``<stem>.onnx``, ``.xml`` and ``.bin``, ``.tflite``, ``<stem>_<H>x<W>.tflite`` for that size alone,
            of a float net ``<stem>_fp16.xml`` and ``.bin``, whose weights are halves; and ``reference_lr.png`` with
            ``<stem>_reference.png``, that image as the graph upscales it in torch.
        stem: of the names.
        size: height and width of the LR image that the file of one size takes.
        **facts: the fields of a card that are alike in all of them.

    Returns:
        The files that have a card.
    """
    net = reading.read(graph)
    in_float = net.inputs["lr"].scale is None
    lr = reference.lr_image()
    write_png(folder / reference.LR_FILE, lr)
    write_png(folder / f"{stem}_reference.png", _by_torch(graph, lr))
    _write_files(net, folder, stem, size, in_float)
    facts |= {"largest_sum": largest_sum(net), "reference": f"{stem}_reference.png"}
    if facts["largest_sum"] > LARGEST_SUM:
        print(f"{folder / stem}: its int8 weights saturate on CPUs without VNNI; quantise it again", file=sys.stderr)
    return list(_write_cards(folder, stem, size, in_float, facts))


def _by_torch(graph: fx.GraphModule, lr: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        sr = graph(torch.from_numpy(pixels.to_nhwc(lr, "float32")).permute(0, 3, 1, 2))
    return pixels.from_nchw(sr.contiguous().numpy())


def _write_files(net: Operations, folder: Path, stem: str, size: Size, in_float: bool) -> None:
    (folder / f"{stem}.onnx").write_bytes(onnx.write(net))
    openvino.export(folder / f"{stem}.onnx", folder / f"{stem}.xml")
    if in_float:
        openvino.export(folder / f"{stem}.onnx", folder / f"{stem}_fp16.xml", halves=True)
    of_tflite = repeats_as_convolutions(net)
    (folder / f"{stem}.tflite").write_bytes(tflite.write(of_tflite))
    (folder / f"{stem}_{size[0]}x{size[1]}.tflite").write_bytes(tflite.write(of_tflite, size))


def _write_cards(folder: Path, stem: str, size: Size, in_float: bool, facts: dict[str, Any]) -> Iterator[Path]:
    planar, interleaved = (cards.Border("float32" if in_float else "uint8", layout) for layout in ("NCHW", "NHWC"))
    formats: dict[str, tuple[cards.Format, list[int] | None, cards.Border]] = {
        f"{stem}.onnx": ("onnx", None, planar),
        f"{stem}.xml": ("openvino", None, planar),
        f"{stem}.tflite": ("tflite", None, interleaved),
        f"{stem}_{size[0]}x{size[1]}.tflite": (
            "tflite",
            [*size],
            interleaved if in_float else cards.Border("int8", "NHWC", zero_point=-128),
        ),
    }
    if in_float:
        formats[f"{stem}_fp16.xml"] = "openvino_fp16", None, planar
    for name, (made_as, fixed, border) in formats.items():
        cards.write(folder / name, facts | {"format": made_as, "size": fixed, "input": border, "output": border})
        yield folder / name
