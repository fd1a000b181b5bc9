"""Coverage: which parts of the scene some photo has in focus, and where to focus next for those that none has.

In: a scene, its cameras, and how far out of focus a depth is in each of them. Out: a `Coverage`: per Gaussian the
maximum over the views that see it of exp(-(r / UNIT_PX)^2), r being the radius of its circle of confusion; and a
`Plan`, the photos that would bring the rest into focus. What no photo has in focus is blurred for good: no method
brings it back.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from macrosplat.output.maps import JUST_COVERED, colour_coverage
from macrosplat.render import Camera
from macrosplat.render.constants import CA, CB, CC, DEPTH, MX, MY, OPACITY, RED
from macrosplat.render.project import project
from macrosplat.render.rasterize import rasterize
from macrosplat.scene.gaussians import SH_C0, Gaussians

# Radius of the circle of confusion at which coverage is 1/e, px of the training width: as wide as an edge of a photo
# that nothing blurred (`lens.start.R_EDGE`). Less than that hardly shows.
UNIT_PX = 2.0
COVERED = JUST_COVERED  # coverage from which a part counts as in focus
# A view sees a Gaussian if it sees this share of what the view that sees most of it does. Gaussians of one surface hide
# each other a little in every view; one behind another part loses nearly all.
SEEN = 0.5
# What counts lies in the frame of this share of the photos, hidden or not: the object does, what is far behind it and
# at the rims does not, and nobody wants to focus there.
FRAMED = 0.8
BURIED = 0.01  # of a Gaussian's own light: who shows less in every view is no part of what is seen
ENOUGH = 0.02  # of what counts: uncovered rests below are edges and floaters
WORTH = 0.005  # of what counts: a further photo has to bring so much into focus
MOST = 12  # photos that a plan proposes at the most
DEPTHS = 256  # bins of 1 / depth in which the best focus of a view is sought

# Signed radius (px) of the circle of confusion of depths [N] in photo number v.
Radius = Callable[[Tensor, int], Tensor]
_GREY = 0.35  # sRGB of what no view sees


@dataclass(frozen=True)
class Coverage:
    """How well each of N Gaussians is covered by V photos."""

    value: NDArray[np.float32]  # [N] 0 (blurred in every view that sees it) to 1
    weight: NDArray[np.float32]  # [N] px of all photos together that it makes, 0 where it does not count
    seen: NDArray[np.bool_]  # [V, N]
    depth: NDArray[np.float32]  # [V, N] camera z, scene units

    @property
    def uncovered(self) -> float:
        """Share of what counts that no photo has in focus."""
        total = float(self.weight.sum())
        return float(self.weight[self.value < COVERED].sum()) / total if total > 0 else 0.0


@dataclass(frozen=True)
class Further:
    """A photo to be taken: from where photo number `view` was taken, focused at `focus`."""

    view: int
    focus: float  # scene units, camera z
    gain: float  # share of what counts that it brings into focus


@torch.no_grad()
def cover(
    gaussians: Gaussians,
    cameras: Sequence[Camera],  # V
    radius: Radius,
    counts: Sequence[NDArray[np.uint8] | None] | None = None,  # V masks [H, W], white = counts
) -> Coverage:
    """Coverage of every Gaussian. Costs a forward and a backward pass of the rasterizer per view.

    Only what a view really shows counts: a Gaussian that others hide is not covered by it.
    """
    n = len(gaussians)
    weight, framed = torch.zeros(2, n, device=gaussians.means.device)
    shares, sharp, depths = [], [], []
    for v, camera in enumerate(cameras):
        mask = counts[v] if counts is not None else None
        light, alone, depth, inside = visible(gaussians, camera, mask)
        weight += light
        framed += inside
        shares.append((light / alone.clamp_min(1e-12)).half())
        sharp.append(torch.exp(-((radius(depth, v) / UNIT_PX) ** 2)).half())
        depths.append(depth)
    share, near = torch.stack(shares).float(), torch.stack(sharp).float()
    best = share.max(0).values
    seen = (share >= SEEN * best) & (best > BURIED)
    value = torch.where(seen, near, torch.zeros_like(near)).max(0).values
    return Coverage(
        value.cpu().numpy(),
        (weight * ((best > BURIED) & (framed >= FRAMED * len(depths)))).cpu().numpy(),
        seen.cpu().numpy(),
        torch.stack(depths).cpu().numpy(),
    )


def visible(
    gaussians: Gaussians, camera: Camera, mask: NDArray[np.uint8] | None = None
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """What a camera shows of each of N Gaussians.

    A pixel's colour is the sum of w_i c_i over Gaussians: the gradient of all pixels' sum by c_i is the light that
    Gaussian i contributes.

    Returns:
        light [N]: px that it makes in the frame (where the mask is white). alone [N]: px that it would make if nothing
        hid it. depth [N]: camera z. inside [N]: whether its middle lies in the frame.
    """
    with torch.enable_grad():
        frame, view = camera.frame, camera.view.detach()
        splats, extents = project(gaussians.detach(), camera, 0)
        splats = splats.detach().requires_grad_()
        colour, _, _ = rasterize(splats, extents, frame.width, frame.height)
        red = colour[..., 0]
        if mask is not None:
            red = red * (torch.from_numpy(mask).to(red) / 255)
        (gradient,) = torch.autograd.grad(red.sum(), splats)
    splats = splats.detach()
    determinant = splats[:, CA] * splats[:, CC] - splats[:, CB] ** 2
    alone = 2 * math.pi * splats[:, OPACITY] / determinant.clamp_min(1e-20).sqrt()
    drawn = (extents > 0).all(1)
    depth = gaussians.means.detach() @ view[2, :3].to(gaussians.means) + view[2, 3]
    x, y = splats[:, MX], splats[:, MY]
    inside = drawn & (x >= 0) & (x < frame.width) & (y >= 0) & (y < frame.height)
    zero = torch.zeros_like(alone)
    return torch.where(drawn, gradient[:, RED], zero), torch.where(drawn, alone, zero), depth, inside


def plan(coverage: Coverage, slopes: Sequence[float]) -> list[Further]:
    """The photos that would bring most into focus, one after the other (greedily), until little is left.

    Args:
        slopes: V, px of radius per scene unit^-1: r = slope |1 / focus - 1 / depth|.
    """
    total = float(coverage.weight.sum())
    left = np.flatnonzero((coverage.value < COVERED) & (coverage.weight > 0))
    weight = coverage.weight[left].astype(np.float64)
    inverse = 1 / np.maximum(coverage.depth[:, left], 1e-12)  # [V, L]
    seen = coverage.seen[:, left]
    found: list[Further] = []
    while len(found) < MOST and total > 0 and weight.sum() > ENOUGH * total:
        best = (0.0, 0, 0.0)  # gain, view, 1 / focus
        for v, slope in enumerate(slopes):
            one = seen[v] & (weight > 0)
            if one.any() and slope > 0:
                gain, at = _best_window(inverse[v, one], weight[one], UNIT_PX / slope)
                best = max(best, (gain, v, at))
        gain, v, at = best
        if gain < WORTH * total:
            break
        found.append(Further(v, 1 / at, gain / total))
        weight[seen[v] & (np.abs(inverse[v] - at) * slopes[v] <= UNIT_PX)] = 0
    return found


def _best_window(at: NDArray[np.float64], weight: NDArray[np.float64], half: float) -> tuple[float, float]:
    """The heaviest interval of half width `half` over weighted places: its weight and its middle."""
    low, high = float(at.min()), float(at.max())
    if high - low <= 2 * half:
        return float(weight.sum()), (low + high) / 2
    middles = np.linspace(low, high, DEPTHS)
    order = np.argsort(at)
    at, run = at[order], np.concatenate([[0.0], np.cumsum(weight[order])])
    gains = run[np.searchsorted(at, middles + half, "right")] - run[np.searchsorted(at, middles - half, "left")]
    best = np.flatnonzero(gains >= gains.max() * (1 - 1e-9))
    middle = best[len(best) // 2]  # of equally good ones the middle: the part then lies well inside
    return float(gains[middle]), float(middles[middle])


@torch.no_grad()
def draw_coverage(gaussians: Gaussians, coverage: Coverage, camera: Camera) -> Tensor:
    """[H, W] coverage of what a view shows, mean along the ray; 0 where nothing is."""
    splats, extents = project(gaussians.detach(), camera, 0)
    splats = splats.detach().clone()
    splats[:, RED:DEPTH] = torch.from_numpy(coverage.value).to(splats)[:, None]
    colour, alpha, _ = rasterize(splats, extents, camera.frame.width, camera.frame.height)
    return (colour[..., 0] / alpha.clamp_min(1e-6)).clamp(0, 1)


def coloured(gaussians: Gaussians, coverage: Coverage) -> Gaussians:
    """The scene in the colours of its coverage (sRGB, for viewers): red never in focus, blue in focus, grey unseen."""
    colours = np.where(np.any(coverage.seen, axis=0)[:, None], colour_coverage(coverage.value), _GREY)
    sh0 = torch.from_numpy((colours - 0.5) / SH_C0).to(gaussians.sh0)
    return gaussians.with_(sh0=sh0, sh_rest=gaussians.sh_rest[:, :0])
