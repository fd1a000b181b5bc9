"""What a run will take, told before it starts: minutes and disk, by what the machine is and what is asked for.

In: sizes of photos, options. Out: a guess of minutes, memory and disk within a factor of about two; the bars tell more
as soon as there is a rate. What cannot end for want of memory is refused before it begins.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from macrosplat.lens import Sampling
from macrosplat.lens.spans import Spans, spans_of
from macrosplat.options import Options
from macrosplat.photos.records import Photo, resized
from macrosplat.render import Frame
from macrosplat.support.dispatch import choose
from macrosplat.support.errors import MacrosplatError
from macrosplat.support.memory import available
from macrosplat.support.threads import CORES, speed_of
from macrosplat.train.effort import (
    EFFORTS,
    FEWEST_PHOTOS,
    FOR_PHOTOS,
    FOR_TARGETS,
    affords_early,
    default_gaussians,
    estimate,
)
from macrosplat.train.reckoned import CORE, GPU, MOMENTS, Costs, steps_of
from macrosplat.train.schedule import Schedule
from macrosplat.train.working_size import working_width

# Seconds, as measured (experiments: what-a-run-takes); those of steps are in `reckoned`.
BEGUN = 1 / 3  # of the Gaussians at the end, those of the start
# Of a photo of 640 x 480 px on a core, whose camera has to be found; whose camera is given without points. Larger ones
# are looked at up to `FEATURES_SIDE`: points grow with their px, and the pairs of them that are compared faster.
CAMERA, POINTS, VGA, CAMERA_GROWS = 1.3, 1.0, 640 * 480, 1.5
FINER = 1.2  # of such a photo whose camera is found by more points (experiments: sfm-copies): of drafts hardly any is
RESULT, RESULT_PX = 0.4, 8e-7  # of a photo, and of each px: read, and its results written, on a core (large-captures)
GPU_START = 25.0  # kernels are built, once on a machine
FIXED = 10.0  # imports, kernels read from the cache, the page
# Bytes: of a photo's px its sharp photo and maps; of a Gaussian the checkpoint (value and two moments of 38 floats),
# and scene.ply with that of the coverage; of the page.
BYTES_PX, BYTES_GAUSSIAN, BYTES_PAGE = 2.5, 38 * 4 * 3 + 2 * 30 * 4, 4e6
# Bytes of memory: of the program; of a px of the largest photo while its sharp photo is made, as measured (experiments:
# large-captures); and of the feature points of a photo, of which there are so many a px at up to 1200 px.
MEMORY_FIXED, MEMORY_PX = 0.6e9, 86.0
MEMORY_LEAST, MEMORY_PHOTO = 1.0e9, 0.7e6  # while kernels are compiled, once on a machine; of what is kept of a photo
MEMORY_CORE = 10e6  # of what each core of a machine works on at the same time
MEMORY_FEATURE, FEATURES_PX, MOST_FEATURES, FEATURES_SIDE = 560, 0.01, 8192, 1200
MOST_CORES = 16  # that reading, finding points and writing make use of
LONG = 1800.0  # s, from which on it is said what takes less


@dataclass(frozen=True)
class Expected:
    """What a run will take."""

    seconds: float
    bytes: float
    width: int  # px that it is trained at
    memory: float = 0.0  # bytes, at the peak; 0: not reckoned

    def sentence(self, free: float | None = None) -> str:
        """What to expect; `free`: bytes of disk."""
        text = f"This will take about {self._costs()}, trained at {self.width} px."
        if self.seconds > LONG:
            text += " Fewer photos, smaller ones or --quality draft take less."
        if free is not None and free < self.bytes:
            text += f" Only {_size(free)} of disk are free: make room, or choose another --out."
        return text

    def bound(self, photos: int) -> str:
        """What to expect before the photos have been looked through, of which some may be left out."""
        return f"{photos:,} photos are looked through first; with all of them this will take about {self._costs()}."

    def _costs(self) -> str:
        disk = f"{_size(self.bytes)} of disk"
        memory = f", {_size(self.memory)} of memory and {disk}" if self.memory else f" and {disk}"
        return _about(self.seconds) + memory


def _about(seconds: float) -> str:
    minutes = seconds / 60
    return "a minute" if minutes < 1.5 else f"{minutes:.0f} minutes" if minutes < 90 else f"{minutes / 60:.1f} hours"


def _size(number: float) -> str:
    return f"{number / 1e6:.0f} MB" if number < 1e9 else f"{number / 1e9:.1f} GB"


def expected(
    sizes: Sequence[tuple[int, int]],
    options: Options,
    cameras_known: bool,
    device: torch.device | None = None,
    points_known: bool = False,
) -> Expected:
    """By no more than the sizes of photos (px), and what is given with them. `device`: as chosen; None: as `options`
    say."""
    device = choose(options.device, lambda _: None) if device is None else device
    samples = options.aperture_samples()
    width = options.width or working_width(sizes, device, options.quality, options.max_gaussians, samples)
    frames = [Frame(*resized(*size, width)) for size in sizes]
    most = options.max_gaussians or default_gaussians(options.quality, frames)
    steps = options.steps or EFFORTS[options.quality].steps
    px = sum(frame.width * frame.height for frame in frames) / len(frames)
    spans = spans_of({"aperture_samples": "1"} | options.lens_settings(affords_early(device, frames)))
    if device.type == "cuda":
        training = steps * _step(most, px, spans, GPU) + (0.0 if _kernels_built() else GPU_START)
    else:
        training = steps * _step(most, px, spans, CORE) / speed_of(CORES)
    cores = max(1, min(CORES, MOST_CORES))
    native = sum(w * h for w, h in sizes)
    finding = 0.0 if cameras_known else CAMERA + FINER * (options.quality != "draft")
    points = 0.0 if points_known else sum(_points(*size, finding) for size in sizes) / speed_of(cores)
    seconds = FIXED + training + points + (RESULT_PX * native + RESULT * len(sizes)) / cores
    disk = BYTES_PX * native + BYTES_GAUSSIAN * most + BYTES_PAGE
    memory = _memory(sizes, frames, most, samples, points_known)
    return Expected(seconds, disk, min(width, max(w for w, _ in sizes)), memory)


def _step(most: int, px: float, spans: Spans, costs: Costs) -> float:
    """Seconds of a step, in the mean over the schedule; of a scene that needs its lens."""

    def sampling(t: float) -> Sampling:
        return next((Sampling(span[2], learned=span[3]) for span in spans if span[0] <= t < span[1]), Sampling())

    planned = Schedule(steps=MOMENTS, gaussians=most)
    return sum(steps_of(planned, sampling, max(1, round(BEGUN * most)), px, costs)) / MOMENTS


def _kernels_built() -> bool:
    """Whether Triton's cache holds anything: the kernels of an earlier run."""
    cache = Path(os.environ.get("TRITON_CACHE_DIR", Path.home() / ".triton" / "cache"))
    return cache.is_dir() and any(cache.iterdir())


def _memory(
    sizes: Sequence[tuple[int, int]], frames: Sequence[Frame], gaussians: int, samples: int, points_known: bool
) -> float:
    """Bytes at the peak: of finding points, of training, or of the largest sharp photo."""
    largest = sorted(frames, key=lambda frame: frame.width * frame.height)[-FEWEST_PHOTOS:]
    # Photos are kept as far as there is room, and read again where there is none.
    room = (FOR_PHOTOS + FOR_TARGETS) * (available() or float("inf"))
    training = min(estimate(frames, gaussians, samples), estimate(largest, gaussians, samples) + room)
    points = 0.0 if points_known else MEMORY_FIXED + MEMORY_FEATURE * sum(_features(*size) for size in sizes)
    return max(MEMORY_LEAST + MEMORY_PHOTO * len(sizes), points, training, result_memory(sizes)) + MEMORY_CORE * CORES


def _points(width: int, height: int, finding: float) -> float:
    """Seconds on a core that a photo takes until its camera and points are known. Small photos take no less.

    Args:
        finding: seconds of a small photo until its camera is found; 0: it is given.
    """
    size = max(1.0, _looked_at(width, height) / VGA)
    return finding * size**CAMERA_GROWS if finding else POINTS * size


def _looked_at(width: int, height: int) -> float:
    """Px in which feature points are sought."""
    return width * height * min(1.0, FEATURES_SIDE / max(width, height)) ** 2


def _features(width: int, height: int) -> float:
    return min(MOST_FEATURES, FEATURES_PX * _looked_at(width, height))


def result_memory(sizes: Sequence[tuple[int, int]]) -> float:
    """Bytes that the largest sharp photo takes at its peak."""
    return MEMORY_FIXED + MEMORY_PX * max(width * height for width, height in sizes)


def check_results(photos: Sequence[Photo]) -> None:
    """Refuse photos whose sharp photos could not be written in the end.

    Raises:
        MacrosplatError: the largest takes more memory than is free.
    """
    largest = max(photos, key=lambda photo: photo.width * photo.height)
    needed, there = result_memory([(largest.width, largest.height)]), available()
    if there is not None and needed > there:
        raise MacrosplatError(
            f"{largest.name} has {largest.width} x {largest.height} px: to make it sharp takes about {_size(needed)} "
            f"of memory, and {_size(there)} are free; make the photos smaller."
        )
