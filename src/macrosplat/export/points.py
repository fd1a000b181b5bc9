"""Point clouds as PLY: x y z (float32) and red green blue (8 bit sRGB), which every program that shows points reads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from macrosplat.scene.gaussians import SH_C0, Gaussians
from macrosplat.support.files import write_whole

ROW = np.dtype([("xyz", "<f4", 3), ("rgb", "u1", 3)])
OPAQUE = 0.5  # a Gaussian fainter than this is haze or a highlight, no surface


def write_points(path: Path, xyz: NDArray[np.floating], rgb: NDArray[np.uint8]) -> None:
    """Write N points [N, 3] with their colours [N, 3], whole or not at all."""
    rows = np.zeros(len(xyz), ROW)
    rows["xyz"], rows["rgb"] = xyz, rgb
    names = [*(f"property float {axis}" for axis in "xyz"), *(f"property uchar {c}" for c in ("red", "green", "blue"))]
    lines = ["ply", "format binary_little_endian 1.0", f"element vertex {len(rows)}", *names, "end_header\n"]
    write_whole(path, lambda part: part.write_bytes("\n".join(lines).encode("ascii") + rows.tobytes()))


def write_scene_points(path: Path, scene: Gaussians) -> None:
    """Write the middles of the opaque Gaussians of a scene whose colours are sRGB."""
    scene = scene.detach().map(lambda t: t.cpu())
    seen = (scene.opacity_logits.sigmoid() > OPAQUE).numpy()
    rgb = np.rint(255 * (0.5 + SH_C0 * scene.sh0.numpy())).clip(0, 255).astype(np.uint8)
    write_points(path, scene.means.numpy()[seen], rgb[seen])
