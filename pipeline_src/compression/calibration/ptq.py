"""Post-training quantisation of the nets of a system: calibration images, sensitivity, layers that stay in float."""

import hashlib
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from torch import fx

from pipeline_src.compression import quantization
from pipeline_src.compression.calibration import calibrate
from pipeline_src.compression.calibration.sensitivity import layers, layers_to_keep, lost_by_layer
from pipeline_src.config import Quantize
from pipeline_src.datasets.hdf5 import ImagePairs
from pipeline_src.graph.folding import GraphNet


class CalibrationImages:
    """LR crops from the centres of training images, loaded once per scale.

    Args:
        training: The training images, never evaluation images.
        settings: How many images, and the size of the crops.
    """

    def __init__(self, training: ImagePairs, settings: Quantize) -> None:
        self.training, self.settings = training, settings
        self.crops: dict[int, dict[str, np.ndarray]] = {}

    def at(self, scales: Iterable[int]) -> dict[int, list[np.ndarray]]:
        """Return the crops of each scale, uint8 H×W×3."""
        for scale in scales:
            if scale not in self.crops:
                count, side = self.settings.calibration_images, self.settings.calibration_crop
                self.crops[scale] = self.training.middles(scale, count, side)
        return {scale: list(self.crops[scale].values()) for scale in scales}

    def hr(self, scale: int) -> list[np.ndarray]:
        """Return the HR pixels that the crops of a scale cover, uint8 H×W×3, to calibrate a downscaler with."""
        count, side = self.settings.calibration_images, self.settings.calibration_crop
        return [self.training.middle(name, scale, side)[1] for name in self.training.spread(count)]

    def manifest(self) -> list[dict[str, Any]]:
        """Return a row for every crop: its image, scale, size, and the SHA-256 of its pixels."""
        return [
            {
                **dict(zip(("set", "file"), name.split("/", 1), strict=True)),
                "scale": scale,
                "height": crop.shape[0],
                "width": crop.shape[1],
                "sha256_pixels": hashlib.sha256(crop.tobytes()).hexdigest(),
            }
            for scale, crops in self.crops.items()
            for name, crop in crops.items()
        ]


class Sensitivity:
    """The PSNR that each layer of one net loses when it alone is int8.

    Args:
        validation: The validation images.
        settings: How many images, and the size of the crops.

    Attributes:
        rows: The rows of :func:`lost_by_layer` of all scales measured so far.
    """

    def __init__(self, validation: ImagePairs, settings: Quantize) -> None:
        self.validation, self.settings = validation, settings
        self.rows: list[dict[str, Any]] = []

    def measure(self, scale: int, graph: fx.GraphModule) -> None:
        """Add the rows of a calibrated graph of one scale; none if ``sensitivity_images`` is 0."""
        names = self.validation.names[: self.settings.sensitivity_images]
        pairs = [self.validation.middle(name, scale, self.settings.calibration_crop) for name in names]
        if pairs:
            self.rows.extend(lost_by_layer(graph, pairs, scale))


def post_training_quantize(
    folded: GraphNet,
    images: CalibrationImages,
    float_layers: int | list[str],
    sensitivity: Sensitivity,
    measure: bool,
) -> tuple[GraphNet, list[str]]:
    """Return a calibrated int8 net and the names of its layers that stay in float.

    Args:
        folded: The float net, from :func:`folding.fold`.
        images: The images to calibrate with.
        float_layers: How many of the most sensitive layers stay in float, or their names, with ``*`` and ``?``.
        sensitivity: Sensitivity of the system's first net.
        measure: Whether this is that first net, whose sensitivity is measured here.

    Raises:
        UserError: If a name matches no layer, or there is no image to calibrate with.
    """
    scales = folded.description.scales
    prepared = quantization.prepare(folded)
    observe: Callable[[int, fx.GraphModule], None] = sensitivity.measure if measure else lambda scale, graph: None
    calibrate(prepared, images.at(scales), observe)
    if not float_layers:
        return prepared, []
    names = {layer: None for scale in scales for layer in layers(prepared.at_scale(scale))}
    kept = layers_to_keep(float_layers, sensitivity.rows, list(names))
    prepared = quantization.prepare(folded, kept)
    calibrate(prepared, images.at(scales))
    return prepared, kept
