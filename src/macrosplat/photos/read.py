"""The photos of a capture: found, checked, and read in the size that is wanted.

In: a folder. Out: `Photo` records, and their pixels: sRGB bytes or linear light (0 to 1), upright, as taken.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from macrosplat.photos.decode import RAW, SUFFIXES, TABLE_8, decode, inspect, orientation_of, oriented
from macrosplat.photos.records import Photo, resized
from macrosplat.photos.resample import area_average
from macrosplat.support.colour import to_bytes, to_srgb
from macrosplat.support.errors import MacrosplatError

PHOTO_FOLDERS = ("photos", "images")
MASK_FOLDER = "masks"
# Two sizes are of one shape if a side is off by a pixel or two of rounding, or by 1 %.
SHAPE_TOLERANCE = 0.01


@dataclass(frozen=True)
class Found:
    """What a folder holds."""

    folder: Path  # photo names are relative to it
    photos: tuple[Photo, ...]  # sorted by name, numbers by value
    unreadable: tuple[str, ...]  # names of damaged photos
    notes: tuple[str, ...]  # sentences for the user


def find_photos(root: Path, masks: bool = True, folder: Path | None = None) -> Found:
    """The photos of a capture folder, each read once to know that it is whole.

    Photos of different sizes and cameras are fine: intrinsics belong to the photo.

    Args:
        root: a folder of photos, or one that holds `photos/` or `images/` (whose subfolders count too).
        masks: whether to look for masks, in `root/masks`.
        folder: where the photos lie, if known; if there are none, as above.

    Raises:
        MacrosplatError: no such folder, no photos, a missing reader (RAW, HEIC), a mask of another shape.
    """
    if not root.is_dir():
        raise MacrosplatError(f"{root} is not a folder; name a folder of photos.")
    folder, paths = _photo_paths(root, folder)
    if not paths:
        raise MacrosplatError(f"There are no photos in {folder}; it takes JPEG, PNG, TIFF, HEIC and camera RAW files.")
    paths, notes = _without_doubles(folder, paths)
    photos: list[Photo] = []
    damaged: dict[str, str] = {}
    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        for path, result in zip(paths, pool.map(_check, paths), strict=True):
            name = path.relative_to(folder).as_posix()
            if isinstance(result, str):
                damaged[name] = result
                continue
            width, height, exif, remark = result
            if remark:
                notes.append(f"{name} {remark}.")
            mask = _find_mask(root, name) if masks else None
            photo = Photo(name=name, path=path, width=width, height=height, exif=exif, mask=mask)
            if mask is not None:
                _check_mask(photo, mask)
            photos.append(photo)
    if damaged:
        which = ", ".join(f"{name} ({why})" for name, why in damaged.items())
        notes.insert(0, f"Damaged and left out: {which}.")
    without = [p.name for p in photos if p.mask is None]
    if masks and 0 < len(without) < len(photos):
        notes.append(f"No mask was found for {listed(without)}; the whole photo counts there.")
    return Found(folder, tuple(photos), tuple(damaged), tuple(notes))


def read_photo(photo: Photo, width: int | None = None) -> NDArray[np.uint8]:
    """[H, W, 3] sRGB of a photo brought to `width` px (None, or more than it has: its own).

    Upright, and averaged over areas in linear light. As taken: `cameras.undistort` knows the lens.

    Raises:
        MacrosplatError: the file is gone, damaged, or another one than before.
    """
    if width is None or width >= photo.width:
        pixels = _decode(photo)
        if pixels.dtype == np.uint8:
            return pixels
    return to_bytes(to_srgb(read_linear(photo, width)))


def read_linear(photo: Photo, width: int | None = None) -> NDArray[np.float32]:
    """[H, W, 3] linear light (0 to 1) of a photo; otherwise as `read_photo`, without its rounding."""
    pixels = _decode(photo)
    table = TABLE_8 if pixels.dtype == np.uint8 else None
    size = resized(photo.width, photo.height, photo.width if width is None else width)
    return area_average(pixels, size, table)


def read_mask(photo: Photo, width: int | None = None) -> NDArray[np.uint8]:
    """[H, W] mask of a photo, 255 = object, sized as `read_photo` does it; all 255 if it has none."""
    size = resized(photo.width, photo.height, photo.width if width is None else width)
    if photo.mask is None:
        return np.full(size[::-1], 255, np.uint8)
    return np.rint(area_average(mask_as_taken(photo), size)[..., 0] * 255).astype(np.uint8)


def mask_as_taken(photo: Photo) -> NDArray[np.float32]:
    """[H, W, 1] the mask of a photo that has one, in its file's own size, upright: 1 = object."""
    assert photo.mask is not None, f"{photo.name} has no mask"
    try:
        with Image.open(photo.mask) as opened:
            stored = opened.convert("L") if not opened.mode.startswith(("I", "F")) else opened
            mask = np.asarray(stored).astype(np.float32)
    except (OSError, SyntaxError, ValueError) as error:
        raise MacrosplatError(
            f"The mask {photo.mask} cannot be read ({_reason(error)}); remove or replace it."
        ) from error
    # Full scale is 1, 255 or 65535, whatever wrote it: a mask of zeros and ones means what it says.
    top = float(mask.max())
    mask = np.minimum(mask / (1 if top <= 1 else 255 if top <= 255 else 65535), 1)[..., None]
    if not same_shape(mask.shape[1::-1], (photo.width, photo.height)):
        mask = oriented(mask, orientation_of(photo.path))  # drawn on the pixels as stored
    return mask


def listed(names: Iterable[str], most: int = 5) -> str:
    """Names for a sentence: all of them if few, else the first and how many more."""
    names = list(names)
    rest = len(names) - most
    return ", ".join(names) if rest <= 0 else f"{', '.join(names[:most])} and {rest} more"


def natural_key(name: str) -> tuple[list[str | int], str]:
    """Sorts 2.jpg before 10.jpg. Text and numbers alternate, so that like is compared with like."""
    parts = re.split(r"([0-9]+)", name)
    return [int(part) if n % 2 else part.casefold() for n, part in enumerate(parts)], name


def _decode(photo: Photo) -> NDArray[Any]:
    try:
        pixels = decode(photo.path)
    except (MacrosplatError, MemoryError):
        raise
    except Exception as error:  # decoders raise anything on a damaged file
        raise MacrosplatError(f"{photo.path} cannot be read any more ({_reason(error)}); put it back.") from error
    if pixels.shape != (photo.height, photo.width, 3):
        height, width = pixels.shape[:2]
        raise MacrosplatError(
            f"{photo.path} is now {width} x {height} px, it was {photo.width} x {photo.height}; put the old one back."
        )
    return pixels


def _photo_paths(root: Path, folder: Path | None) -> tuple[Path, list[Path]]:
    """The photo folder and the photos in it: with subfolders, except for the root, which may hold other pictures."""
    candidates = [folder] if folder is not None else []
    candidates += [root / name for name in PHOTO_FOLDERS]
    for candidate in candidates:
        paths = _sorted(candidate, candidate.rglob("*")) if candidate.is_dir() else []
        if paths:
            return candidate, paths
    return root, _sorted(root, root.iterdir())


def _sorted(folder: Path, paths: Iterable[Path]) -> list[Path]:
    def wanted(path: Path) -> bool:
        parts = path.relative_to(folder).parts
        hidden = any(part.startswith(".") for part in parts)  # also the ._ twins that macOS leaves on cards
        return path.suffix.lower() in SUFFIXES and not hidden and MASK_FOLDER not in parts[:-1] and path.is_file()

    return sorted(filter(wanted, paths), key=lambda path: natural_key(path.relative_to(folder).as_posix()))


def _without_doubles(folder: Path, paths: list[Path]) -> tuple[list[Path], list[str]]:
    """Drops the RAW of a RAW+JPEG pair: two photos of one exposure would only weigh it double."""
    developed = {path.with_suffix("") for path in paths if path.suffix.lower() not in RAW}
    doubles = [path for path in paths if path.suffix.lower() in RAW and path.with_suffix("") in developed]
    if not doubles:
        return paths, []
    names = listed(path.relative_to(folder).as_posix() for path in doubles)
    return [p for p in paths if p not in doubles], [f"Left out because a developed photo lies beside it: {names}."]


def _check(path: Path):
    """`inspect`, or the reason why it failed."""
    try:
        return inspect(path)
    except (MacrosplatError, MemoryError):
        raise
    except Exception as error:  # decoders raise anything on a damaged file
        return _reason(error)


def _reason(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "the file is missing"
    first = error.args[0] if error.args else ""
    text = first.decode(errors="replace") if isinstance(first, bytes) else str(error)  # LibRaw speaks bytes
    text = text.strip().split("\n")[0].rstrip(".")
    if "cannot identify" in text:  # Pillow adds the path, which the sentence has already
        return "not a picture"
    return text or type(error).__name__


def _find_mask(root: Path, name: str) -> Path | None:
    for candidate in (f"{name}.png", str(Path(name).with_suffix(".png"))):
        path = root / MASK_FOLDER / candidate
        if path.is_file():
            return path
    return None


def _check_mask(photo: Photo, mask: Path) -> None:
    try:
        with Image.open(mask) as opened:
            size = opened.size
    except (OSError, SyntaxError) as error:
        raise MacrosplatError(f"The mask {mask} cannot be read ({_reason(error)}); remove or replace it.") from error
    upright = (photo.width, photo.height)
    turned = orientation_of(photo.path) >= 5 and same_shape(size[::-1], upright)
    if not same_shape(size, upright) and not turned:
        raise MacrosplatError(
            f"The mask {mask} is {size[0]} x {size[1]} px, its photo {upright[0]} x {upright[1]}: "
            "replace the mask by one of the photo's shape, or remove it."
        )


def same_shape(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    """Whether two sizes (width, height) are of one picture, resized."""
    slack = 1 / min(*a[:2], *b[:2])
    return abs(a[0] * b[1] / (a[1] * b[0]) - 1) <= max(SHAPE_TOLERANCE, slack)
