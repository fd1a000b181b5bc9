"""Scenes from any program: PLY, compressed PLY, SPZ and .splat, by what the file is called and holds.

Out: `Gaussians` whose colours are sRGB, float32 on the CPU.
"""

from __future__ import annotations

from pathlib import Path

from macrosplat.scene.formats.compressed import is_compressed, read_compressed
from macrosplat.scene.formats.ply import read_ply
from macrosplat.scene.formats.splat import read_splat
from macrosplat.scene.formats.spz import read_spz
from macrosplat.scene.gaussians import Gaussians
from macrosplat.support.errors import MacrosplatError

SUFFIXES = (".ply", ".spz", ".splat")


def read_scene(path: Path) -> Gaussians:
    """Read a scene.

    Raises:
        MacrosplatError: the file cannot be read, is damaged, or of another format.
    """
    suffix = path.suffix.lower()
    if suffix == ".ply":
        return read_compressed(path) if is_compressed(path) else read_ply(path)
    if suffix == ".spz":
        return read_spz(path)
    if suffix == ".splat":
        return read_splat(path)
    raise MacrosplatError(f"{path} is not a scene that can be read here: it has to be one of {', '.join(SUFFIXES)}.")
