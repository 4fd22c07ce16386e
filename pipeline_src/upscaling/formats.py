"""The image formats that are written, and what each of them can hold."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pipeline_src.errors import UserError


@dataclass(frozen=True)
class OutputFormat:
    """What an image format can hold, of what photographs have.

    Attributes:
        name: Pillow's name.
        suffixes: of its files, the usual one first.
        max_side: most pixels a side, or None where memory ends first.
        alpha: whether it has transparency.
        sixteen_bits: whether it has 16 bits a sample, in grey and in colour.
        animation: whether it has frames.
        pages: whether it has pages, each of its own size.
        quality: default of ``--quality`` of a lossy format, or None.
        keeps: which metadata: ``exif``, ``icc``, ``dpi``, ``texts``.
    """

    name: str
    suffixes: tuple[str, ...]
    max_side: int | None = None
    alpha: bool = False
    sixteen_bits: bool = False
    animation: bool = False
    pages: bool = False
    quality: int | None = None
    keeps: frozenset[str] = frozenset()


OUTPUT_FORMATS = {
    "png": OutputFormat(
        "PNG",
        (".png", ".apng"),
        alpha=True,
        sixteen_bits=True,
        animation=True,
        keeps=frozenset({"exif", "icc", "dpi", "texts"}),
    ),
    "jpeg": OutputFormat(
        "JPEG", (".jpg", ".jpeg", ".jpe", ".jfif"), 65500, quality=95, keeps=frozenset({"exif", "icc", "dpi"})
    ),
    "webp": OutputFormat(
        "WEBP", (".webp",), 16383, alpha=True, animation=True, quality=95, keeps=frozenset({"exif", "icc"})
    ),
    "tiff": OutputFormat(
        "TIFF",
        (".tif", ".tiff"),
        alpha=True,
        sixteen_bits=True,
        animation=True,
        pages=True,
        keeps=frozenset({"exif", "icc", "dpi"}),
    ),
    # Encoders go to 65,536 pixels a side, but decoders refuse more than 32,768.
    "avif": OutputFormat(
        "AVIF", (".avif",), 32768, alpha=True, animation=True, quality=90, keeps=frozenset({"exif", "icc"})
    ),
    "gif": OutputFormat("GIF", (".gif",), 65535, alpha=True, animation=True),
    "jpeg2000": OutputFormat("JPEG2000", (".jp2", ".j2k", ".jpf", ".jpx"), alpha=True),
    "bmp": OutputFormat("BMP", (".bmp", ".dib"), keeps=frozenset({"dpi"})),
    "ppm": OutputFormat("PPM", (".ppm", ".pgm", ".pnm"), sixteen_bits=True),
}


def format_of(file: Path) -> OutputFormat:
    """Return the format that a file is written in, by its suffix.

    Raises:
        UserError: if no format that is written has this suffix, or if this Pillow cannot write it.
    """
    for output_format in OUTPUT_FORMATS.values():
        if file.suffix.lower() in output_format.suffixes:
            return _available(output_format, file)
    raise UserError(
        f"{file}: no image format that can be written has this name; {_choose(lambda _: True)}, or a folder, by a / at "
        "its end"
    )


def format_name(text: str) -> str:
    """Return the key of ``OUTPUT_FORMATS`` that a name or a suffix means, or the text itself."""
    for name, output_format in OUTPUT_FORMATS.items():
        if f".{text.lower().lstrip('.')}" in output_format.suffixes:
            return name
    return text.lower()


def check_size(output_format: OutputFormat, width: int, height: int, source: Path) -> None:
    """Check that an image of this size fits a format.

    Raises:
        UserError: if it does not; the sentence names formats that can hold it.
    """
    if output_format.max_side is not None and max(width, height) > output_format.max_side:
        wide = max(width, height)
        able = _choose(lambda other: other.max_side is None or other.max_side >= wide)
        raise UserError(
            f"{source} would become {width:,}×{height:,} pixels, and {output_format.name} holds no more than "
            f"{output_format.max_side:,} a side; {able}"
        )


def refuse_alpha(output_format: OutputFormat, source: Path) -> UserError:
    """Return the error of an image with transparency whose format has none."""
    able = _choose(lambda other: other.alpha)
    return UserError(f"{source} has transparency, which {output_format.suffixes[0]} cannot hold; {able}")


def formats_with(able: Callable[[OutputFormat], bool]) -> str:
    """Return the usual suffixes of the formats that ``able`` accepts, as in ``.png, .tif or .gif``."""
    suffixes = [output_format.suffixes[0] for output_format in OUTPUT_FORMATS.values() if able(output_format)]
    return " or ".join(filter(None, [", ".join(suffixes[:-1]), suffixes[-1]]))


def _choose(able: Callable[[OutputFormat], bool]) -> str:
    return f"choose a file that ends in {formats_with(able)}"


def _available(output_format: OutputFormat, file: Path) -> OutputFormat:
    if output_format.name == "AVIF":
        from PIL import features

        if not features.check("avif"):
            raise UserError(f"{file}: this Pillow is built without AVIF; choose a file that ends in .png")
    return output_format
