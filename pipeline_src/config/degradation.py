"""Keys ``degraded`` of an image set and ``degradation`` of a downscaler: what happens to photographs on their way."""

from typing import Annotated, TypeVar

from pydantic import AfterValidator, Field

from pipeline_src.config.base import Section

Number = TypeVar("Number", int, float)


def _rising(ends: list[Number]) -> list[Number]:
    if ends[0] > ends[1]:
        raise ValueError(f"a range is [least, greatest], not {ends}")
    return ends


Share = Annotated[float, Field(ge=0, le=1)]
Range = Annotated[list[Number], Field(min_length=2, max_length=2), AfterValidator(_rising)]
Pixels = Annotated[float, Field(gt=0, le=3)]
Cutoff = Annotated[float, Field(ge=0.1, le=1)]
Sides = Annotated[float, Field(ge=0.25, le=4)]
Levels = Annotated[float, Field(ge=0, le=128)]
Photons = Annotated[float, Field(ge=1, le=10**6)]
Quality = Annotated[int, Field(ge=1, le=100)]


class Pass(Section):
    """Blur, resizing, noise and JPEG, in this order, each of a random strength: a camera, an editor, or a web site."""

    probability: Share = Field(default=1.0, description="How often the pass happens.")
    blur: Share = Field(default=0.8, description="How often it blurs.")
    sigma: Range[Pixels] = Field(
        default=[0.05, 0.6], description="Standard deviation of a Gaussian blur, in pixels of the LR image."
    )
    anisotropic: Share = Field(
        default=0.4, description="Share of the blurs with two standard deviations, at a random angle."
    )
    sinc: Share = Field(default=0.1, description="Share of the blurs that cut frequencies off, and so leave rings.")
    cutoff: Range[Cutoff] = Field(default=[0.5, 1.0], description="Where they do, of the greatest one in the LR image.")
    size: Range[Sides] = Field(
        default=[1.0, 1.0], description="Sides of the image after the pass, in those of the LR image."
    )
    noise: Share = Field(default=0.7, description="How often it adds noise.")
    gaussian: Range[Levels] = Field(default=[1.0, 12.0], description="Standard deviation of Gaussian noise, in levels.")
    poisson: Share = Field(default=0.4, description="Share of the noise that is of light, and not Gaussian.")
    photons: Range[Photons] = Field(
        default=[300.0, 5000.0], description="Photons of a white pixel in noise of light; of fewer it is stronger."
    )
    grey: Share = Field(default=0.4, description="Share of the noise that is the same in all three colours.")
    jpeg: Share = Field(default=0.8, description="How often it ends as a JPEG file.")
    quality: Range[Quality] = Field(default=[40, 95], description="Of the JPEG file.")


class Degradation(Section):
    """LR images as the second-order model of Real-ESRGAN makes them; without keys, those of photographs on the web."""

    passes: list[Pass] = Field(
        default=[Pass(size=[1.0, 2.0]), Pass(probability=0.5, blur=0.3)],
        min_length=1,
        description="One after the other; after the last one the image gets the size of the LR image.",
    )
