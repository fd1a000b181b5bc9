"""How much of what defocus is said to have taken from a photo is missing there.

In, of a photo: grey planes of it, of the sharp render, of what defocus is said to have taken from it; the radius
claimed. Out: by octave and radius, what share of it to give back. A scene that is coarser than its photos, or radii
that are off by a pixel or two, have defocus take what the photo still has. If the photo is sharp, the render is no
sharper than it; if it is blurred as claimed, the render has more by what was taken: the share is the slope of
render - photo over taken, least squares. It tells of many pixels together what windows are too noisy to tell of each.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from macrosplat.output.detail.pyramid import halved, laplacian

EDGES = (1.0, 2.0, 4.0, 8.0)  # px of radius, between the bins
# The finest octave is grain in good part; and what is coarser than these is light that spreads from elsewhere.
FIRST = 1
MOST = 1.3  # a scene is often too smooth, and what is taken from it too little (experiments: said-to-be-taken)
JUDGED = 2  # octaves, finest first, that tell whether the photo is sharp nearly in focus
LITTLE = 0.002  # sum of squares of what was taken; of so little the claim is half believed


@dataclass(frozen=True)
class Missing:
    """Shares of one photo."""

    shares: tuple[Tensor, ...]  # of octave FIRST, FIRST + 1, ...: [len(EDGES) + 1] in 0 ... MOST

    def of(self, level: int, radius: Tensor) -> Tensor | float:
        """The share in octave `level`, like `radius` (px of the photo); 1 in those that nothing is known of."""
        if not FIRST <= level < FIRST + len(self.shares):
            return 1.0
        share = self.shares[level - FIRST]
        # Bins are octaves of the radius: their middles are one apart.
        at = radius.clamp_min(1e-3).log2_().add_(0.5).clamp_(0, len(EDGES))
        first = at.floor().clamp_(max=len(EDGES) - 1).long()
        return torch.lerp(share[first], share[first + 1], at - first)

    def still_there(self) -> float:
        """0 ... 1: how much of what defocus is said to have taken from what it left nearly in focus (radius < EDGES[0])
        the photo has nevertheless: in whichever of the two finest octaves it has less, since grain can hide one."""
        return 1 - min(1.0, max((float(share[0]) for share in self.shares[:JUDGED]), default=1.0))


def find_missing(photo: Tensor, render: Tensor, taken: Tensor, radius: Tensor, levels: int) -> Missing:
    """The shares of octaves FIRST to `levels` - 1.

    Args:
        photo, render, taken: [H, W] sRGB. radius: [H, W] >= 0, px.
    """
    assert photo.shape == render.shape == taken.shape == radius.shape, f"{tuple(photo.shape)}, {tuple(radius.shape)}"
    less, taken, radius = (render - photo)[None], taken[None], radius[None]
    for _ in range(FIRST):
        less, taken, radius = halved(less), halved(taken), halved(radius)
    edges, shares = torch.tensor(EDGES, device=radius.device), []
    for more, said in zip(laplacian(less, levels - FIRST)[:-1], laplacian(taken, levels - FIRST)[:-1], strict=True):
        bins = torch.bucketize(radius, edges, right=True)
        sums = []
        for product in (more.mul_(said), said.square_()):
            # Sums of whole planes: an addition to a place of a GPU's memory has no order.
            sums.append(torch.stack([(product * (bins == n)).sum(dtype=torch.float64) for n in range(len(EDGES) + 1)]))
        missing, most = (total.float() for total in sums)
        shares.append(((missing + LITTLE) / (most + LITTLE)).clamp_(0, MOST))
        radius = halved(radius)
    return Missing(tuple(shares))
