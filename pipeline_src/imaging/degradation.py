"""LR images as photographs come, and not as bicubic makes them: blurred, resized, with noise and JPEG, once or twice.

The kinds of faults and their order are those of Real-ESRGAN (Wang et al., ICCVW 2021). Strengths are counted in pixels
of the LR image, so that they mean the same at every scale. All is drawn from one generator, so that the same seed makes
the same image.
"""

import hashlib
import math
from collections.abc import Iterable

import numpy as np
from numpy.random import Generator

from pipeline_src.config.degradation import Degradation, Pass
from pipeline_src.imaging.colour import as_rgb, to_grey
from pipeline_src.imaging.images import through_jpeg

CONTEXT = 6  # LR pixels around a patch that are degraded with it, for the blur of its border
REACH = 3  # standard deviations at which a Gaussian is cut off
LOBES = 3  # of a sinc on each side
SMALLEST_TERM = 0.01  # of the sum of separable kernels, compared with the greatest
UNIT = 4096  # of weights: they are multiples of 1/UNIT, so that the last digits of a library's exp do not matter

Kernel = list[tuple[np.ndarray, np.ndarray]]  # a sum of outer products of a column and a row


def degrade(hr: np.ndarray, scale: int, spec: Degradation, random: Generator) -> np.ndarray:
    """Return an LR image of an HR image.

    Args:
        hr: uint8 H×W×3 or H×W.
        scale: of the LR image.
        spec: what happens to it, and how often.
        random: draws what happens.

    Returns:
        uint8 ⌊H/scale⌋×⌊W/scale⌋, with the channels of ``hr``.
    """
    size = hr.shape[0] // scale, hr.shape[1] // scale
    image = as_rgb(hr)[: size[0] * scale, : size[1] * scale]
    for spec_of_pass in spec.passes:
        if random.random() < spec_of_pass.probability:
            image = _blurred(image, spec_of_pass, image.shape[0] / size[0], random)
            factor = _drawn(spec_of_pass.size, random)
            image = _resized(image, (max(1, round(factor * size[0])), max(1, round(factor * size[1]))), random)
            image = _noisy(image, spec_of_pass, random)
            if random.random() < spec_of_pass.jpeg:
                least, greatest = spec_of_pass.quality
                image = through_jpeg(image, int(random.integers(least, greatest, endpoint=True)))
    image = _resized(image, size, random)
    return image if hr.ndim == 3 else to_grey(image)


def of_scales(hr: np.ndarray, scales: Iterable[int], spec: Degradation, seed: int, name: str) -> dict[int, np.ndarray]:
    """Return the LR images of an HR image, by scale, which depend on the seed and its name, but on no other image."""
    keys = {scale: [*hashlib.sha256(f"{seed} {name} {scale}".encode()).digest()] for scale in scales}
    return {scale: degrade(hr, scale, spec, np.random.default_rng(key)) for scale, key in keys.items()}


def degraded_patch(
    hr: np.ndarray, scale: int, corner: tuple[int, int], size: tuple[int, int], spec: Degradation, random: Generator
) -> np.ndarray:
    """Return a patch of LR, as :func:`degrade` makes it of the pixels of HR around the patch.

    Args:
        hr: uint8 H×W×3, the whole image.
        scale: of the LR image.
        corner: row and column of the patch in LR pixels.
        size: its height and width in LR pixels.
        spec: what happens to it, and how often.
        random: draws what happens.

    Returns:
        uint8 height×width×3.
    """
    ends = hr.shape[0] // scale, hr.shape[1] // scale
    starts = [max(0, first - CONTEXT) for first in corner]
    rows, columns = (
        slice(scale * start, scale * min(end, first + length + CONTEXT))
        for start, first, length, end in zip(starts, corner, size, ends, strict=True)
    )
    lr = degrade(hr[rows, columns], scale, spec, random)
    y, x = corner[0] - starts[0], corner[1] - starts[1]
    return lr[y : y + size[0], x : x + size[1]]


def _drawn(ends: list[float], random: Generator) -> float:
    least, greatest = ends
    return random.uniform(least, greatest)


def _blurred(image: np.ndarray, spec: Pass, pixel: float, random: Generator) -> np.ndarray:
    """Return an image blurred, or as it is.

    Args:
        image: uint8 H×W×3.
        spec: how.
        pixel: side of a pixel of the LR image in pixels of this image.
        random: draws the kernel.
    """
    if random.random() >= spec.blur:
        return image
    if random.random() < spec.sinc:
        kernel = _sinc(min(1.0, _drawn(spec.cutoff, random) / pixel))
    else:
        first, second = (pixel * _drawn(spec.sigma, random) for _ in range(2))
        angle = random.uniform(0, math.pi)
        kernel = _gaussian(first) if random.random() >= spec.anisotropic else _turned_gaussian(first, second, angle)
    return _filtered(image, kernel)


def _gaussian(sigma: float) -> Kernel:
    reach = math.ceil(REACH * sigma)
    line = _line(np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2))
    return [(line, line)]


def _turned_gaussian(first: float, second: float, angle: float) -> Kernel:
    """Return a Gaussian of two standard deviations, its axes turned by an angle."""
    reach = math.ceil(REACH * max(first, second))
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    along, across = x * math.cos(angle) + y * math.sin(angle), y * math.cos(angle) - x * math.sin(angle)
    kernel = np.exp(-0.5 * ((along / first) ** 2 + (across / second) ** 2))
    columns, strengths, rows = np.linalg.svd(kernel / kernel.sum())
    used = strengths > SMALLEST_TERM * strengths[0]
    terms = [
        (_rounded(column * strength**0.5), _rounded(row * strength**0.5))
        for column, strength, row in zip(columns.T[used], strengths[used], rows[used], strict=True)
    ]
    total = sum(float(column.sum() * row.sum()) for column, row in terms)
    return [(column / np.float32(total), row) for column, row in terms]


def _sinc(cutoff: float) -> Kernel:
    """Return a low-pass filter for both directions; ``cutoff`` is in half cycles per pixel, the greatest being 1."""
    reach = math.ceil(LOBES / cutoff)
    places = np.arange(-reach, reach + 1)
    line = _line(np.sinc(cutoff * places) * np.sinc(places / (reach + 1)))  # the window of Lanczos
    return [(line, line)]


def _line(weights: np.ndarray) -> np.ndarray:
    line = _rounded(weights / weights.sum())
    line /= line.sum()
    return line


def _rounded(weights: np.ndarray) -> np.ndarray:
    return (np.round(UNIT * weights) / UNIT).astype(np.float32)


def _filtered(image: np.ndarray, kernel: Kernel) -> np.ndarray:
    """Return an image, uint8 H×W×3, filtered; its border pixels are repeated."""
    from pipeline_src.imaging.resample import resample

    height, width, channels = image.shape
    source = np.ascontiguousarray(image).reshape(height, -1)
    total, out = (np.zeros(source.shape, np.float32) for _ in range(2))
    for column, row in kernel:
        resample(source, channels, _taps(height, column), _taps(width, row), (False, False), out)
        total += out
    filtered: np.ndarray = np.clip(np.floor(total + np.float32(0.5)), 0, 255).astype(np.uint8)
    return filtered.reshape(image.shape)


def _taps(length: int, line: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the pixels that each output pixel sums, and their weights, as ``resample`` takes them."""
    reach = len(line) // 2
    taps = np.arange(length)[:, None] + np.arange(-reach, reach + 1)
    return taps.clip(0, length - 1), np.tile(line, (length, 1))


def _resized(image: np.ndarray, size: tuple[int, int], random: Generator) -> np.ndarray:
    """Return an image of a height and width, by a random kernel of those in use; as it is if it has that size."""
    from PIL import Image

    kernels = (Image.Resampling.BOX, Image.Resampling.BILINEAR, Image.Resampling.BICUBIC)
    kernel = kernels[random.integers(len(kernels))]
    if image.shape[:2] == size:
        return image
    return np.asarray(Image.fromarray(np.ascontiguousarray(image)).resize(size[::-1], kernel))


def _noisy(image: np.ndarray, spec: Pass, random: Generator) -> np.ndarray:
    """Return an image with noise, or as it is."""
    if random.random() >= spec.noise:
        return image
    shape = (*image.shape[:2], 1) if random.random() < spec.grey else image.shape
    if random.random() < spec.poisson:
        photons = math.exp(_drawn([math.log(end) for end in spec.photons], random)) / 255  # per level
        light = np.broadcast_to(image.mean(axis=2, keepdims=True) if shape[2] == 1 else image, shape)
        added = random.poisson(light * photons) / photons - light
    else:
        added = _drawn(spec.gaussian, random) * random.standard_normal(shape, np.float32)
    noisy: np.ndarray = np.clip(np.round(image + added), 0, 255).astype(np.uint8)
    return noisy
