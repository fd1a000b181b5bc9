"""A stack of one pose against the all-in-focus picture of another program, beside a stacker of the sharpest pixels.

    python benchmarks/stack.py STACK EXPECTED OUT

STACK: a folder of slices. EXPECTED: the other program's picture: cropped, toned and put in place as that program likes,
so it is first aligned (zoom and shift) and its tones are fitted to ours (gain and offset per channel, linear light).
Prints FLIP (0: the same) and PSNR of both, and writes the pictures to OUT.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image

from macrosplat import reconstruct
from macrosplat.brackets.align import aligned, warped
from macrosplat.capture.open import open_capture
from macrosplat.deblur.stacker import stack
from macrosplat.photos.read import read_photo
from macrosplat.photos.resample import area_average
from macrosplat.support.colour import to_bytes, to_linear, to_srgb
from macrosplat.support.metrics import compare

ALIGNED_AT = 480  # px


def load(path: Path) -> np.ndarray:
    """[H, W, 3] linear light."""
    with Image.open(path) as picture:
        return to_linear(np.asarray(picture.convert("RGB")).astype(np.float32) / 255)


def small(light: np.ndarray) -> np.ndarray:
    height, width = light.shape[:2]
    return np.sqrt(area_average(light, (ALIGNED_AT, round(height * ALIGNED_AT / width))).mean(2))


def main(folder: Path, expected: Path, out: Path) -> None:
    photos = open_capture(folder).photos
    began = time.monotonic()
    if not (out / "run" / "index.html").is_file():
        reconstruct(folder, out / "run")
    ours = load(next((out / "run" / "sharp").glob("*.png")))
    seconds = time.monotonic() - began
    pixels = [read_photo(photo) for photo in photos]
    simple = to_linear(stack(pixels)[len(pixels) // 2].astype(np.float32) / 255)
    Image.fromarray(to_bytes(to_srgb(simple))).save(out / "sharpest_pixel.png")
    other = load(expected)
    for name, light in (("macrosplat", ours), ("sharpest pixel", simple)):
        truth = warped(other, aligned(small(light), small(other)))
        inside = np.isfinite(truth).all(2)
        rows, columns = np.flatnonzero(inside.mean(1) > 0.99), np.flatnonzero(inside.mean(0) > 0.99)
        box = slice(rows[0] + 8, rows[-1] - 8), slice(columns[0] + 8, columns[-1] - 8)
        truth, mine = np.nan_to_num(truth[box]), light[box]
        for c in range(3):
            gain, offset = np.polyfit(truth[..., c].ravel(), mine[..., c].ravel(), 1)
            truth[..., c] = gain * truth[..., c] + offset
        found = compare(to_srgb(np.clip(mine, 0, 1)), to_srgb(np.clip(truth, 0, 1))).frame
        print(f"{name:15} FLIP {found.flip:.4f}  PSNR {found.psnr:.2f} dB  SSIM {found.ssim:.4f}")
    print(f"{len(photos)} slices, {ours.shape[1]} x {ours.shape[0]} px, {seconds:.0f} s")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]))
