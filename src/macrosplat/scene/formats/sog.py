"""SOG, version 2: a scene in about 15 bytes a Gaussian, pictures in a ZIP, as PlayCanvas's specification has it.

In: `Gaussians` of numpy arrays whose colours are sRGB. Out: one .sog file, with the numbers and axes of scene.ply. Each
property is a lossless WebP picture with a pixel for each Gaussian, ordered along a curve through space; scales,
colours and harmonics are indices into codebooks, harmonics by way of a palette.
"""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from macrosplat.scene.formats.curve import along_curve
from macrosplat.scene.gaussians import Gaussians
from macrosplat.support.files import write_whole
from macrosplat.support.threads import ordered

ENTRIES = 256  # of a codebook: a byte
ROUNDS = 10  # of k-means
TAG = 252  # of the byte that says which component of a rotation is the largest
ACROSS = 64  # entries of the palette in a row of its picture
PALETTE_LARGEST, PER_ENTRY = 4096, 16  # entries, and Gaussians for each
LEARNED_FROM = 16  # Gaussians an entry, that the palette is found by
CHUNK = 2048  # rows of a table of distances


def write_sog(path: Path, gaussians: Gaussians) -> None:
    """Write the scene atomically."""
    content = to_sog(gaussians)
    write_whole(path, lambda part: part.write_bytes(content))


def to_sog(gaussians: Gaussians) -> bytes:
    """The file's content."""
    g = gaussians.arrays(np.float64)
    order = along_curve(g["means"])
    g = {name: values[order] for name, values in g.items()}
    count, files = len(order), {}
    width = 4 * int(np.ceil(np.sqrt(count) / 4))
    height = int(np.ceil(count / width))

    def picture(name: str, channels: NDArray[np.uint8], size: tuple[int, int] = (width, height)) -> str:
        """[N, 3 or 4] as a picture; what is left of it is opaque black."""
        pixels = np.zeros((size[0] * size[1], 4), np.uint8)
        pixels[:, 3] = 255
        pixels[: len(channels), : channels.shape[1]] = channels
        content = io.BytesIO()
        image = Image.fromarray(pixels.reshape(size[1], size[0], 4))
        image.save(content, "WEBP", lossless=True, exact=True, quality=75)
        files[name] = content.getvalue()
        return name

    logs = np.sign(g["means"]) * np.log1p(np.abs(g["means"]))
    low, high = logs.min(0), logs.max(0)
    steps = np.rint((logs - low) / np.where(high > low, high - low, 1.0) * 65535).astype(np.uint16)
    scales, of_scales = _codebook(g["log_scales"])
    colours, of_colours = _codebook(g["sh0"])
    alpha = np.rint(255 / (1 + np.exp(-g["opacity_logits"]))).astype(np.uint8)
    meta = {
        "version": 2,
        "asset": {"generator": "macrosplat"},
        "count": count,
        "antialias": False,
        "means": {
            "mins": low.tolist(),
            "maxs": high.tolist(),
            "files": [
                picture("means_l.webp", (steps & 255).astype(np.uint8)),
                picture("means_u.webp", (steps >> 8).astype(np.uint8)),
            ],
        },
        "scales": {"codebook": scales.tolist(), "files": [picture("scales.webp", of_scales)]},
        "quats": {"files": [picture("quats.webp", _rotations(g["quats"]))]},
        "sh0": {
            "codebook": colours.tolist(),
            "files": [picture("sh0.webp", np.concatenate([of_colours, alpha[:, None]], 1))],
        },
    }
    if g["sh_rest"].shape[1]:
        k = g["sh_rest"].shape[1]
        centres, labels = _palette(g["sh_rest"].reshape(count, 3 * k).astype(np.float32))
        codebook, of_centres = _codebook(centres)
        bytes_of = np.stack([labels & 255, labels >> 8, np.zeros_like(labels)], 1).astype(np.uint8)
        rows = int(np.ceil(len(centres) / ACROSS))
        meta["shN"] = {
            "count": len(centres),
            "bands": gaussians.sh_degree,
            "codebook": codebook.tolist(),
            "files": [
                picture("shN_centroids.webp", of_centres.reshape(-1, 3), (ACROSS * k, rows)),
                picture("shN_labels.webp", bytes_of),
            ],
        }
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for name, content in {"meta.json": json.dumps(meta, allow_nan=False).encode(), **files}.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return out.getvalue()


def _codebook(values: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
    """256 numbers, ascending, and which is nearest to each value: k-means on a line."""
    flat = np.sort(values.reshape(-1).astype(np.float64))
    sums = np.concatenate([[0.0], np.cumsum(flat)])
    # Half by how many values there are, half by how far they reach: neither the dense middle nor the ends are lost.
    spread = np.linspace(flat[0], flat[-1], ENTRIES)
    book = np.sort(0.5 * spread + 0.5 * np.quantile(flat, np.linspace(0, 1, ENTRIES)))
    for _ in range(ROUNDS):
        ends = np.concatenate([[0], np.searchsorted(flat, (book[1:] + book[:-1]) / 2), [len(flat)]])
        members = np.diff(ends)
        means = np.diff(sums[ends]) / np.maximum(members, 1)
        book = np.sort(np.where(members > 0, means, book))
    return book, np.searchsorted((book[1:] + book[:-1]) / 2, values).astype(np.uint8)


def _rotations(quats: NDArray[np.float64]) -> NDArray[np.uint8]:
    """[N, 4]: the three smaller components of w, x, y, z in their order, and which is left out."""
    unit = quats / np.linalg.norm(quats, axis=1, keepdims=True).clip(1e-12)
    largest = np.abs(unit).argmax(1)
    unit = unit * np.where(np.take_along_axis(unit, largest[:, None], 1) < 0, -1.0, 1.0)
    kept = np.array([[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2]])[largest]
    small = np.take_along_axis(unit, kept, 1) * np.sqrt(2.0)
    steps = np.rint(255 * (0.5 + 0.5 * small)).clip(0, 255)
    return np.concatenate([steps, TAG + largest[:, None]], 1).astype(np.uint8)


def _palette(rows: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Rows that stand for all, [P, D], and which stands for each: k-means, from some of them."""
    entries = int(np.clip(len(rows) // PER_ENTRY // ACROSS * ACROSS, 1, PALETTE_LARGEST))
    chance = np.random.default_rng(0)
    some = rows[chance.choice(len(rows), min(len(rows), LEARNED_FROM * entries), replace=False)]
    centres = some[:entries].copy()
    for _ in range(ROUNDS):
        nearest = _nearest(some, centres)
        members = np.bincount(nearest, minlength=entries)
        sums = np.stack([np.bincount(nearest, column, entries) for column in some.T], 1)
        centres = np.where(members[:, None] > 0, sums / np.maximum(members, 1)[:, None], centres).astype(np.float32)
    return centres, _nearest(rows, centres)


def _nearest(rows: NDArray[np.float32], centres: NDArray[np.float32]) -> NDArray[np.int64]:
    squares = (centres**2).sum(1) / 2
    starts = range(0, len(rows), CHUNK)
    # Threads of BLAS itself would do the products alone.
    parts = ordered(lambda at: (squares - rows[at : at + CHUNK] @ centres.T).argmin(1), starts)
    return np.concatenate(list(parts)).astype(np.int64)
