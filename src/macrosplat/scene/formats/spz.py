"""SPZ: a scene in about 20 bytes a Gaussian, gzip over fixed-point columns. Version 3 is written, 1 to 3 are read.

In and out: `Gaussians` whose colours are sRGB, in the axes of scene.ply. The file's own axes are right, up, back, as
its specification wants (github.com/nianticlabs/spz, README): y and z change sign on the way, rotations and spherical
harmonics with them.

After a header of 16 bytes the columns follow one another: positions (3 x 24 bit fixed point), opacity, colour, scale
(8 bit each), rotation (4 bytes, the smallest three components), spherical harmonics (8 bit).
"""

from __future__ import annotations

import gzip
import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from macrosplat.scene.gaussians import SH_REST, Gaussians
from macrosplat.support.errors import MacrosplatError
from macrosplat.support.files import write_whole
from macrosplat.support.reading import check_room, read_bytes

MAGIC, VERSION = 0x5053474E, 3
HEADER = struct.Struct("<IIIBBBB")  # magic, version, count, SH degree, bits after the point, flags, reserved
POSITION_LIMIT = (1 << 23) - 1  # of a signed 24 bit number
COLOUR_SCALE = 0.15  # colour byte = 255 * (0.5 + 0.15 * sh0)
SCALE_STEPS, SCALE_OFFSET = 16.0, 10.0  # scale byte = 16 * (log scale + 10)
SH_STEPS = 128.0  # SH byte = 128 + 128 * coefficient
SH_BUCKETS = (8, 16)  # steps of degree 1, and of the rest: fewer values, smaller files; 5 and 4 bits
LEVEL = 6  # of gzip: more takes far longer and saves little (experiments: spz-level)
MOST_BITS = 24  # after the point: a coordinate has no more
# Bytes that deflate makes of one: 1032 at the most. Beyond some size no scene compresses like that, and what does is
# there to fill the memory; scenes reach 4.
MOST_INFLATED, MOST_INFLATED_LARGE, LARGE = 1032, 50, 1 << 28
IN_MEMORY = 8  # of the bytes of a file: what its Gaussians take as numbers, and the columns on the way
ROTATION_BITS = 9  # of each of the three smallest components, beside its sign
# Signs that the spherical harmonics take when y and z change sign, degrees 1, 2, 3: one for every odd power of each.
FLIP_YZ = np.array([-1, -1, 1, -1, 1, 1, -1, 1, -1, 1, -1, -1, 1, -1, 1], np.float32)


def write_spz(path: Path, gaussians: Gaussians) -> None:
    """Write the scene atomically."""
    write_whole(path, lambda part: part.write_bytes(to_spz(gaussians)))


def to_spz(gaussians: Gaussians) -> bytes:
    """The file's content."""
    g = gaussians.arrays()
    means = g["means"] * np.array([1, -1, -1], np.float32)
    # As fine as the farthest Gaussian lets it be.
    reach = max(float(np.abs(means).max(initial=0.0)), 1e-6)
    bits = int(np.clip(np.floor(np.log2(POSITION_LIMIT / reach)), 0, 20))
    fixed = np.clip(np.rint(means.astype(np.float64) * (1 << bits)), -POSITION_LIMIT, POSITION_LIMIT).astype("<i4")
    quats = g["quats"] / np.linalg.norm(g["quats"], axis=1, keepdims=True).clip(1e-12)
    columns = [
        np.ascontiguousarray(fixed).view(np.uint8).reshape(-1, 3, 4)[:, :, :3],
        _byte(255 / (1 + np.exp(-g["opacity_logits"].astype(np.float64)))),
        _byte(255 * (0.5 + COLOUR_SCALE * g["sh0"])),
        _byte(SCALE_STEPS * (g["log_scales"] + SCALE_OFFSET)),
        _pack_rotations(quats * np.array([1, 1, -1, -1], np.float32)),
        _pack_harmonics(g["sh_rest"]),
    ]
    header = HEADER.pack(MAGIC, VERSION, len(means), gaussians.sh_degree, bits, 0, 0)
    # Without a date: the same scene gives the same file.
    return gzip.compress(header + b"".join(column.tobytes() for column in columns), LEVEL, mtime=0)


def read_spz(path: Path) -> Gaussians:
    """Read a scene, as numpy arrays.

    Raises:
        MacrosplatError: not SPZ, damaged, or of a version that is not known here.
    """
    packed, inflate = read_bytes(path), zlib.decompressobj(wbits=31)
    try:
        head = inflate.decompress(packed, HEADER.size)
        magic, version, count, degree, bits, _, _ = HEADER.unpack(head)
    except (zlib.error, struct.error) as error:
        raise MacrosplatError(f"{path} is no SPZ file of version 1 to 3, or is damaged; export it again.") from error
    if magic != MAGIC or version not in (1, 2, 3) or degree not in SH_REST or bits > MOST_BITS:
        raise MacrosplatError(
            f"{path} is SPZ of version {version} with harmonics of degree {degree} and {bits} bits of positions after "
            "the point; versions 1 to 3 and degrees 0 to 3 can be read: export it as one of them, or as PLY."
        )
    rest = SH_REST[degree]
    widths = [6 if version == 1 else 9, 1, 3, 3, 4 if version == 3 else 3, 3 * rest]
    promised = count * sum(widths)
    # No more is inflated than the header promises, and no file promises more than its bytes can hold.
    most = MOST_INFLATED if promised < LARGE else MOST_INFLATED_LARGE
    if promised > most * len(packed):
        raise MacrosplatError(f"{path} is cut short: {count} Gaussians were promised.")
    check_room(path, promised * IN_MEMORY)
    try:
        data = head + (inflate.decompress(inflate.unconsumed_tail, promised) if promised else b"")
        more = inflate.decompress(inflate.unconsumed_tail, 1)  # also has the checksum looked at
    except zlib.error as error:
        raise MacrosplatError(f"{path} is damaged ({error}); export it again.") from error
    if len(data) < HEADER.size + promised or not (more or inflate.eof):
        raise MacrosplatError(f"{path} is cut short: {count} Gaussians were promised.")
    if more:
        raise MacrosplatError(f"{path} is damaged: it holds more than the {count} Gaussians that its header promises.")
    columns, at = [], HEADER.size
    for width in widths:
        columns.append(np.frombuffer(data, np.uint8, count * width, at).reshape(count, width))
        at += count * width
    positions, alphas, colours, scales, rotations, harmonics = columns
    if version == 1:
        means = np.ascontiguousarray(positions).view("<f2").astype(np.float32)
    else:
        wide = np.zeros((count, 3, 4), np.uint8)
        wide[:, :, 1:] = positions.reshape(count, 3, 3)  # into the upper bytes, so that the sign comes along
        means = (wide.view("<i4")[..., 0] >> 8).astype(np.float32) / (1 << bits)
    quats = _unpack_rotations(rotations) if version == 3 else _unpack_three(rotations)
    # Half a step from the ends: 0 and 255 stand for "almost", and a logit has to be finite.
    alpha = np.clip(alphas[:, 0] / 255.0, 0.5 / 255, 1 - 0.5 / 255)
    sh_rest = (harmonics.astype(np.float32) - SH_STEPS) / SH_STEPS
    return Gaussians.of_arrays(
        means=means * np.array([1, -1, -1], np.float32),
        log_scales=scales / SCALE_STEPS - SCALE_OFFSET,
        quats=quats * np.array([1, 1, -1, -1], np.float32),
        opacity_logits=np.log(alpha / (1 - alpha)),
        sh0=(colours / 255.0 - 0.5) / COLOUR_SCALE,
        sh_rest=sh_rest.reshape(count, rest, 3) * FLIP_YZ[:rest, None],
    )


def _pack_rotations(quats: NDArray[np.floating]) -> NDArray[np.uint8]:
    """[N, 4] w, x, y, z of length 1 to 4 bytes: which of x, y, z, w is largest (2 bit), the others in that order."""
    xyzw = quats[:, [1, 2, 3, 0]].astype(np.float64)
    largest = np.abs(xyzw).argmax(1)
    rows = np.arange(len(xyzw))
    xyzw = xyzw * np.where(xyzw[rows, largest] < 0, -1.0, 1.0)[:, None]
    most = (1 << ROTATION_BITS) - 1
    words = largest.astype(np.uint32)
    for i in range(4):
        size = np.rint(np.abs(xyzw[:, i]) * np.sqrt(2) * most).clip(0, most).astype(np.uint32)
        packed = (words << (ROTATION_BITS + 1)) | ((xyzw[:, i] < 0).astype(np.uint32) << ROTATION_BITS) | size
        words = np.where(largest == i, words, packed)
    return words.astype("<u4").view(np.uint8).reshape(-1, 4)


def _unpack_rotations(packed: NDArray[np.uint8]) -> NDArray[np.float32]:
    """[N, 4] w, x, y, z of 4 bytes each."""
    words = np.ascontiguousarray(packed).view("<u4")[:, 0].copy()
    largest = words >> 30
    most = (1 << ROTATION_BITS) - 1
    xyzw = np.zeros((len(words), 4))
    for i in (3, 2, 1, 0):
        sign = np.where((words >> ROTATION_BITS) & 1, -1.0, 1.0)
        value = sign * (words & most) / most / np.sqrt(2)
        xyzw[:, i] = np.where(largest == i, 0, value)
        words = np.where(largest == i, words, words >> (ROTATION_BITS + 1))
    xyzw[np.arange(len(xyzw)), largest] = np.sqrt(np.clip(1 - (xyzw**2).sum(1), 0, 1))
    return xyzw[:, [3, 0, 1, 2]].astype(np.float32)


def _unpack_three(packed: NDArray[np.uint8]) -> NDArray[np.float32]:
    """[N, 4] w, x, y, z of 3 bytes each, as versions 1 and 2 have it: x, y, z; w is what is left, and positive."""
    xyz = packed / 127.5 - 1
    w = np.sqrt(np.clip(1 - (xyz**2).sum(1), 0, 1))
    return np.concatenate([w[:, None], xyz], 1).astype(np.float32)


def _pack_harmonics(sh_rest: NDArray[np.float32]) -> NDArray[np.uint8]:
    """[N, K, 3] to bytes in steps of the degree's bucket, so that 0 stays 0."""
    step = np.array([SH_BUCKETS[0]] * 3 + [SH_BUCKETS[1]] * 12, np.float32)[: sh_rest.shape[1], None]
    flipped = SH_STEPS * sh_rest * FLIP_YZ[: sh_rest.shape[1], None]
    return _byte(SH_STEPS + step * np.rint(flipped / step))


def _byte(values: NDArray[np.floating]) -> NDArray[np.uint8]:
    return np.rint(values).clip(0, 255).astype(np.uint8)
