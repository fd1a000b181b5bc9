"""Masks of photos: found where programs put them, checked, read. White is the object.

In: the folders of a capture and its photos. Out: `Photo.mask` for each photo that has one, and what fits no photo.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from macrosplat.photos.decode import alpha_of, open_picture, oriented, reason
from macrosplat.photos.kinds import JPEG, TIFF
from macrosplat.photos.mask_values import NoMask, full_scale, looks_like_mask, mask_values
from macrosplat.photos.names import bare, listed, same_letters, without_suffix
from macrosplat.photos.records import Photo, resized, same_shape
from macrosplat.photos.resample import area_average
from macrosplat.support.errors import MacrosplatError

FOLDERS = ("masks", "mask")  # in lower case
# Where some keep what may be meant for masks; photos are not looked for there, and what is there is said.
MAYBE_MASKS = re.compile(r"mask|segment|silhouette|foreground|(^|[\W_])(alphas?|mattes?|seg)([\W_]|$)")
SUFFIXES = (".png", *sorted(JPEG), *sorted(TIFF), ".bmp", ".webp", ".gif")  # the first one wins
# What programs add to the photo's name: Metashape 000_mask.png, RealityCapture 000.jpg.mask.png.
_ADDED = re.compile(r"(?:[_\-. ]+masks?)$|^(?:masks?[_\-. ]+)")
# A mask of fewer pixels than this share of the photo's width shows no outline, whatever its shape.
LEAST_SHARE = 1 / 16
WHITE_BORDER, BLACK_MIDDLE = 0.9, 0.2  # means of masks that are the wrong way round, as it seems


def is_mask_folder(name: str) -> bool:
    return name.casefold() in FOLDERS


def find_masks(
    photos: Sequence[Photo],
    folder: Path,
    around: Sequence[Path],
    beside: Sequence[Path],
    alpha: Collection[str],
    named: Mapping[str, Path],
) -> tuple[tuple[Photo, ...], list[str]]:
    """The photos with their masks, and notes for the user.

    Args:
        folder: which names of photos are relative to.
        around: where folders of masks may lie (the capture, the folders of its photos).
        beside: masks that lie among the photos.
        alpha: names of photos whose alpha channel cuts something out: what counts, if there is no file.
        named: photo name to the mask that a file of cameras names for it: that counts first.

    Raises:
        MacrosplatError: a mask cannot be read, or has another shape than its photo.
    """
    found = {name: path for name, path in named.items() if path.is_file()}
    of_beside = _assigned(beside, folder, photos)
    found = {**of_beside, **found}
    notes: list[str] = []
    strangers = [one.name for one in beside if one not in of_beside.values() and _bare(one) == bare(one.name)]
    if strangers:
        notes.append(
            f"Left alone, since they look like masks and fit no photo by their names: {listed(strangers)}; call them "
            "NAME_mask.png, white where the object is, to have them used."
        )
    wanted = {path.resolve() for path in found.values()}
    for home in _mask_folders(around):
        masks = sorted(
            (path for path in home.rglob("*") if _is_picture(path, home)),
            key=lambda path: (SUFFIXES.index(path.suffix.lower()), path),
        )
        of = _assigned(masks, home, photos)
        found = {**of, **found}
        known = {_bare(path) for path in of.values()}
        unread = [path for path in sorted(home.rglob("*")) if path.is_file() and _is_unread(path)]
        lost = [path.name for path in sorted(home.rglob("*")) if path.is_symlink() and not path.exists()]
        if lost:
            notes.append(f"Masks that are links to nothing are left out: {listed(lost)}.")
        if unread:
            notes.append(f"Not read as masks: {listed(path.name for path in unread)}; save masks as PNG.")
        if masks and not of and not wanted & {path.resolve() for path in masks}:
            photo = photos[0].name if photos else "1.jpg"
            notes.append(
                f"None of the {len(masks)} pictures in {home} fits a photo by its name ({masks[0].name}, where "
                f"{PurePosixPath(photo).with_suffix('.png')} would fit {photo}), so no mask was taken from there."
            )
        elif unused := [path for path in masks if _bare(path) not in known and path.resolve() not in wanted]:
            names = listed(path.relative_to(home).as_posix() for path in unused)
            notes.append(f"Pictures in {home} that fit no photo were left alone: {names}.")
    # A path of another machine may name the file that was found all the same.
    missing = [name for name, path in named.items() if name not in found or bare(found[name].name) != bare(path.name)]
    if missing:
        notes.append(f"The mask that is named for {listed(missing)} is missing.")
    if not found:
        notes += _perhaps_masks(around, photos)
    out = []
    for photo in photos:
        if photo.name in found:
            photo = replace(photo, mask=found[photo.name])
            check_mask(photo)
        elif photo.name in alpha:
            photo = replace(photo, mask=photo.path, mask_is_alpha=True)
        out.append(photo)
    cut_out = [photo.name for photo in out if photo.mask_is_alpha]
    if cut_out:
        notes.append(f"The alpha channel is taken for the mask of {listed(cut_out)}.")
    bare_ones = [photo.name for photo in out if photo.mask is None]
    if 0 < len(bare_ones) < len(out):
        notes.append(f"No mask was found for {listed(bare_ones)}; the whole photo counts there.")
    return tuple(out), notes + _odd(out)


def _odd(photos: Sequence[Photo]) -> list[str]:
    """What is odd of masks, by the first, the middle one and the last.

    Raises:
        MacrosplatError: one of them is no mask.
    """
    masked = [photo for photo in photos if photo.mask is not None and not photo.mask_is_alpha]
    probes = [masked[n] for n in sorted({0, len(masked) // 2, len(masked) - 1})] if masked else []
    pictures = [mask_shares(photo)[..., 0] for photo in probes]
    if pictures and all(_is_inside_out(one) for one in pictures):
        return [
            "The masks are white all along the border and black in the middle: white is what is reconstructed; if the "
            "object is black in them, invert them."
        ]
    return []


def _is_inside_out(mask: NDArray[np.float32]) -> bool:
    height, width = mask.shape
    border = np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]])
    middle = mask[height * 2 // 5 : height * 3 // 5 + 1, width * 2 // 5 : width * 3 // 5 + 1]
    return bool(border.mean() > WHITE_BORDER and middle.mean() < BLACK_MIDDLE)


def without_masks(paths: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """The photos among pictures of one folder tree, and masks that lie beside them (000.jpg, 000_mask.png)."""
    stems = {(path.parent, form) for path in paths for form in (path.name.casefold(), path.stem.casefold())}
    masks = [
        path
        for path in paths
        if (plain := _ADDED.sub("", path.stem.casefold())) != path.stem.casefold() and (path.parent, plain) in stems
    ]
    return [path for path in paths if path not in masks], masks


def masks_by_look(photos: Sequence[Photo], small: Mapping[str, NDArray[np.float32]]) -> list[Photo]:
    """Pictures among the photos that are black and white only, and called as masks are or after one that is not.

    Args:
        small: photo name to its thumbnail.
    """
    alike = [photo for photo in photos if photo.name in small and looks_like_mask(small[photo.name])]
    stems = {bare(photo.name) for photo in photos if photo not in alike}
    names = {photo.name: bare(photo.name) for photo in alike}
    return [
        photo
        for photo in alike
        if MAYBE_MASKS.search(names[photo.name]) or any(stem in names[photo.name] for stem in stems)
    ]


def check_mask(photo: Photo) -> None:
    """
    Raises:
        MacrosplatError: the photo's mask cannot be read, or has another shape.
    """
    assert photo.mask is not None
    try:
        with open_picture(photo.mask) as opened:
            size = opened.size
    except Exception as error:  # decoders raise anything on a damaged file
        raise MacrosplatError(
            f"The mask {photo.mask} cannot be read ({reason(error)}); remove or replace it."
        ) from error
    upright = (photo.width, photo.height)
    fits = same_shape(size, upright) or (photo.orientation >= 5 and same_shape(size[::-1], upright))
    if not fits or max(size) < LEAST_SHARE * max(upright):
        raise MacrosplatError(
            f"The mask {photo.mask} is {size[0]} x {size[1]} px, its photo {upright[0]} x {upright[1]}: "
            "replace the mask by one of the photo's shape, or remove it."
        )


def read_mask(photo: Photo, width: int | None = None) -> NDArray[np.uint8]:
    """[H, W] mask of a photo, 255 = object, sized as `read_photo` does it; all 255 if it has none.

    Raises:
        MacrosplatError: the mask cannot be read any more.
    """
    size = resized(photo.width, photo.height, photo.width if width is None else width)
    if photo.mask is None:
        return np.full(size[::-1], 255, np.uint8)
    return np.rint(area_average(mask_shares(photo), size)[..., 0] * 255).astype(np.uint8)


def mask_shares(photo: Photo) -> NDArray[np.float32]:
    """[H, W, 1] 0 to 1, the photo's mask, upright, in the mask's own size."""
    assert photo.mask is not None
    try:
        if photo.mask_is_alpha:
            mask = alpha_of(photo.mask).astype(np.float32)
        else:
            with open_picture(photo.mask) as opened:
                mask = mask_values(opened)
    except NoMask as error:
        raise MacrosplatError(f"The mask {photo.mask} is {error}; save it so, or remove it.") from error
    except Exception as error:  # decoders raise anything on a damaged file
        raise MacrosplatError(
            f"The mask {photo.mask} cannot be read ({reason(error)}); remove or replace it."
        ) from error
    if photo.mask_is_alpha:
        mask = full_scale(mask, float(mask.max()))
    mask = mask[..., None]
    if not photo.mask_is_alpha and not same_shape(mask.shape[1::-1], (photo.width, photo.height)):
        mask = oriented(mask, photo.orientation)  # drawn on the pixels as stored
    return mask


def _mask_folders(folders: Iterable[Path]) -> list[Path]:
    found: list[Path] = []
    for folder in dict.fromkeys(folders):
        if folder.is_dir():
            found += [path for path in sorted(folder.iterdir()) if is_mask_folder(path.name) and path.is_dir()]
    return list(dict.fromkeys(found))


def _perhaps_masks(around: Sequence[Path], photos: Sequence[Photo]) -> list[str]:
    """Folders of pictures that fit the photos by their names, and are called as masks are not."""
    known = {bare(photo.name) for photo in photos}
    found = {
        path.name: None
        for home in dict.fromkeys(around)
        if home.is_dir()
        for path in sorted(home.iterdir())
        if MAYBE_MASKS.search(path.name.casefold()) and not is_mask_folder(path.name) and path.is_dir()
        if any(_bare(one) in known for one in path.iterdir() if one.suffix.lower() in SUFFIXES)
    }
    said = f"Left alone, though it may hold masks: {listed(found)}; call the folder masks to have them used."
    return [said] if found else []


def _is_unread(path: Path) -> bool:
    system = path.name.startswith(".") or path.name.casefold() in ("thumbs.db", "desktop.ini")
    return path.suffix.lower() not in (*SUFFIXES, ".txt", ".md", ".json") and not system


def _is_picture(path: Path, folder: Path) -> bool:
    hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
    return path.suffix.lower() in SUFFIXES and not hidden and path.is_file()


def _bare(mask: Path) -> str:
    return _ADDED.sub("", bare(mask.name))


def _assigned(masks: Sequence[Path], folder: Path, photos: Sequence[Photo]) -> dict[str, Path]:
    """Photo name to its mask: 000.jpg.png before 000.png before 000_mask.png, each before one in another folder."""
    forms: dict[str, Path] = {}
    elsewhere: dict[str, list[Path]] = {}
    for strip in (False, True):
        for mask in masks:
            path = PurePosixPath(without_suffix(mask.relative_to(folder).as_posix()))
            name = _ADDED.sub("", path.name) if strip else path.name
            forms.setdefault((path.parent / name).as_posix(), mask)
            if strip:
                elsewhere.setdefault(name, []).append(mask)
    of = {}
    for photo in photos:
        mask = forms.get(same_letters(photo.name)) or forms.get(without_suffix(photo.name))
        if mask is not None:
            of[photo.name] = mask
    if not of:  # masks in one folder, photos in several, or the other way round
        names = [bare(photo.name) for photo in photos]
        for photo, name in zip(photos, names, strict=True):
            alike = elsewhere.get(name, [])
            if len(alike) == 1 and names.count(name) == 1:
                of[photo.name] = alike[0]
    return of
