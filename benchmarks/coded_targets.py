"""What of a board of coded targets is read through blur, and how true the scale is that it gives.

    python benchmarks/coded_targets.py [--views 16] [--blur 8] [--width 640] [--side-px 70] [--seed 0]

Photos of a board of 4 x 3 targets of 5 mm, all around and from above, through an ideal thin lens: the mean of a
pinhole's pictures from 60 points of the pupil, in linear light, with noise. The lens focuses on the near edge, in the
middle and on the far edge by turns; the pupil is as wide as makes the farthest target's disc as large as asked for
(radius, px).
Scale is told with the true cameras, and with those found from the corners alone.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from macrosplat.cameras.records import Cameras
from macrosplat.cameras.sfm.solve import solve_cameras
from macrosplat.cameras.targets import Sizes, scale_by
from macrosplat.photos.records import Exif, Photo
from macrosplat.photos.targets import Family, read_targets
from macrosplat.support.colour import to_bytes, to_srgb

SIDE, GAP, COLUMNS, ROWS = 5.0, 1.5, 4, 3  # mm
PUPIL_POINTS, NOISE = 60, 0.006
BLACK, WHITE, TABLE = 0.04, 0.75, 0.3  # linear light


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--views", type=int, default=16)
    parser.add_argument("--blur", type=float, default=8.0)
    parser.add_argument("--width", type=int, default=640)
    parser.add_argument("--side-px", type=float, default=70.0)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    random = np.random.default_rng(args.seed)
    family = Family("APRILTAG_36h11")
    board, corners = drawn(family)
    size = args.width, round(args.width * 0.75)
    views, focal = ring(args.views, args.width, args.side_px)
    k = np.array([focal, focal, size[0] / 2, size[1] / 2])
    names = [f"{n:03d}.png" for n in range(args.views)]
    readings, photos, seen, wrong, off, rows = {}, [], 0, 0, [], []
    with tempfile.TemporaryDirectory() as scratch:
        for n, view in enumerate(views):
            z = np.concatenate([(c @ view[:3, :3].T + view[:3, 3])[:, 2] for c in corners.values()])
            focus = (z.min(), float(np.median(z)), z.max())[n % 3]
            pupil = args.blur * 2 / focal / max(abs(1 / focus - 1 / z.min()), abs(1 / focus - 1 / z.max()))
            picture = photographed(board, view, k, size, focus, pupil, random)
            found = read_targets(picture, family)
            visible = {}
            for number, points in corners.items():
                local = points @ view[:3, :3].T + view[:3, 3]
                px = local[:, :2] / local[:, 2:] * focal + k[2:]
                if (px > 2).all() and (px < np.array(size) - 2).all():
                    radius = pupil * focal / 2 * abs(1 / focus - 1 / local[:, 2].mean())
                    visible[number] = px, radius
            seen += len(visible)
            read = {one.number: one for one in found}
            wrong += sum(1 for number in read if number not in corners)
            for number, (px, radius) in visible.items():
                hit = read.get(number)
                away = float(np.abs(hit.corners - px).max()) if hit is not None else np.nan
                wrong += bool(away > 3)
                rows.append((radius, hit is not None, away))
            off += [r[2] for r in rows if r[1]]
            readings[names[n]] = found
            path = Path(scratch) / names[n]
            Image.fromarray(picture).save(path)
            photos.append(Photo(names[n], path, *size, Exif()))
        radius, hit, away = (np.array(column) for column in zip(*rows, strict=True))
        for low, high in ((0, 2), (2, 4), (4, 6), (6, 9)):
            some = (radius >= low) & (radius < high)
            if some.any():
                good = some & (hit > 0)
                print(
                    f"blur {low} to {high} px: {int(hit[some].sum())} of {int(some.sum())} read, corners off by "
                    f"{np.nanmedian(away[good]) if good.any() else np.nan:.3f} px (worst "
                    f"{np.nanmax(away[good]) if good.any() else np.nan:.3f})"
                )
        print(f"{int(hit.sum())} of {seen} visible targets read, {wrong} misread")
        sizes = np.tile(size, (args.views, 1))
        true = Cameras(tuple(names), np.stack(views), np.tile(k, (args.views, 1)), sizes, "true")
        told = scale_by(readings, true, Sizes(side=SIDE))
        print(f"true cameras: {told.mm_per_unit} mm a unit (1), said to be sure to {told.uncertainty}; {told.notes}")
        cameras, _, _ = solve_cameras(tuple(photos), Path(scratch) / "sfm", None, 0, readings)
        told = scale_by(readings, cameras, Sizes(side=SIDE))
        a, b = (
            np.linalg.norm(c[:, None] - c[None], axis=-1) for c in (cameras.centres, true.select(cameras.names).centres)
        )
        unit = b.sum() / a.sum()
        print(
            f"found cameras: {len(cameras)} of {args.views}, focal {cameras.intrinsics[0, 0] / focal:.4f}, scale "
            f"{(told.mm_per_unit or np.nan) / unit:.5f} of the true one, said to be sure to {told.uncertainty}"
        )


def drawn(family: Family) -> tuple[NDArray[np.float64], dict[int, NDArray[np.float64]]]:
    """Linear light of the board, 16 px a cell, and the corners [4, 3] mm of its targets, its middle at the origin."""
    cell = 16
    mm = SIDE / family.cells / cell  # of a px
    gap = round(GAP / mm)
    side = family.cells * cell
    wide, high = COLUMNS * (side + gap) + gap, ROWS * (side + gap) + gap
    board, corners = np.full((high, wide), WHITE), {}
    for row in range(ROWS):
        for column in range(COLUMNS):
            x, y = gap + column * (side + gap), gap + row * (side + gap)
            number = 20 + row * COLUMNS + column
            ink = family.drawing(number, cell) / 255.0
            board[y : y + side, x : x + side] = BLACK + (WHITE - BLACK) * ink
            square = np.array([[x, y, 0], [x + side, y, 0], [x + side, y + side, 0], [x, y + side, 0]], np.float64)
            corners[number] = (square - [wide / 2, high / 2, 0]) * mm
    return board, corners


def ring(count: int, width: int, side_px: float) -> tuple[list[NDArray[np.float64]], float]:
    """Views [4, 4] from 35 and 60 degrees above the board by turns, 150 mm away."""
    focal, views = side_px / SIDE * 150.0, []
    for n in range(count):
        turn, above = 2 * np.pi * n / count, np.radians((35, 60)[n % 2])
        eye = 150 * np.array([np.cos(turn) * np.cos(above), np.sin(turn) * np.cos(above), -np.sin(above)])
        z = -eye / np.linalg.norm(eye)
        x = np.cross([0, 0, 1.0], z)
        x /= np.linalg.norm(x)
        view = np.eye(4)
        view[:3, :3] = np.stack([x, np.cross(z, x), z])
        view[:3, 3] = -view[:3, :3] @ eye
        views.append(view)
    return views, focal


def photographed(board, view, k, size, focus: float, pupil: float, random) -> NDArray[np.uint8]:
    """[h, w, 3] sRGB: a plane through a thin lens, exactly: the mean over the pupil of what a pinhole sees."""
    height, width = board.shape
    mm = SIDE / 8 / 16
    plane = np.array([[mm, 0, -width / 2 * mm], [0, mm, -height / 2 * mm], [0, 0, 0], [0, 0, 1]])
    steps = np.arange(PUPIL_POINTS) + 0.5
    radius, turn = pupil / 2 * np.sqrt(steps / PUPIL_POINTS), steps * np.pi * (3 - 5**0.5)
    x, y = np.meshgrid(np.arange(size[0]) + 0.5, np.arange(size[1]) + 0.5)
    light = np.zeros(x.shape)
    for dx, dy in zip(radius * np.cos(turn), radius * np.sin(turn), strict=True):
        move = np.eye(4)
        move[:2, 3] = -dx, -dy
        move[0, 2], move[1, 2] = dx / focus, dy / focus  # what is in focus stays where it is
        lens = np.array([[k[0], 0, k[2], 0], [0, k[1], k[3], 0], [0, 0, 1, 0]])
        back = np.linalg.inv(lens @ move @ view @ plane)
        jitter = random.uniform(-0.5, 0.5, 2)
        w = back[2, 0] * (x + jitter[0]) + back[2, 1] * (y + jitter[1]) + back[2, 2]
        u = (back[0, 0] * (x + jitter[0]) + back[0, 1] * (y + jitter[1]) + back[0, 2]) / w
        v = (back[1, 0] * (x + jitter[0]) + back[1, 1] * (y + jitter[1]) + back[1, 2]) / w
        inside = (u >= 0) & (v >= 0) & (u < width) & (v < height)
        seen = np.full(x.shape, TABLE)
        seen[inside] = board[v[inside].astype(int), u[inside].astype(int)]
        light += seen / PUPIL_POINTS
    grey = to_bytes(to_srgb(light) + random.normal(0, NOISE, light.shape))
    return np.repeat(grey[..., None], 3, 2)


if __name__ == "__main__":
    main()
