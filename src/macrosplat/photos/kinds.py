"""What kind of picture a file is: by its first bytes, since names lie, and by its suffix where bytes do not tell.

Phones send JPEGs called .HEIC, programs save TIFF under .jpg, archives drop suffixes. In: a path. Out: the kind by
which it has to be read; whether a file of any name is a picture.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

JPEG = frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".mpo"})
TIFF = frozenset({".tif", ".tiff"})
HEIF = frozenset({".heic", ".heif", ".hif"})
RAW = frozenset(
    f".{kind}"
    for kind in "3fr arw cr2 cr3 crw dcr dng erf fff iiq kdc mef mos mrw nef nrw orf pef raf rw2 rwl sr2 srw".split()  # noqa: SIM905
)
SUFFIXES = JPEG | TIFF | HEIF | RAW | {".png", ".webp", ".avif", ".bmp"}

HEIF_BRANDS = frozenset({b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1"})
JPEG_HEAD = b"\xff\xd8\xff"
BIG_TIFF_HEADS = (b"II+\0", b"MM\0+")  # of more than 4 GB
TIFF_HEADS = (b"II*\0", b"MM\0*", *BIG_TIFF_HEADS)
HEADS = (JPEG_HEAD, *TIFF_HEADS, b"\x89PNG\r\n\x1a\n", b"GIF8")

Kind = Literal["raw", "tiff", "heif", "other"]


def kind_of(path: Path) -> Kind:
    """How a photo has to be read; "other": as Pillow finds it.

    Raises:
        OSError: it cannot be opened.
    """
    suffix, head = path.suffix.lower(), _head(path)
    if head.startswith(JPEG_HEAD):  # one called .heic wants HEIC's reader all the same: the others beside it do
        return "heif" if suffix in HEIF else "other"
    if suffix in RAW:
        return "raw"
    if head.startswith(TIFF_HEADS):
        return "tiff"
    return "heif" if suffix in HEIF or is_heif(head) else "other"


def is_picture(path: Path) -> bool:
    """Whether a file of any name begins as a picture does."""
    try:
        head = _head(path)
    except OSError:
        return False
    webp = head[:4] == b"RIFF" and head[8:] == b"WEBP"
    return head.startswith(HEADS) or webp or is_heif(head) or head[4:] == b"ftypavif"


def is_heif(head: bytes) -> bool:
    return head[4:8] == b"ftyp" and head[8:] in HEIF_BRANDS


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(12)
