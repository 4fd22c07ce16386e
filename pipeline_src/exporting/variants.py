"""The variants of a net as graphs to export, and the facts about them that their cards hold."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import fx

from pipeline_src.compression import quantization
from pipeline_src.deployment.cards import Facts
from pipeline_src.downscaling import LearnedDownscaler
from pipeline_src.files import sha256
from pipeline_src.graph.folding import GraphNet, fold
from pipeline_src.metrics.complexity import mult_adds, parameters
from pipeline_src.weights import load_deployed_net, load_metadata


@dataclass(frozen=True)
class FloatNet:
    """A float net as graphs, from its weights file.

    Attributes:
        name: a system, or ``<system>/<name>`` for a smaller net.
        weights: the file.
        net: the net.
        metadata: of the file.
        graphs: the folded net.
    """

    name: str
    weights: Path
    net: Any
    metadata: Mapping[str, Any]
    graphs: GraphNet

    @classmethod
    def of_downscaler(cls, name: str, weights: Path, net: LearnedDownscaler) -> "FloatNet":
        """Fold a learned downscaler that has only operators of the file formats.

        Args:
            name: such as ``conv_x4/downscaler``.
            weights: the file that it was loaded from.
            net: the downscaler.
        """
        metadata, deployed = load_metadata(weights), net.in_standard_operators()
        model = metadata["downscaler"]
        return cls(name, weights, deployed, metadata | {"model": model, "downscaler": {"model": model}}, fold(deployed))

    @classmethod
    def load(cls, name: str, weights: Path) -> "FloatNet":
        """Read and fold a net.

        Raises:
            UserError: if the file is missing or corrupt, or holds a supernet.
        """
        net, metadata = load_deployed_net(weights)
        return cls(name, weights, net, metadata, fold(net))

    def facts(self, variant: str, scale: int, source: Path, validation: Mapping[str, float]) -> Facts:
        """Return what the cards of one variant and scale have in common, but for its layers in float.

        Args:
            variant: fp32, ptq or qat.
            scale: one of the net's scales.
            source: the file that holds the weights of the variant.
            validation: PSNRs in dB on the validation images.
        """
        part, description = self.net.at_scale(scale), self.net.description
        return Facts(
            system=self.name,
            model=self.metadata["model"],
            variant=variant,
            scale=scale,
            colour=description.colour,
            lr=self.metadata.get("downscaler", {}).get("model", "bicubic"),
            origin=self.metadata.get("origin", self.weights.name),
            dtype=self.metadata.get("dtype", "float32"),
            parameters=parameters(part),
            mult_adds=mult_adds(part, 1 if description.takes == "HR" else scale),
            float_layers=[] if variant == "fp32" else quantization.float_layers(source),
            validation=dict(validation),
            weights={source.name: sha256(source)},
            takes=description.takes,
            gives=description.gives,
        )


def variants(
    float_net: FloatNet, quantized: Mapping[str, Path], validation: Mapping[str, Mapping[str, float]]
) -> Iterator[tuple[fx.GraphModule, Facts]]:
    """Yield the graph of a net in each variant and scale, valid until the next, and the facts for its cards.

    Args:
        float_net: the net.
        quantized: the states of its int8 nets, by variant.
        validation: PSNRs in dB on the validation images, by variant.
    """
    yield from _at_each_scale(float_net, "fp32", float_net.weights, float_net.graphs, validation)
    prepared = None
    for variant, source in quantized.items():
        prepared = prepared or quantization.prepare(float_net.graphs, quantization.float_layers(source))
        quantization.load(source, prepared)
        yield from _at_each_scale(float_net, variant, source, quantization.convert(prepared), validation)


def _at_each_scale(
    float_net: FloatNet, variant: str, source: Path, graphs: GraphNet, validation: Mapping[str, Mapping[str, float]]
) -> Iterator[tuple[fx.GraphModule, Facts]]:
    for scale in graphs.description.scales:
        yield graphs.at_scale(scale), float_net.facts(variant, scale, source, validation.get(variant, {}))
