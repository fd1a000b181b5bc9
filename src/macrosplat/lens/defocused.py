"""What a thin lens takes: sharp renders of the scene, each blurred by what its pupil makes of the depths, and averaged.

In: `draw(camera)`, pupil and focus distance (scene units), the blur in focus (px), how the aperture is sampled, foci
that differ by channel or place (`Foci`), the pupil's shape (`Opening`). Out: light [H, W, C]. Sharp renders are all
that is asked of the scene.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from macrosplat.lens import curvature, motion
from macrosplat.lens.aperture import apertures, has_centre, learned_of, residual_blur, rows_of
from macrosplat.lens.blur import each_blurred, mean_blur
from macrosplat.lens.coc import defocus
from macrosplat.lens.model import Draw, Sampling, Sharp
from macrosplat.lens.opening import ROUND, Opening
from macrosplat.lens.shift import shifted
from macrosplat.render import Camera, Plane

# The ring of the samples that a photo is compared with is turned so many times as far as that of the samples that
# gradients go through: irrational, so that neither knows of the other.
APART = math.sqrt(2)


@dataclass(frozen=True)
class Foci:
    """How foci differ from that of green in the middle of the frame, in 1 / scene units."""

    colours: Tensor | None = None  # [3] by what 1 / focus is more for red, green and blue
    # [] by what it is more in the corner, and [H, W] the squared shares of the way there.
    corner: tuple[Tensor, Tensor] | None = None

    def by_channel(self, channels: int) -> Tensor | None:
        """[C]: an alpha is in focus where green is."""
        if self.colours is None or channels == 3:
            return self.colours
        return torch.cat([self.colours, torch.zeros_like(self.colours[:1])])

    def flat(self, seen: Sharp) -> Tensor:
        """Depths that a flat field blurs as this one blurs those that are seen."""
        return seen.depth if self.corner is None else curvature.flattened(seen.depth, *self.corner)

    def apart(self, views: Tensor, u: Tensor, v: Tensor, focal: Tensor) -> Tensor:
        """Sub-aperture views [M, H, W, C] from (u, v) [M] (scene units), each channel where its own focus has it.

        Args:
            focal: [2] fx, fy px.
        """
        if self.colours is None and self.corner is None:
            return views
        channels = views.shape[-1]
        with torch.no_grad():  # what is learned is px of the rim, however wide the pupil is
            points = torch.stack([u, v], -1) * focal  # [M, 2] px per 1 / scene unit
        own = self.by_channel(channels)
        offsets = points.new_zeros(len(u), channels, 2) if own is None else points[:, None] * own[:, None]
        if self.corner is None:
            return shifted(views, offsets, moving=COLOURED)
        return shifted(views, offsets, curvature.bends(points, self.corner[0])[:, None].expand(-1, channels, -1))


GREEN, COLOURED = 1, (0, 2)  # channels: that of the focus, and those that differ
ONE_FOCUS = Foci()


def defocused(
    draw: Draw,
    camera: Camera,
    pupil: Tensor,  # [] scene units, diameter of the entrance pupil
    focus: Tensor,  # [] scene units, distance of the focal plane
    sigma0: Tensor,  # [] px of this frame, blur in focus
    sampling: Sampling,
    foci: Foci = ONE_FOCUS,
    opening: Opening = ROUND,
    screw: Tensor | None = None,  # [4, 4] along which the camera moves during the exposure (`motion`)
) -> Tensor:
    """[H, W, C] what a thin lens takes."""
    if sampling.samples == 1:
        views = camera.view[None] if screw is None else motion.centres(screw, camera.view)
        return blurred(draw(camera.at(views)), camera, pupil, focus, sigma0, foci, opening, whole=True)
    # A residual of 0.24 r is the sigma = r / 2 of a pupil 0.48 times as wide.
    least, plane = 2 * residual_blur(sampling.samples) * pupil, Plane() if screw is None else None

    def through(
        which: Sampling, rows: Sequence[int], shares: Tensor | None = None, first: Sharp | None = None
    ) -> tuple[Tensor, Sharp]:
        """What some of the samples see together, and each; `first`: what the first of them sees."""
        if screw is None:
            u, v, views = apertures(which, camera.view, pupil, focus, rows, opening.blades)
        else:
            still = torch.eye(4, dtype=camera.view.dtype, device=camera.view.device)
            u, v, sheared = apertures(which, still, pupil, focus, rows, opening.blades)
            views = motion.moved(sheared, screw, camera.view, which.samples, rows, shares is not None)
        if first is None:
            seen = draw(camera.at(views, plane))
        else:
            more = draw(camera.at(views[1:], plane))
            both = zip((first.colour, first.alpha, first.depth), (more.colour, more.alpha, more.depth), strict=True)
            seen = Sharp(*(torch.cat(planes) for planes in both))
        colour = foci.apart(seen.colour, u, v, camera.intrinsics[:2])
        weights = opening.weights(which, pupil)
        if weights is not None:  # they hardly change within a residual blur
            colour = colour * rows_of(weights, rows)[..., None]
        return blurred(replace(seen, colour=colour), camera, least, focus, sigma0, foci, opening, shares), seen

    learned = sampling.learned
    if not 0 < learned < sampling.samples or not torch.is_grad_enabled():
        return through(sampling, range(sampling.samples))[0]
    rows, shares = learned_of(sampling.samples, learned)
    taken, seen = through(sampling, rows, torch.cat([pupil.new_full((1,), share) for share in shares]))
    with torch.no_grad():
        # Others than those that gradients go through, on their own ring: what a few samples have of their own, and the
        # pupil has not, would else count against the detail of the scene that it comes from (experiments: own-samples).
        others = replace(sampling, angle=sampling.angle * APART)
        # The pupil's centre, which nothing turns, is one of either: it is drawn once.
        centre = Sharp(seen.colour[:1], seen.alpha[:1], seen.depth[:1]) if has_centre(sampling.samples) else None
        exact = torch.zeros_like(taken)
        for k in range(0, others.samples, learned):
            part = range(k, min(k + learned, others.samples))
            exact += len(part) / others.samples * through(others, part, first=centre if k == 0 else None)[0]
    return taken + (exact - taken).detach()


class _Sharing(torch.autograd.Function):
    """Frames [M, ...] as they are, whose gradients are multiplied by shares [M]."""

    @staticmethod
    def forward(ctx: Any, frames: Tensor, shares: Tensor) -> Tensor:
        ctx.save_for_backward(shares)
        return frames.view_as(frames)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor):  # type: ignore[override]
        (shares,) = ctx.saved_tensors
        return gradient * shares.view(-1, *(1,) * (gradient.ndim - 1)), None


def blurred(
    seen: Sharp,
    camera: Camera,
    pupil: Tensor,
    focus: Tensor,
    sigma0: Tensor,
    foci: Foci = ONE_FOCUS,
    opening: Opening = ROUND,
    shares: Tensor | None = None,  # [M] what the gradients of each count for; None: all alike
    whole: bool = False,  # whether `pupil` is the lens's own, and not what completes its samples
) -> Tensor:
    """The mean of M sub-aperture views, each blurred by a pupil."""
    own, sigma = _sigma(seen, camera, pupil, focus, sigma0, foci, opening)
    # The residual blur of a sample is small, and that of a colour differs from it by less (experiments: about-green).
    pivot = GREEN if own is not None and len(seen.colour) > 1 and not whole else None
    if shares is None:
        return mean_blur(seen.colour, sigma, pivot)
    return mean_blur(_Sharing.apply(seen.colour, shares), _Sharing.apply(sigma, shares), pivot)  # type: ignore[arg-type]


def apart(
    seen: Sharp,
    camera: Camera,
    pupil: Tensor,
    focus: Tensor,
    sigma0: Tensor,
    foci: Foci = ONE_FOCUS,
    opening: Opening = ROUND,
) -> Tensor:
    """[M, H, W, C] each of M sub-aperture views, blurred by a pupil; without gradients."""
    return each_blurred(seen.colour, _sigma(seen, camera, pupil, focus, sigma0, foci, opening)[1])


def _sigma(
    seen: Sharp, camera: Camera, pupil: Tensor, focus: Tensor, sigma0: Tensor, foci: Foci, opening: Opening
) -> tuple[Tensor | None, Tensor]:
    """By what foci of the channels differ (None: one focus), and the blur [M, H, W] or [M, H, W, C] px."""
    own = foci.by_channel(seen.colour.shape[-1])
    depth = opening.narrowed(foci.flat(seen), focus)
    return own, defocus(depth, seen.alpha, camera.intrinsics[0], pupil, focus, sigma0, own)
