"""A capture whose cameras are known, with detail enough for structure from motion: the inside of a textured corner,
ray-cast in numpy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from macrosplat.cameras.records import Cameras
from macrosplat.capture.records import Capture
from macrosplat.photos.records import Exif, Photo

FOCAL = 640.0  # px, of photos 320 px wide: 36 mm wide sensor, 72 mm from lens to sensor
ENGRAVED = Exif(focal_mm=40.0, sensor_width_mm=36.0, camera="corner")  # 0.56 of the true one, as in macro
PHOTOS = 9
SIDEWAYS = 4  # this photo is taken upright: 240 x 320
DISTANCE = 4.0


@dataclass(frozen=True)
class Corner:
    """A capture of the corner, and its true cameras."""

    capture: Capture
    truth: Cameras


def texture(rng: np.random.Generator) -> NDArray[np.float64]:
    """[512, 512] noise in octaves, 0 to 1."""
    total = np.zeros((512, 512))
    for size, weight in ((6, 1.0), (16, 1.0), (40, 1.0)):
        small = Image.fromarray(rng.random((size, size)).astype(np.float32))
        total += weight * np.asarray(small.resize((512, 512), Image.Resampling.BICUBIC))
    return (total - total.min()) / (total.max() - total.min())


def ray_cast(
    view: NDArray[np.float64], size: tuple[int, int], textures: list[NDArray[np.float64]]
) -> NDArray[np.uint8]:
    """[H, W, 3] the planes x = 0, y = 0 and z = 0 up to 2 units from the corner, bilinear, 2x2 samples a pixel."""
    width, height = size[0] * 2, size[1] * 2
    x, y = np.meshgrid((np.arange(width) + 0.5) / 2, (np.arange(height) + 0.5) / 2)
    rays = np.stack([(x - size[0] / 2) / FOCAL, (y - size[1] / 2) / FOCAL, np.ones_like(x)], -1) @ view[:3, :3]
    centre = -view[:3, :3].T @ view[:3, 3]
    grey, nearest = np.full(x.shape, 0.5), np.full(x.shape, np.inf)
    for axis, plane in enumerate(textures):
        with np.errstate(divide="ignore"):
            t = -centre[axis] / rays[..., axis]
        at = np.delete(centre + t[..., None] * rays, axis, axis=-1) / 2  # [H, W, 2] 0 to 1 on the plane
        hit = (t > 0) & (t < nearest) & (at >= 0).all(-1) & (at < 1).all(-1)
        u = np.clip(at[hit] * 511, 0, 510.99)
        i, f = u.astype(int), u % 1
        top = plane[i[:, 1], i[:, 0]] * (1 - f[:, 0]) + plane[i[:, 1], i[:, 0] + 1] * f[:, 0]
        low = plane[i[:, 1] + 1, i[:, 0]] * (1 - f[:, 0]) + plane[i[:, 1] + 1, i[:, 0] + 1] * f[:, 0]
        grey[hit] = top * (1 - f[:, 1]) + low * f[:, 1]
        nearest[hit] = t[hit]
    mean = grey.reshape(size[1], 2, size[0], 2).mean((1, 3))
    return np.repeat(np.rint(255 * mean).astype(np.uint8)[..., None], 3, -1)


def look(azimuth: float, elevation: float, roll: float = 0.0) -> NDArray[np.float64]:
    """[4, 4] a camera `DISTANCE` from the point (0.5, 0.5, 0.5), looking at it; degrees."""
    a, e, r = np.radians([azimuth, elevation, roll])
    outward = np.array([np.cos(e) * np.cos(a), np.cos(e) * np.sin(a), np.sin(e)])
    right = np.cross(-outward, [0, 0, 1.0])
    right /= np.linalg.norm(right)
    down = np.cross(-outward, right)
    right, down = np.cos(r) * right + np.sin(r) * down, np.cos(r) * down - np.sin(r) * right
    view = np.eye(4)
    view[:3, :3] = [right, down, -outward]
    view[:3, 3] = -view[:3, :3] @ (0.5 + DISTANCE * outward)
    return view


def write_corner(folder: Path, count: int = PHOTOS) -> Corner:
    """Photos of the corner in a folder, and their cameras."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(5)
    textures = [texture(rng) for _ in range(3)]
    photos, views, sizes = [], [], []
    for n in range(count):
        size = (240, 320) if n == SIDEWAYS else (320, 240)
        view = look(25 + 5 * n, 25 + 8 * (n % 3), 90.0 if n == SIDEWAYS else 0.0)
        path = folder / f"{n}.png"
        Image.fromarray(ray_cast(view, size, textures)).save(path)
        photos.append(Photo(path.name, path, *size, ENGRAVED))
        views.append(view)
        sizes.append(size)
    half = np.array(sizes) / 2
    intrinsics = np.column_stack([np.full((count, 2), FOCAL), half])
    names = tuple(photo.name for photo in photos)
    return Corner(
        Capture(folder, tuple(photos)), Cameras(names, np.stack(views), intrinsics, np.array(sizes), "transforms")
    )
