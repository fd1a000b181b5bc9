"""Pictures inside a page: WebP as data addresses, together no larger than a page may be.

In: files. Out: `data:` addresses, all pictures at the one size and quality at which they fit.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from macrosplat.capture.decode import decode
from macrosplat.colour import to_bytes, to_srgb

# Width in px and WebP quality, tried in this order: half a phone's screen still tells a blurred photo from a sharp one.
SIZES = ((640, 80), (480, 78), (400, 72), (320, 66), (240, 60), (160, 50))


def read_picture(path: Path) -> Image.Image:
    """A photo of any format that a capture may have, upright, 8 bit sRGB."""
    pixels = decode(path)
    return Image.fromarray(np.ascontiguousarray(pixels if pixels.dtype == np.uint8 else to_bytes(to_srgb(pixels))))


def fitting(
    pictures: Sequence[Callable[[], Image.Image] | None], budget: int, widest: int | None = None
) -> list[str | None]:
    """Data addresses of all pictures, at the best of `SIZES` (and `widest`) at which they take `budget` bytes or less.

    They are opened one at a time: a hundred photos of 40 megapixels do not fit into memory together.
    """
    sizes = ((widest, SIZES[0][1]), *SIZES) if widest else SIZES
    kept = [None if open_ is None else _reduced(open_(), sizes[0][0]) for open_ in pictures]
    found: list[str | None] = []
    for width, quality in sizes:
        found = [None if picture is None else address(_reduced(picture, width), quality) for picture in kept]
        if sum(len(text or "") for text in found) <= budget:
            break
    return found


def address(picture: Image.Image, quality: int) -> str:
    """The picture as WebP in a data address."""
    content = io.BytesIO()
    picture.save(content, "WEBP", quality=quality)
    return f"data:image/webp;base64,{base64.b64encode(content.getvalue()).decode()}"


def _reduced(picture: Image.Image, width: int) -> Image.Image:
    if picture.width <= width:
        return picture
    height = max(1, round(picture.height * width / picture.width))
    return picture.resize((width, height), Image.Resampling.LANCZOS)
