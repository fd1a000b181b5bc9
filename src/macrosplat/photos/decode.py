"""One photo file to pixels: the only place that knows file formats.

Out: [H, W, 3], upright, either uint8 sRGB, or float32 linear light (sRGB primaries, 0 to 1) where the file holds more
than that: 16 bit or float TIFF, RAW, 16 bit grey, and photos with another colour profile than sRGB. 16 bit colour PNG
comes as 8 bit, since Pillow reads it so.
"""

from __future__ import annotations

import functools
import importlib
import itertools
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from macrosplat.photos.cicp import code_points, profile_of
from macrosplat.photos.exif import EXIF_IFD, GPS_IFD, ORIENTATION, is_adobe_rgb
from macrosplat.photos.icc import (
    ADOBE_RGB,
    LEVELS,
    MatrixProfile,
    apply_profile,
    convert_with_cms,
    gamma_profile,
    read_grey_profile,
    read_profile,
)
from macrosplat.photos.kinds import BIG_TIFF_HEADS, Kind, is_heif, kind_of
from macrosplat.support.colour import to_linear
from macrosplat.support.errors import MacrosplatError
from macrosplat.support.extras import install

KINDS = ("JPEG", "MPO", "PNG", "TIFF", "WEBP", "AVIF", "HEIF", "BMP", "GIF")  # what Pillow calls them

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

BAND = 1 << 24  # px
MOST_PIXELS = 500_000_000  # cameras that shift their sensor reach 400 million
MOST_PAGES = 16  # of a TIFF that are looked at

GAMMAS_OF_SRGB = (0.4, 0.5)  # what a PNG's gAMA is of sRGB (0.45455): browsers take it for that

_profile = functools.lru_cache(maxsize=8)(read_profile)
_grey_profile = functools.lru_cache(maxsize=8)(read_grey_profile)
_gamma_profile = functools.lru_cache(maxsize=8)(gamma_profile)


def decode(path: Path, least: int | None = None) -> NDArray[Any]:
    """The pixels of a photo, as the module says.

    Args:
        least: px of either side that suffice, for a picture to be looked at: JPEG and RAW can be opened at half of
            their size and less in a fraction of the time.

    Raises:
        MacrosplatError: the reader for this format is not installed.
        Exception: whatever the format's decoder raises when the file is damaged.
    """
    kind = kind_of(path)
    if kind == "raw":
        with extra("rawpy", "raw", path).imread(str(path)) as raw:
            # Linear, the camera's white balance, and nothing that depends on the picture itself (brightening, a white
            # level taken from its maximum): the exposures of one capture stay comparable.
            pixels = raw.postprocess(
                gamma=(1, 1),
                no_auto_bright=True,
                adjust_maximum_thr=0,
                output_bps=16,
                use_camera_wb=True,
                half_size=least is not None and min(raw.sizes.width, raw.sizes.height) >= 2 * least,
            )
        return pixels.astype(np.float32) / (LEVELS - 1)
    if kind == "tiff":
        pixels = _deep_tiff(path)
        if pixels is not None:
            return pixels
    if kind == "heif":
        extra("pillow_heif", "heif", path).register_heif_opener()
    with open_picture(path) as opened:
        return from_pillow(*_prepared(path, kind, opened, least))


def plain_picture(path: Path, least: int | None = None) -> Image.Image | None:
    """A picture whose bytes are what `decode` hands out (8 bit, RGB, sRGB), not copied; None: it is another kind."""
    kind = kind_of(path)
    if kind in ("raw", "tiff", "heif"):
        return None
    with open_picture(path) as opened:
        photo, icc, told = _prepared(path, kind, opened, least)
        profile = _profile(icc) if icc and photo.mode == "RGB" else told
        if photo.mode != "RGB" or (icc and profile is None) or (profile is not None and not profile.is_srgb):
            return None
        photo.load()
        photo.info = {}  # which writers would carry on
        return photo


def _prepared(
    path: Path, kind: Kind, opened: Image.Image, least: int | None
) -> tuple[Image.Image, bytes | None, MatrixProfile | None]:
    """The picture upright, and what its colours are said to be (`from_pillow`)."""
    if least is not None:
        opened.draft(None, (least, least))
    if kind == "tiff":
        with tifffile.TiffFile(path) as tiff:
            opened.seek(photo_page(tiff))
    icc = embedded_profile(path, opened)
    told = None if icc else _told(path, opened)
    return _upright(opened), icc, told


def embedded_profile(path: Path, opened: Image.Image) -> bytes | None:
    """The photo's ICC profile; Adobe RGB's, where there is none and the camera told of it in DCF's way."""
    return opened.info.get("icc_profile") or (ADOBE_RGB if is_adobe_rgb(opened.getexif(), path.name) else None)


def _told(path: Path, opened: Image.Image) -> MatrixProfile | None:
    """What a photo without a profile says of its colours: by code points, or a PNG by the gamma of its values, where
    that is another than sRGB's."""
    if opened.format in ("HEIF", "AVIF", "PNG") and (points := code_points(path)) is not None:
        return profile_of(points)
    gamma = opened.info.get("gamma") if opened.format == "PNG" and "srgb" not in opened.info else None
    if not isinstance(gamma, float) or not 0.01 < gamma < 100 or GAMMAS_OF_SRGB[0] < gamma < GAMMAS_OF_SRGB[1]:
        return None
    return _gamma_profile(1 / gamma)


def alpha_of(path: Path) -> NDArray[Any]:
    """[H, W] the alpha channel of a photo, upright; what a photo without one has is 255 everywhere."""
    kind = kind_of(path)
    if kind == "tiff":
        with tifffile.TiffFile(path) as tiff:
            number = photo_page(tiff)
            page: Any = tiff.pages[number]
            samples, separate = page.samplesperpixel, page.planarconfig == 2
            if page.bitspersample > 8 and page.extrasamples:
                pixels = page.asarray()
                return oriented(pixels[samples - 1] if separate else pixels[..., samples - 1], orientation_of(page))
    with open_picture(path) as opened:
        if kind == "tiff":
            opened.seek(number)
        return np.asarray(alpha_channel(_upright(opened)))


def alpha_channel(photo: Image.Image) -> NDArray[np.uint8]:
    return np.asarray(photo.convert("RGBA").getchannel("A"))


def oriented(pixels: NDArray, orientation: int) -> NDArray:
    """[H, W, ...] as stored, upright."""
    transpose, rows, columns = ORIENTATIONS.get(orientation, (False, False, False))
    if transpose:
        pixels = pixels.swapaxes(0, 1)
    return pixels[:: -1 if rows else 1, :: -1 if columns else 1]


def from_pillow(photo: Image.Image, icc: bytes | None, told: MatrixProfile | None = None) -> NDArray[Any]:
    """
    Args:
        told: what the colours of a photo without a profile are, if not sRGB.
    """
    deep = photo.mode.startswith("I")  # 16 bit grey: "I;16" or widened to 32 bit
    if photo.mode in ("1", "LA", "La"):
        photo = photo.convert("L")
    elif photo.mode in ("RGBA", "P", "PA", "RGBX"):
        photo = photo.convert("RGB")
    grey = deep or photo.mode == "L"
    profile = told
    if icc:
        profile = _grey_profile(icc) if grey else _profile(icc) if photo.mode == "RGB" else None
        if profile is None and not deep:
            photo = convert_with_cms(photo, icc)
    if profile is not None and profile.is_srgb:
        profile = None
    if not deep:
        return _array(photo) if profile is None else apply_profile(_array(photo), profile)
    values = np.clip(np.asarray(photo), 0, LEVELS - 1).astype(np.uint16)[..., None].repeat(3, axis=2)
    return TABLE_16[values] if profile is None else apply_profile(values, profile)


def open_picture(path: Path) -> Image.Image:
    """A picture of the kinds that photos and masks come in, whatever its name says: of the others that Pillow knows
    some run programs (EPS), and some are no photos (icons).

    Raises:
        OSError: it is none of them.
        MacrosplatError: the reader of HEIC is not installed.
    """
    Image.init()
    try:
        return Image.open(path, formats=[kind for kind in KINDS if kind in Image.OPEN])
    except UnidentifiedImageError:
        with path.open("rb") as file:
            if "HEIF" in Image.OPEN or not is_heif(file.read(12)):
                raise
    extra("pillow_heif", "heif", path).register_heif_opener()  # a phone's photo that is called .jpg
    return Image.open(path, formats=["HEIF"])


def _array(photo: Image.Image) -> NDArray[np.uint8]:
    """[H, W, 3]; in bands, since Pillow holds the bytes of what it hands out twice."""
    width, height = photo.size
    rows = max(1, BAND // max(width, 1))
    if height <= rows:
        return np.asarray(_rgb(photo))
    out = np.empty((height, width, 3), np.uint8)
    for top in range(0, height, rows):
        out[top : top + rows] = np.asarray(_rgb(photo.crop((0, top, width, min(top + rows, height)))))
    return out


def _rgb(photo: Image.Image) -> Image.Image:
    """As `convert`, without a copy of what is RGB already."""
    return photo if photo.mode == "RGB" else photo.convert("RGB")


def _upright(photo: Image.Image) -> Image.Image:
    """As `ImageOps.exif_transpose`, without a copy of what is upright already."""
    return photo if photo.getexif().get(ORIENTATION, 1) == 1 else ImageOps.exif_transpose(photo)


def _deep_tiff(path: Path) -> NDArray[np.float32] | None:
    """A TIFF of more than 8 bits in linear light; None if Pillow has to read it."""
    with tifffile.TiffFile(path) as tiff:
        page: Any = tiff.pages[photo_page(tiff)]
        if page.imagewidth * page.imagelength > MOST_PIXELS:
            raise ValueError(f"{page.imagewidth} x {page.imagelength} px, more than any camera takes")
        if page.bitspersample <= 8 or page.photometric not in (GREY_INVERTED, GREY, RGB):
            return None
        try:
            pixels = page.asarray()
        except KeyError:  # tifffile's way of saying that a compression needs imagecodecs
            return None
        if page.planarconfig == 2 and pixels.ndim == 3:
            pixels = np.moveaxis(pixels, 0, -1)
        if page.imagedepth > 1:  # a volume: its first slice
            pixels = pixels[0]
        if pixels.dtype.kind not in "fiu":
            raise ValueError("it holds no numbers of light")
        profile_tag = page.tags.get(ICC_TAG)
        icc = None if profile_tag is None else bytes(profile_tag.value)
        orientation, photometric = orientation_of(page), page.photometric
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    pixels = oriented(pixels if photometric == RGB else pixels[..., :1].repeat(3, axis=-1), orientation)[..., :3]
    profile = None
    if icc is not None:
        profile = _profile(icc) if photometric == RGB else _grey_profile(icc)
    if np.issubdtype(pixels.dtype, np.floating):
        # Float files hold linear light by every program's convention, unless their profile says otherwise.
        values = np.clip(np.nan_to_num(pixels.astype(np.float32)), 0, 1)
        return values if profile is None else apply_profile(values, profile)
    if pixels.dtype != np.uint16:
        pixels = (pixels.astype(np.float64) / np.iinfo(pixels.dtype).max * (LEVELS - 1)).astype(np.uint16)
    if photometric == GREY_INVERTED:
        pixels = (LEVELS - 1) - pixels
    if icc is not None and profile is None and photometric == RGB:  # a table: ImageCms knows it, at 8 bits
        eight = Image.fromarray(np.ascontiguousarray(pixels >> 8).astype(np.uint8))
        return TABLE_8[np.asarray(convert_with_cms(eight, icc))]
    if profile is not None and not profile.is_srgb:
        return apply_profile(pixels, profile)
    return TABLE_16[pixels]


def photo_page(tiff: tifffile.TiffFile) -> int:
    """The page that is the photo: some programs put a reduced copy before it."""
    sizes = [page.imagewidth * page.imagelength for page in pages_of(tiff)]
    return sizes.index(max(sizes))


def pages_of(tiff: tifffile.TiffFile) -> list[Any]:
    some: list[Any] = list(itertools.islice(tiff.pages, MOST_PAGES))
    return [page.aspage() if isinstance(page, tifffile.TiffFrame) else page for page in some]


def tiff_tags(path: Path) -> Image.Exif:
    """The tags of a TIFF, or of a RAW that is one underneath; Pillow need not understand its pixels.

    Of a TIFF with 64 bit offsets there are none: its directories are not read as EXIF's.
    """
    tags = Image.Exif()
    with path.open("rb") as file:
        if file.read(4) in BIG_TIFF_HEADS:
            return tags
        file.seek(0)
        tags.load_from_fp(file)
        for directory in (EXIF_IFD, GPS_IFD):  # read while the file is open
            tags.get_ifd(directory)
    return tags


def orientation_of(page: Any) -> int:
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
        raise MacrosplatError(f"{path.name} needs the reader {module}; install it with: {install(extra)}.") from error


def reason(error: Exception) -> str:
    """Why a picture cannot be read, for a sentence."""
    if isinstance(error, FileNotFoundError):
        return "the file is missing"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    first = error.args[0] if error.args else ""
    text = first.decode(errors="replace") if isinstance(first, bytes) else str(error)  # LibRaw speaks bytes
    text = text.strip().split("\n")[0].rstrip(".")
    if text == "Input/output error":  # LibRaw's, of a file that ends early or is none of a camera
        return "cut, or no photo of a camera"
    if "cannot identify" in text:  # Pillow adds the path, which the sentence has already
        return "not a picture"
    return text or type(error).__name__
