"""`macrosplat bench`: milliseconds of every stage of a step, forward and backward, and how far above its floor.

In: a device. Out: tables on stdout, and a file of figures that two runs can be compared by. The scene is made up and
always the same: an object that fills most of the frame, seen by a narrow lens, with depths that the lens blurs by up to
1/80 of the width (10 px at 800).

A floor is what the arithmetic or the memory traffic of a stage takes at the least, whichever is longer, at the rates
that two small loops reach in the same process (so that ratios compare between machines, and between quiet and busy
hours). Counted are, forward + backward, for N Gaussians of F floats each, P pixels, and C coefficients per colour:

    stage              bytes                                      operations
    project            N (3 F + 24) 4: parameters read twice,     N (900 + 28 C): covariance, its projection, inverse,
                       gradients, splats and theirs once          and the backward pass; 28 of each coefficient
    rasterize          N 10 * 4 * 3, pairs (tile, splat) of       90 for each pixel inside a splat's ellipse of
                       80 + 28, and P 15 * 4                      alpha > 1/255: 30 forward, 60 on the backward pass
    blur               P 20 * 4: the levels of the ladder         P (120 L + 40): L levels of two 7-tap filters of 10 in
                       could stay in the cache                    3 channels both ways; 3 levels weighted
    defocus + blur     the same: sigma stays in the cache         P 20 more, for the map of sigma from depth
    loss               P 55: the render, its gradient, a target   P 816: 6 windows of 2 * 16 and the rest in 3 channels
    adam               N F 28: 4 read, 3 written                  N F 12
    step, M samples    M (project + rasterize + defocus + blur) + loss + adam

On a GPU stages are timed by device events as CUDA graphs, steps by the clock as training takes them, and gsplat's eager
project + rasterize stands beside them where it is installed.

Operations behind splats at which all light paths of a tile had ended are not counted. The regulariser, MCMC's noise
and torch's bookkeeping have no floor: they should cost nothing.
"""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path

import numba
import torch
from rich.console import Console
from rich.table import Table

from macrosplat.bench import end_to_end
from macrosplat.bench.rates import REPEATS, calibrate
from macrosplat.bench.rates import Rates as Rates
from macrosplat.bench.stages import measure
from macrosplat.options import Device
from macrosplat.support.dispatch import choose
from macrosplat.support.errors import MacrosplatError
from macrosplat.support.files import write_json, write_whole
from macrosplat.train.made_up import DEPTH as DEPTH
from macrosplat.train.made_up import DISTANCE as DISTANCE
from macrosplat.train.made_up import Size, make_setting, make_trainer

SIZES = (Size(20_000, 400, 300, 2), Size(100_000, 800, 600, 3))
SCALING = (  # what `--scaling` adds, for GPUs
    Size(20_000, 400, 300, 3),
    Size(100_000, 800, 600, 3),
    Size(300_000, 1600, 1200, 3),
    Size(1_000_000, 1600, 1200, 3),
    Size(1_000_000, 4000, 3000, 3),
)


def main(
    device: Device = "auto",
    scaling: bool = False,
    profile: Path | None = None,
    figures: Path | None = None,
    whole_run: bool = False,
) -> None:
    """Measure and print. See `macrosplat bench --help`."""
    chosen = choose(device)
    for path in (profile, figures):
        if path is not None and (path.is_dir() or not path.absolute().parent.is_dir()):
            raise MacrosplatError(f"{path} cannot be written: it is a folder, or its folder does not exist.")
    console = Console()
    if whole_run:
        if scaling or profile:
            raise MacrosplatError("--end-to-end is a measurement of its own; leave out --scaling and --profile.")
        _whole_run(device, chosen, console, figures)
        return
    if chosen.type == "cuda":
        from macrosplat.bench import cuda

        rates = cuda.calibrate()
        console.print(
            f"{torch.cuda.get_device_name()}, torch {torch.__version__}. Calibration: {rates.flops / 1e12:.1f} TFLOP/s "
            f"(fused multiply-add), {rates.bytes / 1e12:.2f} TB/s (copy, read + written)."
        )
    else:
        rates = calibrate()
        console.print(
            f"{numba.get_num_threads()} threads. Calibration: {rates.flops / 1e9:.0f} GFLOP/s (fused multiply-add in "
            f"L2), {rates.bytes / 1e9:.1f} GB/s (copy, read + written)."
        )
    kept: dict[str, dict[str, float]] = {}
    digits = 3 if chosen.type == "cuda" else 1
    for size in SCALING if scaling else SIZES:
        table = Table("stage, forward + backward", title=str(size), title_justify="left")
        for heading in ("ms", "floor ms", "× floor"):
            table.add_column(heading, justify="right")
        for name, seconds, least in measure(size, rates, device=chosen):
            table.add_row(
                name, f"{1e3 * seconds:.{digits}f}", f"{1e3 * least:.{digits + 1}f}", f"{seconds / least:.1f}"
            )
            kept.setdefault(str(size), {})[name] = 1e3 * seconds
        console.print(table)
    console.print(f"Peak memory of the process: {peak_memory() / 1e9:.2f} GB.")
    if chosen.type == "cuda":
        console.print(f"Peak memory of the GPU: {torch.cuda.max_memory_allocated() / 1e9:.2f} GB.")
    else:
        console.print(f"Best of {REPEATS} runs.")
    if figures:
        write_json(figures, {"machine": _machine(chosen), "ms": kept})
    if profile:
        trace(profile, chosen)
        console.print(f"{profile}: a trace of 20 steps, for chrome://tracing or ui.perfetto.dev.")


def _machine(device: torch.device) -> str:
    return torch.cuda.get_device_name() if device.type == "cuda" else f"CPU, {numba.get_num_threads()} threads"


def _whole_run(device: Device, chosen: torch.device, console: Console, figures: Path | None) -> None:
    """A table of the stages of a whole run; in the file of figures it is one more size, in ms like the others."""
    seconds = end_to_end.measure(device)
    table = Table("stage of the demo", title=_machine(chosen), title_justify="left")
    table.add_column("s", justify="right")
    for name, value in seconds.items():
        table.add_row(name, f"{value:.1f}")
    console.print(table)
    if figures:
        milliseconds = {name: 1e3 * value for name, value in seconds.items()}
        write_json(figures, {"machine": _machine(chosen), "ms": {"demo, end to end": milliseconds}})


def trace(path: Path, device: torch.device) -> None:
    """A Chrome trace of 20 steps with 4 aperture samples at the last of `SIZES`."""
    trainer = make_trainer(make_setting(SIZES[-1]), 4, device=device)
    for _ in range(3):
        trainer.step()
    activities = [torch.profiler.ProfilerActivity.CPU]
    if device.type == "cuda":
        activities.append(torch.profiler.ProfilerActivity.CUDA)
    with torch.profiler.profile(activities=activities) as seen:
        for _ in range(20):
            trainer.step()
        trainer.settle()
    write_whole(path, lambda part: seen.export_chrome_trace(str(part)))


def slower(before: Path, now: Path, by: float = 1.1) -> list[str]:
    """What takes more than `by` times as long as it did, a sentence each; both files are of `--figures`."""
    old, new = (json.loads(path.read_text(encoding="utf-8"))["ms"] for path in (before, now))
    return [
        f"{size}: {name} {new[size][name]:.3f} ms, was {ms:.3f} ms ({new[size][name] / ms:.2f} times)"
        for size, stages in old.items()
        for name, ms in stages.items()
        if name in new.get(size, {}) and new[size][name] > by * ms
    ]


def peak_memory() -> float:
    """Bytes of memory of this process at its peak."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
