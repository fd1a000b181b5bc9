"""Which values of the schedule and of the lens are best: one run for each set of values, compared with the truth.

    python benchmarks/study_lens.py CAPTURE TRUTH OUT [--width PX] [--seeds 0 1] [--cameras RUN] ["NAME=VALUE ..." ...]

CAPTURE is what is reconstructed, TRUTH what it is compared with (a copy of CAPTURE with sharp/, novel/, masks/). Each
quoted set of values is one variant, "" is the default; without any, CANDIDATES are tried. A NAME is a field of
`Schedule` (lens_from=0.1), a constant of the thin lens (PUPIL_RATE=1e-3), a learning rate (rates.means=0.2), or an
option (quality=high, thin.points=8, steps=8000). Prints a line per run: PSNR in dB of the deblurred photos on their
masks and of the novel views, errors of pupil and focus.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import dataclasses
import io
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from macrosplat import pipeline, runs
from macrosplat.lens import LENSES, LensStart, start, thin
from macrosplat.lens.thin import ThinLens
from macrosplat.options import Options
from macrosplat.train import schedule

# What may be worth its time, most promising first.
CANDIDATES = (
    "",
    "thin.points=1",  # what looking past edges is worth
    "thin.points=8",
    "PUPIL_RATE=1e-3 PUPIL_END=1.0",  # how the pupil was learned before
    "pupil_spans=((0.12,0.4,4),(0.55,1.0,4))",  # earlier past the edges at full resolution
    "max_gaussians=120000",  # twice the standard: is the scene too coarse for its lens?
    "opacity_weight=0.001 scale_weight=0.001",
    "pupil_spans=((0.05,0.4,4),(0.7,1.0,4))",  # from the first, at a quarter of the resolution
    "full_from=0.3 pupil_spans=((0.12,0.3,4),(0.6,1.0,4))",
    "LAYOUTS={4:(0.65,0.197),8:(0.72,0.152)}",
    "FOCUS_RATE=5e-4",
    "rates.means=0.2",
    "steps=8000",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("capture", "truth", "out"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--width", type=int)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--cameras", type=Path, help="a run of the same photos whose cameras are begun with")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("variants", nargs="*", default=CANDIDATES)
    asked = parser.parse_intermixed_args()
    print("photos  novel   pupil   focus mm  seconds  seed  values", flush=True)
    for number, values in enumerate(asked.variants):
        for seed in asked.seeds:
            print(one(asked, values, seed, asked.out / f"{number}_{seed}"), flush=True)


def one(asked: argparse.Namespace, values: str, seed: int, out: Path) -> str:
    """A run and its figures."""
    began = time.monotonic()
    with variant(values) as changed, contextlib.redirect_stderr(io.StringIO()):
        options = dataclasses.replace(Options(), width=asked.width, device=asked.device, seed=seed, **changed)
        pipeline.reconstruct(asked.capture, out, options, cameras_from=asked.cameras)
        seconds = time.monotonic() - began
        runs.evaluate(out, asked.truth)
    found = json.loads((out / "evaluation.json").read_text())
    photos, novel = (found["means"].get(name) for name in ("deblurred photos", "novel views"))
    lens = found.get("lens") or {"relative_error": float("nan"), "focus_error_mm": {"median": float("nan")}}
    photo_psnr = (photos["mask"] or photos["frame"])["psnr"]
    novel_psnr = novel["frame"]["psnr"] if novel else float("nan")
    return (
        f"{photo_psnr:6.2f}  {novel_psnr:6.2f}  {100 * lens['relative_error']:+5.1f} %  "
        f"{lens['focus_error_mm']['median']:8.2f}  {seconds:7.0f}  {seed:4d}  {values}"
    )


@contextlib.contextmanager
def variant(values: str) -> Iterator[dict[str, Any]]:
    """The values in force; yields those that are options."""
    fields = {field.name for field in dataclasses.fields(schedule.Schedule)}
    options: dict[str, Any] = {}
    planned: dict[str, Any] = {}
    before: list[tuple[Any, str, Any]] = []
    rates = dict(schedule.RATES)
    for pair in values.split():
        name, text = pair.split("=", 1)
        try:
            value = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            value = text
        if name.startswith("rates."):
            assert name[6:] in rates, f"no learning rate {name[6:]}"
            schedule.RATES[name[6:]] = value
        elif name.startswith("thin."):
            options["thin"] = dataclasses.replace(options.get("thin", Options().thin), **{name[5:]: text})
        elif name in fields and name != "steps":
            planned[name] = value
        elif name in vars(Options()):
            options[name] = value
        else:
            owner = next((m for m in (thin, start, schedule) if hasattr(m, name)), None)
            assert owner is not None, f"{name} is neither a field of Schedule nor a constant of the lens nor an option"
            before.append((owner, name, getattr(owner, name)))
            setattr(owner, name, value)

    def lens(begin: LensStart) -> ThinLens:
        made = ThinLens(begin)
        made.schedule = {**made.schedule, **planned}
        return made

    LENSES["lens"] = lens
    try:
        yield options
    finally:
        LENSES["lens"] = ThinLens
        schedule.RATES.update(rates)
        for owner, name, value in before:
            setattr(owner, name, value)


if __name__ == "__main__":
    main()
