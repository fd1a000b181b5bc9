"""Masks of things before a plain backdrop (sweep, light tent, velvet) or before a room that stands still while they
turn: made from the photos where nobody drew any, and only where there is no doubt.

In: photos. Out: a silhouette of each, or the reason why there are none. Levels are sRGB's, 0 to 255; lengths are
shares of the width, for pictures of `WIDTH` px.

The backdrop of each photo is a smooth surface through the pixels at its border that have the colour which all photos
share there, or what most photos show at a pixel. What differs from it is the object, soft shadows apart: they darken
all channels alike, and have no edge. Blur spreads the object's outline; it lies where half of the contrast is left,
and closer in where blur has spread a thing so thin that it shows less than its whole contrast anywhere (`outlines`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from macrosplat.photos.outlines import (
    DIFFERS,
    PALE,
    REACH,
    Coarse,
    Outlined,
    filled,
    labelled,
    largest,
    most_nearby,
    outlined,
    prepared,
    shaded,
)
from macrosplat.photos.read import read_photo, readers
from macrosplat.photos.records import Photo
from macrosplat.support.threads import ordered

WIDTH = 480  # px at which silhouettes are sought: blur hides more
BORDER = 1 / 40  # width of the border in which the backdrop is sought first
ALIKE = 24.0  # levels about the backdrop's colour; its shading may go a little beyond
# A soft shadow has edges of no more than this (levels per px on a backdrop of 200). Those of things blurred by a
# twentieth of the frame are five times as steep.
SHADOW_EDGE = 1.6
# A wide outline lies where this share is left of the greatest contrast within `REACH`. Half would be the middle of a
# blurred edge; less keeps thin things beside thick ones, of which blur has left less than half.
SHARE = 0.4
TEXTURED_SHARE = 0.25  # the same before a room of many colours, from which a thing differs now more, now less
CORE = 0.3  # of the usual contrast: what holds nothing of more is no thing
SMALLEST = 0.02  # of the largest part: smaller ones are none of the object
# There is no doubt if so much of the border has the backdrop's colour, the contrast is no less (levels), and what is
# neither backdrop nor object no more than this (of the frame, mean and worst photo): shadows and tables on sweeps have
# 0.04 (0.055), wood 0.08 (0.13), a dark room 0.04 (0.13); leaves fail at the border.
SURE_BORDER, SURE_CONTRAST, SURE_REST, SURE_WORST = 0.75, 80.0, 0.065, 0.1
# And if no photo has more (of its frame) called the object that differs less from the backdrop than things do, `CORE`:
# objects have 0.03 at the most, a dark room whose walls are lit here and there 0.14 and more (experiments: made-masks).
SURE_WEAK = 0.06
# Before a room that stands still no wall is taken for a thing, and a thing has here and there the room's own colours.
SURE_WEAK_STILL = 0.1
AREA = (0.005, 0.9)  # of the frame that a silhouette may have
# A pixel stands still that differs by less than `DIFFERS` from its median in this share of the photos; the room does
# if this share of the border's pixels do so.
STILL, STILL_BORDER = 0.8, 0.7
# What the room looks like behind the thing is told by so many photos at the most; it shows in this share of them or
# more, and mostly where it hangs together with the border.
RECURS_OF, RECURS, MOSTLY_OUTSIDE = 24, 0.25, 0.7
# Photos, evenly chosen, by which a large capture is judged before the others are read, and that tell what stands still.
SAMPLE = 60
ROUNDS = 4  # in which the backdrop is found anew

PLAIN, STILL_ROOM = "the backdrop is plain", "the room stands still while the object turns"

Picture = NDArray[np.float32]  # [H, W, 3]
Taken = NDArray[np.uint8]  # [H, W, 3]: as many are kept as there are photos
Region = NDArray[np.bool_]  # [H, W]


@dataclass(frozen=True)
class Silhouettes:
    """Of the photos of a capture, in their order, and what they were told from."""

    masks: tuple[NDArray[np.uint8], ...]  # [H, W] 255 = object; no wider than the photo
    why: str  # `PLAIN` or `STILL_ROOM`


def silhouettes(photos: Sequence[Photo], progress: Callable[[], object] = lambda: None) -> Silhouettes | None:
    """The silhouettes of all photos, or None where any could be doubted.

    Args:
        progress: called once per photo.

    Raises:
        MacrosplatError: a photo cannot be read any more.
    """
    some = list(photos[:: -(-len(photos) // SAMPLE)])
    pictures = []
    for picture in ordered(lambda photo: read_photo(photo, WIDTH), some, readers(some)):
        pictures.append(picture)
        progress()
    found = _of(pictures)
    if found is not None and len(some) < len(photos):
        found = _of([*ordered(lambda photo: read_photo(photo, WIDTH), photos, readers(photos))])
    return None if found is None else Silhouettes(_drawn(photos, found[0]), found[1])


def _drawn(photos: Sequence[Photo], parts: list[_Parts]) -> tuple[NDArray[np.uint8], ...]:
    """Things by their own outlines, where these can be drawn; with holes where they are told from pale parts."""

    def one(of: tuple[Photo, _Parts]) -> Outlined | None:
        photo, part = of
        return None if part.known is None else outlined(photo, part.known, part.thing)

    found = list(ordered(one, zip(photos, parts, strict=True), readers(photos)))
    pale = np.mean([1.0 if outline is None else outline.pale for outline in found])
    things = []
    for part, outline in zip(parts, found, strict=True):
        thing = part.thing if outline is None else outline.thing
        if outline is not None and pale <= PALE:
            thing = thing & ~outline.holes
        things.append(np.where(thing, 255, 0).astype(np.uint8))
    return tuple(things)


def _of(pictures: list[Taken]) -> tuple[list[_Parts], str] | None:
    if len(pictures) < 3:
        return None
    found = _before_plain(pictures)
    if found is not None:
        return found, PLAIN
    found = _before_still(pictures)
    return None if found is None else (found, STILL_ROOM)


def _before_plain(pictures: list[Taken]) -> list[_Parts] | None:
    colour, share = _common_colour(pictures)
    if share < SURE_BORDER:
        return None

    def one(taken: Taken) -> _Parts | None:
        picture = taken.astype(np.float32)
        likely = _border(picture) & (largest(np.abs(picture - colour)) < ALIKE)
        if likely.sum() < 0.1 * _border(picture).sum():
            return None
        return _parts(picture, _surface(picture, likely))

    return _if_sure(list(ordered(one, pictures)))


def _before_still(pictures: list[Taken]) -> list[_Parts] | None:
    if len({picture.shape for picture in pictures}) > 1:
        return None
    every = np.stack(pictures[:: -(-len(pictures) // SAMPLE)]).astype(np.float32)
    usual = np.median(every, 0)
    near = (np.abs(every - usual).max(-1) < DIFFERS).mean(0)
    if near[_border(usual)].mean() < STILL_BORDER or (near >= STILL).mean() < SURE_BORDER * STILL_BORDER:
        return None
    usual, still = _seen_again(every[:: -(-len(every) // RECURS_OF)])
    still = np.asarray(ndimage.binary_erosion(still, iterations=2, border_value=1), bool)
    if not still.any():
        return None
    usual = np.where(still[..., None], usual, _spread(usual, still, 0.03 * usual.shape[1])[0])
    backdrop = usual.astype(np.float32)
    parts = ordered(lambda taken: _parts(taken.astype(np.float32), backdrop, texture=True), pictures)
    return _if_sure(list(parts), SURE_WEAK_STILL)


def _seen_again(every: NDArray[np.float32]) -> tuple[Picture, Region]:
    """What recurs most often at each pixel, and where that is the room: in enough photos, and in most of these it hangs
    together with the border by pixels that show the room, too. (A thing's own colour recurs amid the thing.)

    Args:
        every: [V, H, W, 3] levels.
    """

    def near(picture: Picture) -> NDArray[np.bool_]:
        return np.stack([(np.abs(one - picture) < DIFFERS).all(-1) for one in every])

    usual, most = every[0], np.full(every.shape[1:3], -1)
    for one in every:
        count = near(one).sum(0)
        usual, most = np.where((count > most)[..., None], one, usual), np.maximum(count, most)
    like = near(usual)
    usual = (every * like[..., None]).sum(0) / np.maximum(like.sum(0), 1)[..., None]
    border, outside = _border(usual), np.zeros_like(like)
    for n, one in enumerate(like):
        number, _ = labelled(one)
        outside[n] = np.isin(number, np.unique(number[border & one])) & one
    often = outside.sum(0)
    return usual.astype(np.float32), (often >= RECURS * len(every)) & (often >= MOSTLY_OUTSIDE * like.sum(0))


@dataclass(frozen=True)
class _Parts:
    """A photo, taken apart."""

    thing: Region
    rest: float  # of the frame that is neither the thing nor its backdrop
    contrast: float  # levels between the two
    levels: NDArray[np.float64]  # [256] of the frame that is the thing and differs by so many levels from the backdrop
    known: Coarse | None  # by which its outline can be drawn: it is darker than a plain backdrop


def _if_sure(parts: list[_Parts | None], most_weak: float = SURE_WEAK) -> list[_Parts] | None:
    known = [part for part in parts if part is not None]
    if len(known) < len(parts):
        return None
    rest = [part.rest for part in known]
    areas = [part.thing.mean() for part in known]
    contrast = float(np.median([part.contrast for part in known]))
    weak = round(CORE * contrast)
    sure = (
        np.mean(rest) <= SURE_REST
        and max(rest) <= SURE_WORST
        and max(part.levels[:weak].sum() for part in known) <= most_weak
        and contrast >= SURE_CONTRAST
        and AREA[0] <= min(areas)
        and max(areas) <= AREA[1]
    )
    return known if sure else None


def _border(picture: NDArray) -> Region:
    height, width = picture.shape[:2]
    edge = max(2, round(BORDER * width))
    border = np.ones((height, width), bool)
    border[edge:-edge, edge:-edge] = False
    return border


def _common_colour(pictures: list[Taken]) -> tuple[NDArray, float]:
    """[3] the colour that most pixels at the borders of all photos have, and the share of those within `ALIKE`."""
    some = np.concatenate([picture[_border(picture)][::3] for picture in pictures]).astype(np.float32)
    bins = (some // 8).astype(np.int64) @ np.array([1024, 32, 1])
    values, counts = np.unique(bins, return_counts=True)
    colour = some[bins == values[counts.argmax()]].mean(0)
    for _ in range(10):  # mean shift
        colour = some[np.abs(some - colour).max(1) < ALIKE].mean(0)
    return colour, float((np.abs(some - colour).max(1) < ALIKE).mean())


def _surface(picture: Picture, known: Region) -> Picture:
    """[H, W, 3] the quadratic surface through the known pixels, outliers apart (Cauchy weights)."""
    height, width = known.shape
    y, x = np.mgrid[:height, :width] / width - 0.5
    terms = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], -1)
    rows, seen, weight = terms[known], picture[known], np.ones(int(known.sum()))
    fit = np.zeros((6, 3))
    for _ in range(15):
        root = np.sqrt(weight)[:, None]
        fit = np.linalg.lstsq(rows * root, seen * root, rcond=None)[0]
        off = np.abs(rows @ fit - seen).max(1)
        weight = 1 / (1 + (off / (1.5 * max(1.0, 1.48 * float(np.median(off))))) ** 2)
    return (terms @ fit).astype(np.float32)


def _spread(values: Picture, known: Region, sigma: float) -> tuple[Picture, NDArray[np.float32]]:
    """Values of known pixels, spread over the others nearly as a Gaussian does, and its weight there."""
    weight = known[..., None].astype(np.float32)
    of = np.concatenate([values * weight, weight], -1).astype(np.float32)
    box = max(3, 2 * round(sigma) + 1)
    for _ in range(3):  # three boxes are a Gaussian, for much less
        of = np.asarray(ndimage.uniform_filter(of, box, axes=(0, 1)), np.float32)
    return (of[..., :3] / (of[..., 3:] + 1e-6)).astype(np.float32), of[..., 3]


def _parts(picture: Picture, backdrop: Picture, texture: bool = False) -> _Parts:
    """Take a photo apart.

    Args:
        backdrop: as it is expected.
        texture: it may have some, and is kept as it is where it is known.
    """
    height, width = picture.shape[:2]
    soft = np.asarray(ndimage.gaussian_filter(picture, (width / 320, width / 320, 0)), np.float32)
    away = soft - backdrop if texture else soft
    sigma = 1.5 * width / 320
    edge = (
        sigma
        / 1.5
        * np.sqrt(np.mean([ndimage.gaussian_gradient_magnitude(away[..., c], sigma) ** 2 for c in range(3)], 0))
    )
    border = _border(picture)
    behind = np.zeros((height, width), bool)
    for _ in range(ROUNDS):
        off = largest(np.abs(soft - backdrop))
        shadow = shaded(soft, backdrop) & (edge < SHADOW_EDGE * backdrop.mean(-1) / 200)
        like = np.asarray(ndimage.binary_opening((off < DIFFERS) | shadow), bool)
        number, count = labelled(like)
        outside = np.zeros(count + 1, bool)
        outside[np.unique(number[border])] = True
        outside[0] = False
        large = np.bincount(number.ravel()) > 0.001 * height * width
        behind = outside[number] | ((off < DIFFERS) & large[number] & (number > 0))
        inner = np.asarray(ndimage.binary_erosion(behind, iterations=2), bool)
        # The surface follows what is known of the backdrop, shadows included: finely where there is enough of it.
        fine, much = _spread(picture - backdrop, inner, width / 80)
        coarse, some = _spread(picture - backdrop, inner, width / 20)
        a, b = np.clip(much / 0.3, 0, 1)[..., None], np.clip(some / 0.05, 0, 1)[..., None]
        backdrop = (backdrop + a * fine + (1 - a) * b * coarse).astype(np.float32)
    off = largest(np.abs(soft - backdrop))
    strong = off > 3 * DIFFERS
    contrast = float(np.median(off[strong])) if strong.sum() > 50 else 0.0
    thing = _solid(_by_share(off, TEXTURED_SHARE if texture else SHARE), off, contrast)
    rest = float((~behind & ~thing).mean())  # judged by the wide outline: blur about a thing is no cause for doubt
    levels = np.bincount(np.minimum(off[thing], 255).astype(int), minlength=256) / off.size
    darker = not texture and contrast and np.median((soft - backdrop)[strong].mean(-1)) < 0
    return _Parts(thing, rest, contrast, levels, prepared(picture, backdrop) if darker else None)


def _by_share(off: NDArray[np.float32], share: float) -> Region:
    """Where a picture of how far its pixels are off the backdrop (levels) has `share` of what it has nearby."""
    return off > np.maximum(DIFFERS, share * most_nearby(off, REACH))


def _solid(thing: Region, off: NDArray[np.float32], contrast: float) -> Region:
    """Parts of a thing that are no specks, without holes.

    Args:
        off: how far pixels are off the backdrop (levels).
        contrast: the usual of these.
    """
    number, count = labelled(thing, corners=True)
    solid = np.zeros(count + 1, bool)
    solid[np.unique(number[off > max(3 * DIFFERS, CORE * contrast)])] = True
    area = np.bincount(number.ravel())
    area[0] = 0
    solid[0] = False
    solid &= area >= SMALLEST * max(1, area[solid].max(initial=0))
    return filled(solid[number], off)
