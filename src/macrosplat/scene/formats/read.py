"""Scenes from any program: PLY, compressed PLY, SPZ, SOG and .splat, by what the file is called and holds.

Out: `Gaussians` of numpy arrays whose colours are sRGB, every number finite and such as can be drawn. No torch.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from macrosplat.scene.formats.compressed import from_compressed, is_compressed
from macrosplat.scene.formats.ply import gaussians_of, read_elements
from macrosplat.scene.formats.sog_read import read_sog
from macrosplat.scene.formats.splat import read_splat
from macrosplat.scene.formats.spz import read_spz
from macrosplat.scene.gaussians import Gaussians
from macrosplat.support.errors import MacrosplatError

SUFFIXES = (".ply", ".spz", ".sog", ".splat")
# Beyond these float32 has no room to draw: squares of positions, exponentials of scales, sums of colours.
FARTHEST, LARGEST_LOG, BRIGHTEST = 1e12, 60.0, 1e6
SMALLEST_LOG, OPAQUE_LOGIT = -60.0, 30.0


def read_scene(path: Path, note: Callable[[str], None] | None = None) -> Gaussians:
    """Read a scene.

    Args:
        note: is told how many Gaussians were left out, if any, since nothing can draw them.

    Raises:
        MacrosplatError: the file cannot be read, is damaged, of another format, or holds no Gaussian.
    """
    with np.errstate(all="ignore"):  # what comes of numbers that are none is looked at afterwards
        read = _read(path)
    scene, dropped = drawable(path, read)
    if dropped and note:
        note(
            f"{dropped} of the {len(read)} Gaussians of {path} were left out: their numbers are not finite "
            "or too large."
        )
    return scene


def _read(path: Path) -> Gaussians:
    suffix = path.suffix.lower()
    if suffix == ".ply":
        elements = read_elements(path)
        return from_compressed(path, elements) if is_compressed(elements) else gaussians_of(path, elements["vertex"])
    if suffix == ".spz":
        return read_spz(path)
    if suffix == ".sog" or path.name == "meta.json":  # the latter is what is left of an unpacked one
        return read_sog(path)
    if suffix == ".splat":
        return read_splat(path)
    raise MacrosplatError(f"{path} is not a scene that can be read here: it has to be one of {', '.join(SUFFIXES)}.")


def drawable(path: Path, scene: Gaussians) -> tuple[Gaussians, int]:
    """The Gaussians of `path` whose numbers can be drawn, and how many others there were.

    An infinite opacity means opaque (some programs write the logit of 1), a scale of zero a very small one.

    Raises:
        MacrosplatError: there are none.
    """
    g = scene.arrays()
    g["opacity_logits"] = g["opacity_logits"].clip(-OPAQUE_LOGIT, OPAQUE_LOGIT)
    g["log_scales"] = g["log_scales"].clip(SMALLEST_LOG)
    good = (np.abs(g["means"]) < FARTHEST).all(1) & (g["log_scales"] < LARGEST_LOG).all(1)
    good &= (np.abs(g["sh0"]) < BRIGHTEST).all(1) & (np.abs(g["sh_rest"]) < BRIGHTEST).all((1, 2))
    good &= np.isfinite(g["opacity_logits"]) & (np.abs(g["quats"]) < FARTHEST).all(1)
    if not good.any():
        what = "no Gaussians" if not len(scene) else f"{len(scene)} Gaussians, of which none has finite numbers"
        raise MacrosplatError(f"{path} holds {what}; there is nothing to show.")
    dropped = int((~good).sum())
    return Gaussians.of_arrays(**({name: a[good] for name, a in g.items()} if dropped else g)), dropped


def read_own(path: Path) -> Gaussians:
    """A scene that a run wrote: all of it, or none.

    Raises:
        MacrosplatError: as `read_scene`, or a part of it cannot be drawn.
    """
    with np.errstate(all="ignore"):
        scene = gaussians_of(path, read_elements(path)["vertex"])
    if drawable(path, scene)[1]:
        raise MacrosplatError(
            f"{path} is damaged: it holds numbers that are not finite; reconstruct into a new folder."
        )
    return scene
