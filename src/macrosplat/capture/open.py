"""`open_capture`: a folder in, a checked `Capture` out, with everything that the user should know in its notes."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path, PurePosixPath

import numpy as np

from macrosplat.brackets.recognise import find_brackets, is_one_picture, poses_of
from macrosplat.cameras.focal import ASSUMPTION, knows_focal, lacks
from macrosplat.cameras.given import find_given, not_read, read_given
from macrosplat.cameras.records import Cameras
from macrosplat.capture.doubles import doubles, is_one_photo
from macrosplat.capture.records import Capture
from macrosplat.photos.find import find_photos, with_masks
from macrosplat.photos.names import listed
from macrosplat.photos.read import read_photo, readers
from macrosplat.photos.records import Looking, Photo
from macrosplat.photos.usable import WIDTH, all_blurred, detail
from macrosplat.support.errors import MacrosplatError
from macrosplat.support.files import expanded
from macrosplat.support.threads import ordered

# Two photos give one blurred pair of rays per point, and no way to notice that they are wrong.
FEWEST_PHOTOS = 3
ZOOMED = 1.02  # lenses that round their focal length differ by less
FEWEST_PX = 16  # a side of fewer holds no feature, and nothing that could be sharp


def open_capture(
    folder: Path | str, masks: bool = True, brackets: bool = True, looking: Callable[[bool], Looking] | None = None
) -> Capture:
    """Find and check the photos, masks and cameras of a capture.

    Cameras come from a file of another program (`cameras.given`); with none they are None, and SfM has to find them.

    Args:
        folder: photos, or a folder that holds `photos/` or `images/` (and perhaps `masks/` and cameras).
        masks: False leaves masks alone.
        brackets: False takes every photo for a view of its own.
        looking: by whether there are cameras, who is told of the photos before they are read, and of each that was.

    Raises:
        MacrosplatError: one sentence: what is wrong with which file, and what to do.
    """
    root = expanded(folder)
    source = find_given(root) if root.is_dir() else None
    told = None if looking is None else looking(source is not None)
    found = find_photos(root, masks=False, named=source.named_files() if source else (), looking=told)
    photos, notes = found.photos, list(found.notes)
    all_of = tuple(sorted([*(photo.name for photo in photos), *found.damaged]))
    useless = {photo.name: why for photo in photos if (why := found.empty.get(photo.name) or _too_small(photo))}
    if useless:
        which = ", ".join(f"{name} ({why})" for name, why in useless.items())
        notes.append(f"Left out because they show nothing: {which}.")
        photos = tuple(photo for photo in photos if photo.name not in useless)
    _enough(root, photos, "readable photos", notes)
    cameras = points = None
    named_masks: dict[str, Path] = {}
    unplaced: tuple[Photo, ...] = ()
    if source is not None:
        given = read_given(source, photos, found.folder, [*found.damaged, *useless])
        if given.cameras is not None:
            named = {photo.name for photo in given.photos}
            unplaced = tuple(photo for photo in photos if photo.name not in named)
        photos, cameras, points, named_masks = given.photos, given.cameras, given.points, given.masks
        notes += given.notes
        _enough(root, photos, f"photos that {source.what} names", notes)
    elif more := not_read(root, found.folder, photos):
        notes += more
    if masks:
        photos, more = with_masks(found, photos, root, named_masks)
        notes += more
        unplaced = with_masks(found, unplaced, root)[0] if unplaced else ()
    if not brackets and cameras is None and is_one_picture(photos, found.small):
        raise MacrosplatError(
            f"All {len(photos)} photos of {root} show one picture, taken from one place: there is no 3D scene in them "
            "without other views; leave out --brackets off to join them as a focus stack."
        )
    if brackets:
        photos, more = find_brackets(root, photos, cameras, found.small)
        notes += more
    if len(poses_of(photos)) == 1 and any(photo.mask for photo in photos):
        notes.append("The picture of a stack without other views is of the whole frame: masks and alpha are not used.")
    if cameras is None and len(poses_of(photos)) == 1 and is_one_photo(photos, found.small):
        raise MacrosplatError(
            f"All {len(photos)} photos of {root} are the same one: give photos from around the thing."
        )
    if cameras is None and all(photo.pose is None for photo in photos):
        copies = doubles(photos, found.small)
        if copies:
            which = listed(f"{name} ({other})" for name, other in copies.items())
            notes.append(f"Left out because they are copies of other photos: {which}.")
            photos = tuple(photo for photo in photos if photo.name not in copies)
            _enough(root, photos, "different photos", notes)
        blurred = _nothing_in_focus(photos)
        if blurred:
            notes.append(f"Left out because nothing in them is in focus: {listed(blurred)}.")
            photos = tuple(photo for photo in photos if photo.name not in blurred)
            _enough(root, photos, "photos with something in focus", notes)
    photos, cameras, more = _told_apart(photos, cameras)
    notes += [*more, *_one_elsewhere(photos)]
    if len(poses_of(photos)) > 1:  # of a lone stack neither cameras nor a lens are sought
        notes += _remarks(photos, known_cameras=cameras is not None)
    stems = {PurePosixPath(photo.name).with_suffix("") for photo in photos}
    unplaced = tuple(photo for photo in unplaced if PurePosixPath(photo.name).with_suffix("") not in stems)
    return Capture(root, photos, cameras, points, all_of, tuple(notes), unplaced)


def _told_apart(
    photos: tuple[Photo, ...], cameras: Cameras | None
) -> tuple[tuple[Photo, ...], Cameras | None, list[str]]:
    """Photos whose names differ by the suffix only keep it in what is called after them: a.jpg becomes a.jpg.png."""
    stems = Counter(PurePosixPath(photo.name).with_suffix("") for photo in photos)
    names = {
        photo.name: photo.name + PurePosixPath(photo.name).suffix
        for photo in photos
        if stems[PurePosixPath(photo.name).with_suffix("")] > 1
    }
    if not names:
        return photos, cameras, []
    if cameras is not None:
        cameras = replace(cameras, names=tuple(names.get(name, name) for name in cameras.names))
    note = f"Named alike but for the suffix, which the results keep: {listed(names)}."
    return tuple(replace(photo, name=names.get(photo.name, photo.name)) for photo in photos), cameras, [note]


def _one_elsewhere(photos: tuple[Photo, ...]) -> list[str]:
    """Photos whose names differ by case or by how accents are written only: one file on Windows and macOS."""
    alike: dict[str, list[str]] = {}
    for photo in photos:
        alike.setdefault(unicodedata.normalize("NFC", photo.name).casefold(), []).append(photo.name)
    twice = [name for names in alike.values() if len(names) > 1 for name in names]
    if not twice:
        return []
    return [f"Names that are one on Windows and macOS, where one result would replace the other: {listed(twice)}."]


def _nothing_in_focus(photos: tuple[Photo, ...]) -> list[str]:
    threads = readers(photos)
    details = np.array(list(ordered(lambda photo: detail(read_photo(photo, WIDTH)), photos, threads)))
    return [photo.name for photo, blurred in zip(photos, all_blurred(details), strict=True) if blurred]


def _too_small(photo: Photo) -> str | None:
    small = min(photo.width, photo.height) < FEWEST_PX
    return f"{photo.width} x {photo.height} px" if small else None


def _enough(root: Path, photos: tuple[Photo, ...], what: str, notes: list[str]) -> None:
    if len(photos) < FEWEST_PHOTOS:
        because = f" ({' '.join(notes)})" if notes else ""
        what = what.replace("photos", "photo", 1) if len(photos) == 1 else what
        raise MacrosplatError(
            f"{root} has {len(photos)} {what}{because}; at least {FEWEST_PHOTOS} are needed, 20 or more are better."
        )


def _remarks(photos: tuple[Photo, ...], known_cameras: bool) -> list[str]:
    """What is unusual about the photos, and what is assumed for it."""
    notes = []
    sizes = sorted({(p.width, p.height) for p in photos})
    if len(sizes) > 1:
        which = listed(f"{w} x {h}" for w, h in sizes)
        notes.append(f"The photos have {len(sizes)} sizes ({which}): each gets intrinsics of its own.")
    names = sorted({p.exif.camera for p in photos if p.exif.camera})
    if len(names) > 1:
        notes.append(f"The photos come from {len(names)} cameras or lenses ({listed(names)}).")
    for what, values in (
        ("focal lengths", [p.exif.focal_mm for p in photos]),
        ("focal lengths, as of 35 mm film", [p.exif.focal_35mm for p in photos]),  # what a digital zoom changes
    ):
        lengths = sorted({value for value in values if value})
        if len(lengths) > 1 and lengths[-1] > ZOOMED * lengths[0] and not known_cameras:
            which = listed(f"{length:g} mm" for length in lengths)
            notes.append(f"The EXIF names {len(lengths)} {what} ({which}): each gets intrinsics of its own.")
            break
    blind = [p for p in photos if not knows_focal(p)]
    if not known_cameras:
        guess = ASSUMPTION if len(blind) == len(photos) else "the focal length of the other photos is assumed"
        for lacking in dict.fromkeys(map(lacks, blind)):
            notes.append(f"{lacking} in the EXIF of {listed(p.name for p in blind if lacks(p) == lacking)}: {guess}.")
    blind = [p.name for p in photos if p.exif.f_number is None]
    if blind:
        notes.append(f"No f-number in the EXIF of {listed(blind)}: the lens is fitted without it there.")
    return notes
