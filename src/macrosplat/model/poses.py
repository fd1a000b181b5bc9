"""Poses that training may move a little: each photo's camera is turned about the object and shifted along it, and all
of them share a correction f of the focal length.

Turning about a pivot in the scene keeps turn and shift apart: about the camera's own centre, a narrow lens cannot tell
a small turn from a small shift. Likewise f goes with a camera that steps back (a dolly zoom): what lies at the pivot's
depth p stays where it is in the photo, and only the strength of perspective changes. The camera of focal length f fx
then sees a point at z + (f - 1) p instead of z. Divided by f, that is p + (z - p) / f under the old focal length: the
scene's relief before the camera is flattened, which is what the view of a step does. Depths of that view are 1 / f of
the true ones, focus distances too; a pupil is what it is. `rigid` gives the cameras as they truly stand.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from macrosplat.support.dispatch import select_row


class Poses:
    """view = (relief about the pivot) (turn about the pivot) (shift) view0, per photo."""

    def __init__(self, views: Tensor, pivot_depth: Tensor, pixel: float, leader: tuple[int, ...] | None = None) -> None:
        """Args: views [V, 4, 4] to begin, pivot_depth [V] camera z of the pivot, pixel: scene units a px there.

        leader: V photos, the one whose turn and shift a photo shares (slices of a focus bracket); None: its own.
        """
        self.views = views
        self.pivot_depth = pivot_depth
        self.pixel = pixel
        self.leader = tuple(range(len(views))) if leader is None else tuple(leader)
        self._leaders = torch.tensor(self.leader, device=views.device)
        self.parameters = {
            "pose.turn": views.new_zeros(len(views), 3),  # radians
            "pose.shift": views.new_zeros(len(views), 3),  # px at the pivot
            "pose.focal": views.new_zeros(()),  # ln of f
        }
        self._held: Tensor | None = None

    def to(self, device: torch.device) -> None:
        """Move the start and what is learned to a device."""
        self.views, self.pivot_depth = self.views.to(device), self.pivot_depth.to(device)
        self._leaders, self._held = self._leaders.to(device), None
        self.parameters = {name: t.detach().to(device) for name, t in self.parameters.items()}

    def leading(self, photo: int | Tensor) -> int | Tensor:
        """The photo that stands for the pose of a photo (a number, or [1] on the device)."""
        return self.leader[photo] if isinstance(photo, int) else self._leaders.index_select(0, photo)

    def view(self, photo: int | Tensor) -> Tensor:
        """[4, 4] world to camera of a photo (a number, or [1] on the device), for its pinhole of old; differentiable in
        turn, shift and focal length, and affine: depths are 1 / f of the true ones."""
        leader = self.leading(photo)
        if torch.is_grad_enabled():
            self._held = None  # about to change
        turn, shift = (select_row(self.parameters[name], leader) for name in ("pose.turn", "pose.shift"))
        shift = shift * self.pixel
        zero = torch.zeros_like(turn[0])
        x, y, z = turn.unbind()
        skew = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero]).view(3, 3)
        # Rodrigues' formula by half angles, safe at no turn at all; `matrix_exp` would make a GPU's host wait.
        half = 0.5 * turn.square().sum().clamp_min(1e-14).sqrt()
        sinc = half.sin() / half
        sine, cosine = sinc * half.cos(), 0.5 * sinc.square()
        rotation = torch.eye(3, dtype=skew.dtype, device=skew.device) + sine * skew + cosine * (skew @ skew)
        one, relief = torch.ones_like(zero), (-self.parameters["pose.focal"]).exp().to(turn)
        rotation = torch.stack([one, one, relief])[:, None] * rotation
        pivot = torch.stack([zero, zero, select_row(self.pivot_depth, photo)])
        start = select_row(self.views, photo)
        moved = torch.cat([rotation @ start[:3, :3], (rotation @ (start[:3, 3] + shift - pivot) + pivot)[:, None]], 1)
        return torch.cat([moved, start[3:]])

    def held(self, photo: int | Tensor) -> Tensor:
        """[4, 4] the same while nothing is learned of the poses: computed once, in the first step that asks."""
        if self._held is None:
            self._held = self.all()
        return select_row(self._held, photo)

    def all(self) -> Tensor:
        """[V, 4, 4] the views of all photos now, as `view` gives them."""
        with torch.no_grad():
            return torch.stack([self.view(photo) for photo in range(len(self.views))])

    def focal(self) -> float:
        """f, by which the focal lengths are to be multiplied. Waits for the device."""
        return float(self.parameters["pose.focal"].detach().exp())

    def rigid(self) -> Poses:
        """The cameras as they stand, with nothing left to correct, for pinholes of f times the focal length."""
        f, views = self.focal(), self.all()
        views[:, 2] *= f
        return Poses(views, self.pivot_depth * f, self.pixel, self.leader)


def leaders(poses: Sequence[Sequence[int]]) -> tuple[int, ...]:
    """Of photos grouped by pose, the first of each photo's group."""
    of = {photo: group[0] for group in poses for photo in group}
    return tuple(of[photo] for photo in range(len(of)))
