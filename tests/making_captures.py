"""A small capture whose scene, cameras and lens are known: a bumpy sheet, tilted away from the cameras."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from macrosplat.cameras.colmap import write_colmap
from macrosplat.cameras.records import Cameras, SparsePoints
from macrosplat.cameras.transforms import write_transforms
from macrosplat.lens import Draw, LensStart, Sampling, Sharp
from macrosplat.lens.thin import ThinLens
from macrosplat.render import Camera, Pinhole, render
from macrosplat.scene import Gaussians
from macrosplat.scene.gaussians import SH_C0
from macrosplat.support.colour import to_bytes, to_linear, to_srgb
from making_photos import CANON, exif, save

WIDTH, HEIGHT, FOCAL = 96, 72, 280.0  # px
DISTANCE = 6.0  # scene units from the cameras to the object
PUPIL = 1.5  # a circle of confusion of 4 px at the ends of the sheet
BACKGROUND = 0.25  # linear


@dataclass(frozen=True)
class Made:
    """The truth of a capture."""

    scene: Gaussians
    cameras: Cameras
    points: SparsePoints
    sharp: list[np.ndarray]  # V of [H, W, 3] uint8 sRGB
    photos: list[np.ndarray]  # the same, blurred
    pupil: float
    focus: tuple[float, ...]  # V


def look_at(centre: np.ndarray, target: np.ndarray) -> np.ndarray:
    """[4, 4] world to camera, OpenCV axes."""
    forward = (target - centre) / np.linalg.norm(target - centre)
    right = np.cross(forward, [0.0, -1.0, 0.0])
    right /= np.linalg.norm(right)
    view = np.eye(4)
    view[:3, :3] = np.stack([right, np.cross(forward, right), forward])
    view[:3, 3] = -view[:3, :3] @ centre
    return view


def make_scene(n: int = 900, seed: int = 0) -> Gaussians:
    """A sheet about 2 x 1.4 units, 1.4 deep, of round opaque spots in random colours."""
    random = np.random.default_rng(seed)
    x, y = random.uniform(-1.0, 1.0, n), random.uniform(-0.7, 0.7, n)
    means = np.stack([x, y, 0.7 * x + 0.1 * np.sin(5 * y)], 1)
    colours = random.uniform(0.02, 0.9, (n, 3))
    quats = np.tile([1.0, 0.0, 0.0, 0.0], (n, 1))
    return Gaussians(
        means=torch.tensor(means, dtype=torch.float32),
        log_scales=torch.full((n, 3), float(np.log(0.03))),
        quats=torch.tensor(quats, dtype=torch.float32),
        opacity_logits=torch.full((n,), 4.0),
        sh0=torch.tensor((colours - 0.5) / SH_C0, dtype=torch.float32),
        sh_rest=torch.zeros(n, 0, 3),
    )


def make_cameras(count: int = 6, width: int = WIDTH, height: int = HEIGHT) -> Cameras:
    """On an arc of 30 degrees, each aiming at the origin."""
    views = []
    for angle in np.linspace(-0.26, 0.26, count):
        centre = DISTANCE * np.array([np.sin(angle), 0.3 * np.cos(7 * angle), -np.cos(angle)])
        views.append(look_at(centre, np.zeros(3)))
    intrinsics = np.tile([FOCAL * width / WIDTH, FOCAL * width / WIDTH, width / 2, height / 2], (count, 1))
    names = tuple(f"{n}.png" for n in range(count))
    return Cameras(names, np.array(views), intrinsics, np.tile([width, height], (count, 1)), "transforms")


def pinhole_of(cameras: Cameras, n: int) -> Pinhole:
    width, height = (int(s) for s in cameras.sizes[n])
    return Pinhole(*(float(k) for k in cameras.intrinsics[n]), width=width, height=height, near=1.0)


def drawing(scene: Gaussians) -> Draw:
    """What a lens asks for: sharp renders over a plain backdrop."""

    def draw(camera: Camera, reshape=None) -> Sharp:
        seen = render(scene if reshape is None else reshape(scene), camera)
        colour, depth = seen.over(torch.full((3,), BACKGROUND))
        return Sharp(colour, seen.alpha, depth)

    return draw


@torch.no_grad()
def make(count: int = 6, pupil: float = PUPIL, points_of_pupil: int = 12) -> Made:
    """Render a capture: every photo is focused somewhere else on the sheet."""
    scene, cameras = make_scene(), make_cameras(count)
    focus = tuple(DISTANCE + 0.4 * float(np.sin(2.0 * n)) for n in range(count))
    lens = ThinLens(LensStart(pupil, focus, (1.0,) * count, sigma0=0.3, width=WIDTH))
    draw, sharp, photos = drawing(scene), [], []
    for n in range(count):
        camera = pinhole_of(cameras, n).at(torch.tensor(cameras.views[n], dtype=torch.float32))
        taken = lens.photograph(draw, camera, n, Sampling(points_of_pupil))
        for pixels, into in ((draw(camera).colour, sharp), (taken, photos)):
            into.append(to_bytes(to_srgb(pixels.clamp(0, 1)).numpy()))
    return Made(scene, cameras, observe(scene.means.numpy(), cameras, sharp), sharp, photos, pupil, focus)


def observe(xyz: np.ndarray, cameras: Cameras, photos: list[np.ndarray]) -> SparsePoints:
    """Every point in every photo: the sheet hides nothing of itself."""
    point, photo, px = [], [], []
    xyz = xyz.astype(np.float64)
    for n in range(len(cameras)):
        local = xyz @ cameras.views[n, :3, :3].T + cameras.views[n, :3, 3]
        fx, fy, cx, cy = cameras.intrinsics[n]
        at = local[:, :2] / local[:, 2:] * [fx, fy] + [cx, cy]
        inside = np.flatnonzero(((at > 0) & (at < cameras.sizes[n])).all(1))
        point.append(inside)
        photo.append(np.full(len(inside), n))
        px.append(at[inside])
    middle = len(cameras) // 2
    fx, fy, cx, cy = cameras.intrinsics[middle]
    local = xyz @ cameras.views[middle, :3, :3].T + cameras.views[middle, :3, 3]
    at = (local[:, :2] / local[:, 2:] * [fx, fy] + [cx, cy]).astype(int)
    rgb = photos[middle][at[:, 1].clip(0, len(photos[0]) - 1), at[:, 0].clip(0, photos[0].shape[1] - 1)]
    return SparsePoints(xyz, rgb, np.concatenate(point), np.concatenate(photo), np.concatenate(px))


def write_capture(folder: Path, made: Made, colmap: bool = True) -> Path:
    """Photos, and cameras as a COLMAP model with points or as transforms.json; and the truth."""
    for name, photo, sharp in zip(made.cameras.names, made.photos, made.sharp, strict=True):
        save(folder / "photos" / name, photo, exif(**CANON))
        save(folder / "sharp" / name, sharp)
    if colmap:
        write_colmap(folder / "sparse" / "0", made.cameras, made.points)
    else:
        write_transforms(folder / "transforms.json", made.cameras, folder="photos")
    write_transforms(folder / "novel.json", made.cameras, folder="novel")
    for name, sharp in zip(made.cameras.names, made.sharp, strict=True):
        save(folder / "novel" / name, sharp)
    (folder / "truth.json").write_text(json.dumps({}))
    return folder


def linear(photo: np.ndarray) -> torch.Tensor:
    """[H, W, 3] of a photo."""
    return torch.from_numpy(to_linear(photo.astype(np.float32) / 255))
