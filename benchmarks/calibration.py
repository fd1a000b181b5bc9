"""Given cameras with one focal length and no distortion, corrected by the photos: how far from the truth they end.

    python benchmarks/calibration.py CAPTURE [--cameras transforms_shared.json --seed 0 --leave-out 003 017]

CAPTURE: photos of a lens that breathes or distorts, with truth.json as the truth (fl_x of each photo, k1). Prints the
focal lengths' relative errors and k1 before and after. Points are triangulated twice. Of photos that are left out the
given focal length knows nothing: it is the mean of the others, as it is of all.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from macrosplat.cameras.records import Cameras
from macrosplat.capture.open import open_capture
from macrosplat.capture.solve import solve
from macrosplat.evaluate.truth import key_of
from macrosplat.support.progress import Progress


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("capture", type=Path)
    parser.add_argument("--cameras", default="transforms_shared.json")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--leave-out", nargs="+", default=[], help="names of photos, without their suffix")
    asked = parser.parse_args()
    truth = json.loads((asked.capture / "truth.json").read_text())
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "capture"
        folder.mkdir()
        (folder / "photos").symlink_to((asked.capture / "photos").resolve())
        shutil.copy(asked.capture / asked.cameras, folder / "transforms.json")
        opened = open_capture(folder)
        assert opened.cameras is not None, "the capture has no cameras"
        told = {key_of(photo["photo"]): photo.get("fl_x") for photo in truth["photos"]}
        pairs = zip(opened.cameras.names, opened.cameras.intrinsics, strict=True)
        lens = {name: told[key_of(name)] or float(k[0]) for name, k in pairs}
        kept = [name for name in lens if Path(name).stem not in asked.leave_out]
        true = np.array([lens[name] for name in kept])
        given = opened.cameras.select(kept)
        if asked.leave_out:
            factor = true.mean() / np.mean(list(lens.values()))
            given = replace(given, intrinsics=given.intrinsics * [factor, factor, 1, 1])
        photos = tuple(photo for photo in opened.photos if photo.name in kept)
        with Progress() as progress:
            found = solve(replace(opened, photos=photos, cameras=given), Path(scratch) / "sfm", asked.seed, progress)
    k1 = truth.get("lens", {}).get("k1", 0)
    print(f"{asked.capture.name}, {asked.cameras}: true k1 {k1:.3f}, {len(found.points)} points")
    for name, cameras in {"given": given, "corrected": found.cameras}.items():
        off, k1 = np.abs(focal(cameras) / true - 1), cameras.distortion[0]
        bent = f"{k1.params[4]:.3f}" if k1 else "none"
        print(f"{name:10s} fx off by {100 * np.median(off):.3f} % (median), {100 * off.max():.3f} % (most); k1 {bent}")


def focal(cameras: Cameras) -> np.ndarray:
    """[V] fx of the photos as taken."""
    pairs = zip(cameras.distortion, cameras.intrinsics, strict=True)
    return np.array([bent.params[0] if bent else k[0] for bent, k in pairs])


if __name__ == "__main__":
    main()
