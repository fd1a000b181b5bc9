"""Gaussians added once, anywhere in the scene's box: sparse points leave out what is blurred in most photos.

The idea of Deblurring 3D Gaussian Splatting (Lee et al. 2024), which adds them to a cloud that density control has
worked on: uniform in the box, coloured like their nearest neighbours, and left out where nothing is near.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.spatial import KDTree

from macrosplat.scene.gaussians import Gaussians
from macrosplat.train.adam import Adam
from macrosplat.train.density import remap, z_order
from macrosplat.train.random import Purpose, key_of, uniform64

NEIGHBOURS = 4  # their colours are averaged, the paper's K
FARTHEST = 10.0  # of a new point from its nearest neighbour, in median spacings of the scene
BOX = (0.02, 0.98)  # quantiles of the positions along each axis: a few strays must not stretch the box
OPACITY_LOGIT = -0.85  # 0.3, as at the start


def add_anywhere(gaussians: Gaussians, adam: Adam, count: int, seed: int, step: int) -> Gaussians:
    """`count` Gaussians more, less those that would be far from everything. Once a run: this waits for the device."""
    if count <= 0:
        return gaussians
    means = gaussians.means.detach().cpu()
    low, high = torch.tensor(np.quantile(means.cpu().numpy(), BOX, axis=0), dtype=means.dtype)
    draws = uniform64(key_of(seed, step, Purpose.EXTRA), 3 * count).reshape(count, 3)
    new = low + (high - low) * torch.from_numpy(draws).to(means.dtype)
    tree = KDTree(means.numpy())
    spacing = float(np.median(tree.query(means.numpy(), k=2)[0][:, 1]))
    away, near = tree.query(new.numpy(), k=min(NEIGHBOURS, len(means)))
    away, near = away.reshape(count, -1), near.reshape(count, -1)
    kept = away[:, 0] < FARTHEST * spacing
    device, n = gaussians.means.device, len(gaussians)
    new, near, fresh = new[torch.from_numpy(kept)].to(device), torch.from_numpy(near[kept]).to(device), int(kept.sum())

    # New rows begin as copies of their nearest neighbour; then what is their own is written into them.
    source = torch.cat([torch.arange(n, device=device), near[:, 0]])
    marked = torch.arange(n + fresh, device=device) >= n
    sizes = torch.from_numpy(np.log(away[kept].mean(1).clip(1e-12))).to(device, gaussians.means.dtype)
    colours = gaussians.sh0.detach()[near].mean(1)
    moved = remap(gaussians, adam, source, marked)
    with torch.no_grad():
        moved.means[n:], moved.sh0[n:] = new, colours
        moved.log_scales[n:], moved.sh_rest[n:] = sizes[:, None], 0
        moved.opacity_logits[n:] = OPACITY_LOGIT
        moved.quats[n:] = torch.tensor([1.0, 0.0, 0.0, 0.0], device=device)
    # Along the curve again: what is near in space has to be near in memory.
    order = z_order(moved.means.detach())
    return remap(moved, adam, order, torch.zeros_like(marked))
