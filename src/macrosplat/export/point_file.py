"""Point clouds as PLY: x y z, perhaps nx ny nz (float32), and red green blue (8 bit sRGB): what every program reads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from macrosplat.support.files import write_whole


def write_points(
    path: Path, xyz: NDArray[np.floating], rgb: NDArray[np.uint8], normals: NDArray[np.floating] | None = None
) -> None:
    """Write N points [N, 3] with their colours [N, 3] and normals [N, 3] atomically."""
    columns = {"xyz": xyz} if normals is None else {"xyz": xyz, "normal": normals}
    rows = np.zeros(len(xyz), [*((name, "<f4", 3) for name in columns), ("rgb", "u1", 3)])
    for name, values in {**columns, "rgb": rgb}.items():
        rows[name] = values
    names = [f"property float {prefix}{axis}" for prefix, _ in zip(("", "n"), columns, strict=False) for axis in "xyz"]
    names += [f"property uchar {c}" for c in ("red", "green", "blue")]
    lines = ["ply", "format binary_little_endian 1.0", f"element vertex {len(rows)}", *names, "end_header\n"]
    write_whole(path, lambda part: part.write_bytes("\n".join(lines).encode("ascii") + rows.tobytes()))
