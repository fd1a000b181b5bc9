"""`open_capture`: a folder in, a checked `Capture` out, with everything that the user should know in its notes."""

from __future__ import annotations

from pathlib import Path

from macrosplat.brackets.recognise import find_brackets, poses_of
from macrosplat.cameras.colmap import find_model, read_colmap
from macrosplat.cameras.focal import ASSUMPTION, knows_focal
from macrosplat.cameras.transforms import first_folder, read_transforms
from macrosplat.capture.records import Capture
from macrosplat.photos.read import PHOTO_FOLDERS, find_photos, listed
from macrosplat.photos.records import Photo
from macrosplat.support.errors import MacrosplatError

# Two photos give one blurred pair of rays per point, and no way to notice that they are wrong.
FEWEST_PHOTOS = 3


def open_capture(folder: Path | str, masks: bool = True, brackets: bool = True) -> Capture:
    """Find and check the photos, masks and cameras of a capture.

    Cameras come from `transforms.json`, else from the COLMAP model `sparse/0`; with neither they are None, and SfM has
    to find them.

    Args:
        folder: photos, or a folder that holds `photos/` or `images/` (and perhaps `masks/` and cameras).
        masks: False leaves masks alone.
        brackets: False takes every photo for a view of its own.

    Raises:
        MacrosplatError: one sentence: what is wrong with which file, and what to do.
    """
    root = Path(folder).expanduser()
    transforms = root / "transforms.json"
    found = find_photos(root, masks, _named_folder(root, transforms) if transforms.is_file() else None)
    photos, notes = found.photos, list(found.notes)
    _enough(root, photos, "readable photos", notes)
    cameras = points = None
    if transforms.is_file():
        photos, cameras, more = read_transforms(transforms, photos, found.unreadable, found.folder)
        notes += more
        _enough(root, photos, f"photos that {transforms.name} names", notes)
    elif (model := find_model(root)) is not None:
        photos, cameras, points, more = read_colmap(model, photos)
        notes += more
        _enough(root, photos, "photos that the COLMAP model knows", notes)
    if brackets:
        photos, more = find_brackets(root, photos, cameras)
        notes += more
    if len(poses_of(photos)) > 1:  # of a lone stack neither cameras nor a lens are sought
        notes += _remarks(photos, known_cameras=cameras is not None)
    return Capture(root, photos, cameras, points, tuple(notes))


def _named_folder(root: Path, transforms: Path) -> Path | None:
    """The folder that the file's photos lie in, which may be another than the usual; None for the root itself."""
    named = first_folder(transforms).resolve()
    for name in PHOTO_FOLDERS:
        if named.is_relative_to((root / name).resolve()):
            return root / name
    return None if named == root.resolve() else named


def _enough(root: Path, photos: tuple[Photo, ...], what: str, notes: list[str]) -> None:
    if len(photos) < FEWEST_PHOTOS:
        because = f" ({' '.join(notes)})" if notes else ""
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
    blind = [p.name for p in photos if not knows_focal(p)]
    if blind and not known_cameras:
        guess = ASSUMPTION if len(blind) == len(photos) else "the focal length of the other photos is assumed"
        notes.append(f"No focal length in the EXIF of {listed(blind)}: {guess}.")
    blind = [p.name for p in photos if p.exif.f_number is None]
    if blind:
        notes.append(f"No f-number in the EXIF of {listed(blind)}: the lens is fitted without it there.")
    return notes
