"""Files as other programs and cameras leave them: is each read as it should be?

    python benchmarks/reports.py REPORTS CAPTURES [--only WORD] [--no-runs]

REPORTS holds a folder of input for each kind, CAPTURES the captures fly and fly_brackets that they were made from.
Prints a line for each: what came out, what is right, and whether it passed. `--no-runs` leaves out what needs a
reconstruction (some minutes on one core).
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import io
import json
import os
import re
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from macrosplat.capture.open import open_capture
from macrosplat.photos.read import read_photo
from macrosplat.scene.formats.read import read_scene

Line = tuple[str, object, object, bool]


@dataclass
class Folders:
    reports: Path
    captures: Path
    scratch: Path

    def input(self, name: str) -> Path:
        return self.reports / name


def opened(folder: Path):
    with contextlib.redirect_stderr(io.StringIO()):
        return open_capture(folder)


def reconstructed(at: Folders, folder: Path, *options: str) -> dict:
    """lens.json of a run on the CPU, with its folder as `run`."""
    run = at.scratch / f"run{len(list(at.scratch.iterdir()))}"
    words = [sys.executable, "-m", "macrosplat", "reconstruct", str(folder), "--out", str(run), "--device", "cpu"]
    done = subprocess.run([*words, *options], capture_output=True, text=True)
    if done.returncode:
        return {"run": run, "refused": done.stderr.strip().splitlines()[-1:]}
    config = json.loads((run / "config.json").read_text())
    return {**json.loads((run / "lens.json").read_text()), "run": run, "config": config}


def adobe(at: Folders) -> Iterator[Line]:
    capture = opened(at.input("adobe_rgb_dcf/input"))
    for photo in capture.photos[:3]:
        found = read_photo(photo).astype(float)
        with Image.open(at.captures / "fly" / "photos" / photo.name) as base:
            right = np.asarray(base.convert("RGB").resize((photo.width, photo.height), Image.Resampling.BOX), float)
        # Colours alone: what is saturated, in means of 8 x 8 px, so that the coding of the JPEG counts for little.
        h, w = (8 * (n // 8) for n in found.shape[:2])
        a, b = (x[:h, :w].reshape(h // 8, 8, w // 8, 8, 3).mean((1, 3)) for x in (found, right))
        strong = np.ptp(b, axis=-1) > 80
        worst = np.abs(a - b)[strong].mean(0) if strong.any() else np.zeros(3)
        yield f"{photo.name}: levels off", np.round(worst, 1).tolist(), "<= 3", bool((worst <= 3).all())


def elsewhere(at: Folders) -> Iterator[Line]:
    truth = json.loads((at.captures / "fly" / "transforms.json").read_text())
    right = truth["fl_x"] / truth["w"]
    for folder in sorted(at.input("cameras_elsewhere/input").iterdir()):
        capture = opened(folder)
        cameras = capture.cameras
        count = len(cameras.names) if cameras else 0
        focal = float(cameras.intrinsics[0, 0] / cameras.sizes[0, 0]) if cameras else 0.0
        yield (
            folder.name,
            f"{count} cameras, focal length {focal:.3f}",
            f"8, {right:.3f}",
            count == 8 and abs(focal / right - 1) < 0.02,
        )


def masks(at: Folders) -> Iterator[Line]:
    for folder in sorted(at.input("masks_not_found/input").iterdir()):
        count = sum(photo.mask is not None for photo in opened(folder).photos)
        yield folder.name, count, 8, count == 8


def missing(at: Folders) -> Iterator[Line]:
    for folder in sorted(at.input("photos_called_missing/input").iterdir()):
        capture = opened(folder)
        count = len(capture.cameras.names) if capture.cameras else 0
        yield folder.name, count, 8, count == 8


def scenes(at: Folders) -> Iterator[Line]:
    read = {name: read_scene(at.input(f"ply_crlf_and_nan/input/{name}.ply")) for name in ("crlf", "lf", "nan")}
    counts = {name: len(scene.means) for name, scene in read.items()}
    yield "Gaussians", counts, "1228, 1228, 1226", list(counts.values()) == [1228, 1228, 1226]
    same = all(
        np.array_equal(np.asarray(a), np.asarray(b))
        for a, b in zip(values(read["crlf"]), values(read["lf"]), strict=True)
    )
    yield "crlf as lf", same, True, same


def seen_in_browser(at: Folders) -> Iterator[Line]:
    read = {name: b"" for name in ("lf", "crlf", "nan")}
    for name in read:
        words = [sys.executable, "-m", "macrosplat", "view", str(at.input(f"ply_crlf_and_nan/input/{name}.ply"))]
        view = subprocess.Popen(
            words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=os.environ | {"BROWSER": "true"}
        )
        assert view.stdout is not None
        said = b""
        for line in view.stdout:
            said += line
            address = re.search(rb"http://127.0.0.1:\d+/", line)
            if address:
                with urllib.request.urlopen(address[0].decode()) as page:
                    read[name] = page.read()
                break
        view.terminate()
        view.wait()
        right = "2 of the 1228 Gaussians" if name == "nan" else "a page"
        passed = len(read[name]) > 100_000 and (name != "nan" or right.encode() in said)
        yield f"view {name}.ply", f"page of {len(read[name])} bytes, {said.decode().splitlines()[:-1]}", right, passed


def values(scene) -> list:
    return list(scene.tensors().values())


def poses(at: Folders) -> Iterator[Line]:
    for kind, right in (
        ("stack_camera_names/input/sony", [5]),
        ("stack_camera_names/input/nikon", [5]),
        ("stack_consecutive_numbers/input/renamed", [5, 5, 5]),
        ("stack_consecutive_numbers/input/as_numbered", [5, 5, 5]),
    ):
        found = opened(at.input(kind))
        counts = collections.Counter(photo.pose for photo in found.photos)
        ok = None not in counts and sorted(counts.values()) == right
        yield kind.split("/")[-1], {str(k): v for k, v in counts.items()}, right, ok
    for kind in ("one_black_frame", "one_upside_down"):
        folder = at.input(f"stack_camera_names/input/{kind}")
        capture = opened(folder)
        names = [path.name for path in sorted(folder.rglob("*.[jJ][pP][gG]"))]
        said = [note for note in capture.notes if any(name in note for name in names) and "EXIF of" not in note]
        counts = collections.Counter(photo.pose for photo in capture.photos)
        yield (
            kind,
            f"{len(counts)} pose, {[note[:110] for note in said]}",
            "one pose, the odd slice named",
            (len(counts) == 1 and None not in counts and bool(said)),
        )


def orientation(at: Folders) -> Iterator[Line]:
    for turned in (1, 3, 6):
        lens = reconstructed(
            at, at.input(f"colmap_exif_orientation/input/orientation_{turned}"), "--width", "128", "--steps", "200"
        )
        fit = lens["config"]["summary"]["fit_psnr"] if "config" in lens else 0.0
        yield f"orientation {turned}", lens.get("refused") or f"{fit:.1f} dB", "27.8 dB, as the others", fit > 26.5


def two_models(at: Folders) -> Iterator[Line]:
    capture = opened(at.input("colmap_two_models/input"))
    count = len(capture.cameras.names) if capture.cameras else 0
    yield "cameras", count, 8, count == 8


def flicker(at: Folders) -> Iterator[Line]:
    right = np.asarray(Image.open(at.captures / "fly_brackets" / "sharp" / "002.jpg").convert("RGB"), float)
    for kind in ("steady", "flicker"):
        lens = reconstructed(at, at.input(f"stack_exposure_flicker/input/{kind}"))
        made = sorted((lens["run"] / "sharp").glob("*.png"))
        if not made:
            yield kind, lens.get("refused"), "26.0 dB", False
            continue
        found = Image.open(made[0]).convert("RGB").resize(right.shape[1::-1], Image.Resampling.LANCZOS)
        psnr = 10 * np.log10(255**2 / np.mean((np.asarray(found, float) - right) ** 2))
        yield kind, f"{psnr:.2f} dB", "26.0 dB", bool(psnr >= 25.9)


def nearest(at: Folders) -> Iterator[Line]:
    lens = reconstructed(at, at.input("stack_nearest_wrong/input"))
    yield "nearest", lens.get("nearest"), "fly_0.jpg, or open", lens.get("nearest") in (None, "fly_0.jpg")


KINDS: dict[str, tuple[bool, Callable[[Folders], Iterator[Line]]]] = {
    "adobe_rgb_dcf": (False, adobe),
    "cameras_elsewhere": (False, elsewhere),
    "colmap_two_models": (False, two_models),
    "masks_not_found": (False, masks),
    "photos_called_missing": (False, missing),
    "ply_crlf_and_nan": (False, scenes),
    "ply_crlf_and_nan, view": (False, seen_in_browser),
    "stack_camera_names, stack_consecutive_numbers": (False, poses),
    "colmap_exif_orientation": (True, orientation),
    "stack_exposure_flicker": (True, flicker),
    "stack_nearest_wrong": (True, nearest),
}


def main() -> int:
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("reports", type=Path)
    words.add_argument("captures", type=Path)
    words.add_argument("--only", default="")
    words.add_argument("--no-runs", action="store_true")
    asked = words.parse_args()
    fell = 0
    with tempfile.TemporaryDirectory(prefix="reports-") as scratch:
        at = Folders(asked.reports, asked.captures, Path(scratch))
        for kind, (runs, lines) in KINDS.items():
            if asked.only not in kind or (runs and asked.no_runs):
                continue
            try:
                for what, value, right, passed in lines(at):
                    fell += not passed
                    print(f"{kind}: {what}: {value}; right: {right}; {'passed' if passed else 'FELL'}", flush=True)
            except Exception as error:
                fell += 1
                print(f"{kind}: {type(error).__name__}: {str(error)[:300]}; FELL", flush=True)
    return 1 if fell else 0


if __name__ == "__main__":
    sys.exit(main())
