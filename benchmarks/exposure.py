"""What exposures that differ between photos cost: a capture whose photos are given other gains, and what a run finds.

    python benchmarks/exposure.py make CAPTURE OUT [--stops 0.3] [--seed 0]
    macrosplat reconstruct OUT --out RUN ...
    python benchmarks/exposure.py compare OUT RUN

`make` multiplies each photo of CAPTURE and its sharp twin in linear light, by up to so many stops either way and by a
sixth of that per channel (white balance), cuts off what is then above white, and rounds to 8 bits; cameras, masks and
novel views are the same. `compare` prints how far the gains that RUN found are off, in stops.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

import numpy as np
from PIL import Image

from macrosplat.run import Run
from macrosplat.support.colour import to_bytes, to_linear, to_srgb

SHARE = 1 / 6  # of the stops: standard deviation of each channel's own


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    made = commands.add_parser("make")
    for name in ("capture", "out"):
        made.add_argument(name, type=Path)
    made.add_argument("--stops", type=float, default=0.3)
    made.add_argument("--seed", type=int, default=0)
    compared = commands.add_parser("compare")
    for name in ("capture", "run"):
        compared.add_argument(name, type=Path)
    asked = parser.parse_args()
    if asked.command == "make":
        make(asked.capture, asked.out, asked.stops, asked.seed)
    else:
        print(compare(asked.capture, asked.run))


def make(capture: Path, out: Path, most: float, seed: int) -> None:
    """The capture with gains, and `gains.json`: by photo, log2 of its gain in each channel; their mean is 0."""
    random = np.random.default_rng(seed)
    names = sorted(path.name for path in (capture / "photos").iterdir())
    stops = random.uniform(-most, most, (len(names), 1)) + random.normal(0, most * SHARE, (len(names), 3))
    stops -= stops.mean(0)
    shutil.copytree(capture, out, ignore=shutil.ignore_patterns("photos", "sharp"))
    for folder in ("photos", "sharp"):
        for name, gain in zip(names, 2.0**stops, strict=True):
            with Image.open(capture / folder / name) as photo:
                light = to_linear(np.asarray(photo.convert("RGB")).astype(np.float32) / 255)
                exif = photo.getexif()
            (out / folder).mkdir(exist_ok=True)
            levels = Image.fromarray(to_bytes(to_srgb(light * gain.astype(np.float32))))
            levels.save(out / folder / name, quality=97, subsampling=0, exif=exif)
    (out / "gains.json").write_text(json.dumps(dict(zip(names, stops.tolist(), strict=True))))


def compare(capture: Path, run: Path) -> str:
    """How far the gains are off, in a line."""
    true = json.loads((capture / "gains.json").read_text())
    found = Run(run).manifest.exposure_stops
    error = np.array([np.subtract(found[name], true[name]) for name in found])
    error -= error.mean(0)  # photos that were held out shift the mean
    spread = np.std([true[name] for name in found])
    return (
        f"{len(found)} photos, gains spread by {spread:.3f} stops; error: root mean square "
        f"{np.sqrt((error**2).mean()):.4f}, largest {np.abs(error).max():.4f} stops"
    )


if __name__ == "__main__":
    main()
