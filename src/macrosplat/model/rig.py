"""The cameras of a capture's photos, which training may move a little: each is turned about the object and shifted
along it, and all of them share a correction f of the focal length.

Turning about a pivot in the scene keeps turn and shift apart: about the camera's own centre, a narrow lens cannot tell
a small turn from a small shift. Likewise f goes with a camera that steps back (a dolly zoom, t_z += (f - 1) p): what
lies at the pivot's depth p stays where it is in the photo, and only the strength of perspective changes. So does a
photo's own part of it, where the lens breathes as it focuses (`lens.breathing`): one coefficient for all photos.
Cameras that were given stay where they are while others move.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from macrosplat.lens.breathing import zooms
from macrosplat.render import Camera, Frame
from macrosplat.support.dispatch import kind_of, on_gpu, select_row


class Rig:
    """view = (step back) (turn about the pivot) (shift) view0; fx, fy = f (fx0, fy0): per photo, f for all."""

    def __init__(
        self,
        views: Tensor,  # [V, 4, 4] world to camera, rigid: where they begin
        intrinsics: Tensor,  # [V, 4] fx, fy, cx, cy in px of the training width: likewise
        frames: Sequence[Frame],  # V at the training width
        pivot_depth: Tensor,  # [V] camera z of the pivot
        pixel: float,  # scene units of a px of the training width at the pivot
        leader: Sequence[int] | None = None,  # V photos whose turn and shift a photo shares; None: its own
        moves: Tensor | None = None,  # [V] 1: turn and shift are learned; 0: the pose stays; None: all are
    ) -> None:
        assert intrinsics.shape == (len(views), 4), f"intrinsics has shape {tuple(intrinsics.shape)}"
        assert len(frames) == len(pivot_depth) == len(views), f"{len(frames)} frames, {len(views)} views"
        self.moves = views.new_ones(len(views)) if moves is None else moves
        assert self.moves.shape == (len(views),), f"moves has shape {tuple(self.moves.shape)}"
        self.views, self.start, self.pivot_depth, self.pixel = views, intrinsics, pivot_depth, pixel
        self.frames = tuple(frames)
        self.leader = tuple(range(len(views))) if leader is None else tuple(leader)
        self._leaders = torch.tensor(self.leader, device=views.device)
        self._sizes = views.new_tensor([(frame.width, frame.height) * 2 for frame in self.frames])
        self.parameters = {
            "pose.turn": views.new_zeros(len(views), 3),  # radians
            "pose.shift": views.new_zeros(len(views), 3),  # px at the pivot
            "pose.focal": views.new_zeros(()),  # ln of f
            "pose.breathing": views.new_zeros(()),  # relative spread of the photos' focal lengths
        }
        # Slices of a pose were brought to one magnification already.
        self._breathes = self.leader == tuple(range(len(views)))
        self._frozen: dict[tuple[int, int], tuple[Tensor, Tensor]] = {}  # by size: views and intrinsics of all photos

    def __len__(self) -> int:
        return len(self.frames)

    def to(self, device: torch.device) -> None:
        """Move the start and what is learned to a device."""
        self.views, self.start, self.pivot_depth, self.moves, self._leaders, self._sizes = (
            t.to(device) for t in (self.views, self.start, self.pivot_depth, self.moves, self._leaders, self._sizes)
        )
        self.parameters = {name: t.detach().to(device) for name, t in self.parameters.items()}
        self._frozen = {}

    def leading(self, photo: int | Tensor) -> int | Tensor:
        """The photo that stands for the pose of a photo (an index, or [1] on the device)."""
        return self.leader[photo] if isinstance(photo, int) else self._leaders.index_select(0, photo)

    def camera(self, photo: int | Tensor, frame: Frame | None = None, magnifications: Tensor | None = None) -> Camera:
        """The camera of a photo (an index, or [1] on the device), differentiable in turn, shift and focal length.

        Args:
            frame: at which size; by default the photo's own at the training width, of a photo that the host knows.
            magnifications: [V] as `Lens.magnifications` has them; None: the lens does not breathe.
        """
        if frame is None:
            assert isinstance(photo, int), "a photo that only the device knows has no frame of its own"
            frame = self.frames[photo]
        if torch.is_grad_enabled():
            self._frozen = {}  # about to change
        learned = (self.parameters[name] for name in ("pose.turn", "pose.shift", "pose.focal", "pose.breathing"))
        relative = magnifications if self._breathes else None
        known = (relative, self.views, self.start, self._sizes, self.pivot_depth, self.moves)
        size = (self.pixel, frame.width, frame.height)
        if isinstance(photo, Tensor) and on_gpu(self.views):
            from macrosplat.model import rig_cuda

            return Camera(*rig_cuda.Learned.apply(*learned, *known, self._leaders, photo, *size), frame)  # type: ignore[misc]
        if isinstance(photo, int) and self.views.dtype == torch.float32 and kind_of(self.views.device) == "cpu":
            from macrosplat.model import rig_cpu

            return Camera(*rig_cpu.Learned.apply(*learned, *known, self.leader[photo], photo, *size), frame)  # type: ignore[misc]
        f = self._focal(photo, magnifications)
        return Camera(self._view(photo, f), self._intrinsics(photo, frame, f), frame)

    def frozen(
        self, photo: int | Tensor, frame: Frame, magnified: Callable[[], Tensor | None] = lambda: None
    ) -> Camera:
        """The same while nothing is learned of the cameras: computed once, in the first step that asks; so are
        `magnifications`, by a call."""
        size = frame.width, frame.height
        if size not in self._frozen:
            with torch.no_grad():
                magnifications = magnified()
                every = [self.camera(v, frame, magnifications) for v in range(len(self))]
            views, intrinsics = ([getattr(camera, name) for camera in every] for name in ("view", "intrinsics"))
            self._frozen[size] = torch.stack(views), torch.stack(intrinsics)
        views, intrinsics = self._frozen[size]
        return Camera(select_row(views, photo), select_row(intrinsics, photo), frame)

    def begun(self, photo: int) -> Camera:
        """The camera of a photo as it began: what is learned moves it by a few px."""
        return Camera(self.views[photo], self.start[photo], self.frames[photo])

    def focal(self) -> float:
        """f, by which the focal lengths are multiplied. Waits for the device."""
        return float(self.parameters["pose.focal"].detach().exp())

    @torch.no_grad()
    def focal_factors(self, magnifications: Tensor | None = None) -> Tensor:
        """[V] what the focal lengths at the start are multiplied by."""
        return torch.stack([self._focal(v, magnifications) for v in range(len(self))])

    @torch.no_grad()
    def focal_lengths(self, magnifications: Tensor | None = None) -> Tensor:
        """[V] fx / width of the photos, as they are now."""
        return self.focal_factors(magnifications) * self.start[:, 0] / self._sizes[:, 0]

    def followed(self, views: Tensor) -> Tensor:
        """[M, 4, 4] of other cameras, found with the photos' own: what they become with the focal length corrected."""
        back = torch.zeros_like(views)
        back[:, 2, 3] = (self.focal() - 1) * float(self.pivot_depth.median())
        return views + back

    def _view(self, photo: int | Tensor, f: Tensor) -> Tensor:
        leader = self.leading(photo)
        moves = select_row(self.moves, leader)
        turn, shift = (moves * select_row(self.parameters[name], leader) for name in ("pose.turn", "pose.shift"))
        shift = shift * self.pixel
        zero = torch.zeros_like(turn[0])
        x, y, z = turn.unbind()
        skew = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero]).view(3, 3)
        # Rodrigues' formula by half angles, safe at no turn at all; `matrix_exp` would make a GPU's host wait.
        half = 0.5 * turn.square().sum().clamp_min(1e-14).sqrt()
        sinc = half.sin() / half
        sine, cosine = sinc * half.cos(), 0.5 * sinc.square()
        rotation = torch.eye(3, dtype=skew.dtype, device=skew.device) + sine * skew + cosine * (skew @ skew)
        depth = select_row(self.pivot_depth, photo)
        pivot, moved = torch.stack([zero, zero, depth]), torch.stack([zero, zero, f.to(turn) * depth])
        start = select_row(self.views, photo)
        shifted = rotation @ (start[:3, 3] + shift - pivot) + moved
        return torch.cat([torch.cat([rotation @ start[:3, :3], shifted[:, None]], 1), start[3:]])

    def _intrinsics(self, photo: int | Tensor, frame: Frame, f: Tensor) -> Tensor:
        """[4] px of the frame."""
        sizes = select_row(self._sizes, photo)
        one = torch.ones_like(f)
        # Filled on the device: a copy from the host would be forbidden where steps are recorded.
        size = torch.ones_like(sizes) * frame.width
        size[1::2] = frame.height
        return select_row(self.start, photo) * (size / sizes) * torch.stack([f, f, one, one])

    def _focal(self, photo: int | Tensor, magnifications: Tensor | None) -> Tensor:
        """[] what the focal length of a photo is multiplied by."""
        f = self.parameters["pose.focal"].exp()
        if magnifications is None or not self._breathes:
            return f
        return f * select_row(zooms(self.parameters["pose.breathing"], magnifications), photo)


def leaders(poses: Sequence[Sequence[int]]) -> tuple[int, ...]:
    """Of photos grouped by pose, the first of each photo's group."""
    of = {photo: group[0] for group in poses for photo in group}
    return tuple(of[photo] for photo in range(len(of)))
