"""Make the photos of the demo: a folder of photos, re-compressed as well as a size in all allows, EXIF kept.

    python tools/make_demo_photos.py SOURCE [DESTINATION]

One quality for all photos, the highest that fits. Chroma keeps its full resolution: on the photos of the demo that
costs 0.1 dB of luma (one step of quality less fits) and gains 1.2 dB of colour at half size, where training happens.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

from PIL import Image, ImageOps

BYTES_IN_ALL = 2_000_000
DESTINATION = Path(__file__).parents[1] / "src/macrosplat/demo/photos"


def compress(photo: Image.Image, quality: int) -> bytes:
    """The photo as a progressive JPEG with its EXIF."""
    buffer = io.BytesIO()
    exif = photo.getexif()
    photo.convert("RGB").save(
        buffer, "JPEG", quality=quality, subsampling="4:4:4", optimize=True, progressive=True, exif=exif
    )
    return buffer.getvalue()


def main() -> None:
    source = Path(sys.argv[1])
    destination = Path(sys.argv[2]) if len(sys.argv) > 2 else DESTINATION
    paths = sorted(source.glob("*.jpg"))
    photos = [ImageOps.exif_transpose(Image.open(path)) for path in paths]
    for quality in range(95, 50, -1):
        files = [compress(photo, quality) for photo in photos]
        if sum(map(len, files)) < BYTES_IN_ALL:
            break
    else:
        sys.exit(f"{len(paths)} photos do not fit {BYTES_IN_ALL} bytes; take fewer or smaller ones.")
    destination.mkdir(parents=True, exist_ok=True)
    for path, data in zip(paths, files, strict=True):
        (destination / path.name).write_bytes(data)
    print(f"{len(files)} photos, quality {quality}, {sum(map(len, files)):,} bytes in {destination}")


if __name__ == "__main__":
    main()
