"""Large captures: do they finish, or are they refused with a reason, and with how much memory?

    python benchmarks/load.py CAPTURE [--photos 1000] [--megapixels 100] [--only WORD] [--limit 1800]
                              [--points RUN] [-- OPTIONS of reconstruct]

CAPTURE has photos and a transforms.json. `many` is so many photos of 0.3 MP (the same views again and again, each
cropped a little otherwise, with the principal point that belongs to it); `large` is three photos enlarged to so many
megapixels. Both with cameras, and without; `many` also with the cameras and points of RUN, a run of CAPTURE. Prints
the exit code, the time, the peak of the process, what it said of the time and memory that it takes and when, and its
last words.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

WIDTH = 640  # px: of 0.3 MP


def frames_of(capture: Path) -> tuple[dict, list[dict]]:
    data = json.loads((capture / "transforms.json").read_text())
    return data, data.pop("frames")


def many(capture: Path, out: Path, count: int, cameras: bool) -> None:
    """`count` photos, those of the capture shifted by up to 6 px, with the principal point that belongs to it, and each
    with a pose of its own, by a hundredth of a px."""
    (out / "photos").mkdir(parents=True)
    data, frames = frames_of(capture)
    rng, made = np.random.default_rng(0), []
    width = WIDTH
    factor = (width + 12) / data["w"]
    size = (width + 12, round(data["h"] * factor))
    photos = [Image.open(capture / f["file_path"]).convert("RGB").resize(size) for f in frames]
    for n in range(count):
        frame, (x, y) = frames[n % len(frames)], rng.integers(0, 12, 2).tolist()
        name = f"photos/{n:04d}.jpg"
        photos[n % len(frames)].crop((x, y, x + width, y + size[1] - 12)).save(out / name, quality=90)
        pose = np.array(frame["transform_matrix"])
        pose[:3, 3] += rng.normal(0, 1e-5 * float(np.linalg.norm(pose[:3, 3])), 3)  # else they would be brackets
        frame = {**frame, "transform_matrix": pose.tolist()}
        made.append({**frame, "file_path": name, "cx": data["cx"] * factor - x, "cy": data["cy"] * factor - y})
    top = {**data, "w": width, "h": size[1] - 12, "fl_x": data["fl_x"] * factor, "fl_y": data["fl_y"] * factor}
    if cameras:
        (out / "transforms.json").write_text(json.dumps({**top, "frames": made}))


def many_with_points(capture: Path, run: Path, out: Path, count: int) -> None:
    """As `many`, of photos as large as RUN's, with the points that RUN has."""
    from macrosplat.cameras.colmap import read_colmap, write_colmap
    from macrosplat.cameras.records import Cameras, SparsePoints
    from macrosplat.capture.open import open_capture

    many(capture, out, count, cameras=True)
    data, frames = frames_of(out)
    _, cameras, points, _ = read_colmap(run / "sparse" / "0", open_capture(capture).photos, upright=True)
    factor = (WIDTH + 12) / cameras.sizes[0, 0]
    intrinsics, views, photo, point, px = [], [], [], [], []
    rng = np.random.default_rng(1)
    for n, frame in enumerate(frames):
        v = n % len(cameras)
        fx, fy, cx, cy = cameras.intrinsics[v] * factor
        moved = np.round([cx - frame["cx"], cy - frame["cy"]])  # px that the photo was cropped by
        intrinsics.append([fx, fy, cx - moved[0], cy - moved[1]])
        views.append(cameras.views[v].copy())
        views[-1][:3, 3] += rng.normal(0, 1e-5 * float(np.linalg.norm(views[-1][:3, 3])), 3)
        of = points.photo == v
        photo.append(np.full(int(of.sum()), n))
        point.append(points.point[of])
        px.append(points.px[of] * factor - moved)
    names = tuple(Path(frame["file_path"]).name for frame in frames)
    sizes = np.tile([data["w"], data["h"]], (count, 1))
    given = Cameras(names, np.array(views), np.array(intrinsics), sizes, "colmap")
    seen = SparsePoints(points.xyz, points.rgb, np.concatenate(point), np.concatenate(photo), np.concatenate(px))
    write_colmap(out / "sparse" / "0", given, seen)
    (out / "transforms.json").unlink()


def large(capture: Path, out: Path, megapixels: float, cameras: bool) -> None:
    """The first three photos, enlarged: neighbours that still see the same."""
    (out / "photos").mkdir(parents=True)
    data, frames = frames_of(capture)
    factor = (megapixels * 1e6 / data["w"] / data["h"]) ** 0.5
    size = (round(data["w"] * factor), round(data["h"] * factor))
    for frame in frames[:3]:
        photo = Image.open(capture / frame["file_path"])
        photo.convert("RGB").resize(size, Image.Resampling.BICUBIC).save(
            out / "photos" / Path(frame["file_path"]).name, quality=90, exif=photo.getexif()
        )
    if cameras:
        kept = [{**frame, "file_path": f"photos/{Path(frame['file_path']).name}"} for frame in frames[:3]]
        (out / "transforms.json").write_text(json.dumps({**data, "frames": kept}))


def tried(capture: Path, out: Path, options: list[str], limit: float) -> str:
    command = [sys.executable, "-m", "macrosplat", "reconstruct", str(capture), "--out", str(out), *options]
    began = time.monotonic()
    told: float | None = None
    with open(out.with_suffix(".err"), "w+") as err:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=err)
        while True:
            done, status, used = os.wait4(process.pid, os.WNOHANG)
            if done:
                break
            if time.monotonic() - began > limit:
                process.terminate()
            if told is None and "will take about" in out.with_suffix(".err").read_text():
                told = time.monotonic() - began
            time.sleep(0.2)
        err.seek(0)
        lines = [line for line in err.read().splitlines() if line.strip()]
    said = [line for line in lines if "will take about" in line] + lines[-1:]
    code = os.waitstatus_to_exitcode(status)
    estimated = "" if told is None else f", the first estimate after {told:.1f} s"
    took, peak = time.monotonic() - began, used.ru_maxrss / 1e6
    return f"exit {code} after {took:.0f} s, {peak:.1f} GB at the peak{estimated}: {said}"


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("capture", type=Path)
    words.add_argument("--photos", type=int, default=1000)
    words.add_argument("--megapixels", type=float, default=100)
    words.add_argument("--only", default="")
    words.add_argument("--limit", type=float, default=1800, help="s")
    words.add_argument("--points", type=Path, help="a run of CAPTURE")
    given = sys.argv[1:]
    split = given.index("--") if "--" in given else len(given)
    asked, options = words.parse_args(given[:split]), given[split + 1 :]
    with tempfile.TemporaryDirectory(prefix="load-") as scratch:
        title = "many, with cameras and points"
        if asked.points and asked.only in title:
            folder = Path(scratch) / "points"
            many_with_points(asked.capture, asked.points, folder, asked.photos)
            print(f"{title}: {tried(folder, folder / 'run', options, asked.limit)}", flush=True)
        for cameras in (True, False):
            for kind in ("many", "large"):
                title = f"{kind}, {'with' if cameras else 'without'} cameras"
                if asked.only not in title:
                    continue
                folder = Path(scratch) / title.replace(", ", "_").replace(" ", "_")
                if kind == "many":
                    many(asked.capture, folder, asked.photos, cameras)
                else:
                    large(asked.capture, folder, asked.megapixels, cameras)
                print(f"{title}: {tried(folder, folder / 'run', options, asked.limit)}", flush=True)


if __name__ == "__main__":
    main()
