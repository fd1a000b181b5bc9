"""How a lens model does on real photos, which have no truth: against the photos themselves, sharp or nearly so.

    python benchmarks/real_photos.py CAPTURE [--every N] [--hold-out N] [--lens thin plain ...] [--quality draft ...]

For each lens model and quality one training. Prints dB, means over photos: the scene as it is (sharp) and as the lens
takes it (taken), both against the photos trained with, and sharp against the photos held out; then the pupil as a share
of the focus distance, and the notes of the run. What is sharp already must not lose: `thin` is compared with `plain`.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import io
import math
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from macrosplat import loop, pipeline, placing
from macrosplat.cameras.undistort import read_undistorted
from macrosplat.capture.open import open_capture
from macrosplat.options import Options
from macrosplat.render import Camera
from macrosplat.run import Run
from macrosplat.support.colour import to_srgb
from macrosplat.support.dispatch import choose
from macrosplat.support.metrics import psnr
from macrosplat.support.progress import Progress


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("capture", type=Path)
    parser.add_argument("--every", type=int, default=1, help="take each n-th photo only")
    parser.add_argument("--hold-out", type=int, default=0)
    parser.add_argument("--width", type=int)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--lens", nargs="+", default=["thin", "plain"])
    parser.add_argument("--quality", nargs="+", default=["draft", "standard"])
    parser.add_argument("--steps", type=int)
    parser.add_argument("--cameras", type=Path, help="a COLMAP model to begin with; else they are found")
    asked = parser.parse_args()
    print("lens      quality     sharp  taken  held out  pupil/d0  photos  seconds")
    with tempfile.TemporaryDirectory() as made:
        capture = Path(made) / "capture"
        capture.mkdir()
        taken = sorted(p for p in (asked.capture / "photos").iterdir() if p.is_file())[:: asked.every]
        for photo in taken:
            (capture / photo.name).symlink_to(photo.resolve())
        if asked.cameras:
            (capture / "sparse").mkdir()
            (capture / "sparse" / "0").symlink_to(asked.cameras.resolve())
        cameras = Path(made) / "cameras"
        pipeline.find_cameras(capture, cameras, Options(hold_out=asked.hold_out))
        for quality in asked.quality:
            for lens in asked.lens:
                print(one(asked, capture, cameras, quality, lens, Path(made) / f"{lens}-{quality}"), flush=True)


def one(asked: argparse.Namespace, capture: Path, cameras: Path, quality: str, lens: str, out: Path) -> str:
    began = time.monotonic()
    options = Options(
        quality=quality,  # type: ignore[arg-type]
        lens=lens,  # type: ignore[arg-type]
        width=asked.width,
        device=asked.device,
        seed=asked.seed,
        hold_out=asked.hold_out,
        steps=asked.steps,
    )
    text = io.StringIO()
    with contextlib.redirect_stderr(text), Progress() as progress:
        opened = open_capture(capture, True, True)
        run = Run.begin(out, capture, opened.photos, options, resume=False)
        placing.take_cameras(Run(cameras), run)
        device = choose(options.device)
        given = placing.place(opened, run, progress, pipeline._width(opened.photos, None, options, device))
        trainer, _, _ = loop.make_trainer(given, run, device, progress)
        while trainer.done < trainer.schedule.steps:
            trainer.step()
        trainer.settle()
    model, targets = trainer.model, trainer.targets
    sampling = trainer.schedule.at(trainer.schedule.steps - 1, trainer.start, model.lens).sampling
    with torch.no_grad():
        shown = model.cameras()

        def against(drawn: torch.Tensor, photo: np.ndarray) -> float:
            return psnr(to_srgb(drawn.clamp(0, 1)).cpu().numpy(), photo / 255.0, None)

        sharp = [against(model.sharp(shown[v], v), targets.photos[v]) for v in range(len(targets))]
        seen = [against(model.photograph(v, sampling), targets.photos[v]) for v in range(len(targets))]
        apart = []
        if given.held_out is not None:
            held = dataclasses.replace(
                given.held_out, views=model.rig.followed(torch.from_numpy(given.held_out.views)).numpy()
            ).resized(given.width)
            by_name = {photo.name: photo for photo in opened.photos}
            each = zip(held.views, held.intrinsics, held.sizes, held.names, held.distortion, strict=True)
            for view, k, (w, h), name, distortion in each:
                frame = dataclasses.replace(shown[0].frame, width=int(w), height=int(h))
                focal = model.rig.focal()
                k = torch.tensor(k * np.array([focal, focal, 1, 1])).to(shown[0].view)
                camera = Camera(torch.tensor(view).to(shown[0].view), k, frame)
                apart.append(against(model.sharp(camera), read_undistorted(by_name[name], distortion, int(w))))
    found = model.estimate()
    pupil = found.pupil_diameter / np.median(found.focus_distances) if found else math.nan
    figures = f"{np.mean(sharp):6.2f} {np.mean(seen):6.2f}  {np.mean(apart) if apart else math.nan:8.2f}  {pupil:8.4f}"
    told = " | ".join(line.strip() for line in text.getvalue().splitlines() if line.strip())[-300:]
    seconds = time.monotonic() - began
    return f"{lens:9s} {quality:9s} {figures}  {len(targets):6d}  {seconds:7.0f}  [{model.lens.name}] {told}"


if __name__ == "__main__":
    main()
