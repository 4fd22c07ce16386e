"""No rim around what is seen."""

import numpy as np

from pipeline_src.imaging.imresize import imresize
from pipeline_src.upscaling.photographs import Frame, resized
from pipeline_src.upscaling.transparency import fill_transparent

DISC = np.hypot(*np.mgrid[-16:16, -16:16]) < 12


def test_a_white_disc_on_transparent_black_stays_white() -> None:
    colours = np.where(DISC[..., None], 255, 0).astype(np.uint8).repeat(3, axis=2)
    alpha = np.where(DISC, 255, 0).astype(np.uint8)
    made = resized(lambda image: imresize(image, 3), Frame(colours, alpha), 3)
    assert made.alpha is not None
    seen = made.alpha[..., None] / 255
    over_white = made.colours * seen + 255 * (1 - seen)
    assert over_white.min() > 254.999
    assert 0 < (made.alpha == 255).sum() < made.alpha.size


def test_only_what_nobody_sees_changes() -> None:
    colours = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    alpha = np.where(DISC, 1, 0).astype(np.uint8)
    filled = fill_transparent(colours, alpha)
    np.testing.assert_array_equal(filled[DISC], colours[DISC])
    np.testing.assert_array_equal(filled[0, 16], colours[np.flatnonzero(DISC[:, 16])[0], 16])


def test_colours_without_bits_are_replaced_and_faint_ones_are_kept() -> None:
    colours = np.full((8, 8, 3), 200, np.uint8)
    alpha = np.full((8, 8), 255, np.uint8)
    colours[:, :3], alpha[:, :3] = 255, 3
    colours[:, 3], alpha[:, 3] = 10, 4
    filled = fill_transparent(colours, alpha)
    assert (filled[:, :4] == 10).all()
    assert (filled[:, 4:] == 200).all()


def test_without_transparent_or_visible_pixels_nothing_changes() -> None:
    colours = np.zeros((4, 4, 3), np.uint8)
    for value in (0, 7):
        assert fill_transparent(colours, np.full((4, 4), value, np.uint8)) is colours
