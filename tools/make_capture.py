"""Path-traces a small capture with known truth through a thin lens: dark things in a light tent, or before black.

    pip install mitsuba        (3.9; and for its variant llvm_ad_rgb Debian's libllvm19)
    python tools/make_capture.py OUT [--backdrop white|black|sweep|table] [--things balls|shell]
        [--pattern mild|spots] [--focus 146] [--gains 0.2] [--motion 4] [--views 16] [--width 240]

OUT then holds photos/, transforms.json (cameras), and the truth: sharp/, masks/, novel.json with novel/ and
novel_masks/, truth.json. Lengths are millimetres. What is told apart here: a silhouette over a backdrop much
brighter (or darker) than the thing, where blur in the wrong light or a backdrop in focus leaves a halo. With spots
the things themselves have edges of nearly the silhouette's contrast, so that errors at both can be compared.
Before a sweep (plain grey) or on a table with a pattern the things turn before one fixed camera, and table and
lamps stand still, as on a turntable; masks are then of the things alone, and there are no novel views.
macrosplat itself needs no mitsuba.
"""

from __future__ import annotations

import argparse
import glob
import json
import math
import os
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.spatial.transform import Rotation

DISTANCE = 150.0  # mm from the pupil to the middle of the things
FIELD = 30.0  # mm that the frame's width shows there
CIRCLE = 0.021  # of the frame's width: radius of the circle of confusion 8 mm off the focus
SENSOR = 24.0  # mm, width; only for the EXIF
NOISE = 0.004  # sRGB, standard deviation
SAMPLES = {"photos": 196, "sharp": 16, "mask": 16}  # per px
DARK, LIGHT = 0.015, 0.16  # linear albedo of the things' pattern
STILL = ("sweep", "table")  # backdrops before which the things turn
TURNTABLE = 0.6  # elevation of the camera there, radians
SPOT, SPOTTED = 0.7, 0.3  # linear albedo of light spots, and the share of the things that they cover


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--backdrop", choices=("white", "black", *STILL), default="white")
    parser.add_argument(
        "--things", choices=("balls", "shell"), default="balls", help="balls, rods, a cube; or one shell"
    )
    parser.add_argument("--pattern", choices=("mild", "spots"), default="mild", help="of the things")
    parser.add_argument("--focus", type=float, help="mm from the pupil, in every photo; else anywhere in the things")
    parser.add_argument("--gains", type=float, default=0.0, help="exposures differ by up to this share")
    parser.add_argument("--motion", type=float, default=0.0, help="px that two of three photos move by, at the most")
    parser.add_argument("--views", type=int, default=16)
    parser.add_argument("--novel", type=int, default=6)
    parser.add_argument("--width", type=int, default=240)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    render_capture(options)


def render_capture(options: argparse.Namespace) -> None:
    mi = _mitsuba()
    random = np.random.default_rng(options.seed)
    things = (_shell if options.things == "shell" else _things)(mi, options.pattern == "spots", random)
    still = options.backdrop in STILL
    around = _surroundings(mi, options.backdrop)
    scene, alone = mi.load_dict(things | around), mi.load_dict(things)
    width = options.width
    focal_px = DISTANCE / FIELD * width
    pupil = 2 * CIRCLE * width / focal_px / (1 / (DISTANCE - 8) - 1 / DISTANCE)
    focal_mm = 1 / (1 / DISTANCE + 1 / (focal_px / width * SENSOR))  # of a lens that focuses there
    gains = _gains(options.views, options.gains, random)
    photos, frames = [], []
    for n in range(options.views):
        if still:  # the camera goes around the things, as they see it, and takes their surroundings along
            turn = 2 * math.pi * n / options.views
            pose = _pose(turn, TURNTABLE)
            scene = mi.load_dict(things | {name: _turned(mi, one, turn) for name, one in around.items()})
        else:
            pose = _pose(math.pi * (n + 0.5) / options.views, (0.3, 0.75)[n % 2])
        focus = options.focus or DISTANCE + 7.0 * math.sin(2.4 * n)
        shake = _shake(n, options.motion, width, focal_px, focus, options.seed) if n % 3 else STEADY
        taken = _exposed(mi, scene, pose, shake, width, n, pupil / 2, focus)
        sharp, mask = _render(mi, scene, pose, width, SAMPLES["sharp"], n)
        if still:
            mask = _render(mi, alone, pose, width, SAMPLES["mask"], n)[1]
        noise = random.normal(0, NOISE, taken.shape)
        exif = {"f_number": focal_mm / pupil, "focal_mm": focal_mm}
        _save(options.out / "photos" / f"{n:03d}.jpg", _srgb(taken * gains[n]) + noise, exif)
        _save(options.out / "sharp" / f"{n:03d}.jpg", _srgb(sharp * gains[n]))
        _save(options.out / "masks" / f"{n:03d}.png", mask)
        frames.append(_frame("photos", n, pose))
        told = {"photo": f"{n:03d}", "pose": f"{n:03d}", "focus_mm": focus, "gain": gains[n].tolist()}
        photos.append(told | ({"motion_px": list(shake.px)} if options.motion else {}))
    novel = []
    for n in range(0 if still else options.novel):
        pose = _pose(math.pi * (n + 0.8) / options.novel, 0.35 + 0.3 * (n % 3) / 2)
        sharp, mask = _render(mi, scene, pose, width, SAMPLES["sharp"], 1000 + n)
        _save(options.out / "novel" / f"{n:03d}.jpg", _srgb(sharp))
        _save(options.out / "novel_masks" / f"{n:03d}.png", mask)
        novel.append(_frame("novel", n, pose))
    model = {"camera_model": "PINHOLE", "w": width, "h": width * 3 // 4, "fl_x": focal_px, "fl_y": focal_px}
    model |= {"cx": width / 2, "cy": width * 3 // 4 / 2}
    for name, listed in (("transforms.json", frames), ("novel.json", novel)):
        (options.out / name).write_text(json.dumps({**model, "frames": listed}, indent=1))
    told = {k: v for k, v in vars(options).items() if k != "out"}
    truth = {"unit": "mm", "pupil_diameter_mm": pupil, "photos": photos, "options": told}
    (options.out / "truth.json").write_text(json.dumps(truth, indent=1))


def _mitsuba():
    """Mitsuba on a CPU; without LLVM its slow variant."""
    found = glob.glob("/usr/lib/*/libLLVM*.so*")
    libraries = sorted(
        found, key=lambda name: [int(part) for part in re.findall(r"\d+", Path(name).name)], reverse=True
    )
    if libraries:
        os.environ.setdefault("DRJIT_LIBLLVM_PATH", libraries[0])
    import mitsuba as mi

    mi.set_variant("llvm_ad_rgb" if libraries else "scalar_rgb")
    return mi


def _dark(mi, spots: bool, random: np.random.Generator) -> dict:
    """A surface, dark, with a pattern to hold on to."""
    texture = {"type": "bitmap", "bitmap": mi.Bitmap(_pattern(spots, random)), "raw": True, "filter_type": "bilinear"}
    return {"type": "twosided", "bsdf": {"type": "diffuse", "reflectance": texture}}


def _shell(mi, spots: bool, random: np.random.Generator) -> dict:
    """A snail's shell of some 20 mm: a tube that widens along a spiral, ribbed, standing on its rim."""
    along, around = 480, 96
    t, a = (grid.ravel() for grid in np.meshgrid(np.linspace(0, 1, along), np.linspace(0, 1, around), indexing="ij"))
    turn, grown = 2 * math.pi * 3 * t, np.exp(2.2 * (t - 1))
    wide = grown * (3.6 + 0.25 * np.sin(18 * turn) + 0.1 * np.sin(2 * math.pi * 7 * a))
    out = 5.2 * grown + wide * np.cos(2 * math.pi * a)
    xyz = np.stack(
        [out * np.cos(turn), 9.0 * (1 - grown) - 4.0 + wide * np.sin(2 * math.pi * a), out * np.sin(turn)], 1
    )
    first = (np.arange(along - 1)[:, None] * around + np.arange(around - 1)).ravel()
    faces = np.concatenate([np.stack([first, first + around, first + 1], 1)] * 2)
    faces[len(first) :] = np.stack([first + 1, first + around, first + around + 1], 1)
    mesh = mi.Mesh(
        "shell", len(xyz), len(faces), has_vertex_texcoords=True, props=_with_bsdf(mi, _dark(mi, spots, random))
    )
    values = mi.traverse(mesh)
    values["vertex_positions"] = xyz.astype(np.float32).ravel()
    values["vertex_texcoords"] = np.stack([3 * t, a], 1).astype(np.float32).ravel()
    values["faces"] = faces.astype(np.uint32).ravel()
    values.update()
    return {"type": "scene", "integrator": {"type": "path", "max_depth": 4, "hide_emitters": False}, "shell": mesh}


def _with_bsdf(mi, bsdf: dict):
    props = mi.Properties()
    props["surface"] = mi.load_dict(bsdf)
    return props


def _things(mi, spots: bool, random: np.random.Generator) -> dict:
    """Balls, rods and a cube in some 20 mm, dark, with a pattern to hold on to."""
    move = mi.ScalarTransform4f

    def dark() -> dict:
        return _dark(mi, spots, random)

    scene: dict = {"type": "scene", "integrator": {"type": "path", "max_depth": 4, "hide_emitters": False}}
    for k in range(7):
        turn, out = 2 * math.pi * k / 7, 8.5 if k else 0.0
        at = [out * math.cos(turn), out * math.sin(turn), 2.5 * math.sin(3.0 * k)]
        to_world = move().translate(at).rotate([0.0, 0.6, 0.8], 47.0 * k).scale(1.8 + 0.4 * (k % 3))
        scene[f"ball{k}"] = {"type": "sphere", "to_world": to_world, "bsdf": dark()}
    for k in range(5):  # thin rods, as legs and hairs are
        turn = 2 * math.pi * (k + 0.4) / 5
        foot = [3.0 * math.cos(turn), 3.0 * math.sin(turn), -3.0]
        tip = [11.0 * math.cos(turn + 0.5), 11.0 * math.sin(turn + 0.5), 4.5]
        scene[f"rod{k}"] = {"type": "cylinder", "p0": foot, "p1": tip, "radius": 0.35, "bsdf": dark()}
    to_world = move().translate([0.5, 1.5, 4.0]).rotate([0.8, 0.6, 0.0], 35.0).scale(1.8)
    # Six faces of six patterns: Mitsuba's own cube has one on all, and looks alike from six sides.
    for k, (axis, angle) in enumerate(((0, 0), (0, 90), (0, 180), (0, 270), (1, 90), (1, 270))):
        face = to_world.rotate(np.eye(3)[axis].tolist(), angle).translate([0.0, 0.0, 1.0])
        scene[f"face{k}"] = {"type": "rectangle", "to_world": face, "bsdf": dark()}
    return scene


def _surroundings(mi, backdrop: str) -> dict:
    """What stands about the things: light, and a table below them where they turn on one."""
    move = mi.ScalarTransform4f
    scene: dict = {}
    if backdrop == "white":
        scene["tent"] = {"type": "constant", "radiance": 0.85}
    if backdrop in STILL:
        scene["light"] = {"type": "constant", "radiance": 0.35}
        lamp = {"type": "area", "radiance": {"type": "rgb", "value": 4.5}}
        to_world = move().look_at(origin=[60.0, -90.0, 150.0], target=[0.0, 0.0, 0.0], up=[0.0, 0.0, 1.0]).scale(90.0)
        scene["lamp"] = {"type": "rectangle", "to_world": to_world, "emitter": lamp}
        bsdf: dict = {"type": "diffuse", "reflectance": {"type": "rgb", "value": 0.6}}
        if backdrop == "table":
            grain = _pattern(False, np.random.default_rng(100))
            bitmap = mi.Bitmap(np.clip(5 * grain - 0.05, 0.08, 0.8).astype(np.float32))
            bsdf["reflectance"] = {"type": "bitmap", "bitmap": bitmap, "raw": True, "filter_type": "bilinear"}
        to_world = move().translate([0.0, 0.0, -9.0]).scale(80.0)
        scene["ground"] = {"type": "rectangle", "to_world": to_world, "bsdf": {"type": "twosided", "bsdf": bsdf}}
    if backdrop == "black":
        for k, at in enumerate(([150.0, -40.0, 150.0], [-120.0, 100.0, 130.0])):
            lamp = {"type": "area", "radiance": {"type": "rgb", "value": 14.0}}
            to_world = move().look_at(origin=at, target=[0.0, 0.0, 0.0], up=[0.0, 0.0, 1.0]).scale(45.0)
            scene[f"lamp{k}"] = {"type": "rectangle", "to_world": to_world, "emitter": lamp}
    return scene


def _turned(mi, shape: dict, turn: float) -> dict:
    """A shape, turned about the vertical through the middle (radians)."""
    if "to_world" not in shape:
        return shape
    about = mi.ScalarTransform4f().rotate([0.0, 0.0, 1.0], math.degrees(turn))
    return {**shape, "to_world": about @ shape["to_world"]}


def _pattern(spots: bool, random: np.random.Generator) -> np.ndarray:
    """[H, W, 3] float32 linear albedo: noise of several sizes, tinted; as spots, light where it is brightest."""
    total = np.zeros((128, 256))
    for size in (8, 16, 32, 64):
        coarse = Image.fromarray(random.random((size, 2 * size)).astype(np.float32))
        total += np.asarray(coarse.resize((256, 128), Image.Resampling.BICUBIC))
    if spots:
        share = total > np.quantile(total, 1 - SPOTTED)
        return (DARK + (SPOT - DARK) * share[..., None] * random.uniform(0.8, 1.0, 3)).astype(np.float32)
    share = np.clip((total - total.mean()) / total.std() * 0.3 + 0.35, 0, 1)[..., None]
    tint = random.uniform(0.6, 1.0, 3)
    return (DARK + (LIGHT - DARK) * share * tint).astype(np.float32)


def _pose(turn: float, height: float) -> np.ndarray:
    """[4, 4] camera to world, OpenGL axes, z up: at an azimuth and an elevation (radians), aimed at the middle."""
    back = np.array([math.cos(turn) * math.cos(height), math.sin(turn) * math.cos(height), math.sin(height)])
    right = np.cross([0.0, 0.0, 1.0], back)
    right /= np.linalg.norm(right)
    pose = np.eye(4)
    pose[:3, :3] = np.stack([right, np.cross(back, right), back], 1)
    pose[:3, 3] = DISTANCE * back
    return pose


def _render(mi, scene, pose, width, samples, seed, aperture=0.0, focus=1.0) -> tuple[np.ndarray, np.ndarray]:
    """Colour [H, W, 3] linear through a thin lens; aperture 0: a pinhole, and how much of each px is a thing."""
    # Mitsuba looks along +z with x to the left.
    sensor = {
        "type": "thinlens" if aperture else "perspective",
        "fov": math.degrees(2 * math.atan(FIELD / DISTANCE / 2)),
        "fov_axis": "x",
        "to_world": mi.ScalarTransform4f(pose @ np.diag([-1.0, 1.0, -1.0, 1.0])),
        "film": {
            "type": "hdrfilm",
            "width": width,
            "height": width * 3 // 4,
            "rfilter": {"type": "box"},
            "pixel_format": "rgba",
        },
        "sampler": {"type": "multijitter", "sample_count": samples},
    }
    if aperture:
        sensor |= {"aperture_radius": aperture, "focus_distance": focus}
    camera = mi.load_dict(sensor)
    seen = np.array(mi.render(scene, sensor=camera, spp=samples, seed=seed))[..., :3]
    if aperture:
        return seen, np.zeros(0)
    # An environment counts as something seen unless it is hidden.
    first = mi.load_dict({"type": "path", "max_depth": 2, "hide_emitters": True})
    return seen, np.array(mi.render(scene, sensor=camera, spp=samples, seed=seed, integrator=first))[..., 3]


@dataclass(frozen=True)
class Shake:
    """How a camera moves during an exposure: what it sees turns about it, and shifts (OpenCV axes)."""

    px: tuple[float, float, float]  # by which what is in focus moves: right, down, and in the mean by the roll
    turn: np.ndarray  # [3] radians
    shift: np.ndarray  # [3] mm


STEADY = Shake((0.0, 0.0, 0.0), np.zeros(3), np.zeros(3))
INSTANTS = 12  # of an exposure with motion


def _shake(n: int, most: float, width: int, focal_px: float, focus: float, seed: int) -> Shake:
    """Of photo n: in any direction, by at least a third of the most, some of it as a turn of the camera; and a roll."""
    if not most:
        return STEADY
    random = np.random.default_rng([seed, n])
    way, along = 2 * math.pi * random.random(), most * random.uniform(1 / 3, 1)
    right, down, roll = along * math.cos(way), along * math.sin(way), along * random.uniform(-0.5, 0.5)
    turned, reach = random.random(), width * 1.25 / math.sqrt(12)
    turn = np.array([-down * turned / focal_px, right * turned / focal_px, roll / reach])
    return Shake((right, down, roll), turn, np.array([right, down, 0.0]) * (1 - turned) * focus / focal_px)


def _exposed(mi, scene, pose, shake: Shake, width: int, seed: int, aperture: float, focus: float) -> np.ndarray:
    """Colour [H, W, 3] linear, the mean over the exposure."""
    if shake is STEADY:
        return _render(mi, scene, pose, width, SAMPLES["photos"], seed, aperture, focus)[0]
    flip, total = np.diag([1.0, -1.0, -1.0, 1.0]), 0.0
    for k in range(INSTANTS):
        t, seen = (k + 0.5) / INSTANTS - 0.5, np.eye(4)
        seen[:3, :3], seen[:3, 3] = Rotation.from_rotvec(t * shake.turn).as_matrix(), t * shake.shift
        moved = pose @ flip @ np.linalg.inv(seen) @ flip
        total += _render(mi, scene, moved, width, SAMPLES["photos"] // INSTANTS, 100 * seed + k, aperture, focus)[0]
    return total / INSTANTS


def _gains(views: int, most: float, random: np.random.Generator) -> np.ndarray:
    """[V, 3]: exposure by up to `most`, white balance by a quarter of that; their geometric mean is 1."""
    logs = most * random.uniform(-1, 1, (views, 1)) + most / 4 * random.uniform(-1, 1, (views, 3))
    return np.exp(logs - logs.mean(0))


def _srgb(linear: np.ndarray) -> np.ndarray:
    linear = np.clip(linear, 0, 1)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def _frame(folder: str, n: int, pose: np.ndarray) -> dict:
    return {"file_path": f"{folder}/{n:03d}.jpg", "transform_matrix": pose.tolist()}


def _save(path: Path, values: np.ndarray, lens: dict[str, float] | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8))
    exif = Image.Exif()
    if lens:
        ifd = exif.get_ifd(0x8769)
        ifd[0x829D], ifd[0x920A] = lens["f_number"], lens["focal_mm"]
    picture.save(path, quality=95, subsampling=0, exif=exif) if path.suffix == ".jpg" else picture.save(path)


if __name__ == "__main__":
    main()
