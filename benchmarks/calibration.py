"""Given cameras with one focal length and no distortion, corrected by the photos: how far from the truth they end.

    python benchmarks/calibration.py CAPTURE [--cameras transforms_shared.json]

CAPTURE: photos of a lens that breathes or distorts, with truth.json as the truth (fl_x of each photo, k1). Prints the
focal lengths' relative errors and k1 before and after. Points are triangulated twice.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from pathlib import Path

import numpy as np

from macrosplat.cameras.records import Cameras
from macrosplat.capture.open import open_capture
from macrosplat.capture.solve import solve
from macrosplat.support.progress import Progress


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("capture", type=Path)
    parser.add_argument("--cameras", default="transforms_shared.json")
    asked = parser.parse_args()
    truth = json.loads((asked.capture / "truth.json").read_text())
    true = np.array([photo["fl_x"] for photo in truth["photos"]])
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "capture"
        folder.mkdir()
        (folder / "photos").symlink_to((asked.capture / "photos").resolve())
        shutil.copy(asked.capture / asked.cameras, folder / "transforms.json")
        opened = open_capture(folder)
        assert opened.cameras is not None, "the capture has no cameras"
        with Progress() as progress:
            found, points, _ = solve(opened, Path(scratch) / "sfm", 0, progress)
    print(f"{asked.capture.name}, {asked.cameras}: true k1 {truth['lens']['k1']:.3f}, {len(points)} points")
    for name, cameras in {"given": opened.cameras, "corrected": found}.items():
        off, k1 = np.abs(focal(cameras) / true - 1), cameras.distortion[0]
        bent = f"{k1.params[4]:.3f}" if k1 else "none"
        print(f"{name:10s} fx off by {100 * np.median(off):.3f} % (median), {100 * off.max():.3f} % (most); k1 {bent}")


def focal(cameras: Cameras) -> np.ndarray:
    """[V] fx of the photos as taken."""
    pairs = zip(cameras.distortion, cameras.intrinsics, strict=True)
    return np.array([bent.params[0] if bent else k[0] for bent, k in pairs])


if __name__ == "__main__":
    main()
