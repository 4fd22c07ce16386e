"""Images of 16 bits: every sample that Pillow halves is read, and upscaling by a net of 8 bits makes no bands."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image
from shared import photograph

from pipeline_src.imaging.imresize import imresize, imresize_float
from pipeline_src.upscaling.wide import keeping_depth, to_8_bits, wide_samples

SAMPLES = np.random.default_rng(0).integers(0, 65536, (9, 7, 4), dtype=np.uint16)


def net(image: np.ndarray) -> np.ndarray:
    """Upscale as a net of 8 bits at both ends does that is off by half a level."""
    return np.clip(np.floor(imresize(image, 3) + 0.5), 0, 255).astype(np.uint8)


def write_planes(path: Path, samples: np.ndarray, **options: object) -> None:
    tifffile.imwrite(path, np.moveaxis(samples, -1, 0), photometric="rgb", planarconfig="separate", **options)


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("write", [tifffile.imwrite, write_planes])
@pytest.mark.parametrize("channels", [3, 4])
def test_a_tiff_keeps_all_bits(tmp_path: Path, byteorder: str, write: object, channels: int) -> None:
    samples = SAMPLES[..., :channels]
    options = {"byteorder": byteorder, "extrasamples": ["unassalpha"] if channels == 4 else None}
    if write is tifffile.imwrite:
        options["photometric"] = "rgb"
    write(tmp_path / "a.tif", samples, **options)  # type: ignore[operator]
    np.testing.assert_array_equal(wide_samples(tmp_path / "a.tif"), samples)


@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_a_compressed_tiff_keeps_all_bits(tmp_path: Path, byteorder: str) -> None:
    samples = SAMPLES[..., :3]
    tifffile.imwrite(tmp_path / "a.tif", samples, byteorder=byteorder, photometric="rgb", compression="adobe_deflate")
    np.testing.assert_array_equal(wide_samples(tmp_path / "a.tif"), samples)


@pytest.mark.parametrize("planes", [False, True])
def test_premultiplied_colours_are_divided_by_their_alpha(tmp_path: Path, planes: bool) -> None:
    alpha = np.maximum(SAMPLES[..., 3:], 1)
    stored = np.concatenate([np.round(SAMPLES[..., :3] * (alpha / 65535)).astype(np.uint16), alpha], axis=2)
    if planes:
        write_planes(tmp_path / "a.tif", stored, extrasamples=["assocalpha"])
    else:
        tifffile.imwrite(tmp_path / "a.tif", stored, photometric="rgb", extrasamples=["assocalpha"])
    read = wide_samples(tmp_path / "a.tif")
    assert read is not None
    assert (np.abs(read[..., :3].astype(int) - SAMPLES[..., :3]) <= 0.5 * 65535 / alpha + 1).all()


def test_compressed_planes_are_read_as_8_bits_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_planes(tmp_path / "a.tif", SAMPLES[..., :3], compression="adobe_deflate")
    assert wide_samples(tmp_path / "a.tif") is None
    assert "read as 8-bit" in caplog.text


@pytest.mark.parametrize("largest", [65535, 1023])
def test_a_ppm_keeps_all_bits(tmp_path: Path, largest: int) -> None:
    stored = SAMPLES[..., :3] & largest
    (tmp_path / "a.ppm").write_bytes(b"P6\n7 9\n%d\n" % largest + stored.astype(">u2").tobytes())
    np.testing.assert_array_equal(wide_samples(tmp_path / "a.ppm"), np.floor(stored * (65535 / largest) + 0.5))


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.gif", "a.jpg", "a.bmp", "a.webp", "a.ppm"])
def test_images_of_8_bits_have_no_samples_of_16(tmp_path: Path, name: str) -> None:
    Image.fromarray(to_8_bits(SAMPLES[..., :3])).save(tmp_path / name)
    assert wide_samples(tmp_path / name) is None


def test_a_smooth_gradient_has_no_bands() -> None:
    ramp = np.linspace(20000, 24000, 96)
    image = np.round(np.broadcast_to(ramp[None, :, None], (12, 96, 3))).astype(np.uint16)
    upscaled = keeping_depth(net, image, 3)
    truth = np.interp((np.arange(288) + 0.5) / 3 - 0.5, np.arange(96), ramp)
    inside = slice(12, -12)
    assert np.abs(upscaled[18, inside, 0] - truth[inside]).max() <= 1  # of 65535
    assert np.abs(net(to_8_bits(image))[18, inside, 0] * 257.0 - truth[inside]).max() > 100  # what 8 bits make of it


def test_16_bits_are_within_a_level_of_what_the_net_makes() -> None:
    eight = photograph("chelsea.png")[100:130, 100:140]
    made = keeping_depth(lambda image: 255 - net(image), eight.astype(np.uint16) * 257 + 100, 3)
    assert made.dtype == np.uint16
    assert np.abs(made / 257 - (255.0 - net(eight))).max() <= 1
    assert np.array_equal(keeping_depth(net, eight, 3), net(eight))


@pytest.mark.parametrize("scale", [2, Fraction(5, 2), Fraction(40, 13)])
def test_bands_of_rows_leave_no_seam(monkeypatch: pytest.MonkeyPatch, scale: Fraction) -> None:
    eight = np.random.default_rng(0).integers(0, 256, (51, 13, 3), dtype=np.uint8)

    def bicubic(image: np.ndarray) -> np.ndarray:
        return np.clip(np.floor(imresize_float(image, scale) + 0.5), 0, np.iinfo(image.dtype).max).astype(image.dtype)

    image = eight.astype(np.uint16) * 257
    monkeypatch.setattr("pipeline_src.upscaling.wide.ROWS", 8)
    np.testing.assert_array_equal(keeping_depth(bicubic, image, scale), bicubic(image))


def test_8_bits_are_rounded() -> None:
    np.testing.assert_array_equal(to_8_bits(np.uint16([0, 128, 129, 65406, 65407, 65535])), [0, 0, 1, 254, 255, 255])
