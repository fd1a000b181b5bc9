"""Embedded colour profiles: any RGB profile made of three curves and a matrix, straight to linear light.

Pillow's ImageCms works on 8 bits only, which would round a 16 bit photo before it is averaged; such profiles (sRGB,
Display P3, Adobe RGB, ProPhoto and every camera's own) are simple enough to apply exactly, as are those of grey: one
curve. Others (CMYK, tables) go through ImageCms.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from macrosplat.support.colour import to_linear

# Columns: XYZ (D50, as profiles store it) of linear sRGB's red, green, blue. ICC's own sRGB profile.
XYZ_FROM_SRGB = np.array(
    [[0.43607, 0.38515, 0.14307], [0.22249, 0.71687, 0.06061], [0.01392, 0.09708, 0.71410]], dtype=np.float64
)
LEVELS = 65536  # curves are tabulated for 16 bit photos; 8 bit ones use every 257th entry


@dataclass(frozen=True)
class MatrixProfile:
    """Colour = matrix @ curve(value)."""

    curves: NDArray[np.float32]  # [3, 65536] linear value of each 16 bit value, per channel
    matrix: NDArray[np.float32]  # [3, 3] linear sRGB from the profile's linear RGB

    @property
    def is_srgb(self) -> bool:
        """Whether it is sRGB in other words: no colour differs by 1 of 255 levels."""
        srgb = to_linear(np.linspace(0, 1, LEVELS))
        # 1/255 of sRGB spans least linear light in the straight part, 3e-4, and 9e-3 near white.
        close = np.abs(self.curves - srgb) < 3e-4 + 6e-3 * srgb
        return bool(close.all()) and bool(np.abs(self.matrix - np.eye(3)).max() < 4e-3)


def read_profile(icc: bytes) -> MatrixProfile | None:
    """The profile's curves and matrix; None if it is of another kind or damaged."""
    try:
        if icc[16:20] != b"RGB " or icc[20:24] != b"XYZ ":
            return None
        tags = _tags(icc)
        if b"A2B0" in tags:  # a table takes precedence over the matrix
            return None
        columns = [np.array(struct.unpack_from(">3i", tags[c + b"XYZ"], 8)) / 65536 for c in (b"r", b"g", b"b")]
        curves = np.stack([_curve(tags[c + b"TRC"]) for c in (b"r", b"g", b"b")])
        matrix = np.linalg.inv(XYZ_FROM_SRGB) @ np.stack(columns, axis=1)
    except (KeyError, ValueError, IndexError, struct.error):
        return None
    return MatrixProfile(curves.astype(np.float32), matrix.astype(np.float32))


def read_grey_profile(icc: bytes) -> MatrixProfile | None:
    """Of a grey photo, which may hold an RGB profile, too; None if it is of another kind or damaged."""
    try:
        if icc[16:20] != b"GRAY":
            return read_profile(icc)
        tags = _tags(icc)
        if b"A2B0" in tags:
            return None
        curve = _curve(tags[b"kTRC"]).astype(np.float32)
    except (KeyError, ValueError, IndexError, struct.error):
        return None
    return MatrixProfile(np.stack([curve] * 3), np.eye(3, dtype=np.float32))


def gamma_profile(gamma: float) -> MatrixProfile:
    """sRGB's colours with the curve value ** gamma."""
    curve = (np.linspace(0, 1, LEVELS) ** gamma).astype(np.float32)
    return MatrixProfile(np.stack([curve] * 3), np.eye(3, dtype=np.float32))


def _tags(icc: bytes) -> dict[bytes, bytes]:
    tags = {}
    for n in range(struct.unpack_from(">I", icc, 128)[0]):
        name, offset, size = struct.unpack_from(">4sII", icc, 132 + 12 * n)
        tags[name] = icc[offset : offset + size]
    return tags


def _curve(tag: bytes) -> NDArray[np.float64]:
    """[65536] a 'curv' or 'para' element of ICC.1:2022 (10.6, 10.18), tabulated."""
    x = np.linspace(0, 1, LEVELS)
    if tag[:4] == b"curv":
        count = struct.unpack_from(">I", tag, 8)[0]
        table = np.array(struct.unpack_from(f">{count}H", tag, 12))
        if count == 0:
            return x
        return x ** (table[0] / 256) if count == 1 else np.interp(x, np.linspace(0, 1, count), table / 65535)
    if tag[:4] != b"para":
        raise ValueError("unknown curve")
    kind = struct.unpack_from(">H", tag, 8)[0]
    count = (1, 3, 4, 5, 7)[kind]
    g, a, b, c, d, e, f = [*(np.array(struct.unpack_from(f">{count}i", tag, 12)) / 65536), *[0.0] * (7 - count)]
    if kind == 0:
        return x**g
    power = np.maximum(a * x + b, 0) ** g
    if kind in (1, 2):
        return np.where(x >= -b / a, power + c, c)  # c is 0 for kind 1
    return np.where(x >= d, power + e, c * x + f)  # e and f are 0 for kind 3


def apply_profile(photo: NDArray, profile: MatrixProfile) -> NDArray[np.float32]:
    """[H, W, 3] uint8, uint16 or float (0 to 1) in the profile's colours to linear sRGB; what sRGB cannot show is
    clipped."""
    if photo.dtype.kind == "f":
        levels = np.linspace(0, 1, LEVELS)
        linear = np.stack([np.interp(photo[..., c], levels, profile.curves[c]) for c in range(3)], axis=-1)
        return np.clip(linear @ profile.matrix.T, 0, 1).astype(np.float32)
    step = 257 if photo.dtype == np.uint8 else 1
    linear = np.stack([profile.curves[c, ::step][photo[..., c]] for c in range(3)], axis=-1)
    return np.clip(linear @ profile.matrix.T, 0, 1)


def into_profile(linear: NDArray[np.floating], profile: MatrixProfile) -> NDArray[np.float32]:
    """[H, W, 3] linear sRGB to the profile's values, 0 to 1: `apply_profile` undone; what it cannot show is clipped."""
    own = np.clip(linear @ np.linalg.inv(profile.matrix).T, 0, 1)
    levels = np.linspace(0, 1, LEVELS)
    return np.stack([np.interp(own[..., c], profile.curves[c], levels) for c in range(3)], -1).astype(np.float32)


def convert_with_cms(photo: Image.Image, icc: bytes) -> Image.Image:
    """An 8 bit photo of any profile to sRGB; a profile that cannot be used is ignored, as browsers do."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        converted = ImageCms.profileToProfile(photo, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError):
        return photo.convert("RGB")
    return photo.convert("RGB") if converted is None else converted


def matrix_profile(name: str, gamma: float, colorants: list[list[float]]) -> bytes:
    """A display profile (ICC.1:2001-04) of one gamma.

    Args:
        colorants: XYZ (D50) of red, green and blue.
    """
    text = name.encode("ascii") + b"\0"
    tags = {
        b"desc": b"desc" + bytes(4) + struct.pack(">I", len(text)) + text + bytes(78),
        b"cprt": b"text" + bytes(4) + b"CC0\0",
        b"wtpt": _xyz(D50),
        **{channel + b"XYZ": _xyz(xyz) for channel, xyz in zip((b"r", b"g", b"b"), colorants, strict=True)},
    }
    curve = b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256)) + bytes(2)
    offset, table, body = 132 + 12 * (len(tags) + 3), b"", b""
    for tag, data in {**tags, b"rTRC": curve}.items():
        data += bytes(-len(data) % 4)
        at = struct.pack(">II", offset + len(body), len(data))
        table += b"".join(one + at for one in ((b"rTRC", b"gTRC", b"bTRC") if tag == b"rTRC" else (tag,)))
        body += data
    head = struct.pack(">I4sI4s4s4s", offset + len(body), bytes(4), 0x02400000, b"mntr", b"RGB ", b"XYZ ")
    head += struct.pack(">6H", 2000, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + _xyz(D50)[8:]
    return head.ljust(128, b"\0") + struct.pack(">I", len(tags) + 3) + table + body


def _xyz(values: list[float]) -> bytes:
    return b"XYZ " + bytes(4) + struct.pack(">3i", *(round(v * 65536) for v in values))


D50 = [0.9642, 1.0, 0.8249]
# Adobe RGB (1998), adapted to D50 as its own profile stores it; gamma 563/256.
ADOBE_RGB = matrix_profile(
    "Adobe RGB (1998) compatible",
    563 / 256,
    [[0.60974, 0.31111, 0.01947], [0.20528, 0.62567, 0.06087], [0.14919, 0.06322, 0.74457]],
)
