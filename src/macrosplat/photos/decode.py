"""One photo file to pixels: the only place that knows file formats.

Out: [H, W, 3], upright, either uint8 sRGB, or float32 linear light (sRGB primaries, 0 to 1) where the file holds more
than that: 16 bit or float TIFF, RAW, 16 bit grey, and photos with another colour profile than sRGB. 16 bit colour PNG
comes as 8 bit, since Pillow reads it so.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image, ImageOps

from macrosplat.photos.exif import EXIF_IFD, GPS_IFD, ORIENTATION, exif_of
from macrosplat.photos.icc import LEVELS, apply_profile, convert_with_cms, read_profile
from macrosplat.photos.records import Exif
from macrosplat.support.colour import to_linear
from macrosplat.support.errors import MacrosplatError

JPEG = frozenset({".jpg", ".jpeg", ".jpe"})
TIFF = frozenset({".tif", ".tiff"})
HEIF = frozenset({".heic", ".heif", ".hif"})
RAW = frozenset(
    f".{kind}"
    for kind in "3fr arw cr2 cr3 crw dng erf iiq mrw nef nrw orf pef raf rw2 rwl sr2 srw".split()  # noqa: SIM905
)
SUFFIXES = JPEG | TIFF | HEIF | RAW | {".png"}

TABLE_8 = to_linear(np.arange(256) / 255).astype(np.float32)
TABLE_16 = to_linear(np.arange(LEVELS) / (LEVELS - 1)).astype(np.float32)

# TIFF's numbers: photometric MINISWHITE, MINISBLACK, RGB; tag InterColorProfile.
GREY_INVERTED, GREY, RGB, ICC_TAG = 0, 1, 2, 34675
# What Pillow (or EXIF) calls orientation n, as (transpose, flip rows, flip columns) of the stored array.
ORIENTATIONS = {
    2: (False, False, True),
    3: (False, True, True),
    4: (False, True, False),
    5: (True, False, False),
    6: (True, False, True),
    7: (True, True, True),
    8: (True, True, False),
}

_profile = functools.lru_cache(maxsize=8)(read_profile)


def decode(path: Path) -> NDArray[Any]:
    """The pixels of a photo, as the module says.

    Raises:
        MacrosplatError: the reader for this format is not installed.
        Exception: whatever the format's decoder raises when the file is damaged.
    """
    suffix = path.suffix.lower()
    if suffix in RAW:
        with extra("rawpy", "raw", path).imread(str(path)) as raw:
            # Linear, the camera's white balance, and nothing that depends on the picture itself (brightening, a white
            # level taken from its maximum): the exposures of one capture stay comparable.
            pixels = raw.postprocess(
                gamma=(1, 1), no_auto_bright=True, adjust_maximum_thr=0, output_bps=16, use_camera_wb=True
            )
        return pixels.astype(np.float32) / (LEVELS - 1)
    if suffix in TIFF:
        pixels = _deep_tiff(path)
        if pixels is not None:
            return pixels
    if suffix in HEIF:
        extra("pillow_heif", "heif", path).register_heif_opener()
    with Image.open(path) as opened:
        icc = opened.info.get("icc_profile")
        return _from_pillow(ImageOps.exif_transpose(opened), icc)


def inspect(path: Path) -> tuple[int, int, Exif, str | None]:
    """(width, height, EXIF, remark) of a photo, upright; all of the file is read, so that a damaged one is noticed now.

    Raises: as `decode`.
    """
    suffix = path.suffix.lower()
    if suffix in RAW:
        return *_inspect_raw(path), None
    if suffix in HEIF:
        extra("pillow_heif", "heif", path).register_heif_opener()
    remark = None
    if suffix in TIFF:
        with tifffile.TiffFile(path) as tiff:
            page: Any = tiff.pages[0]
            deep = page.bitspersample > 8
            (width, height), orientation = (page.imagewidth, page.imagelength), _orientation(page)
        pixels = decode(path)  # no cheaper way to know that every strip is there
        if deep and pixels.dtype == np.uint8:
            remark = "is compressed in a way that is read at 8 bits only; for all 16, pip install imagecodecs"
        tags = tiff_tags(path)
    else:
        with Image.open(path) as opened:
            width, height = opened.size
            tags = opened.getexif()
            orientation = tags.get(ORIENTATION, 1)
            # An eighth of the size: the whole file is still parsed, at a fraction of the time.
            opened.draft("RGB", (-(-width // 8), -(-height // 8)))
            opened.load()
    if ORIENTATIONS.get(orientation, (False,))[0]:
        width, height = height, width
    return width, height, exif_of(tags, width, height), remark


def oriented(pixels: NDArray, orientation: int) -> NDArray:
    """[H, W, ...] as stored, upright."""
    transpose, rows, columns = ORIENTATIONS.get(orientation, (False, False, False))
    if transpose:
        pixels = pixels.swapaxes(0, 1)
    return pixels[:: -1 if rows else 1, :: -1 if columns else 1]


def orientation_of(path: Path) -> int:
    """The EXIF orientation of a photo, 1 (upright as stored) if it has none."""
    if path.suffix.lower() in TIFF:
        return tiff_tags(path).get(ORIENTATION, 1)
    with contextlib.suppress(OSError), Image.open(path) as opened:
        return opened.getexif().get(ORIENTATION, 1)
    return 1


def _from_pillow(photo: Image.Image, icc: bytes | None) -> NDArray[Any]:
    if photo.mode.startswith("I"):  # 16 bit grey: "I;16" or widened to 32 bit
        grey = np.clip(np.asarray(photo), 0, LEVELS - 1).astype(np.uint16)
        return np.repeat(TABLE_16[grey][..., None], 3, axis=2)
    if photo.mode in ("RGBA", "P", "PA", "RGBX"):
        photo = photo.convert("RGB")
    if icc:
        profile = _profile(icc) if photo.mode == "RGB" else None
        if profile is None:
            photo = convert_with_cms(photo, icc)
        elif not profile.is_srgb:
            return apply_profile(np.asarray(photo), profile)
    return np.asarray(photo.convert("RGB"))


def _deep_tiff(path: Path) -> NDArray[np.float32] | None:
    """A TIFF of more than 8 bits in linear light; None if Pillow has to read it."""
    with tifffile.TiffFile(path) as tiff:
        page: Any = tiff.pages[0]
        if page.bitspersample <= 8 or page.photometric not in (GREY_INVERTED, GREY, RGB):
            return None
        try:
            pixels = page.asarray()
        except KeyError:  # tifffile's way of saying that a compression needs imagecodecs
            return None
        if page.photometric == RGB and page.planarconfig == 2 and pixels.ndim == 3:
            pixels = np.moveaxis(pixels, 0, -1)
        profile_tag = page.tags.get(ICC_TAG)
        icc = None if profile_tag is None else bytes(profile_tag.value)
        orientation, photometric = _orientation(page), page.photometric
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    pixels = oriented(pixels if photometric == RGB else pixels[..., :1].repeat(3, axis=-1), orientation)[..., :3]
    if np.issubdtype(pixels.dtype, np.floating):  # float files hold linear light, by every program's convention
        return np.clip(np.nan_to_num(pixels.astype(np.float32)), 0, 1)
    if pixels.dtype != np.uint16:
        pixels = (pixels.astype(np.float64) / np.iinfo(pixels.dtype).max * (LEVELS - 1)).astype(np.uint16)
    if photometric == GREY_INVERTED:
        pixels = (LEVELS - 1) - pixels
    if icc is not None and photometric == RGB:
        profile = _profile(icc)
        if profile is None:  # a table: ImageCms knows it, at 8 bits
            eight = Image.fromarray(np.ascontiguousarray(pixels >> 8).astype(np.uint8))
            return TABLE_8[np.asarray(convert_with_cms(eight, icc))]
        if not profile.is_srgb:
            return apply_profile(pixels, profile)
    return TABLE_16[pixels]


def _inspect_raw(path: Path) -> tuple[int, int, Exif]:
    with extra("rawpy", "raw", path).imread(str(path)) as raw:
        sizes, other, lens = raw.sizes, raw.other, f"{raw.lens.make} {raw.lens.model}".strip()
        _ = raw.raw_image  # unpacks it
        width, height = sizes.iwidth, sizes.iheight
        if sizes.flip in (5, 6):
            width, height = height, width
    try:
        exif = exif_of(tiff_tags(path), width, height)
    except (OSError, SyntaxError, ValueError, KeyError):  # not a TIFF underneath (CR3, RAF)
        exif = Exif()
    if exif == Exif():
        exif = Exif(f_number=other.aperture or None, focal_mm=other.focal_length or None, camera=lens or None)
    return width, height, exif


def tiff_tags(path: Path) -> Image.Exif:
    """The tags of a TIFF, or of a RAW that is one underneath; Pillow need not understand its pixels."""
    tags = Image.Exif()
    with path.open("rb") as file:
        tags.load_from_fp(file)
        for directory in (EXIF_IFD, GPS_IFD):  # read while the file is open
            tags.get_ifd(directory)
    return tags


def _orientation(page: Any) -> int:
    tag = page.tags.get(ORIENTATION)
    return int(tag.value) if tag is not None else 1


def extra(module: str, extra: str, path: Path) -> ModuleType:
    """The reader of a format that few need.

    Raises:
        MacrosplatError: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MacrosplatError(
            f"{path.name} needs the reader {module}; install it with: pip install 'macrosplat[{extra}]'."
        ) from error
