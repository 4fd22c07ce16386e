"""Images that are drawn and not photographed: dead leaves, text and line art.

What photographs of nature hold little of: straight edges without noise, pure colours, letters. Dead leaves are discs
and polygons that cover one another, with sizes whose statistics are those of natural images (Lee, Mumford and Huang,
IJCV 2001). All is drawn at three times the size and made smaller, so that edges are as soft as those of a camera.
"""

import colorsys
import math
import random
import string
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageFont

SIDE = 360  # pixels
FINER = 3  # times as large when it is drawn
COUNT = 60

Colour = tuple[int, int, int]
Point = tuple[float, float]


def draw(index: int) -> np.ndarray:
    """Return image ``index`` of the set: uint8 360×360×3 in RGB.

    Args:
        index: 0 to :data:`COUNT` − 1; the kinds take turns.
    """
    chance = random.Random(f"synthetic {index}")  # noqa: S311
    size = (FINER * SIDE, FINER * SIDE)
    image = Image.new("RGB", size, _colour(chance))
    KINDS[index % len(KINDS)](image, chance)
    return np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BOX))


def _dead_leaves(image: Image.Image, chance: random.Random) -> None:
    """Draw leaves from the bottom to the top; radii r have a density of r⁻³."""
    smallest, largest = 4 * FINER, SIDE * FINER / 3
    for _ in range(1500):
        share = chance.random()
        radius = 1 / math.sqrt(smallest**-2 - share * (smallest**-2 - largest**-2))
        middle = chance.uniform(0, image.width), chance.uniform(0, image.height)
        leaf = _shaded(image, chance)
        mask = Image.new("1", image.size)
        ImageDraw.Draw(mask).polygon(_around(middle, radius, chance), fill=1)
        box = mask.getbbox()
        if box:
            image.paste(leaf.resize((box[2] - box[0], box[3] - box[1])), box, mask.crop(box))


def _shaded(image: Image.Image, chance: random.Random) -> Image.Image:
    """Return a small image of one colour, of a gradient, or of stripes, to fill a shape with."""
    kind = chance.choice(["plain", "gradient", "gradient", "stripes"])
    first, second = _colour(chance), _colour(chance)
    if kind == "plain":
        return Image.new("RGB", (1, 1), first)
    ramp = np.linspace(0, 1, 64)
    if kind == "stripes":
        ramp = (ramp * chance.randint(2, 12) % 1 > 0.5).astype(float)
    mixed = (np.outer(1 - ramp, first) + np.outer(ramp, second)).round().astype(np.uint8)
    shaded = Image.fromarray(np.broadcast_to(mixed[None], (64, 64, 3)).copy())
    return shaded.rotate(90 * chance.randrange(4))


def _around(middle: Point, radius: float, chance: random.Random) -> list[Point]:
    """Return the corners of a disc, or of a polygon of 3 to 6 corners, around a point."""
    corners = chance.choice([64, 64, 3, 4, 4, 5, 6])
    start, flat = chance.uniform(0, math.tau), chance.uniform(0.4, 1)
    turned = [
        (radius * math.cos(math.tau * n / corners), flat * radius * math.sin(math.tau * n / corners))
        for n in range(corners)
    ]
    cos, sin = math.cos(start), math.sin(start)
    return [(middle[0] + cos * x - sin * y, middle[1] + sin * x + cos * y) for x, y in turned]


def _text(image: Image.Image, chance: random.Random) -> None:
    """Write lines of random words, each block of a size, a colour and an angle of its own."""
    letters = string.ascii_letters + string.digits + ".,:;!?()&%"
    for _ in range(14):
        font = ImageFont.load_default(size=FINER * chance.choice([9, 11, 13, 16, 20, 28, 44]))
        lines = [
            " ".join("".join(chance.choices(letters, k=chance.randint(1, 9))) for _ in range(6))
            for _ in range(chance.randint(1, 6))
        ]
        block = Image.new("L", (image.width, image.height // 2))
        ImageDraw.Draw(block).multiline_text((10, 10), "\n".join(lines), fill=255, font=font)
        block = block.crop(block.getbbox()).rotate(chance.choice([0, 0, 0, 90, chance.uniform(-40, 40)]), expand=True)
        place = chance.randint(-60, image.width * 2 // 3), chance.randint(-60, image.height - 60)
        if chance.random() < 0.5:
            image.paste(_colour(chance), (*place, place[0] + block.width, place[1] + block.height))
        image.paste(_colour(chance), place, block)


def _line_art(image: Image.Image, chance: random.Random) -> None:
    """Draw curves, circles and hatchings in ink, and fill some of them."""
    brush = ImageDraw.Draw(image)
    for _ in range(90):
        ink = chance.choice([(0, 0, 0), (0, 0, 0), _colour(chance)])
        width = round(FINER * chance.choice([0.7, 1, 1.5, 2, 3, 5]))
        at = chance.uniform(0, image.width), chance.uniform(0, image.height)
        reach = FINER * chance.uniform(8, 110)
        kind = chance.choice(["curve", "curve", "shape", "hatching"])
        if kind == "curve":
            brush.line(_curve(at, reach, chance), fill=ink, width=width, joint="curve")
        elif kind == "shape":
            brush.polygon(_around(at, reach, chance), fill=_colour(chance), outline=ink, width=width)
        else:
            angle, step = chance.uniform(0, math.tau), FINER * chance.uniform(2.5, 8)
            along = reach * math.cos(angle), reach * math.sin(angle)
            for n in range(int(reach / step)):
                foot = at[0] - n * step * math.sin(angle), at[1] + n * step * math.cos(angle)
                brush.line([foot, (foot[0] + along[0], foot[1] + along[1])], fill=ink, width=width)


def _curve(start: Point, reach: float, chance: random.Random) -> list[Point]:
    """Return points of a cubic Bézier curve."""
    (x, y), away = start, 2 * reach
    points = [start, *((x + chance.uniform(-away, away), y + chance.uniform(-away, away)) for _ in range(3))]
    t = np.linspace(0, 1, 40)[:, None]
    weights = np.hstack([(1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3])
    return [(x, y) for x, y in (weights @ np.array(points)).tolist()]


def _colour(chance: random.Random) -> Colour:
    """Return a colour, of any hue; one in four is grey, near white or near black among them."""
    saturation = 0.0 if chance.random() < 0.25 else chance.uniform(0.1, 1)
    red, green, blue = colorsys.hsv_to_rgb(chance.random(), saturation, chance.random() ** 0.7)
    return round(255 * red), round(255 * green), round(255 * blue)


KINDS: tuple[Callable[[Image.Image, random.Random], None], ...] = (_dead_leaves, _text, _line_art)
