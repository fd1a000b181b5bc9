"""Photos brought to another size: pixels in linear light in, pixels in linear light out.

A pixel's centre lies at +0.5; a photo spans [0, width] x [0, height].
"""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

BAND = 1 << 18  # values of a photo that are averaged at a time


def area_average(
    photo: NDArray, size: tuple[int, int], table: NDArray[np.float32] | None = None
) -> NDArray[np.float32]:
    """[H, W, ...] to [height, width, ...], `size` = (width, height): each new pixel is the mean of the area it covers.

    The weights are exact for any ratio, so the photo's mean is kept. For a ratio below 1 (enlarging) it repeats pixels.

    Args:
        photo: float values; or uint8 with a `table`.
        size: what to bring it to.
        table: [256] the value of each uint8 level: looked up on the way, which spares a float copy of a large photo.
    """
    width, height = size
    if (height, width) == photo.shape[:2]:
        return table.take(photo) if table is not None else photo.astype(np.float32, copy=False)
    source_height, source_width = photo.shape[:2]
    flat = photo.reshape(source_height, -1)
    channels = flat.shape[1] // source_width
    down, across = _averaging(source_height, height), _averaging(source_width, width)
    out = np.empty((height, width, channels), np.float32)
    # In bands of rows: they stay in the cache, and a large photo is never there as floats.
    band = max(1, BAND * height // flat.size)
    for top in range(0, height, band):
        starts = down.indptr[top : top + band + 1]
        count, (begin, end) = len(starts) - 1, down.indices[[starts[0], starts[-1] - 1]] + (0, 1)
        some = slice(starts[0], starts[-1])
        part = csr_array((down.data[some], down.indices[some] - begin, starts - starts[0]), shape=(count, end - begin))
        rows = flat[begin:end]
        rows = table.take(rows) if table is not None else rows.astype(np.float32, copy=False)
        means = (part @ rows).reshape(count, source_width, channels)
        columns = np.ascontiguousarray(means.swapaxes(0, 1)).reshape(source_width, -1)
        out[top : top + band] = (across @ columns).reshape(width, count, channels).swapaxes(0, 1)
    return out.reshape(height, width, *photo.shape[2:])


@functools.lru_cache(16)
def _averaging(source: int, count: int) -> csr_array:
    """[count, source] the share that each of the `source` pixels has in each new one; a product with it takes one core
    and no lock, unlike BLAS."""
    ratio = source / count
    begin = np.arange(count) * ratio
    first = begin.astype(np.int64)
    at = first[:, None] + np.arange(int(np.max(np.ceil(begin + ratio) - first)))
    shares = np.minimum(begin[:, None] + ratio, at + 1) - np.maximum(begin[:, None], at)
    shares = (np.where(at < source, shares.clip(0), 0) / ratio).astype(np.float32)
    there = shares > 0
    return csr_array((shares[there], at[there], np.concatenate([[0], there.sum(1).cumsum()])), shape=(count, source))
