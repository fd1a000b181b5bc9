"""What a run found of a real lens, against the lens that took the photos.

    python benchmarks/lens_terms.py RUN TRUTH

RUN: finished, and evaluated against TRUTH (`macrosplat evaluate RUN --truth TRUTH`), whose truth.json holds the lens.
Prints PSNR on the mask (deblurred photos, novel views), the pupil's error, the focus error, the focal lengths' errors
photo by photo, k1, and the chroma error at edges: the mean absolute difference of R - G and B - G from the sharp
twins', in 8 bit steps, within 3 px of the twins' strong edges on the mask.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_gradient_magnitude, maximum_filter

from macrosplat.cameras.colmap import read_colmap
from macrosplat.evaluate.truth import key_of, open_truth, read_srgb, read_where
from macrosplat.photos.find import find_photos
from macrosplat.run import Run

EDGE = 97  # percentile of the gradient of luma from which a pixel is an edge


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("truth", type=Path)
    asked = parser.parse_args()
    figures = json.loads((asked.run / "evaluation.json").read_text())
    truth = json.loads((asked.truth / "truth.json").read_text())
    lens = json.loads((asked.run / "lens.json").read_text())
    means, found = figures["means"], figures.get("lens")
    line = [f"{asked.run.name}: mask {psnr(means, 'deblurred photos')}, novel {psnr(means, 'novel views')}"]
    if found:
        focus = found["focus_error_mm"]
        line.append(
            f"pupil {100 * found['relative_error']:+.1f} %, d0 {focus['median']:.2f} mm ({focus['largest']:.2f})"
        )
    names, focal, k1 = calibrated(asked.run)
    true = {key_of(photo["photo"]): photo.get("fl_x", truth.get("nominal_fl_x")) for photo in truth["photos"]}
    if all(true.values()):
        off = np.array([f / true[key_of(name)] - 1 for name, f in zip(names, focal, strict=True)])
        apart = np.abs(off - np.median(off))
        line.append(
            f"fx off {100 * np.median(off):+.2f} %, from that {100 * np.median(apart):.3f} ({100 * apart.max():.2f})"
        )
    if "lens" in truth:
        line.append(f"k1 {'none' if k1 is None else f'{k1:.3f}'} of {truth['lens']['k1']:.2f}")
    photo, ours = chroma(asked.run, asked.truth)
    line.append(f"chroma at edges {ours:.2f} (photos {photo:.2f})")
    print(", ".join(line))
    kept = (
        "breathing",
        "distortion_at_corner",
        "colour_focus",
        "vignetting",
        "field_curvature",
        "lateral_colour",
        "trust",
    )
    print("   ", json.dumps({key: lens[key] for key in kept if key in lens}))


def psnr(means: dict, section: str) -> str:
    """On the mask where there is one, else on the frame."""
    if section not in means:
        return "-"
    return f"{(means[section]['mask'] or means[section]['frame'])['psnr']:.2f}"


def calibrated(run: Path) -> tuple[tuple[str, ...], np.ndarray, float | None]:
    """Names, fx of the photos as taken, k1. A correction in training counts too."""
    _, cameras, _, _ = read_colmap(Run(run).sparse, find_photos(Path(Run(run).manifest.capture)).photos, upright=True)
    learned = Run(run).cameras()
    factor = dict(zip(learned.names, learned.intrinsics[:, 0] / learned.sizes[:, 0], strict=True))
    begun = zip(cameras.names, cameras.intrinsics[:, 0] / cameras.sizes[:, 0], strict=True)
    scale = np.array([factor[name] / focal for name, focal in begun])
    pairs = list(zip(cameras.distortion, cameras.intrinsics, cameras.sizes, strict=True))
    focal = np.array([(bent.params[0] if bent else k[0]) for bent, k, _ in pairs]) * scale
    bent = cameras.distortion[0]
    return cameras.names, focal, None if bent is None else float(bent.params[3 if "RADIAL" in bent.model else 4])


def chroma(run: Path, root: Path) -> tuple[float, float]:
    """Mean chroma error at edges of the photos and of the deblurred photos."""
    known = open_truth(root)
    ours = {key_of(photo.name): photo for photo in find_photos(run, masks=False, folder=Run(run).sharp_folder).photos}
    errors = []
    for key, twin in known.sharp.items():
        true, where = read_srgb(twin, None), read_where(twin, None)
        slope = gaussian_gradient_magnitude(true @ (0.299, 0.587, 0.114), 1.0)
        edge = maximum_filter(slope > np.percentile(slope, EDGE), 7) & (True if where is None else where)
        row = []
        for made in (known.photos[key], ours[key]):
            seen = read_srgb(made, true.shape[1])
            wrong = (seen - true)[edge]
            row.append(255 * np.abs(wrong[:, [0, 2]] - wrong[:, 1:2]).mean())
        errors.append(row)
    photo, deblurred = np.mean(errors, 0)
    return float(photo), float(deblurred)


if __name__ == "__main__":
    main()
