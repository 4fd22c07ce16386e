"""Export of one variant and scale of a net in every format, with cards and a reference image."""

import importlib.metadata
import logging
from dataclasses import asdict
from pathlib import Path

import numpy as np
from torch import fx

from pipeline_src.deployment import cards, reference, runtimes
from pipeline_src.deployment.cards import Card, Facts
from pipeline_src.deployment.formats import FORMATS, onnx, openvino
from pipeline_src.deployment.interface import Format, ModelFile, Size
from pipeline_src.downscaling import LearnedDownscaler
from pipeline_src.errors import UserError
from pipeline_src.files import sha256
from pipeline_src.graph import reading
from pipeline_src.graph.saturation import LARGEST_SUM, largest_sum
from pipeline_src.imaging.images import read_image, write_png

log = logging.getLogger(__name__)

DOWNSCALER = "downscaler"  # stem of its files' names
TENSORRT = "tensorrt"  # ONNX files of another form, which the pipeline does not measure
INT8 = ("ptq", "qat")


def export(graph: fx.GraphModule, folder: Path, stem: str, size: Size, facts: Facts) -> list[Path]:
    """Write a net in every format, each file with its card, and the reference image.

    Logs a warning if the int8 weights can saturate on a CPU without VNNI, which those of ``calibrate`` cannot.

    Args:
        graph: a float net (``folding.fold``) or an int8 one (``quantization.convert``), of one scale.
        folder: where the files of ``Format.export`` go, ``reference_lr.png``, and ``<stem>_reference.png``, which is
            that image upscaled, or downscaled, by the graph in torch.
        stem: beginning of the files' names.
        size: height and width of the input image for files of fixed size.
        facts: the fields that all cards have in common.

    Returns:
        The files that have a card.
    """
    net = reading.read(graph, facts.ends)
    expected_file = folder / f"{stem}_reference.png"
    in_torch = runtimes.in_torch(graph, facts.scale, downscales=facts.gives == "LR")
    write_png(expected_file, in_torch(_reference_input(folder)))
    largest = largest_sum(net)
    if largest > LARGEST_SUM:
        log.warning("%s: its int8 weights saturate on CPUs without VNNI; quantise it again", folder / stem)
    files = []
    for name, file_format in FORMATS.items():
        for model in file_format.export(net, folder, stem, size):
            cards.write(model.path, _card(model, name, file_format, facts, largest, expected_file.name))
            files.append(model.path)
    return files


def export_file(
    graph: fx.GraphModule, format_name: str, file: Path, facts: Facts, size: Size | None = None
) -> ModelFile:
    """Write one file of a net, with its card; there is no reference image beside it.

    Args:
        graph: as for :func:`export`.
        format_name: a key of ``FORMATS``, or ``tensorrt``: ONNX in the int8 form that TensorRT takes.
        file: a path that ends in the suffix of the format.
        facts: the fields of the card that do not depend on the format.
        size: the one height and width of input images that the file accepts; None for any.

    Raises:
        UserError: if the format is not made of this variant.
    """
    net, card_format = reading.read(graph, facts.ends), "onnx" if format_name == TENSORRT else format_name
    file_format = FORMATS[card_format]
    require_variant(format_name, facts.variant)
    write = onnx.export_for_tensorrt if format_name == TENSORRT else file_format.export_file
    model = write(net, file, size)
    cards.write(file, _card(model, card_format, file_format, facts, largest_sum(net), ""))
    return model


def require_variant(format_name: str, variant: str) -> None:
    """Raise UserError if a format is never made of a variant."""
    made_of = INT8 if format_name == TENSORRT else FORMATS[format_name].VARIANTS
    if variant not in made_of:
        raise UserError(
            f"{format_name} is made of {' and '.join(made_of)} alone, not of {variant}; add --variant {made_of[0]}, "
            "or choose another format"
        )


def _reference_input(folder: Path) -> np.ndarray:
    """Return the input image of a folder, and write it if no net has been exported to the folder yet."""
    file = folder / reference.LR_FILE
    if not file.exists():
        write_png(file, reference.lr_image())
    return read_image(file)


def _card(model: ModelFile, name: str, file_format: Format, facts: Facts, largest: int, reference_name: str) -> Card:
    return Card(
        **asdict(facts),
        format=name,
        largest_sum=largest,
        reference=reference_name,
        size=model.size,
        input=model.tensors,
        output=model.tensors,
        multiple_of=model.multiple,
        files={part.name: sha256(part) for part in file_format.parts(model.path)},
        versions={library: importlib.metadata.version(library) for library in file_format.LIBRARIES},
        licence=cards.LICENCE,
        example=file_format.example(model, largest),
    )


def export_downscaler(net: LearnedDownscaler, weights: Path, folder: Path, system: str) -> None:
    """Write a learned downscaler whose operators the formats lack: ``downscaler.onnx``, ``.xml``, ``.bin``, ``.json``.

    The files map ``hr``, float32 1×3×H×W in 0..255 with H and W multiples of ``net.multiple`` and at least 16, to
    ``lr``, float32 1×3×(H/s)×(W/s) in 0..255, which the caller rounds. In CAR's, GridSample samples all taps side by
    side, in an image k times as large, and a mean over k×k sums them. TFLite has no such operator
    (``docs/deployment.md``).

    Args:
        net: the downscaler.
        weights: the file it was loaded from.
        folder: an existing folder.
        system: the system that it was trained with.
    """
    import torch

    onnx_file, ir_file = (folder / f"{DOWNSCALER}{suffix}" for suffix in (onnx.SUFFIX, openvino.SUFFIX))
    onnx.write_module(net.in_standard_operators().eval(), onnx_file, torch.zeros(1, 3, 64, 96), ("hr", "lr"))
    openvino.from_onnx(onnx_file, ir_file)
    files = [onnx_file, *openvino.parts(ir_file)]
    cards.write_for_downscaler(folder / f"{DOWNSCALER}.json", net, system, weights, files)
