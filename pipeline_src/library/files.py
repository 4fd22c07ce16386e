"""Exported files made on demand, of bundled nets and of those of a run, one at a time or kept in the user's cache."""

import hashlib
import logging
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline_src.errors import UserError
from pipeline_src.files import sha256, whole_files, whole_folder
from pipeline_src.library.calibration import calibration_images, hr_calibration_images
from pipeline_src.library.entries import Entry

if TYPE_CHECKING:
    from torch import fx

    from pipeline_src.deployment.cards import Facts
    from pipeline_src.deployment.interface import Size

PACKAGE = Path(__file__).parents[1]
# Code that a cached file must not outlive.
CODE = ("compression", "deployment", "downscaling", "exporting", "graph", "imaging", "models")

DOWNSCALER_VARIANTS = ("fp32", "ptq")


@dataclass(frozen=True)
class Wanted:
    """What a file is to be.

    Attributes:
        variant: fp32, ptq or qat.
        format_name: a key of ``FORMATS``, or ``tensorrt``.
        scale: one of the net's scales.
        size: the one height and width of input images that it accepts; None for any.
        calibrate: folder of images for the ptq of a bundled net; None for photographs of scikit-image.
        downscaler: whether it is to be of the net's learned downscaler, and not of the net.
    """

    variant: str
    format_name: str
    scale: int
    size: "Size | None" = None
    calibrate: Path | None = None
    downscaler: bool = False


def export(entry: Entry, wanted: Wanted, file: Path) -> Path:
    """Write one file of a net, and its card beside it.

    Raises:
        UserError: if the net has no such variant, or the format is not made of it.
    """
    from pipeline_src import exporting

    check(entry, wanted)
    with _without_advice_to_developers():
        graph, facts = (_downscaler_graph if wanted.downscaler else _graph)(entry, wanted)
        with whole_files(file) as aside:
            exporting.export_file(graph, wanted.format_name, aside, facts, wanted.size)
    return file


def check(entry: Entry, wanted: Wanted) -> None:
    """Raise UserError if there can be no such file, before anything is computed."""
    from pipeline_src import exporting

    exporting.require_variant(wanted.format_name, wanted.variant)
    if wanted.downscaler:
        return _check_downscaler(entry, wanted)
    if entry.supernet:
        raise UserError(
            f"{entry.name} is a supernet, of which the stage search cuts the nets that are exported; choose another "
            "--model, or --runtime torch for its largest net"
        )
    if entry.source == "bundled" and wanted.variant == "qat":
        raise UserError(
            f"{entry.name} is bundled in fp32, from which ptq is made; qat needs a training: choose --variant ptq, or "
            "a net of your own run"
        )
    if entry.source == "run" and wanted.variant != "fp32" and wanted.variant not in entry.quantized:
        system = entry.name.partition("/")[0]
        raise UserError(f"{entry.name} has no {wanted.variant} yet; run `dvc repro quantize@{system}` to make it")


def _check_downscaler(entry: Entry, wanted: Wanted) -> None:
    from pipeline_src.weights import load_downscaler

    if entry.downscaler is None:
        raise UserError(f"{entry.name} has no learned downscaler; choose a net that has one (`superres models NAME`)")
    downscaler = load_downscaler(entry.downscaler)
    if not downscaler.plain:
        raise UserError(
            f"the downscaler of {entry.name} has operators that int8 and TFLite files lack; the stage export writes "
            "it to float ONNX and OpenVINO, and torch runs it: leave --runtime and --variant out"
        )
    if wanted.variant not in DOWNSCALER_VARIANTS:
        known = " and ".join(DOWNSCALER_VARIANTS)
        raise UserError(f"a downscaler has {known} alone, not {wanted.variant}; choose another --variant")
    if wanted.size and any(side % downscaler.multiple for side in wanted.size):
        raise UserError(
            f"the downscaler of {entry.name} takes images whose sides are multiples of {downscaler.multiple}, not of "
            f"{wanted.size[0]}x{wanted.size[1]}; choose another --size"
        )


def cached(entry: Entry, wanted: Wanted) -> Path:
    """Return the file of a bundled net in the user's cache folder, which it is exported to if it is not there.

    Where that folder cannot be written, the file is made in a temporary folder, anew for each process.

    Raises:
        UserError: as :func:`export`.
    """
    from pipeline_src.deployment.formats import FORMATS

    check(entry, wanted)
    suffix = FORMATS[wanted.format_name].SUFFIX
    name = f"{entry.name}-downscaler" if wanted.downscaler else entry.name
    folder = _cache_folder() / f"{name}-{_key(entry)}-{wanted.variant}-{wanted.format_name}-x{wanted.scale}"
    file = folder / f"{wanted.variant}_x{wanted.scale}{suffix}"
    if not file.is_file():
        sys.stderr.write(f"exporting {name} ×{wanted.scale} ({wanted.variant}) once, to {file}\n")
        with whole_folder(folder) as made:
            export(entry, wanted, made / file.name)
    return file


def _graph(entry: Entry, wanted: Wanted) -> "tuple[fx.GraphModule, Facts]":
    from pipeline_src.compression import quantization
    from pipeline_src.compression.calibration import calibrate
    from pipeline_src.exporting.variants import FloatNet
    from pipeline_src.graph.folding import GraphNet

    net = FloatNet.load(entry.name, entry.weights)
    scale, variant = wanted.scale, wanted.variant
    source = entry.quantized.get(variant, entry.weights)
    gain = entry.over_bicubic(scale, variant)
    facts = net.facts(variant, scale, source, {} if gain is None else {"over_bicubic": gain})
    if variant == "fp32":
        return net.graphs.at_scale(scale), facts
    if entry.source == "run":
        prepared = quantization.prepare(net.graphs, facts.float_layers)
        quantization.load(source, prepared)
    else:
        one_scale = replace(net.graphs.description, scales=(scale,))
        prepared = quantization.prepare(GraphNet(one_scale, {scale: net.graphs.at_scale(scale)}))
        images = calibration_images(wanted.calibrate, scale, entry.lr)
        sys.stderr.write(f"calibrating {entry.name} ×{scale} on {len(images)} images, which can take a minute\n")
        calibrate(prepared, {scale: images})
    return quantization.convert(prepared).at_scale(scale), facts


def _downscaler_graph(entry: Entry, wanted: Wanted) -> "tuple[fx.GraphModule, Facts]":
    """Return the graph of a net's learned downscaler, and the facts for its card; :func:`check` has run."""
    from pipeline_src import paths
    from pipeline_src.compression import quantization
    from pipeline_src.compression.calibration import calibrate
    from pipeline_src.exporting.variants import FloatNet
    from pipeline_src.weights import load_downscaler

    assert entry.downscaler is not None
    scale, system = wanted.scale, entry.name.partition("/")[0]
    name = paths.downscaler_name(system)
    net = FloatNet.of_downscaler(name, entry.downscaler, load_downscaler(entry.downscaler))
    state = paths.quantized(name, wanted.variant) if entry.source == "run" else entry.downscaler
    facts = net.facts(wanted.variant, scale, entry.downscaler if wanted.variant == "fp32" else state, {})
    if wanted.variant == "fp32":
        return net.graphs.at_scale(scale), facts
    prepared = quantization.prepare(net.graphs)
    if entry.source == "run":
        quantization.load(state, prepared)
    else:
        images = hr_calibration_images(wanted.calibrate, scale)
        sys.stderr.write(f"calibrating {name} on {len(images)} images, which can take a minute\n")
        calibrate(prepared, {scale: images})
    return quantization.convert(prepared).at_scale(scale), facts


@contextmanager
def _without_advice_to_developers() -> Iterator[None]:
    """Silence what torch and torchao say of each other's deprecated functions."""
    logging.getLogger("torch.utils._pytree").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


def _cache_folder() -> Path:
    from platformdirs import user_cache_path

    folder = user_cache_path("superres", appauthor=False)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError:
        return Path(_temporary().name)


@cache
def _temporary() -> "tempfile.TemporaryDirectory[str]":
    return tempfile.TemporaryDirectory(prefix="superres-")  # removed when the process ends


@cache
def _code() -> str:
    sources = sorted(file for name in CODE for file in (PACKAGE / name).rglob("*.py"))
    return "".join(sha256(file) for file in sources)


def _key(entry: Entry) -> str:
    weights = " ".join(sha256(file) for file in (entry.weights, entry.downscaler) if file)
    return hashlib.sha256(f"{weights} {_code()}".encode()).hexdigest()[:12]
