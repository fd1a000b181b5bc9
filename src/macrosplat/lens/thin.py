"""`thin`: a thin lens with one pupil for the capture and one focus distance per photo.

Signed defocus in px: s = (D / 2) fx (1 / d0 - 1 / d). Exact at every magnification, because a calibrated fx already
holds the image distance. The photo is made in one of two ways:
- from one aperture sample, the pupil's centre: one sharp render, blurred with sigma^2 = sigma0^2 + (s / 2)^2. Fast, but
  light that a near thing hides from the centre is missing, and what is sharp leaks onto what is blurred behind it;
- from M aperture samples (sub-aperture views): a lens sees round the edges of near things. M renders from a ring in
  the pupil, each sheared so that the plane of focus stays put, given the residual blur that completes the disc's second
  moment, and averaged.
Where the photos show it, red and blue have a focus of their own (`colour`), the field of focus is curved (`curvature`),
red and blue are magnified on their own (`lateral`), and corners are darker (`vignetting`); the pupil has blades
(`blades`), and is clipped away from the middle of the frame (`cats_eye`).
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from macrosplat.lens import breathing, cats_eye, colour, curvature, lateral, motion, rim, vignetting
from macrosplat.lens.decided import BLADES, CATS_EYE, Decided
from macrosplat.lens.defocused import COLOURED, ONE_FOCUS, Foci, defocused
from macrosplat.lens.model import Draw, Lens, LensEstimate, LensPlan, LensStart, PhotoIndex, Sampling, Sharp, dolly
from macrosplat.lens.moving import Moving
from macrosplat.lens.opening import ROUND, Opening
from macrosplat.lens.shift import shifted
from macrosplat.lens.spans import spans_of
from macrosplat.lens.terms import SEEN, TERMS
from macrosplat.render import Camera
from macrosplat.support.dispatch import kind_of, on_gpu, select_row

# Of Adam, per step, all relative: 0.3 % of the pupil at first (see `PUPIL_END`), 0.1 % of the focus distance,
# 0.2 % of sigma0. A pupil that starts far too wide has to come down before it is frozen, or light halos stay around
# silhouettes (experiments: pupil-rate).
PUPIL_RATE, FOCUS_RATE, SIGMA0_RATE = 3e-3, 1e-3, 2e-3
# How much what EXIF expects of the pupil counts against a photo: at a spread of 0.08 as much as one whose loss (at
# half of 320 px, chess) has a curvature of 0.09 over ln(pupil).
BELIEF = 6e-4
SIGMA0_MIN, SIGMA0_MAX = 0.05, 1.5  # px: diffraction, anti-alias filter, demosaicing; more than that is defocus

# From when on the pupil is learned where it is frozen later, and then how much faster. Foci come first: while they are
# off, the blur is at the wrong depths, and a pupil narrows that has no time left to widen again (experiments:
# pupil-from).
PUPIL_FROM, FASTER = 0.16, 5 / 3
PUPIL_END = 0.1  # of the pupil's first rate, reached linearly when it is frozen: it has far to go and then to settle

# When poses that SfM found begin to be refined: within the first span, where the blur is true at edges, too
# (experiments: poses-from). With one sample there is no such span; the same is taken, and was not measured.
POSES_FROM = 0.2
OWN = ("lens.pupil", "lens.focus", "lens.sigma0")  # what every thin lens has


class ThinLens(Decided, Moving, Lens):
    name = "thin"
    poses_from = POSES_FROM
    pupil_from = PUPIL_FROM

    def __init__(self, start: LensStart) -> None:
        self.spans = spans_of(start.settings)
        focus = torch.tensor(start.focus)
        self.reference = 1 / focus  # [V] 1 / scene units: what `focus` is relative to
        self.focal = torch.tensor(start.focal)  # [V] fx / width under which `reference` was found; or empty
        self._began = self.reference * self.focal if len(self.focal) else self.reference  # [V] fx / d0 at the start
        self.spread = breathing.spread(self._began)
        self.aperture = torch.tensor(start.aperture)  # [V]
        self.width = start.width
        self.parameters = {
            "lens.pupil": torch.tensor(math.log(start.pupil)),  # ln of scene units
            "lens.focus": torch.zeros(len(focus)),  # magnification in focus = that of the start (1 + focus)
            "lens.sigma0": torch.tensor(math.log(start.sigma0)),  # ln of px at the training width
        }
        self.rates = {"lens.pupil": PUPIL_RATE, "lens.focus": FOCUS_RATE, "lens.sigma0": SIGMA0_RATE}
        self.rates |= {term.name: term.rate for term in TERMS}
        self.parameters |= self._terms(start.settings)
        if start.settings.get("motion", "off") == "on":
            self.parameters |= motion.parameters(len(focus))
            self.rates["lens.motion"] = motion.RATE
        self._radii: dict[tuple[int, int], Tensor] = {}  # by size of the frame
        self._towards: dict[tuple[int, int], tuple[Tensor, Tensor]] = {}
        if start.all_blurred:
            del self.rates["lens.sigma0"]
        self.exif = start.exif
        middle = float(np.median(start.focus))
        # ln of scene units: what EXIF expects of the pupil, and what it rules out.
        self._bounds = (-math.inf, math.inf)
        self._expected = None
        if start.exif is not None:
            least, most = start.exif.least * middle, start.exif.most * middle
            self._bounds = (math.log(least) if least > 0 else -math.inf, math.log(most))
            if start.exif.expected is not None:
                self._expected = math.log(start.exif.expected * middle)

    def believe(self, gradients: dict[str, Any]) -> None:
        for term in TERMS:
            if gradients.get(term.name) is not None:
                gradients[term.name] = gradients[term.name] + term.belief * self.parameters[term.name].detach()
        ways = gradients.get("lens.motion")
        if ways is not None:  # each photo in its turn, as its loss is (experiments: motion)
            taken = (ways != 0).any(1, keepdim=True)
            gradients["lens.motion"] = ways + motion.BELIEF * taken * self.parameters["lens.motion"].detach()
        if self.exif is None or self._expected is None or gradients.get("lens.pupil") is None:
            return
        # Nothing pulls a wider pupil down but the photos and the bound: photos err to the narrow side, and a lens that
        # shortens as it focuses has a wider pupil than its nominal focal length lets one expect.
        off = (self.parameters["lens.pupil"].detach() - self._expected).clamp_max(0)
        gradients["lens.pupil"] = gradients["lens.pupil"] + BELIEF / self.exif.spread**2 * off

    def confine(self) -> None:
        if self.acts(CATS_EYE):
            self.parameters[CATS_EYE].detach().clamp_(cats_eye.LOWEST, cats_eye.MOST)
        if self.exif is not None:
            self.parameters["lens.pupil"].detach().clamp_(*self._bounds)

    def plan(self, t: float) -> LensPlan:
        samples, learned = next((span[2:] for span in self.spans if span[0] <= t < span[1]), (1, 0))
        rates = {name: rate for name, rate in self.rates.items() if name in OWN} | self.learned_at(t)
        settled_at = self.spans[0][1] if self.spans else math.inf
        if self.spans and "lens.pupil" in rates:
            gone = min(1.0, max(0.0, (t - self.pupil_from) / (settled_at - self.pupil_from)))
            rates["lens.pupil"] *= FASTER * (1 - (1 - PUPIL_END) * gone)
            if not self.pupil_from <= t < settled_at:
                del rates["lens.pupil"]
        if t < self.learn_from or (t >= settled_at and samples == 1):
            rates = {}
        # Through the pupil's centre alone the focal length runs away (experiments: focal-by-one-sample).
        focal = samples > 1 or not self.spans
        if self.some_moved():
            rates["lens.motion"] = motion.RATE
        poses = t >= self.poses_from
        return LensPlan(Sampling(samples, learned=learned), rates, poses=poses, focal=focal, terms=self.acting())

    def rim(self, draw: Draw, camera: Camera, photo: int) -> tuple[Tensor, Tensor]:
        """A photo [H, W, C] and its slopes by the pupil's shape, as `rim.slopes`."""
        numbers, towards = self._numbers(photo, camera), self._directions(camera)
        opening = self.opening(photo, camera)
        shape = self.foci(photo, camera), opening, towards
        return rim.slopes(draw, camera, numbers, *shape, lambda taken: self._developed(taken, camera, opening))

    def smear(self, depth: Tensor, camera: Camera, photo: int) -> Tensor | None:
        if not self.moved(photo):
            return None
        return motion.smear(self.screw(photo, camera, self.focus(photo, camera)), depth, camera)

    def foci(self, photo: PhotoIndex, camera: Camera) -> Foci:
        """How those of a photo differ."""
        if not self.acts("lens.colour") and not self.acts("lens.curvature"):
            return ONE_FOCUS
        if isinstance(photo, int) and self._host_computes():
            from macrosplat.lens import numbers_cpu

            known = self.parameters["lens.pupil"], self.focal, photo, camera.intrinsics
            numbers = numbers_cpu.widest(*known, camera.frame.width, self.width)
        else:
            with torch.no_grad():  # neither says how wide the pupil is
                numbers = self._widest(photo, camera), camera.intrinsics[0] * (self.width / camera.frame.width)
        colours = corner = None
        if self.acts("lens.colour"):
            colours = colour.inverse_offsets(self.parameters["lens.colour"], *numbers)
        if self.acts("lens.curvature"):
            offset = curvature.inverse_offset(self.parameters["lens.curvature"], *numbers)
            corner = offset, self._squared_radii(camera)
        return Foci(colours, corner)

    def opening(self, photo: PhotoIndex, camera: Camera) -> Opening:
        """The pupil's shape in a photo."""
        shape = self.parameters[BLADES].detach() if self.acts(BLADES) else None
        if not self.acts(CATS_EYE):
            return ROUND if shape is None else Opening(shape)
        away, towards = self._directions(camera)
        t = cats_eye.stopped_down(self.parameters[CATS_EYE] * away, select_row(self.aperture, photo))
        return Opening(shape, (t, towards))

    def _directions(self, camera: Camera) -> tuple[Tensor, Tensor]:
        size, like = (camera.frame.width, camera.frame.height), self.parameters["lens.pupil"]
        if size not in self._towards or self._towards[size][0].device != like.device:
            self._towards[size] = cats_eye.directions(*size, like.detach())
        return self._towards[size]

    def _squared_radii(self, camera: Camera) -> Tensor:
        size, like = (camera.frame.width, camera.frame.height), self.parameters["lens.pupil"]
        if size not in self._radii or self._radii[size].device != like.device:
            self._radii[size] = vignetting.squared_radii(*size, like.detach())
        return self._radii[size]

    def _widest(self, photo: PhotoIndex, camera: Camera) -> Tensor:
        """The pupil where the relative aperture is 1, scene units."""
        # A camera whose focal length is corrected steps back, and before it the scene keeps its relief: circles of
        # confusion stay as they are if the pupil grows with its distance.
        return self.parameters["lens.pupil"].exp() / dolly(self.focal, camera, photo)

    def pupil(self, photo: PhotoIndex, camera: Camera) -> Tensor:
        """Diameter of the entrance pupil, scene units."""
        return self._widest(photo, camera) * select_row(self.aperture, photo)

    def focus(self, photo: PhotoIndex, camera: Camera) -> Tensor:
        """Focus distance (camera z), scene units."""
        nearness = select_row(self.reference, photo) * (1 + select_row(self.parameters["lens.focus"], photo))
        return 1 / (nearness * dolly(self.focal, camera, photo))

    def magnifications(self) -> Tensor:
        if self._host_computes():  # in every step, of as many numbers as there are photos
            own = self._began.numpy() * (1 + self.parameters["lens.focus"].detach().numpy())
            return torch.from_numpy((own / own.mean() - 1) / np.float32(max(self.spread, breathing.LEAST)))
        magnified = self._began * (1 + self.parameters["lens.focus"].detach())
        return (magnified / magnified.mean() - 1) / max(self.spread, breathing.LEAST)

    def sigma0(self) -> Tensor:
        """Blur in focus, px at the training width."""
        return self.parameters["lens.sigma0"].exp().clamp(SIGMA0_MIN, SIGMA0_MAX)

    def sigma_in_focus(self, camera: Camera) -> Tensor:
        return self.sigma0() * (camera.frame.width / self.width)

    def _numbers(self, photo: PhotoIndex, camera: Camera) -> tuple[Tensor, Tensor, Tensor]:
        """Pupil, focus distance (scene units) and blur in focus (px of the frame)."""
        leaves = [self.parameters[name] for name in ("lens.pupil", "lens.focus", "lens.sigma0")]
        width = camera.frame.width
        known, size = (self.reference, self.aperture, self.focal, photo), (width, width / self.width)
        if isinstance(photo, Tensor) and on_gpu(leaves[0]):
            from macrosplat.lens import numbers_cuda

            given = *known, camera.intrinsics[0], *size
            return numbers_cuda.Numbers.apply(*leaves, *given, SIGMA0_MIN, SIGMA0_MAX)  # type: ignore
        if isinstance(photo, int) and self._host_computes():
            from macrosplat.lens import numbers_cpu

            given = *known, camera.intrinsics, *size
            return numbers_cpu.Numbers.apply(*leaves, *given, SIGMA0_MIN, SIGMA0_MAX)  # type: ignore
        return self.pupil(photo, camera), self.focus(photo, camera), self.sigma_in_focus(camera)

    def _host_computes(self) -> bool:
        """Whether the numbers of a photo are those of a CPU's kernels."""
        like = self.parameters["lens.pupil"]
        return like.dtype == torch.float32 and kind_of(like.device) == "cpu"

    def photograph(self, draw: Draw, camera: Camera, photo: PhotoIndex, sampling: Sampling) -> Tensor:
        numbers = self._numbers(photo, camera)
        opening = self.opening(photo, camera)
        moved = self.moved(photo) if isinstance(photo, int) else sampling.moving
        screw = self.screw(photo, camera, numbers[1]) if moved else None
        taken = defocused(draw, camera, *numbers, sampling, self.foci(photo, camera), opening, screw)
        return self._developed(taken, camera, opening)

    def _developed(self, taken: Tensor, camera: Camera, opening: Opening) -> Tensor:
        """With what a lens does to its picture, wherever in focus."""
        if opening.clipped is not None:
            # The pupil's shape alone tells how much is clipped: light that is lost besides is for `vignetting` to say.
            left = cats_eye.moments(opening.clipped[0].detach())[0][..., None]
            taken = torch.cat([taken[..., :3] * left, taken[..., 3:]], -1)
        if self.acts("lens.lateral"):
            height = camera.frame.height * self.width / camera.frame.width
            shares = lateral.magnified(self.parameters["lens.lateral"], self.width, height)
            still = taken.new_zeros(1, taken.shape[-1], 2)
            taken = shifted(taken[None], still, lateral.bends(shares, taken.shape[-1]), COLOURED)[0]
        if self.acts("lens.vignetting"):
            taken = vignetting.dimmed(taken, self.parameters["lens.vignetting"], self._squared_radii(camera))
        return taken

    def radius(self, sharp: Sharp, camera: Camera, photo: int, points: Tensor | None = None) -> Tensor:
        foci = self.foci(photo, camera)
        if points is not None and foci.corner is not None:
            shares = vignetting.squared_radii_at(points, camera.frame.width, camera.frame.height)
            foci = replace(foci, corner=(foci.corner[0], shares))
        depth = foci.flat(sharp)
        return self.pupil(photo, camera) / 2 * camera.intrinsics[0] * (1 / self.focus(photo, camera) - 1 / depth)

    @torch.no_grad()
    def estimate(self, focal: Tensor) -> LensEstimate:
        nearness = self.reference * (1 + self.parameters["lens.focus"])
        if len(self.focal):
            nearness = nearness * self.focal / focal
        fx = focal.mean() * self.width
        pupil = self.parameters["lens.pupil"].exp()
        if len(self.focal):
            pupil = pupil * (focal / self.focal).mean()
        red, _, blue = colour.inverse_offsets(self.parameters["lens.colour"], pupil, fx)
        corner = curvature.inverse_offset(self.parameters["lens.curvature"], pupil, fx)
        # What was seen at first may turn out to be too little to show.
        seen = {
            term.name: self.seen(term.name) == SEEN and term.size(self.parameters[term.name]) >= term.least
            for term in TERMS
        }
        return LensEstimate(
            pupil_diameter=float(pupil),
            focus_distances=tuple((1 / nearness).tolist()),
            relative_apertures=tuple(self.aperture.tolist()),
            sigma0_px=self.sigma0().item(),
            width_px=self.width,
            colour_offsets=(float(red), float(blue)) if seen["lens.colour"] else None,
            vignetting=self._stops_lost(),
            corner_offset=float(corner) if seen["lens.curvature"] else None,
            motion_px=self._ways(len(self.aperture)),
            lateral_px=tuple(self.parameters["lens.lateral"].tolist()) if seen["lens.lateral"] else None,
            blades=tuple(self.parameters[BLADES].tolist()) if self.acts(BLADES) else None,
            cats_eye=float(self.parameters[CATS_EYE]) if seen[CATS_EYE] else None,
        )

    def _stops_lost(self) -> float | None:
        """In the corner, by cat's eyes and all else; None: not seen."""
        stops = 0.0
        if self.seen("lens.vignetting") == SEEN:
            stops = vignetting.stops_lost(self.parameters["lens.vignetting"])
        if self.acts(CATS_EYE):
            stops -= math.log2(cats_eye.left(float(self.parameters[CATS_EYE])))
        return stops if stops >= vignetting.LEAST else None
