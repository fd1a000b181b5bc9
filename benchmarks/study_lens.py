"""Which values of the schedule and of the lens are best: one run for each set of values, compared with the truth.

    python benchmarks/study_lens.py CAPTURE OUT [--width PX] [--seeds 0 1] ["NAME=VALUE NAME=VALUE" ...]

CAPTURE has cameras, sharp/ and perhaps novel/ and masks/; masks are taken for a part of the truth unless a set of
values has masks=auto. Each quoted set of values is one variant, "" is the default; without any, CANDIDATES are tried. A
NAME is a field of `Schedule` (half_from=0.2), of the lens model (learn_from=0.1), a constant of the lens or the
trainer (PUPIL_RATE=1e-3, NOISE=200), a learning rate (rates.means=0.2), or an option (quality=high,
thin.aperture_samples=8, blurnet.rate=4e-3). OUT/cameras is made once, or taken as `macrosplat compare` left it. Prints
a line per run: PSNR in dB of the deblurred photos on their masks and of the novel views, what is lacking near the
masks' outlines, errors of pupil and focus, seconds of the training and of each tenth of its steps. The scenes are
compared as they stand in memory; nothing else of a run is written.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import dataclasses
import functools
import io
import math
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from macrosplat import loop, pipeline, placing
from macrosplat.capture.open import open_capture
from macrosplat.evaluate.truth import Truth, matching, open_truth, read_srgb, read_where
from macrosplat.lens import LENSES, Lens, LensStart, start, thin
from macrosplat.options import Options
from macrosplat.photos.records import Photo
from macrosplat.render import Camera
from macrosplat.run import Run
from macrosplat.support.colour import to_srgb
from macrosplat.support.dispatch import choose
from macrosplat.support.metrics import outline_psnr, squared_error_map
from macrosplat.support.progress import Progress
from macrosplat.train import adam, schedule, training
from macrosplat.train import begin as begin_module
from macrosplat.train import trainer as trainer_module
from macrosplat.train.trainer import Trainer

# What may be worth its time, most promising first.
CANDIDATES = (
    "",
    "thin.aperture_samples=1",  # what looking past edges is worth
    "thin.aperture_samples=8",
    "PUPIL_RATE=1e-3 PUPIL_END=1.0",  # how the pupil was learned before
    "spans=((0.12,0.4,4,0),(0.55,1.0,4,0))",  # earlier past the edges at full resolution
    "max_gaussians=120000",  # twice the standard: is the scene too coarse for its lens?
    "opacity_weight=0.001 scale_weight=0.001",
    "spans=((0.05,0.4,4,0),(0.7,1.0,4,0))",  # from the first, at a quarter of the resolution
    "full_from=0.3 spans=((0.12,0.3,4,0),(0.6,1.0,4,0))",
    "LAYOUTS={4:(0.65,0.197),8:(0.72,0.152)}",
    "FOCUS_RATE=5e-4",
    "rates.means=0.2",
    "steps=8000",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("capture", "out"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--width", type=int)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--lens", default="thin")
    parser.add_argument("variants", nargs="*", default=CANDIDATES)
    asked = parser.parse_intermixed_args()
    print("photos  novel  outline  pupil   focus mm  seconds  capture  seed  values", flush=True)
    cameras = asked.out / "cameras"
    if not (cameras / "sparse").is_dir():
        pipeline.find_cameras(asked.capture, cameras, Options(masks="off"))
    for values in asked.variants:
        for seed in asked.seeds:
            with tempfile.TemporaryDirectory(dir=asked.out) as run:
                print(one(asked, values, seed, Path(run) / "run", cameras), flush=True)


def one(asked: argparse.Namespace, values: str, seed: int, run: Path, cameras: Path) -> str:
    """A run and its figures."""
    with variant(asked.lens, values) as changed, contextlib.redirect_stderr(io.StringIO()), Progress() as progress:
        fixed = {"width": asked.width, "device": asked.device, "seed": seed, "lens": asked.lens, "masks": "off"}
        options = dataclasses.replace(Options(), **{**fixed, **changed})
        opened = open_capture(asked.capture, options.masks == "auto", options.brackets == "auto")
        opened_run = Run.begin(run, asked.capture, opened.photos, options, resume=False)
        placing.take_cameras(Run(cameras), opened_run)
        device = choose(options.device)
        width = pipeline._width(opened.photos, None, options, device)
        given = placing.place(opened, opened_run, progress, width)
        trainer, names, _ = loop.make_trainer(given, opened_run, device, progress)
        began, tenths = time.monotonic(), []
        while trainer.done < trainer.schedule.steps:
            trainer.step()
            if trainer.done * 10 // trainer.schedule.steps > len(tenths):
                trainer.settle()
                tenths.append(time.monotonic() - began)
    seconds = tenths[-1]
    photos, novel, outline, pupil, focus = compared(trainer, names, open_truth(asked.capture))
    name = asked.capture.resolve().name
    figures = f"{photos:6.2f}  {novel:6.2f}  {outline:+7.2f}  {100 * pupil:+5.1f} %  {focus:8.2f}  {seconds:7.0f}"
    parts = " ".join(f"{end - begin:.1f}" for begin, end in zip([0.0, *tenths], tenths, strict=False))
    return f"{figures} ({parts})  {name}  {seed:4d}  {asked.lens} {values}"


@torch.no_grad()
def compared(trainer: Trainer, names: tuple[str, ...], truth: Truth) -> tuple[float, float, float, float, float]:
    """Mean PSNR of the photos (on masks) and of the novel views, how much lower it is near the masks' outlines than
    inside, relative error of the pupil, median one of the focus; cameras and lengths have to be the truth's."""
    model, cameras = trainer.model, trainer.model.cameras()
    width = cameras[0].frame.width
    outlines = []

    def psnr(camera: Camera, photo: int | None, true: Photo) -> float:
        drawn = to_srgb(model.sharp(camera, photo).clamp(0, 1)).cpu().numpy()
        wrong = squared_error_map(drawn, read_srgb(true, width))
        where = read_where(true, width)
        if where is None:
            return float(-10 * np.log10(wrong.mean()))
        near, inside = outline_psnr(wrong, where)
        outlines.append((near or math.nan) - (inside or math.nan))
        return float(-10 * np.log10(wrong[where].mean()))

    twins = {i: truth.sharp[key] for i, name in enumerate(names) if (key := matching(name, truth.sharp))}
    photos = np.mean([psnr(cameras[i], i, twin) for i, twin in twins.items()])
    novel, outline = math.nan, float(np.nanmean(outlines)) if outlines else math.nan
    if truth.novel_cameras is not None:
        novel_cameras = truth.novel_cameras.resized(width)
        like, of = cameras[0], dict(truth.novel)
        each = []
        novel = zip(
            novel_cameras.views, novel_cameras.intrinsics, novel_cameras.sizes, novel_cameras.names, strict=True
        )
        for view, k, (w, h), name in novel:
            frame = dataclasses.replace(like.frame, width=int(w), height=int(h))
            camera = Camera(torch.tensor(view).to(like.view), torch.tensor(k).to(like.view), frame)
            key = matching(name, of)
            assert key is not None, f"no picture of {name}"
            each.append(psnr(camera, None, of[key]))
        novel = float(np.mean(each))
    found = model.estimate()
    if truth.lens is None or found is None:
        return float(photos), novel, outline, math.nan, math.nan
    focus = [
        abs(d0 - truth.lens.focus_distances[key])
        for d0, name in zip(found.focus_distances, names, strict=True)
        if (key := matching(name, truth.lens.focus_distances))
    ]
    pupil = found.pupil_diameter / truth.lens.pupil_diameter - 1
    return float(photos), novel, outline, pupil, float(np.median(focus))


def _with(kind: Any, changed: dict[str, Any], *args: Any, **planned: Any) -> Any:
    return kind(*args, **(planned | changed))


@contextlib.contextmanager
def variant(model: str, values: str) -> Iterator[dict[str, Any]]:
    """The values in force for a lens model; yields those that are options."""
    fields = {field.name for field in dataclasses.fields(schedule.Schedule)}
    of_lens = ("spans", "learn_from", "pupil_from", "poses_from", "blur_from", "joint_from")
    options: dict[str, Any] = {}
    planned: dict[str, Any] = {}
    before: list[tuple[Any, str, Any]] = []
    rates = dict(schedule.RATES)
    for pair in values.split():
        name, text = pair.split("=", 1)
        try:
            value: Any = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            value = text
        if name.startswith("rates."):
            assert name[6:] in rates, f"no learning rate {name[6:]}"
            schedule.RATES[name[6:]] = value
        elif "." in name:
            record, field = name.split(".")
            before_it = options.get(record, getattr(Options(), record))
            value = text if isinstance(getattr(before_it, field), str) else value
            options[record] = dataclasses.replace(before_it, **{field: value})
        elif name in of_lens:
            planned[name] = value
        elif name in fields and name != "steps":
            before.insert(0, (begin_module, "Schedule", begin_module.Schedule))
            begin_module.Schedule = functools.partial(_with, begin_module.Schedule, {name: value})  # type: ignore[misc]
        elif name in vars(Options()):
            options[name] = value
        else:
            owners = thin, start, schedule, begin_module, trainer_module, training, adam
            owner = next((m for m in owners if hasattr(m, name)), None)
            assert owner is not None, f"{name} is neither a field of Schedule nor a constant of the lens nor an option"
            before.append((owner, name, getattr(owner, name)))
            setattr(owner, name, value)

    kind = LENSES[model]

    def lens(begin: LensStart) -> Lens:
        made = kind(begin)
        for name, value in planned.items():
            setattr(made, name, value)
        return made

    LENSES[model] = lens
    try:
        yield options
    finally:
        LENSES[model] = kind
        schedule.RATES.update(rates)
        for owner, name, value in before:
            setattr(owner, name, value)


if __name__ == "__main__":
    main()
