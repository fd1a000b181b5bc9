"""How long and how large: steps and Gaussians by quality, and an estimate of the memory before a run starts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from macrosplat.render import Frame
from macrosplat.support.errors import MacrosplatError
from macrosplat.support.memory import available


@dataclass(frozen=True)
class Effort:
    """What a quality spends."""

    steps: int
    per_pixel: float  # Gaussians per pixel of one photo, at most
    gaussians: int  # Gaussians, at most
    drop: float = 0.0  # share of the Gaussians that a step does without (`drop.thinned`)


# More Gaussians or steps also learn the photos' grain, unless each step drops some (experiments: gaussians-and-drop).
EFFORTS = {
    "draft": Effort(steps=1500, per_pixel=0.25, gaussians=120_000),
    "standard": Effort(steps=4000, per_pixel=0.6, gaussians=600_000, drop=0.1),
    "high": Effort(steps=8000, per_pixel=0.8, gaussians=1_000_000, drop=0.3),
}
# Up to so many px a photo is seen through several aperture samples from early on, on a GPU: that takes seconds, and of
# large photos minutes (experiments: own-samples).
EARLY_PX = 500_000
FEWEST = 2000  # Gaussians: below this even a thumbnail shows holes


def default_gaussians(quality: str, frames: Sequence[Frame]) -> int:
    """The cap on Gaussians for photos of this size."""
    pixels = max(frame.width * frame.height for frame in frames)
    effort = EFFORTS[quality]
    return max(FEWEST, min(effort.gaussians, round(effort.per_pixel * pixels)))


def affords_early(device: torch.device, frames: Sequence[Frame]) -> bool:
    """Whether photos of this size may be seen through several aperture samples from early on (`spans.spans_of`)."""
    return device.type == "cuda" and max(frame.width * frame.height for frame in frames) <= EARLY_PX


LESS = 0.75  # share of a quality's steps or Gaussians, below which photos lose what one sees (experiments: spent)


def spared(quality: str, steps: int, most: int, frames: Sequence[Frame]) -> str | None:
    """A sentence on a run that was allowed plainly fewer steps or Gaussians than its quality takes; None of others."""
    effort, usual = EFFORTS[quality], default_gaussians(quality, frames)
    few = [f"{steps:,} of {effort.steps:,} steps"] if steps < LESS * effort.steps else []
    few += [f"at most {most:,} Gaussians instead of {usual:,}"] if most < LESS * usual else []
    if not few:
        return None
    return (
        f"Less was spent than --quality {quality} takes ({', '.join(few)}): photos and scene are less fine than they "
        "could be."
    )


# Bytes. A Gaussian of SH degree 2 has 38 floats, kept four times (value, gradient, two moments), and while it is drawn
# some six (tile, splat) pairs of 64 bytes; each aperture sample has its splat of 10 floats, as many of its gradient,
# and 2 of how far it reaches. A pixel of a photo at full scale is its 3 bytes and a target of 35; a pixel of the frame
# in work is in about 100 float buffers of the blur ladder and the stages, and each aperture sample keeps some 20 for
# the backward pass. Experiments: memory.
PER_GAUSSIAN, PER_SAMPLE_GAUSSIAN = 38 * 4 * 4 + 6 * 64, (2 * 10 + 2) * 4
PER_PHOTO_PIXEL = 3 + 35
PER_FRAME_PIXEL, PER_SAMPLE_PIXEL = 100 * 4, 20 * 4
FIXED = 600e6  # Python, torch, compiled kernels
MARGIN = 1.1  # peaks differ from run to run (experiments: memory)


# Shares of the memory that is free when a run begins. Photos have to leave room for the scene, and for other programs.
FOR_PHOTOS, FOR_TARGETS = 0.25, 0.4
FEWEST_PHOTOS = 4  # in memory at a time


def estimate(frames: Sequence[Frame], gaussians: int, samples: int = 1) -> float:
    """Bytes that training through so many aperture samples will need at its peak with all photos in memory."""
    pixels = [frame.width * frame.height for frame in frames]
    frame = max(pixels) * (PER_FRAME_PIXEL + samples * PER_SAMPLE_PIXEL)
    return FIXED + _scene(gaussians, samples) + sum(pixels) * PER_PHOTO_PIXEL + frame


def _scene(gaussians: int, samples: int) -> float:
    """Bytes of the Gaussians while they are drawn through so many aperture samples."""
    return gaussians * (PER_GAUSSIAN + samples * PER_SAMPLE_GAUSSIAN)


def check_memory(frames: Sequence[Frame], gaussians: int, samples: int = 1) -> None:
    """Refuse to start what cannot fit; photos are decoded again where they do not all fit.

    Raises:
        MacrosplatError: more is needed than is available; says what to lower.
    """
    largest = sorted(frames, key=lambda f: f.width * f.height)[-FEWEST_PHOTOS:]
    needed, there = MARGIN * estimate(largest, gaussians, samples), available()
    if there is not None and needed > there:
        width = max(frame.width for frame in frames)
        raise MacrosplatError(
            f"This run needs about {needed / 1e9:.1f} GB of memory and {there / 1e9:.1f} GB are free; lower --width "
            f"(now {width}) or --max-gaussians (now {gaussians})."
        )


def photo_budget() -> float:
    """Bytes that decoded photos may take."""
    there = available()
    return math.inf if there is None else FOR_PHOTOS * there


def target_budget(device: torch.device, frames: Sequence[Frame], gaussians: int, samples: int = 1) -> float:
    """Bytes that photos to compare with may take where they are compared: of a GPU, what the scene leaves free."""
    if device.type == "cuda":
        free = torch.cuda.mem_get_info(device)[0]
        pixels = max(frame.width * frame.height for frame in frames)
        frame = pixels * (PER_FRAME_PIXEL + samples * PER_SAMPLE_PIXEL)
        return max(0.0, 0.8 * free - _scene(gaussians, samples) - frame)
    there = available()
    return math.inf if there is None else FOR_TARGETS * there
