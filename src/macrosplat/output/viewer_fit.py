"""A scene for viewers, which composite in sRGB, from one that composites linear light.

In: a trained scene (linear). Out: the same shapes with colours, and if need be opacities, whose *sRGB* values,
composited by the same rasterizer, look like the original's renders. Where one Gaussian is opaque its colour only takes
the sRGB curve; where several share a pixel the two ways of mixing differ, and a short fit to our renders settles it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from macrosplat.render import Camera, render
from macrosplat.scene.gaussians import SH_C0, Gaussians
from macrosplat.support import colour
from macrosplat.train.adam import Adam

WANTED = 40.0  # dB: at that, differences are below what 8 bit and an eye tell apart in most of a photo
# Learning rates of Adam at the start; they fall to a tenth (cosine).
SH0_RATE = 0.05  # 0.014 of the sRGB range per step
SH_REST_RATE = 0.01  # directions are seen by few views: slower
OPACITY_RATE = 0.1  # logit per step
DARKEST = 0.02  # linear: the curve's slope is taken no nearer to black, where it would amplify noise 13-fold


def fit_for_viewers(
    gaussians: Gaussians,
    cameras: Sequence[Camera],
    backdrops: Sequence[Tensor],
    steps: int = 300,
    seed: int = 0,
    wanted: float = WANTED,
) -> tuple[Gaussians, float]:
    """Fit the colours to our own sharp renders; the opacities too if a third of the steps leaves less than `wanted` dB.

    Deterministic for a seed and a machine. Costs `steps` forward and backward renders at most.

    Args:
        gaussians: the trained scene, linear light.
        cameras: [V] those of the photos.
        backdrops: [V] of [H, W, 3] or [3], linear light: what the photos' backdrops were.
        steps: of Adam; one view each.

    Returns:
        The scene whose colours are sRGB, and the mean PSNR in dB over the views between the two renders, both over
        the photo's backdrop and clipped to [0, 1].
    """
    assert len(cameras) == len(backdrops) > 0, f"{len(cameras)} cameras, {len(backdrops)} backdrops"
    gaussians = gaussians.detach()
    backdrops = [b.detach() for b in backdrops]
    with torch.no_grad():
        # Half precision: its steps below 1 are at most 2^-11, 72 dB, and 30 photos at 1600 px fit in 350 MB.
        targets = [
            _shown(colour.to_srgb(render(gaussians, camera).over(backdrop)[0])).half()
            for camera, backdrop in zip(cameras, backdrops, strict=True)
        ]
        backdrops = [colour.to_srgb(b) for b in backdrops]
    fitted = start_for_viewers(gaussians)
    quality = _psnr(fitted, cameras, backdrops, targets)
    colours, counts = ("sh0", "sh_rest"), (steps // 3, steps - steps // 3)
    for names, count in zip((colours, (*colours, "opacity_logits")), counts, strict=True):
        if quality >= wanted:
            break
        fitted = _fit(fitted, names, cameras, backdrops, targets, count, seed)
        quality = _psnr(fitted, cameras, backdrops, targets)
    return fitted, quality


def start_for_viewers(gaussians: Gaussians) -> Gaussians:
    """The colours through the sRGB curve: degree 0 by its value, the degrees above by its slope there."""
    linear = 0.5 + SH_C0 * gaussians.sh0
    sh0 = (colour.to_srgb(linear.clamp_min(0.0)) - 0.5) / SH_C0
    at = linear.clamp_min(DARKEST)
    slope = (1 + colour.OFFSET) / colour.EXPONENT * at ** (1 / colour.EXPONENT - 1)  # d sRGB / d linear
    return gaussians.with_(sh0=sh0, sh_rest=gaussians.sh_rest * slope[:, None, :])


def _fit(
    start: Gaussians,
    names: Sequence[str],
    cameras: Sequence[Camera],
    backdrops: Sequence[Tensor],
    targets: Sequence[Tensor],
    steps: int,
    seed: int,
) -> Gaussians:
    """`steps` of Adam on the parameters `names`; views in shuffled rounds."""
    rates = {"sh0": SH0_RATE, "sh_rest": SH_REST_RATE, "opacity_logits": OPACITY_RATE}
    free = {name: getattr(start, name).clone().requires_grad_() for name in names if getattr(start, name).numel()}
    # Not torch.optim's: making one imports torch's compiler, which takes 3 s.
    adam = Adam(free, dict.fromkeys(free, 0.0))
    shuffle = torch.Generator().manual_seed(seed)
    order: list[int] = []
    for step in range(steps):
        order = order or torch.randperm(len(targets), generator=shuffle).tolist()
        v = order.pop()
        shown = render(start.with_(**free), cameras[v]).over(backdrops[v])[0]
        # Not clipped: a value beyond white would get no gradient back; the target is in range, so it is pulled in.
        loss = torch.nn.functional.mse_loss(shown, targets[v].to(shown.dtype))
        fall = 0.55 + 0.45 * math.cos(math.pi * step / max(steps, 1))
        adam.rates.update({name: fall * rates[name] for name in free})
        adam.step(dict(zip(free, torch.autograd.grad(loss, list(free.values())), strict=True)))
    return start.with_(**{name: p.detach() for name, p in free.items()})


@torch.no_grad()
def _psnr(
    fitted: Gaussians,
    cameras: Sequence[Camera],
    backdrops: Sequence[Tensor],
    targets: Sequence[Tensor],
) -> float:
    """Mean over the views, dB, against the targets."""
    total = 0.0
    for camera, backdrop, target in zip(cameras, backdrops, targets, strict=True):
        shown = _shown(render(fitted, camera).over(backdrop)[0])
        error = float(torch.nn.functional.mse_loss(shown, target.to(shown.dtype)))
        total += -10.0 * math.log10(max(error, 1e-10))
    return total / len(targets)


def _shown(srgb: Tensor) -> Tensor:
    """What a screen shows of it."""
    return srgb.clamp(0.0, 1.0)
