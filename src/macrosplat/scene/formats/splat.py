""".splat: 32 bytes a Gaussian, the first web viewers' format (github.com/antimatter15/splat). No harmonics.

A row: position and scale (float32), colour and opacity (4 bytes), rotation w, x, y, z (4 bytes). Most visible first,
since viewers draw while they load.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from macrosplat.scene.gaussians import SH_C0, Gaussians
from macrosplat.support.errors import MacrosplatError
from macrosplat.support.files import write_whole
from macrosplat.support.reading import read_bytes

ROW = np.dtype([("mean", "<f4", 3), ("scale", "<f4", 3), ("colour", "u1", 4), ("rotation", "u1", 4)])


def write_splat(path: Path, gaussians: Gaussians) -> None:
    """Write the scene atomically; what its colours depend on the direction by is lost."""
    g = gaussians.arrays(np.float64)
    alpha = 1 / (1 + np.exp(-g["opacity_logits"]))
    rows = np.zeros(len(alpha), ROW)
    rows["mean"], rows["scale"] = g["means"], np.exp(g["log_scales"])
    rows["colour"][:, :3] = np.rint(255 * (0.5 + SH_C0 * g["sh0"])).clip(0, 255)
    rows["colour"][:, 3] = np.rint(255 * alpha)
    quats = g["quats"] / np.linalg.norm(g["quats"], axis=1, keepdims=True).clip(1e-12)
    rows["rotation"] = np.rint(128 + 128 * quats).clip(0, 255)
    seen = alpha * np.exp(g["log_scales"].sum(1))
    rows = rows[np.argsort(-seen, kind="stable")]
    write_whole(path, lambda part: part.write_bytes(rows.tobytes()))


def read_splat(path: Path) -> Gaussians:
    """Read a scene, as numpy arrays.

    Raises:
        MacrosplatError: the file cannot be read or is not made of rows of 32 bytes.
    """
    data = read_bytes(path)
    if len(data) % ROW.itemsize or not data:
        raise MacrosplatError(f"{path} is no .splat file: its size is no multiple of {ROW.itemsize} bytes.")
    rows = np.frombuffer(data, ROW)
    alpha = np.clip(rows["colour"][:, 3] / 255.0, 0.5 / 255, 1 - 0.5 / 255)
    return Gaussians.of_arrays(
        means=rows["mean"],
        log_scales=np.log(rows["scale"].clip(1e-20)),
        quats=(rows["rotation"].astype(np.float32) - 128) / 128,
        opacity_logits=np.log(alpha / (1 - alpha)),
        sh0=(rows["colour"][:, :3] / 255.0 - 0.5) / SH_C0,
        sh_rest=np.zeros((len(rows), 0, 3)),
    )
