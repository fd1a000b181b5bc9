"""A training step: a photo's index, what it is compared with and a few numbers in, its loss and gradients out.

It changes nothing. `eager` takes one after the other, `graphs` records each kind once and replays it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from macrosplat.lens import PhotoIndex, Sampling
from macrosplat.model.model import Model
from macrosplat.render import Frame
from macrosplat.train.density import add_regulariser_gradient
from macrosplat.train.drop import thinned
from macrosplat.train.loss import Target, taken_loss

AHEAD = 100  # steps that a host may be ahead of what it knows of its GPU


@dataclass(frozen=True)
class Kind:
    """What the launches of a step depend on: all that is alike in the steps that one recorded graph takes."""

    frame: Frame
    samples: int  # of the aperture
    sh_degree: int
    learns: tuple[str, ...]  # names of the parameters
    dssim_weight: float
    learned: int = 0  # samples that gradients go through; 0: all
    moving: bool = False  # whether the photo moved during its exposure
    terms: tuple[str, ...] = ()  # of the lens that act

    @property
    def sampling(self) -> Sampling:
        """Of the aperture, but for how its ring is turned."""
        return Sampling(self.samples, learned=self.learned, moving=self.moving)


@dataclass(frozen=True)
class Weights:
    """What a whole run has in common."""

    drop: float  # share of the Gaussians that a step does without (`drop.thinned`)
    mask: float  # of alpha against the masks, where there are any
    opacity: float  # of the sum of opacities
    size: float  # of the sum of standard deviations, scene units^-1


def gradients(
    model: Model,
    kind: Kind,
    photo: PhotoIndex,
    target: Target,  # the photo at the size of `kind.frame`
    angle: float | Tensor,  # by which the ring of aperture samples is turned
    key: int | Tensor,  # of the random numbers of the drop
    weights: Weights,
) -> tuple[Tensor, Mapping[str, Tensor | None]]:
    """The loss of one photo, and its gradients by what learns (None: it does not depend on that)."""
    leaves = {name: leaf for name, leaf in model.parameters().items() if name in kind.learns}
    taken = model.photograph(
        photo,
        replace(kind.sampling, angle=angle),
        kind.frame,
        degree=kind.sh_degree,
        reshape=(lambda scene: thinned(scene, weights.drop, key)) if weights.drop > 0 else None,
        with_alpha=target.alpha_target is not None,
        frozen=not leaves.keys() & model.rig.parameters.keys(),
    )
    loss = taken_loss(taken, target, kind.dssim_weight, weights.mask)
    found = dict(zip(leaves, torch.autograd.grad(loss, list(leaves.values()), allow_unused=True), strict=True))
    with torch.no_grad():
        logits, log_scales, n = found["opacity_logits"], found["log_scales"], len(model.gaussians)
        assert logits is not None and log_scales is not None, "a photo depends on every Gaussian"
        add_regulariser_gradient(model.gaussians, logits, log_scales, weights.opacity / n, weights.size / n)
        model.lens.believe(found)
    return loss.detach(), found
