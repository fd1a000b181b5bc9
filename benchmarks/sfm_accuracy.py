"""How far solved cameras are from true ones.

    python benchmarks/sfm_accuracy.py CAPTURE [CAPTURE ...] [--triangulate]

Every capture folder holds its photos and cameras of another program (or a COLMAP model in `reference_sparse/`), which
are read here only to compare: the solver sees photos without masks. Centres are compared after the best similarity,
in % of the median distance from the true cameras to the point nearest to all their axes. `--triangulate` also
compares the depth of points made under the true cameras with `depth/NNN.png` (camera z at half size, unit in
`truth.json`).
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import pycolmap
from numpy.typing import NDArray
from PIL import Image
from scipy.spatial.transform import Rotation

from macrosplat.cameras.colmap import load_model
from macrosplat.cameras.records import Cameras, SparsePoints
from macrosplat.cameras.sfm.known import triangulate
from macrosplat.cameras.sfm.solve import solve_cameras
from macrosplat.cameras.similarity import mapped
from macrosplat.capture.open import open_capture
from macrosplat.capture.records import Capture
from macrosplat.photos.find import find_photos


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("captures", type=Path, nargs="+")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--triangulate", action="store_true")
    parser.add_argument("--verbose", action="store_true")
    args = parser.parse_args()
    print(
        f"{'capture':14} {'photos':>8} {'median %':>9} {'max %':>7} {'turn deg':>9} {'focal':>6} {'points':>7} "
        f"{'s':>6} {'cpu s':>6}"
    )
    for root in args.captures:
        photos = find_photos(root, masks=False).photos
        capture = Capture(root, photos)
        truth = true_cameras(root, capture)
        tell = (lambda fraction, text: print(f"  {fraction:4.0%} {text}")) if args.verbose else None
        with tempfile.TemporaryDirectory() as scratch:
            began, cpu = time.perf_counter(), time.process_time()
            cameras, points, report = solve_cameras(capture.photos, Path(scratch), tell, args.seed)
            seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
            median, worst, turn = errors(cameras, truth)
            focal = np.median(cameras.intrinsics[:, 0] / truth.select(cameras.names).intrinsics[:, 0])
            print(
                f"{root.name:14} {len(cameras):3d}/{len(photos):<4d} {median:9.2f} {worst:7.2f} {turn:9.3f} "
                f"{focal:6.3f} {len(points):7d} {seconds:6.1f} {cpu:6.1f}"
            )
            for attempt in report.attempts:
                print("  ", attempt)
            for sentence in report.sentences:
                print("  ", sentence)
            if args.triangulate and (root / "truth.json").is_file():
                began, cpu = time.perf_counter(), time.process_time()
                points = triangulate(capture.photos, truth, Path(scratch), tell, args.seed)
                seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
                print(
                    f"   true cameras: {describe(points)}; {depth_error(root, truth, points)}; "
                    f"{seconds:.1f} s, {cpu:.1f} cpu s"
                )


def true_cameras(root: Path, capture: Capture) -> Cameras:
    """The cameras that the capture is compared with."""
    cameras = open_capture(root, masks=False, brackets=False).cameras
    if cameras is not None:
        return cameras
    model = load_model(root / "reference_sparse")
    known = {Path(photo.name).stem: photo for photo in capture.photos}  # suffixes differ in case
    images = [image for image in model.images.values() if Path(image.name).stem in known]
    images.sort(key=lambda image: image.name)
    photos = [known[Path(image.name).stem] for image in images]
    views = np.stack([np.vstack([image.cam_from_world().matrix(), [0, 0, 0, 1]]) for image in images])
    sizes = np.array([(photo.width, photo.height) for photo in photos])
    focal = np.array([image.camera.focal_length_x / image.camera.width for image in images]) * sizes[:, 0]
    intrinsics = np.column_stack([focal, focal, sizes / 2])
    return Cameras(tuple(photo.name for photo in photos), views, intrinsics, sizes, "colmap")


def errors(cameras: Cameras, truth: Cameras) -> tuple[float, float, float]:
    """Median and largest distance of the centres in %, median angle between the aligned rotations in degrees."""
    truth = truth.select(cameras.names)
    fit = similarity(cameras.centres, truth.centres)
    off = np.linalg.norm(fit * cameras.centres - truth.centres, axis=1)
    axes = truth.views[:, 2, :3]
    across = np.eye(3) - axes[:, :, None] * axes[:, None, :]
    middle = np.linalg.solve(across.sum(0), np.einsum("vij,vj->i", across, truth.centres))
    distance = np.median(np.linalg.norm(truth.centres - middle, axis=1))
    own, true = (Rotation.from_matrix(found.views[:, :3, :3]) for found in (mapped(fit, cameras), truth))
    turn = np.degrees((own.inv() * true).magnitude())
    return float(100 * np.median(off) / distance), float(100 * off.max() / distance), float(np.median(turn))


def similarity(source: NDArray, target: NDArray) -> pycolmap.Sim3d:
    """Target = fit * source, of [N, 3] points, with the least squared distances (Umeyama 1991)."""
    fit = pycolmap.estimate_sim3d(source, target)
    assert fit is not None, "points on a line, or too few"
    return fit


def describe(points: SparsePoints) -> str:
    length = np.bincount(points.point, minlength=len(points))
    return f"{len(points)} points, {len(points.point)} observations, {length.mean():.1f} photos a point"


def depth_error(root: Path, cameras: Cameras, points: SparsePoints) -> str:
    """Depth of each observation's point against the depth map, which holds 0 where there is nothing."""
    unit = json.loads((root / "truth.json").read_text())["depth_scale_mm"]
    off = []
    for n, name in enumerate(cameras.names):
        depth = np.asarray(Image.open(root / "depth" / f"{Path(name).stem}.png")).astype(np.float64) * unit
        mine = points.photo == n
        at = np.clip(
            (points.px[mine] * depth.shape[1] / cameras.sizes[n, 0]).astype(int), 0, np.array(depth.shape[::-1]) - 1
        )
        true = depth[at[:, 1], at[:, 0]]
        z = points.xyz[points.point[mine]] @ cameras.views[n, 2, :3] + cameras.views[n, 2, 3]
        off.append((z - true)[true > 0])
    error = np.abs(np.concatenate(off))
    return (
        f"depth off by {np.median(error):.2f} (median), {np.percentile(error, 90):.2f} (90 %), "
        f"{np.mean(error > 3):.1%} > 3 units"
    )


if __name__ == "__main__":
    main()
