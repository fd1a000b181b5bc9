"""Colours told by code points (ITU-T H.273) instead of a profile: HEIF and AVIF (`nclx`), PNG (`cICP`).

Cameras write HEIF in PQ or HLG (BT.2100), programs write AVIF in Display P3 without a profile. In: the head of a file.
Out: the code points; the curve and matrix that they mean.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from macrosplat.photos.icc import LEVELS, MatrixProfile
from macrosplat.support.colour import to_linear

HEAD = 1 << 16  # bytes: before the pixels in both
LINEAR, PQ, HLG = 8, 16, 18
BT_709_LIKE = (1, 6, 13, 14, 15)  # shown as sRGB is, by browsers and systems
HDR = {PQ: "PQ", HLG: "HLG"}
PQ_PEAK, WHITE = 10_000.0, 203.0  # cd / m^2 (BT.2408: HDR reference white)
HLG_WHITE = 0.75  # of the signal, the same
# Linear sRGB's from the linear values of Display P3 and BT.2020, all with D65.
MATRICES = {
    12: [[1.22494, -0.22494, 0.0], [-0.04206, 1.04206, 0.0], [-0.01964, -0.07864, 1.09827]],
    9: [[1.66049, -0.58764, -0.07285], [-0.12455, 1.1329, -0.00835], [-0.01815, -0.10058, 1.11873]],
}


class CodePoints(NamedTuple):
    primaries: int
    transfer: int

    @property
    def hdr(self) -> str | None:
        """What to call the transfer, if values reach beyond white."""
        return HDR.get(self.transfer)


def code_points(path: Path) -> CodePoints | None:
    """What the file says; None: nothing."""
    with path.open("rb") as file:
        head = file.read(HEAD)
    if head.startswith(b"\x89PNG"):
        at = head.find(b"cICP")
        return CodePoints(head[at + 4], head[at + 5]) if 0 <= at < len(head) - 8 else None
    at = head.find(b"colrnclx") if head[4:8] == b"ftyp" else -1
    if not 0 <= at < len(head) - 12:
        return None
    return CodePoints(int.from_bytes(head[at + 8 : at + 10]), int.from_bytes(head[at + 10 : at + 12]))


@functools.lru_cache(maxsize=8)
def profile_of(points: CodePoints) -> MatrixProfile | None:
    """None: sRGB, or nothing that is known. What is brighter than white is clipped."""
    x = np.linspace(0, 1, LEVELS)
    curve = {LINEAR: lambda: x, PQ: lambda: _pq(x), HLG: lambda: _hlg(x)}.get(points.transfer, lambda: to_linear(x))()
    known = points.transfer in (*BT_709_LIKE, LINEAR, *HDR) or points.transfer == 2
    if not known or (points.primaries not in MATRICES and points.transfer not in (LINEAR, *HDR)):
        return None
    matrix = np.array(MATRICES.get(points.primaries, np.eye(3)), np.float32)
    return MatrixProfile(np.stack([curve.astype(np.float32)] * 3), matrix)


def _pq(signal: NDArray[np.float64]) -> NDArray[np.float64]:
    """SMPTE ST 2084's EOTF, over reference white."""
    m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
    power = signal ** (1 / m2)
    return (np.maximum(power - c1, 0) / (c2 - c3 * power)) ** (1 / m1) * PQ_PEAK / WHITE


def _hlg(signal: NDArray[np.float64]) -> NDArray[np.float64]:
    """ARIB STD-B67's inverse OETF, over reference white."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073

    def scene(value: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.where(value <= 0.5, value**2 / 3, (np.exp((value - c) / a) + b) / 12)

    return scene(signal) / float(scene(np.array(HLG_WHITE)))
