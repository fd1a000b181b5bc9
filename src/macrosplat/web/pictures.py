"""Pictures inside a page: WebP as data addresses, together no larger than a page may be.

In: files. Out: `data:` addresses, all pictures at the one size and quality at which they fit.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import MappingProxyType

import numpy as np
from PIL import Image

from macrosplat.photos.decode import decode, plain_picture
from macrosplat.support.colour import to_bytes, to_srgb
from macrosplat.support.errors import MacrosplatError
from macrosplat.support.threads import workers

PIXEL = 12.0  # bytes that each of its pixels takes while a picture is opened, at the most
LARGE = 40e6  # px that a picture has, where nobody says
# Width in px and WebP quality, tried in this order: half a phone's screen still tells a blurred photo from a sharp one.
SAMPLE, SURELY = 24, 1.5  # pictures that tell what all take; times the budget, by them, that surely does not fit
SIZES = ((640, 80), (480, 78), (400, 72), (320, 66), (240, 60), (160, 50))


def read_picture(path: Path, least: int | None = None) -> Image.Image:
    """A photo of any format that a capture may have, upright, 8 bit sRGB.

    Args:
        least: px of either side that suffice (`decode`).

    Raises:
        MacrosplatError: it is damaged.
    """
    try:
        plain = plain_picture(path, least)
        if plain is not None:
            return plain
        pixels = decode(path, least)
    except MacrosplatError:
        raise
    except Exception as error:  # whatever a decoder raises
        raise MacrosplatError(f"{path} cannot be shown, it is damaged ({error}).") from error
    return Image.fromarray(np.ascontiguousarray(pixels if pixels.dtype == np.uint8 else to_bytes(to_srgb(pixels))))


def photo_if_there(path: Path, width: int | None = None) -> Image.Image | None:
    """A photo of the capture, at least so wide (None: as it is); None where somebody has damaged it since."""
    try:
        return read_picture(path, width)
    except MacrosplatError:
        return None


def fitting(
    pictures: Sequence[Callable[[], Image.Image | None] | None],
    budget: int,
    widest: int | None = None,
    most: float = LARGE,
) -> tuple[list[str | None], int]:
    """Data addresses of all pictures, at the best of `SIZES` (and `widest`) at which they take `budget` bytes or less;
    and the width, in px, that none of them is wider than.

    Each is opened once, a few at a time: a hundred photos of 40 megapixels do not fit into memory together; and what is
    kept of each is no larger than a size that may fit, which some of them tell.

    Args:
        most: px that any of them has.
    """
    sizes = SIZES
    if widest:  # wider pictures of the same quality are the same
        sizes = ((widest, SIZES[0][1]), *(size for size in SIZES if size[0] < widest or size[1] < SIZES[0][1]))
    with ThreadPoolExecutor(workers(PIXEL * most)) as pool:
        step = -(-len(pictures) // SAMPLE) if len(pictures) > SAMPLE else max(1, len(pictures))
        few = list(pool.map(lambda open_: _opened(open_, sizes[0][0]), pictures[::step]))
        told: list[str | None] | None = None  # of the few, at the first of the sizes
        if len(pictures) > SAMPLE:
            much = SURELY * budget * len(few) / len(pictures)
            while len(sizes) > 1 and (told := _within(pool, few, sizes[0], int(much))) is None:
                sizes = sizes[1:]
        rest = [open_ for n, open_ in enumerate(pictures) if n % step]
        others = iter(list(pool.map(lambda open_: _opened(open_, sizes[0][0]), rest)))
        first = iter(list(pool.map(lambda one: one and _reduced(one, sizes[0][0]), few)))
        kept = [next(others if n % step else first) for n in range(len(pictures))]
        known = {step * n: one for n, one in enumerate(told or ())}
        for size in sizes[:-1]:
            found = _within(pool, kept, size, budget, known)
            known = {}
            if found is not None:
                return found, size[0]
        found = _within(pool, kept, sizes[-1], None)
    assert found is not None, "whatever it takes"
    return found, sizes[-1][0]


def _within(
    pool: ThreadPoolExecutor,
    pictures: Sequence[Image.Image | None],
    size: tuple[int, int],
    budget: int | None,
    known: Mapping[int, str | None] = MappingProxyType({}),
) -> list[str | None] | None:
    """All pictures at a width and a quality, `known` of some; None as soon as they take more than `budget` bytes."""
    width, quality = size
    jobs = [
        None if one is None or n in known else pool.submit(lambda one: address(_reduced(one, width), quality), one)
        for n, one in enumerate(pictures)
    ]
    found: list[str | None] = []
    taken = 0
    for n, job in enumerate(jobs):
        found.append(known.get(n) if job is None else job.result())
        taken += len(found[-1] or "")
        if budget is not None and taken > budget:
            for rest in jobs:
                if rest is not None:
                    rest.cancel()
            return None
    return found


def address(picture: Image.Image, quality: int) -> str:
    """The picture as WebP in a data address."""
    content = io.BytesIO()
    picture.save(content, "WEBP", quality=quality)
    return f"data:image/webp;base64,{base64.b64encode(content.getvalue()).decode()}"


def _opened(open_: Callable[[], Image.Image | None] | None, width: int) -> Image.Image | None:
    picture = None if open_ is None else open_()
    return None if picture is None else _reduced(picture, width)


def _reduced(picture: Image.Image, width: int) -> Image.Image:
    if picture.width <= width:
        return picture
    height = max(1, round(picture.height * width / picture.width))
    return picture.resize((width, height), Image.Resampling.LANCZOS, reducing_gap=3.0)
