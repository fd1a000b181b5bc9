"""Masks that nobody drew: made from the photos, kept in RUN where a person can mend them.

In: a `Capture` without masks and a folder. Out: the same with masks, or as it was where there is any doubt.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from macrosplat.capture.records import Capture
from macrosplat.photos.masks import check_mask, mask_shares
from macrosplat.photos.records import Photo
from macrosplat.photos.silhouettes import PLAIN, WIDTH, silhouettes
from macrosplat.photos.silhouettes import STILL_ROOM as STILL
from macrosplat.support.errors import MacrosplatError
from macrosplat.support.files import whole_folder

# Of the width, about the masks, in which feature points are sought: outlines are where they hold on. A plain backdrop
# has none that mislead. Masked as it is, beetle_turntable comes out with a focal length 9 % too short from its photos
# alone, with 3 % about the masks 6 %, with all of its feature points 4 %.
MARGINS = {PLAIN: 1.0, STILL: 0.03}
ABOUT = "about.txt"  # beside the masks: what they were told from


def with_made_masks(
    opened: Capture, folder: Path, stage: Callable[[str, int], object], advance: Callable[[], object]
) -> tuple[Capture, str | None]:
    """The capture with masks in `folder`, and a sentence for the user where it has any.

    Args:
        folder: masks that lie there are taken as they are; else they are made, where there is no doubt about them.
        stage: called with what is being done and how many photos there are; advance: after each.

    Raises:
        MacrosplatError: a photo or a mask there cannot be read, or has another shape.
    """
    if any(photo.mask is not None for photo in opened.photos):
        return opened, None
    if not folder.is_dir():
        stage("looking for a plain backdrop", len(opened.photos))
        found = silhouettes(opened.photos, advance)
        if found is None:
            return opened, None
        with whole_folder(folder) as part:
            for photo, mask in zip(opened.photos, found.masks, strict=True):
                place = _mask_of(photo, part)
                place.parent.mkdir(parents=True, exist_ok=True)
                _soft(mask, photo).save(place)
            (part / ABOUT).write_text(found.why)
    about = folder / ABOUT
    why = about.read_text(errors="replace") if about.is_file() else ""
    if why not in MARGINS:  # somebody's own words
        why = "by the masks there"
    photos = tuple(_masked(photo, folder, MARGINS.get(why, 0.0)) for photo in opened.photos)
    return replace(opened, photos=photos), (
        f"The object is told from its surroundings by itself ({why}): look at the masks in {folder} (white = object), "
        "mend them there and --resume, or give --masks files."
    )


def _mask_of(photo: Photo, folder: Path) -> Path:
    return folder / f"{photo.name}.png"


def _soft(mask: NDArray[np.uint8], photo: Photo) -> Image.Image:
    """As a picture no wider than twice what it was found at."""
    width = min(photo.width, 2 * WIDTH)
    size = width, max(1, round(photo.height * width / photo.width))
    return Image.fromarray(mask).resize(size, Image.Resampling.BICUBIC)


def _masked(photo: Photo, folder: Path, margin: float) -> Photo:
    mask = _mask_of(photo, folder)
    if not mask.is_file():
        return photo
    photo = replace(photo, mask=mask, mask_margin=margin)
    check_mask(photo)
    if mask_shares(photo).max() < 0.5:
        raise MacrosplatError(f"The mask {mask} is black: paint the object white, or remove it.")
    return photo
