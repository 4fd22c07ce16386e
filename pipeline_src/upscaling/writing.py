"""Writing photographs in every format, with what the format can hold of them."""

import logging
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pipeline_src.errors import UserError
from pipeline_src.files import FULL, whole_file
from pipeline_src.upscaling.formats import OutputFormat
from pipeline_src.upscaling.metadata import Metadata
from pipeline_src.upscaling.photographs import Frame, Photograph
from pipeline_src.upscaling.png import write_wide_png
from pipeline_src.upscaling.wide import to_8_bits

log = logging.getLogger(__name__)

JPEG_EXIF = 65_527  # most bytes of EXIF that a JPEG holds
LARGEST_DPI = 65535  # that a JPEG holds
CLASSIC_TIFF = 2**32 - 2**20  # bytes above which a TIFF has offsets of 64 bits


def write_photograph(
    photograph: Photograph, target: Path, output_format: OutputFormat, quality: int | None = None
) -> None:
    """Write a photograph, completely or not at all; create missing folders.

    Args:
        photograph: of one frame, or of several if the format can hold them.
        target: the file.
        output_format: its format.
        quality: of a lossy format, 1 to 100; its default if None.

    Raises:
        UserError: if the file cannot be written.
    """
    try:
        with whole_file(target) as temporary:
            _write(photograph, temporary, target, output_format, quality or output_format.quality)
    except PermissionError:
        raise UserError(f"{target} cannot be written; choose an --output in a folder of yours") from None
    except (OSError, ValueError, RuntimeError, OverflowError) as error:  # Pillow's encoders raise all of these
        if isinstance(error, OSError) and error.errno in FULL:  # the next file would not be written either
            raise
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise UserError(f"{target} cannot be written ({reason}); choose another --output") from None


def _write(photograph: Photograph, file: Path, target: Path, output_format: OutputFormat, quality: int | None) -> None:
    options = _metadata(photograph.metadata, target, output_format)
    if quality is not None:
        options["quality"] = quality
    frames = photograph.frames
    if len(frames) == 1 and frames[0].colours.dtype == np.uint16:
        _write_wide(frames[0], file, output_format, options)
        return
    if len(frames) > 1 and output_format.name != "TIFF":
        frames = _alike(frames, binary_alpha=output_format.name == "GIF")
        options |= _animation(frames, photograph.metadata, output_format)
    elif output_format.name == "GIF":
        frames = _alike(frames, binary_alpha=True)
    if output_format.name == "TIFF":
        _write_tiff(frames, file, options)
        return
    first, *rest = map(as_pillow, frames)
    if output_format.name == "JPEG2000":  # on a full disk Pillow's encoder would try for ever
        encoded = BytesIO()
        first.save(encoded, output_format.name, **options)
        file.write_bytes(encoded.getvalue())
        return
    first.save(file, output_format.name, **options, **({"append_images": rest} if rest else {}))


def _write_wide(frame: Frame, file: Path, output_format: OutputFormat, options: dict[str, Any]) -> None:
    """Write a frame of 16 bits a sample."""
    samples = _channels(frame)
    if output_format.name == "PNG":
        write_wide_png(file, samples, **options)
    elif output_format.name == "TIFF":
        _write_tiff([frame], file, options)
    else:  # PPM, whose samples are in the order of the network
        kind = "P5" if samples.shape[2] == 1 else "P6"
        header = f"{kind}\n{frame.width} {frame.height}\n65535\n".encode()
        file.write_bytes(header + samples.astype(">u2").tobytes())


def _write_tiff(frames: list[Frame], file: Path, options: dict[str, Any]) -> None:
    """Write a TIFF, of pages of 8 or 16 bits.

    Pillow writes no colours of 16 bits. Their bytes are those of an image of 8 bits of twice the width, which it does
    write, and two tags make it what it is.
    """
    first, *rest = map(_as_page, frames)
    size = sum(frame.colours.nbytes + (0 if frame.alpha is None else frame.alpha.nbytes) for frame in frames)
    first.save(file, "TIFF", save_all=True, append_images=rest, big_tiff=size > CLASSIC_TIFF, **options)
    if not any(_is_doubled(frame) for frame in frames):
        return
    from tifffile import TiffFile

    with TiffFile(file, mode="r+b") as tiff:
        for frame, page in zip(frames, tiff.pages, strict=True):
            if _is_doubled(frame):
                page.tags["ImageWidth"].overwrite(frame.width)
                page.tags["BitsPerSample"].overwrite((16,) * page.tags["SamplesPerPixel"].value)


def as_pillow(frame: Frame) -> Image.Image:
    """Return a frame of 8 bits a sample as Pillow's image in L, LA, RGB or RGBA."""
    image = Image.fromarray(np.ascontiguousarray(frame.colours))
    if frame.alpha is not None:
        image.putalpha(Image.fromarray(np.ascontiguousarray(frame.alpha)))
    return image


def _is_doubled(frame: Frame) -> bool:
    return frame.colours.dtype == np.uint16 and (frame.colours.ndim == 3 or frame.alpha is not None)


def _as_page(frame: Frame) -> Image.Image:
    if frame.colours.dtype == np.uint8:
        return as_pillow(frame)
    if not _is_doubled(frame):
        return Image.fromarray(np.ascontiguousarray(frame.colours))
    samples = _channels(frame)
    mode = {2: "LA", 3: "RGB", 4: "RGBA"}[samples.shape[2]]
    return Image.frombytes(mode, (2 * frame.width, frame.height), samples.astype("<u2").tobytes())


def _channels(frame: Frame) -> np.ndarray:
    """Return the samples of a frame, H×W×C."""
    return np.dstack([frame.colours] if frame.alpha is None else [frame.colours, frame.alpha])


def _alike(frames: list[Frame], binary_alpha: bool) -> list[Frame]:
    """Return the frames of an animation with the same channels, of 8 bits; in a GIF, pixels are transparent or not."""
    coloured = any(frame.colours.ndim == 3 for frame in frames)
    clear = any(frame.alpha is not None for frame in frames)
    made = []
    for frame in frames:
        colours = to_8_bits(frame.colours)
        if coloured and colours.ndim == 2:
            colours = np.stack([colours] * 3, axis=-1)
        alpha = None
        if clear:
            alpha = np.full(colours.shape[:2], 255, np.uint8) if frame.alpha is None else to_8_bits(frame.alpha)
            if binary_alpha:
                alpha = np.where(alpha < 128, 0, 255).astype(np.uint8)
        made.append(Frame(colours, alpha, frame.milliseconds))
    return made


def _animation(frames: list[Frame], metadata: Metadata, output_format: OutputFormat) -> dict[str, Any]:
    """Return what Pillow's writers take for an animation."""
    options: dict[str, Any] = {"save_all": True, "duration": [round(frame.milliseconds) for frame in frames]}
    if output_format.name == "GIF":
        if metadata.loop is not None:
            options["loop"] = metadata.loop
        if frames[0].alpha is not None:
            options["disposal"] = 2  # each frame replaces the one before, where it is transparent too
    elif output_format.name in ("PNG", "WEBP"):
        options["loop"] = 1 if metadata.loop is None else metadata.loop
    return options


def _metadata(metadata: Metadata, target: Path, output_format: OutputFormat) -> dict[str, Any]:
    """Return what Pillow's writer takes of the metadata that a format can hold."""
    from PIL.PngImagePlugin import PngInfo

    keeps = output_format.keeps
    options: dict[str, Any] = {}
    if metadata.exif and "exif" in keeps:
        if output_format.name == "JPEG" and len(metadata.exif) > JPEG_EXIF:
            log.warning("the EXIF is left out of %s, because a JPEG holds no more than 64 KiB of it", target)
        else:
            options["exif"] = metadata.exif
    if metadata.icc and "icc" in keeps:
        options["icc_profile"] = metadata.icc
    elif metadata.icc:
        log.warning("%s cannot hold the colour profile, so its colours can look different; .png can", target)
    if metadata.dpi and "dpi" in keeps:
        if all(0 < side <= LARGEST_DPI for side in metadata.dpi):
            options["dpi"] = metadata.dpi
        else:
            log.warning("the resolution is left out of %s, because %g×%g dpi is none", target, *metadata.dpi)
    if metadata.texts and "texts" in keeps:
        texts = PngInfo()
        for key, text in metadata.texts.items():
            texts.add_text(key, text)
        options["pnginfo"] = texts
    return options
