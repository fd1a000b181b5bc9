"""A photo file looked at once, before anything is made of it: what it is, whether all of it is there, what is odd.

In: a path. Out: `Inspected`, and no pixels but a thumbnail's.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tifffile
from numpy.typing import NDArray

from macrosplat.photos.cicp import code_points
from macrosplat.photos.decode import (
    GREY_INVERTED,
    ORIENTATIONS,
    TABLE_8,
    TABLE_16,
    alpha_channel,
    alpha_of,
    decode,
    extra,
    from_pillow,
    open_picture,
    orientation_of,
    oriented,
    pages_of,
    photo_page,
    tiff_tags,
)
from macrosplat.photos.exif import ORIENTATION, exif_of
from macrosplat.photos.kinds import kind_of
from macrosplat.photos.records import Exif, resized
from macrosplat.photos.resample import area_average
from macrosplat.photos.usable import emptiness

THUMBNAIL = 96  # px: small enough that a slice looks as sharp as the next
LEAST_BITS = 64  # px of a JPEG that a bit tells of at the most: each block of 8 x 8 takes one and more
RAW_FLIPS = {3: 3, 5: 8, 6: 6}  # LibRaw's to EXIF's
FEWER_BITS = (8, 10, 12, 14)  # that cameras for microscopes write into 16 as they are
FILMS = ("PNG", "WEBP", "AVIF", "HEIF")  # kinds that may hold several pictures; the second of an MPO is a preview
SEVERAL = "several pictures in one file, of which the first is taken; save the others as files of their own"


class Inspected(NamedTuple):
    """What is known of a photo without keeping its pixels."""

    width: int  # px, upright
    height: int
    exif: Exif
    orientation: int = 1  # EXIF's, of the pixels as stored
    alpha: bool = False  # whether an alpha channel cuts something out
    empty: str | None = None  # "black", "burnt out": see `usable`
    small: NDArray[np.float32] | None = None  # as `thumbnail_of` makes it, upright
    remark: str | None = None  # for the user, what is odd about the file


def inspect(path: Path) -> Inspected:
    """A photo's size, EXIF and more; all of the file is read, so that a damaged one is noticed now.

    Raises: as `decode`.
    """
    kind = kind_of(path)
    if kind == "raw":
        return _inspect_raw(path)
    if kind == "heif":
        extra("pillow_heif", "heif", path).register_heif_opener()
    remark, alpha, odd = None, False, None
    if kind == "tiff":
        with tifffile.TiffFile(path) as tiff:
            page: Any = tiff.pages[photo_page(tiff)]
            remark = _other_pages(tiff, page)
            deep = page.bitspersample > 8
            (width, height), orientation = (page.imagewidth, page.imagelength), orientation_of(page)
            extra_samples = bool(page.extrasamples)
        pixels = decode(path)  # no cheaper way to know that every strip is there
        alpha = extra_samples and _cuts_out(alpha_of(path))
        if deep and pixels.dtype == np.uint8 and remark is None:
            remark = "compressed in a way that is read at 8 bits only; for all 16, pip install imagecodecs"
        odd = _range(path, pixels) if deep else None
        tags = tiff_tags(path)
    else:
        with open_picture(path) as opened:
            width, height = opened.size
            if opened.format in ("JPEG", "MPO") and 8 * path.stat().st_size < width * height / LEAST_BITS:
                raise ValueError(f"too few bytes for {width} x {height} px")
            if opened.format in FILMS and getattr(opened, "n_frames", 1) > 1:
                remark = SEVERAL
            elif opened.format == "PNG" and opened.mode.startswith("RGB") and _png_bits(path) == 16:
                remark = "colour PNG is read at 8 of its 16 bits; save as TIFF to have all"
            points = code_points(path) if opened.format in FILMS and "icc_profile" not in opened.info else None
            if points is not None and points.hdr:
                remark = f"HDR ({points.hdr}), read at 8 bits a channel and up to white only; save as TIFF to have more"
            tags = opened.getexif()
            orientation = tags.get(ORIENTATION, 1)
            # An eighth of the size: the whole file is still parsed, at a fraction of the time.
            least = 2 * THUMBNAIL
            opened.draft("RGB", (max(least, -(-width // 8)), max(least, -(-height // 8))))
            opened.load()
            alpha = opened.has_transparency_data and _cuts_out(alpha_channel(opened))
            pixels = oriented(from_pillow(opened, None), orientation)
    if ORIENTATIONS.get(orientation, (False,))[0]:
        width, height = height, width
    exif = exif_of(tags, width, height)
    if exif.cropped and remark is None:
        remark = "cropped since it was taken, by its EXIF, which then tells no lengths in mm"
    small = thumbnail_of(pixels, (width, height))
    empty = emptiness(pixels)
    if odd is not None:
        empty, remark = (f"{empty}: {odd}", remark) if empty else (None, remark or odd)
    return Inspected(width, height, exif, orientation, alpha, empty, small, remark)


def _range(path: Path, pixels: NDArray[Any]) -> str | None:
    """What is odd of the numbers of a TIFF of more than 8 bits, `pixels` as `decode` has them: that they leave most of
    16 bits free, as those of 12 do, or that floats do not end at 1."""
    highest = float(pixels.max())
    if pixels.dtype != np.float32 or TABLE_16[1 << FEWER_BITS[-1]] < highest < 1:
        return None
    with tifffile.TiffFile(path) as tiff:
        page: Any = tiff.pages[photo_page(tiff)]
        values = page.asarray()
    if values.dtype.kind == "f" and highest == 1 and np.nanmax(values) > 1:
        return "floats above 1, all of which are white; divide them by what is to be white"
    if values.dtype != np.uint16 or page.photometric == GREY_INVERTED:
        return None
    top = int(values.max())
    bits = next((bits for bits in FEWER_BITS if top < 2**bits), None)
    if bits is None:
        return None
    return f"no value needs more than {bits} of 16 bits; if the camera gave {bits}, multiply by {2 ** (16 - bits):,}"


def _png_bits(path: Path) -> int:
    """A channel's, by the header that every PNG begins with: 8 bytes of signature, 8 of the chunk, two sizes of 4."""
    with path.open("rb") as file:
        return file.read(25)[24]


def header_size(path: Path) -> tuple[int, int]:
    """(width, height) in px as stored, by what the file says of itself.

    Raises: as `decode`.
    """
    kind = kind_of(path)
    if kind == "raw":
        with extra("rawpy", "raw", path).imread(str(path)) as raw:
            return raw.sizes.width, raw.sizes.height
    if kind == "tiff":
        with tifffile.TiffFile(path) as tiff:
            page: Any = tiff.pages[photo_page(tiff)]
            return page.imagewidth, page.imagelength
    if kind == "heif":
        extra("pillow_heif", "heif", path).register_heif_opener()
    with open_picture(path) as opened:
        return opened.size


def thumbnail_of(pixels: NDArray[Any], size: tuple[int, int]) -> NDArray[np.float32]:
    """[H, W] brightness of a photo of `size`, `THUMBNAIL` px wide: square root of linear light, so that shadows count.

    Args:
        pixels: [H, W, 3] as `decode` has them, perhaps smaller than the photo.
    """
    table = TABLE_8 if pixels.dtype == np.uint8 else None
    return np.sqrt(np.maximum(area_average(pixels, resized(*size, THUMBNAIL), table).mean(2), 0))


def _cuts_out(alpha: NDArray[Any]) -> bool:
    """Whether some of a photo is there and some is not: a channel that is even says nothing."""
    half = (1.0 if alpha.dtype.kind == "f" else np.iinfo(alpha.dtype).max) / 2
    return bool(alpha.min() < half <= alpha.max())


def _other_pages(tiff: tifffile.TiffFile, page: Any) -> str | None:
    """What to say of a file that holds further pictures of the photo's size: a stack, layers."""
    size = (page.imagewidth, page.imagelength)
    alike = sum((other.imagewidth, other.imagelength) == size for other in pages_of(tiff))
    return SEVERAL if alike > 1 else None


def _inspect_raw(path: Path) -> Inspected:
    with extra("rawpy", "raw", path).imread(str(path)) as raw:
        sizes, other, lens = raw.sizes, raw.other, f"{raw.lens.make} {raw.lens.model}".strip()
        black, white = float(np.mean(raw.black_level_per_channel)), float(raw.white_level)
        mosaic = np.asarray(raw.raw_image_visible).astype(np.float32)  # all is unpacked for it
        mosaic = np.clip((mosaic - black) / max(white - black, 1), 0, 1)
        width, height, flip = sizes.iwidth, sizes.iheight, RAW_FLIPS.get(sizes.flip, 1)
        if sizes.flip in (5, 6):
            width, height = height, width
    try:
        exif = exif_of(tiff_tags(path), width, height)
    except (OSError, SyntaxError, ValueError, KeyError):  # not a TIFF underneath (CR3, RAF)
        exif = Exif()
    if exif == Exif():
        exif = Exif(f_number=other.aperture or None, focal_mm=other.focal_length or None, camera=lens or None)
    if mosaic.ndim != 2:
        return Inspected(width, height, exif)
    even = mosaic[: mosaic.shape[0] // 2 * 2, : mosaic.shape[1] // 2 * 2]
    grey = oriented(even.reshape(len(even) // 2, 2, -1, 2).mean((1, 3)), flip)[..., None].repeat(3, 2)
    return Inspected(width, height, exif, empty=emptiness(mosaic[::4, ::4]), small=thumbnail_of(grey, (width, height)))
