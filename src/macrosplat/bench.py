"""`macrosplat bench`: milliseconds of every stage of a step, forward and backward, and how far above its floor.

In: a device. Out: tables on stdout. The scene is made up and always the same: an object that fills most of the frame,
seen by a narrow lens, with depths that the lens blurs by up to 1/80 of the width (10 px at 800).

A floor is what the arithmetic or the memory traffic of a stage takes at the least, whichever is longer, at the rates
that two small loops reach in the same process (so that ratios compare between machines, and between quiet and busy
hours). Counted are, forward + backward, for N Gaussians of F floats each, P pixels, and C coefficients per colour:

    stage              bytes                                      operations
    project            N (3 F + 24) 4: parameters read twice,     N (900 + 28 C): covariance, its projection, inverse,
                       gradients, splats and theirs once          and the way back; 28 of each coefficient
    rasterize          N 10 * 4 * 3, pairs (tile, splat) of       90 for each pixel inside a splat's ellipse of
                       80 + 28, and P 15 * 4                      alpha > 1/255: 30 forward, 60 on the way back
    defocus + blur     P 20 * 4: the levels of the ladder         P (120 L + 60): L levels of two 7-tap filters of 10 in
                       could stay in the cache                    3 channels both ways; 3 levels weighted, and defocus
    loss               P 55: the render, its gradient, a target   P 816: 6 windows of 2 * 16 and the rest in 3 channels
    adam               N F 28: 4 read, 3 written                  N F 12
    step, M points     M (project + rasterize + blur) + loss + adam

Operations behind splats at which all light paths of a tile had ended are not counted. The regulariser, MCMC's noise
and torch's bookkeeping have no floor: they should cost nothing.
"""

from __future__ import annotations

import math
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from macrosplat._numba import njit, prange
from macrosplat.colour import to_bytes, to_srgb
from macrosplat.devices import choose, one_torch_thread
from macrosplat.errors import MacrosplatError
from macrosplat.lens import LensStart
from macrosplat.lens.blur import variable_blur
from macrosplat.lens.coc import defocus
from macrosplat.lens.ladder import ladder
from macrosplat.lens.thin import ThinLens
from macrosplat.render import Pinhole, constants, render
from macrosplat.render.project import project
from macrosplat.render.rasterize import rasterize
from macrosplat.render.render import camera_centre
from macrosplat.scene.backdrop import Backdrop
from macrosplat.scene.gaussians import SH_REST, Gaussians
from macrosplat.scene.poses import Poses
from macrosplat.train.adam import Adam
from macrosplat.train.frames import Frames
from macrosplat.train.loss import make_target, photo_loss
from macrosplat.train.schedule import RATES, Schedule
from macrosplat.train.trainer import Learned, Trainer

REPEATS = 9  # the best counts: other programs only ever make a run slower
DISTANCE = 10.0  # scene units to the object's middle, which is in focus
DEPTH = 1.0  # scene units that the object reaches to either side of it
MOST_BLUR = 1 / 80  # of the width: sigma of the object's nearest point


@dataclass(frozen=True)
class Size:
    gaussians: int
    width: int
    height: int
    degree: int  # of the spherical harmonics

    def __str__(self) -> str:
        return f"{self.gaussians:,} Gaussians, SH {self.degree}, {self.width} x {self.height}"


SIZES = (Size(20_000, 400, 300, 2), Size(100_000, 800, 600, 3))


def main(device: str = "auto") -> None:
    """Measure and print. See `macrosplat bench --help`."""
    if choose(device).type != "cpu":
        raise MacrosplatError("bench measures CPUs only so far; use --device cpu.")
    console = Console()
    rates = calibrate()
    console.print(
        f"{numba.get_num_threads()} threads. Calibration: {rates.flops / 1e9:.0f} GFLOP/s (fused multiply-add in L2), "
        f"{rates.bytes / 1e9:.1f} GB/s (copy, read + written)."
    )
    for size in SIZES:
        table = Table("stage, forward + backward", title=str(size), title_justify="left")
        for heading in ("ms", "floor ms", "× floor"):
            table.add_column(heading, justify="right")
        for name, seconds, least in measure(size, rates):
            table.add_row(name, f"{1e3 * seconds:.1f}", f"{1e3 * least:.2f}", f"{seconds / least:.1f}")
        console.print(table)
    console.print(f"Best of {REPEATS} runs. Peak memory of the process: {peak_memory() / 1e9:.2f} GB.")


def peak_memory() -> float:
    """Bytes that this process held at most."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


@dataclass(frozen=True)
class Rates:
    """What this machine reaches with all threads."""

    flops: float  # per second, float32
    bytes: float  # per second, read and written

    def floor(self, bytes_: float, flops: float) -> float:
        """Seconds."""
        return max(bytes_ / self.bytes, flops / self.flops)


def calibrate(cells: int = 1 << 24) -> Rates:
    """Time the two loops. Args: cells: floats of the copied array, which no cache should hold."""
    blocks = np.ones((16, 8192), np.float32)  # 32 KB each
    rounds = 400
    source, target = np.ones(cells, np.float32), np.empty(cells, np.float32)
    arithmetic = best(lambda: _multiply_add(blocks, rounds, np.float32(0.999), np.float32(0.001)))
    copying = best(lambda: _copy(source, target))
    return Rates(blocks.size * rounds * 2 * CHAIN / arithmetic, 2 * source.nbytes / copying)


CHAIN = 16  # multiply-adds per number read: enough to hide reading and writing it


@njit(parallel=True)
def _multiply_add(blocks, rounds, a, b):
    for k in prange(blocks.shape[0]):
        block = blocks[k]
        for _ in range(rounds):
            for i in range(block.shape[0]):
                x = block[i]
                x = x * a + b
                x = x * a + b
                x = x * a + b
                x = x * a + b
                x = x * a + b
                x = x * a + b
                x = x * a + b
                x = x * a + b
                x = x * a + b
                x = x * a + b
                x = x * a + b
                x = x * a + b
                x = x * a + b
                x = x * a + b
                x = x * a + b
                x = x * a + b
                block[i] = x


@njit(parallel=True)
def _copy(source, target):
    for i in prange(source.shape[0]):
        target[i] = source[i]


def best(work: Callable[[], Any], repeats: int = REPEATS) -> float:
    """Seconds of the quickest of several runs, after two that compile and warm up."""
    seconds = []
    with one_torch_thread():
        for _ in range(2 + repeats):
            began = time.perf_counter()
            work()
            seconds.append(time.perf_counter() - began)
    return min(seconds[2:])


@dataclass(frozen=True)
class Setting:
    """A made-up capture of one photo."""

    gaussians: Gaussians
    pinhole: Pinhole
    pupil: float  # scene units

    @property
    def pixel(self) -> float:
        """Scene units of a px at the object."""
        return DISTANCE / self.pinhole.fx


def make_setting(size: Size, seed: int = 0) -> Setting:
    """An ellipsoid full of Gaussians of about 1.8 px, before a camera at the origin."""
    random = torch.Generator().manual_seed(seed)
    n, k = size.gaussians, SH_REST[size.degree]

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=random)

    fx = 5.0 * size.width
    half_frame = torch.tensor([size.width, size.height]) / 2 * DISTANCE / fx
    place = torch.nn.functional.normalize(normal(n, 3), dim=1) * torch.rand(n, 1, generator=random) ** (1 / 3)
    means = place * torch.tensor([*(0.95 * half_frame), DEPTH]) + torch.tensor([0.0, 0.0, DISTANCE])
    gaussians = Gaussians(
        means=means,
        log_scales=math.log(1.8 * DISTANCE / fx) + 0.5 * normal(n, 3),
        quats=normal(n, 4),
        opacity_logits=1.5 * normal(n),
        sh0=normal(n, 3),
        sh_rest=0.2 * normal(n, k, 3),
    )
    # sigma = D / 4 fx |1 / d0 - 1 / d|
    pupil = 4 * MOST_BLUR * size.width / fx / abs(1 / DISTANCE - 1 / (DISTANCE - DEPTH))
    pinhole = Pinhole(fx, fx, size.width / 2, size.height / 2, size.width, size.height, near=0.2 * DISTANCE)
    return Setting(gaussians, pinhole, pupil)


def make_trainer(setting: Setting, points: int, photos: int = 1) -> Trainer:
    """A trainer that stays at full resolution and density, and looks through so many points of the pupil."""
    gaussians, pinhole = setting.gaussians, setting.pinhole
    with torch.no_grad():
        seen = render(gaussians, torch.eye(4), pinhole).over(torch.full((3,), 0.2))
    photo = to_bytes(to_srgb(seen.clamp(0, 1)).numpy())
    # Something to learn: the photo is the scene one pixel away.
    taken = [np.roll(photo, 1 + i, axis=1) for i in range(photos)]
    views = torch.eye(4).repeat(photos, 1, 1)
    start = LensStart(setting.pupil, (DISTANCE,) * photos, (1.0,) * photos, width=pinhole.width)
    learned = Learned(
        gaussians=gaussians.map(lambda t: t.clone()),
        lens=ThinLens(start),
        poses=Poses(views, torch.full((photos,), DISTANCE), setting.pixel),
        backdrop=Backdrop(torch.full((photos, 3, 4, 3), 0.2)),
    )
    schedule = Schedule(
        steps=10**6,
        gaussians=len(gaussians),
        sh_degree=gaussians.sh_degree,
        half_from=0.0,
        full_from=0.0,
        lens_from=0.0,
        pupil_spans=((0.0, 1.0),) if points > 1 else (),
        pupil_points=points,
        sh_from=(0.0, 0.0, 0.0),
        densify_every=10**9,
    )
    return Trainer(learned, Frames(taken, [pinhole] * photos, [None] * photos), schedule, setting.pixel, seed=0)


def measure(size: Size, rates: Rates, repeats: int = REPEATS) -> list[tuple[str, float, float]]:
    """Name, seconds and floor in seconds of every stage at one size, then of whole steps."""
    setting = make_setting(size)
    pinhole, width, height = setting.pinhole, size.width, size.height
    floors = count(setting, size, rates)
    view = torch.eye(4).requires_grad_()
    gaussians = setting.gaussians.map(lambda t: t.clone().requires_grad_())
    leaves = [*gaussians.tensors().values(), view]
    centre = camera_centre(view).detach()
    splats, extents = (t.detach() for t in project(gaussians, view, centre, pinhole, size.degree))
    splats.requires_grad_()
    drawn = [t.detach() for t in rasterize(splats, extents, width, height)]
    colour, alpha, depth = drawn
    depth = (depth / alpha.clamp_min(1e-6)).requires_grad_()
    colour.requires_grad_()
    lens = [torch.tensor(v, requires_grad=True) for v in (setting.pupil, DISTANCE, 0.5)]
    photo = to_bytes(to_srgb(colour.detach().clamp(0, 1)).numpy())
    target = make_target(torch.from_numpy(np.roll(photo, 1, axis=1)))

    def blur() -> Tensor:
        return variable_blur(colour, defocus(depth, alpha, pinhole.fx, *lens))

    blurred = blur().detach().requires_grad_()
    random = torch.Generator().manual_seed(1)
    to_splats, to_frame = (torch.randn(*t.shape, generator=random) for t in (splats, colour))
    to_plane = torch.randn(height, width, generator=random)
    parameters = {name: t.detach().clone() for name, t in gaussians.tensors().items()}
    gradients = {name: torch.randn(t.shape, generator=random) for name, t in parameters.items()}
    adam = Adam(parameters, {name: RATES[name] * setting.pixel for name in parameters})

    def back(outputs: Any, inputs: list[Tensor], incoming: Any) -> None:
        torch.autograd.grad(outputs, inputs, incoming)

    stages: dict[str, Callable[[], Any]] = {
        "project": lambda: back(project(gaussians, view, centre, pinhole, size.degree)[0], leaves, to_splats),
        "rasterize": lambda: back(rasterize(splats, extents, width, height), [splats], (to_frame, to_plane, to_plane)),
        "defocus + blur": lambda: back(blur(), [colour, depth, *lens], to_frame),
        "loss": lambda: back(photo_loss(blurred, target), [blurred], None),
        "adam": lambda: adam.step(gradients),
        "step, centre of the pupil": make_trainer(setting, 1).step,
        "step, 4 points of the pupil": make_trainer(setting, 4).step,
    }
    return [(name, best(work, repeats), floors[name]) for name, work in stages.items()]


def count(setting: Setting, size: Size, rates: Rates) -> dict[str, float]:
    """Seconds that each stage takes at the least; the counting stands at the top of this file."""
    from macrosplat.render import rasterize_cpu

    n, pixels, coefficients = size.gaussians, size.width * size.height, 1 + SH_REST[size.degree]
    floats = 11 + 3 * coefficients
    view = torch.eye(4)
    with torch.no_grad():
        splats, extents = project(setting.gaussians, view, camera_centre(view), setting.pinhole, size.degree)
    bins = rasterize_cpu.forward(splats, extents, size.width, size.height)[3]
    walked = float((bins.stops - bins.ranges[:-1]).sum())
    a, b, c, opacity = (splats[extents[:, 0] > 0, k].double() for k in range(2, 6))
    # The ellipse a x^2 + 2 b x y + c y^2 = 2 ln(opacity / alpha_min) has this area.
    area = math.pi * 2 * torch.log(opacity / constants.ALPHA_MIN) / torch.sqrt(a * c - b * b)
    inside = float(area.sum()) * walked / len(bins.items)
    levels = int((ladder().sigmas < MOST_BLUR * size.width).sum()) + 1
    floors = {
        "project": rates.floor(4 * n * (3 * floats + 24), n * (900 + 28 * coefficients)),
        "rasterize": rates.floor(n * 120 + walked * 108 + pixels * 60, inside * 90),
        "defocus + blur": rates.floor(pixels * 80, pixels * (120 * levels + 60)),
        "loss": rates.floor(pixels * 55, pixels * 816),
        "adam": rates.floor(n * floats * 28, n * floats * 12),
    }
    once = floors["loss"] + floors["adam"]
    each = sum(floors.values()) - once
    return {**floors, "step, centre of the pupil": each + once, "step, 4 points of the pupil": 4 * each + once}
