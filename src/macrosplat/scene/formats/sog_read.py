"""SOG, version 2, as any program writes it: one .sog file, or its `meta.json` with the pictures beside it.

Out: `Gaussians` of numpy arrays whose colours are sRGB. `sog` writes it, and has where its description is.
"""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from macrosplat.scene.formats.sog import ACROSS, ENTRIES, TAG
from macrosplat.scene.gaussians import SH_REST, Gaussians
from macrosplat.support.errors import MacrosplatError
from macrosplat.support.reading import check_room, read_bytes
from macrosplat.support.terminal import shortened

KNOWN = 2  # the version
PICTURES = ("WEBP", "PNG")  # of those that Pillow knows some run programs
LARGEST_META = 16 << 20  # bytes: codebooks have 256 numbers each
IN_MEMORY = 8 * 62  # bytes a Gaussian of 62 numbers
OTHERS = np.array([[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2]])  # components that are kept, by the one left out


def read_sog(path: Path) -> Gaussians:
    """Read a scene.

    Raises:
        MacrosplatError: not SOG, of another version, damaged or cut short.
    """
    try:
        if path.suffix.lower() == ".json":
            return _decoded(path, lambda name, most: read_bytes(path.parent / PurePosixPath(name).name, most))
        with zipfile.ZipFile(io.BytesIO(read_bytes(path))) as archive:
            return _decoded(path, lambda name, most: _member(path, archive, name, most))
    except (
        *(zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError),
        *(
            OverflowError,
            KeyError,
            ValueError,
            IndexError,
            TypeError,
            AttributeError,
            SyntaxError,
            Image.DecompressionBombError,
        ),
    ) as error:
        raise MacrosplatError(
            f"{path} is no SOG scene, or is damaged ({shortened(str(error))}); export it again."
        ) from error


Load = Callable[[str, int], bytes]  # a file's name, and how many bytes it may have


def _member(path: Path, archive: zipfile.ZipFile, name: str, most: int) -> bytes:
    info = archive.getinfo(name)
    check_room(path, info.file_size, most)
    with archive.open(info) as file:
        return file.read(info.file_size)


def _decoded(path: Path, load: Load) -> Gaussians:
    """The scene. What is missing or of another kind raises one of the errors that `read_sog` names."""
    name = path.name if path.suffix.lower() == ".json" else "meta.json"
    meta = json.loads(load(name, LARGEST_META))
    if meta.get("version") != KNOWN:
        said = meta.get("version", 1)  # the first had no number
        raise MacrosplatError(
            f"{path} is SOG of version {str(said)[:20]}; version {KNOWN} can be read: open it in SuperSplat and export "
            "it again, or as PLY."
        )
    count = meta["count"]
    if not isinstance(count, int) or not 0 <= count < 1 << 31:
        raise ValueError(f"a count of {str(count)[:20]}")
    check_room(path, float(count) * IN_MEMORY)

    def rows(part: str, file: int = 0) -> NDArray[np.uint8]:
        """[count, 4] of a picture with a pixel for each Gaussian."""
        found = _pixels(load, meta[part]["files"][file], count).reshape(-1, 4)
        if len(found) < count:
            raise ValueError(f"{count} Gaussians were promised, and {part} has {len(found)}")
        return found[:count]

    steps = rows("means")[:, :3].astype(np.float64) + 256.0 * rows("means", 1)[:, :3]
    low, high = (np.array(meta["means"][end], np.float64) for end in ("mins", "maxs"))
    logs = low + (high - low) * steps / 65535
    colours = rows("sh0")
    alpha = np.clip(colours[:, 3] / 255.0, 0.5 / 255, 1 - 0.5 / 255)
    return Gaussians.of_arrays(
        means=np.sign(logs) * np.expm1(np.abs(logs)),
        log_scales=_book(meta["scales"])[rows("scales")[:, :3]],
        quats=_rotations(rows("quats")),
        opacity_logits=np.log(alpha / (1 - alpha)),
        sh0=_book(meta["sh0"])[colours[:, :3]],
        sh_rest=_harmonics(load, meta.get("shN"), rows, count),
    )


def _pixels(load: Load, name: str, count: int) -> NDArray[np.uint8]:
    """[H, W, 4] of a lossless picture; one that is much larger than it needs to be is none of ours to unpack."""
    content = io.BytesIO(load(name, 64 * count + LARGEST_META))
    try:
        image = Image.open(content, formats=PICTURES)
    except UnidentifiedImageError as error:
        raise ValueError(f"{shortened(str(name))} is no lossless picture") from error
    with image:
        if image.width * image.height > 16 * count + LARGEST_META:
            raise ValueError(f"{name} has {image.width} x {image.height} px")
        return np.asarray(image.convert("RGBA"))


def _book(part: dict[str, Any]) -> NDArray[np.float64]:
    book = np.array(part["codebook"], np.float64)
    if book.shape != (ENTRIES,):
        raise ValueError(f"a codebook of {len(book)} numbers")
    return book


def _rotations(packed: NDArray[np.uint8]) -> NDArray[np.float64]:
    """[N, 4] w, x, y, z."""
    largest = np.clip(packed[:, 3].astype(np.int64) - TAG, 0, 3)
    small = (packed[:, :3] / 255.0 * 2 - 1) / np.sqrt(2)
    quats = np.zeros((len(packed), 4))
    np.put_along_axis(quats, OTHERS[largest], small, 1)
    np.put_along_axis(quats, largest[:, None], np.sqrt(np.clip(1 - (small**2).sum(1), 0, 1))[:, None], 1)
    return quats


def _harmonics(
    load: Load, part: dict[str, Any] | None, rows: Callable[[str, int], NDArray[np.uint8]], count: int
) -> NDArray[np.float64]:
    """[N, K, 3], of the palette's entries."""
    if not part:
        return np.zeros((count, 0, 3))
    k = SH_REST[part["bands"]]
    labels = rows("shN", 1).astype(np.int64)
    label = labels[:, 0] + 256 * labels[:, 1]
    entries = part["count"]
    if count and label.max() >= entries:
        raise ValueError(f"entry {label.max()} of a palette of {entries}")
    table = _pixels(load, part["files"][0], count)[:, :, :3]
    at = (label % ACROSS)[:, None] * k + np.arange(k)
    return _book(part)[table[(label // ACROSS)[:, None], at]]
