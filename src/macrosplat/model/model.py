"""How a photo of a capture is formed: camera -> render over a backdrop -> lens -> exposure. The one place that knows.

In: a photo's index or a camera. Out: linear light [H, W, 3], as that photo was exposed (no photo's: as the mean is).
Lengths are scene units, sizes px.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from macrosplat.lens import Lens, LensEstimate, PhotoIndex, Reshape, Sampling, Sharp
from macrosplat.lens.defocused import defocused
from macrosplat.lens.thin import SIGMA0_MIN
from macrosplat.model.backdrop import Backdrop
from macrosplat.model.exposure import Exposure
from macrosplat.model.rig import Rig
from macrosplat.render import Camera, Frame, render
from macrosplat.scene.gaussians import Gaussians
from macrosplat.support.dispatch import kind_of, on_gpu, select_row


@dataclass
class Model:
    """Everything that training changes."""

    gaussians: Gaussians
    rig: Rig
    lens: Lens
    backdrop: Backdrop
    exposure: Exposure

    def parameters(self) -> dict[str, Tensor]:
        """All leaves by name."""
        return {
            **self.gaussians.tensors(),
            **self.lens.parameters,
            **self.rig.parameters,
            "backdrop": self.backdrop.grids,
            "exposure": self.exposure.log_gains,
        }

    def to(self, device: torch.device) -> Model:
        """The same on a device."""
        self.gaussians = self.gaussians.map(lambda t: t.detach().to(device))
        self.lens.to(device)
        self.rig.to(device)
        self.backdrop = Backdrop(self.backdrop.grids.detach().to(device))
        self.exposure = Exposure(self.exposure.log_gains.detach().to(device))
        return self

    def camera(self, photo: PhotoIndex, frame: Frame | None = None, frozen: bool = False) -> Camera:
        """The camera of a photo, at the training width or as large as `frame`; `frozen`: nothing is learned of it."""
        if frozen and frame is not None:
            camera = self.rig.frozen(photo, frame, self.lens.magnifications)
        else:
            camera = self.rig.camera(photo, frame, self.lens.magnifications())
        return replace(camera, intrinsics=self.lens.intrinsics(camera.intrinsics, photo))

    @torch.no_grad()
    def cameras(self) -> list[Camera]:
        """V cameras of the photos, as they are now, at the training width."""
        return [self.camera(photo) for photo in range(len(self.rig))]

    def draw(
        self,
        camera: Camera,
        photo: PhotoIndex | None = None,
        degree: int | None = None,
        reshape: Reshape | None = None,
        behind: Tensor | None = None,
    ) -> Sharp:
        """What a camera sees in the scene's own light, over the backdrop of a photo (None: the mean of all).

        `behind` is that backdrop, for who draws over it more than once.
        """
        gaussians = self.gaussians if reshape is None else reshape(self.gaussians)
        seen = render(gaussians, camera, degree)
        colour, depth = seen.over(self.behind(photo, camera.frame) if behind is None else behind)
        return Sharp(colour, seen.alpha, depth)

    def sharp(self, camera: Camera, photo: PhotoIndex | None = None) -> Tensor:
        """[H, W, 3] all in focus, with a photo's backdrop and exposure."""
        return self.exposure.expose(self.draw(camera, photo).colour, photo)

    def photograph(
        self,
        photo: PhotoIndex,
        sampling: Sampling | None = None,
        frame: Frame | None = None,
        *,
        degree: int | None = None,
        reshape: Reshape | None = None,
        with_alpha: bool = False,
        frozen: bool = False,
    ) -> Tensor:
        """[H, W, 3] a photo as the lens takes it.

        Args:
            frame: its size; by default that of the training width.
            degree: how much of the colour's direction is used; by default all.
            reshape: changes the scene before, for this once.
            with_alpha: a fourth channel is how much of the light is the scene's, blurred along with the colours.
            frozen: nothing is learned of the camera.
        """
        if isinstance(photo, Tensor) and kind_of(photo.device) == "cpu":
            photo = int(photo)  # the host knows it, too
        camera = self.camera(photo, frame, frozen)
        gain, grid = self._own(photo)
        # One for all aperture samples, kept until the gradients are there.
        behind = self.backdrop.spread(grid, camera.frame.width, camera.frame.height)

        def draw(seen_from: Camera, by_lens: Reshape | None = None) -> Sharp:
            sharp = self.draw(seen_from, photo, degree, _both(by_lens, reshape), behind)
            if not with_alpha:
                return sharp
            return replace(sharp, colour=torch.cat([sharp.colour, sharp.alpha[..., None]], -1))

        return self.exposure.expose(self.lens.photograph(draw, camera, photo, sampling or Sampling()), photo, gain)

    def refocused(
        self,
        camera: Camera,
        pupil: float,
        focus: float,
        sampling: Sampling,
        photo: PhotoIndex | None = None,
        sigma0: float = SIGMA0_MIN,
    ) -> Tensor:
        """[H, W, 3] through a thin lens of any aperture, focused anywhere, with a photo's backdrop and exposure.

        Args:
            pupil: diameter, focus: camera z, both scene units. sigma0: px, blur that is left in focus.
        """

        def draw(seen_from: Camera, _: Reshape | None = None) -> Sharp:
            return self.draw(seen_from, photo)

        wide, far, least = (camera.view.new_tensor(number) for number in (pupil, focus, sigma0))
        return self.exposure.expose(defocused(draw, camera, wide, far, least, sampling), photo)

    def blur_radius(self, photo: int, sharp: Sharp | None = None, points: Tensor | None = None) -> Tensor:
        """[H, W] px, signed radius of a photo's circles of confusion, positive behind the focus.

        Args:
            sharp: what the photo's camera sees, or other depths; by default it is drawn.
            points: [H, W, 2] px, where in the frame those depths are; by default each in a pixel of its own.
        """
        camera = self.camera(photo)
        return self.lens.radius(self.draw(camera, photo) if sharp is None else sharp, camera, photo, points)

    def estimate(self) -> LensEstimate | None:
        """What was found out about the lens, if the lens model says."""
        return self.lens.estimate(self.rig.focal_lengths(self.lens.magnifications()))

    def behind(self, photo: PhotoIndex | None, frame: Frame) -> Tensor:
        """[H, W, 3] the backdrop of a photo (None: the mean of all), in the scene's light."""
        # Grids are kept in their photo's own light: what is seen of them then says nothing about its exposure.
        if photo is None:
            poses = sorted(set(self.rig.leader))
            grid = torch.stack([self.backdrop.grids[p] / self.exposure.gain(p) for p in poses]).mean(0)
        else:
            grid = self._own(photo)[1]
        return self.backdrop.spread(grid, frame.width, frame.height)

    def _own(self, photo: PhotoIndex) -> tuple[Tensor, Tensor]:
        """A photo's gain [3], and its backdrop's grid [3, 4, 3] in the scene's light."""
        # Slices of one pose see the same: with backdrops of their own each would keep some of its blur in it.
        leader = self.rig.leading(photo)
        if isinstance(photo, Tensor) and on_gpu(self.backdrop.grids):
            from macrosplat.model.light_cuda import Own

            return Own.apply(self.exposure.log_gains, self.backdrop.grids, photo, leader)  # type: ignore[return-value]
        grids = self.backdrop.grids
        if isinstance(photo, int) and grids.dtype == torch.float32 and kind_of(grids.device) == "cpu":
            from macrosplat.model import light_cpu

            own = light_cpu.Own.apply(self.exposure.log_gains, grids, photo, leader)
            return own  # type: ignore[return-value]
        return self.exposure.gain(photo), select_row(self.backdrop.grids, leader) / self.exposure.gain(leader)


def _both(first: Reshape | None, second: Reshape | None) -> Reshape | None:
    if first is None or second is None:
        return first or second
    return lambda scene: second(first(scene))
