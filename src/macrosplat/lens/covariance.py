"""`covariance`: a network enlarges and turns every Gaussian per view (Lee et al., Deblurring 3DGS, 2024).

    (scale_by, quat_by) = MLP(PE(position), PE(view centre), log scale, rotation)          `CovarianceLens.factors`
    scale' = scale * clamp(1 + step * scale_by, 1, most), and the same for the rotation    `CovarianceLens.photograph`

The photo is the render of the enlarged scene; sharp views are drawn without the network. Enlarged Gaussians are not a
blurred picture (compositing is not linear), which is what this model pays for its speed. Made from the paper's text.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from macrosplat.lens.model import Draw, Lens, LensPlan, LensStart, PhotoIndex, Sampling, Sharp
from macrosplat.options.baselines import Covariance
from macrosplat.render import Camera
from macrosplat.render.centre import camera_centre

# Of the way from 1 to `most`: where every factor starts. At 1 itself half of the clamps would have no slope.
BEGIN = 0.1


class CovarianceLens(Lens):
    name = "covariance"

    def __init__(self, start: LensStart) -> None:
        self.chosen = chosen = Covariance(**start.settings)
        self.centre, self.distance = torch.tensor(start.centre), start.distance
        inputs = 3 * 2 * (chosen.octaves + chosen.view_octaves) + 6 + 3 + 4
        random = torch.Generator().manual_seed(start.seed)
        self.parameters = {}
        for layer in range(chosen.layers + 1):
            last = layer == chosen.layers
            shape = (7 if last else chosen.hidden, inputs if layer == 0 else chosen.hidden)
            deviation = math.sqrt(2 / shape[1]) * (0.1 if last else 1)
            self.parameters[f"lens.mlp.{layer}.weight"] = deviation * torch.randn(shape, generator=random)
            begin = BEGIN * (chosen.most - 1) / max(chosen.step, 1e-9) if last else 0.0
            self.parameters[f"lens.mlp.{layer}.bias"] = torch.full((shape[0],), begin)
        self.rates = dict.fromkeys(self.parameters, chosen.rate)

    def plan(self, t: float) -> LensPlan:
        return replace(super().plan(t), extra=self.chosen.extra if t >= self.chosen.extra_at else 0.0)

    def photograph(self, draw: Draw, camera: Camera, photo: PhotoIndex, sampling: Sampling) -> Tensor:
        def enlarged(scene: Any) -> Any:
            scale_by, quat_by = self.factors(scene, camera.view)
            return scene.with_(log_scales=scene.log_scales + scale_by.log(), quats=scene.quats * quat_by)

        return draw(camera, enlarged).colour

    def factors(self, scene: Any, view: Tensor) -> tuple[Tensor, Tensor]:
        """By what the scales [N, 3] and the quaternions [N, 4] of a scene are multiplied: 1 to `most`."""
        chosen = self.chosen
        # The network reads the scene and does not move it: gradients of its sines are noise to positions. [ours]
        means, log_scales, quats = (t.detach() for t in (scene.means, scene.log_scales, scene.quats))
        centre = self.centre.to(means)
        eye = (camera_centre(view).detach() - centre) / self.distance
        x = [
            encoded((means - centre) / self.distance, chosen.octaves),
            encoded(eye[None], chosen.view_octaves).expand(len(means), -1),
            log_scales - math.log(self.distance),
            F.normalize(quats, dim=1),
        ]
        planes = torch.cat(x, 1)
        for layer in range(chosen.layers + 1):
            weight, bias = (self.parameters[f"lens.mlp.{layer}.{part}"].to(planes) for part in ("weight", "bias"))
            planes = F.linear(planes, weight, bias)
            planes = planes if layer == chosen.layers else F.relu(planes)
        factors = (1 + chosen.step * planes).clamp(1, chosen.most)
        return factors[:, :3], factors[:, 3:]

    def radius(self, sharp: Sharp, camera: Camera, photo: int, points: Tensor | None = None) -> Tensor:
        return torch.zeros_like(sharp.depth)  # no pixel has one: Gaussians are enlarged, not light


def encoded(x: Tensor, octaves: int) -> Tensor:
    """Positional encoding of [N, 3]: the values themselves, then sines and cosines of 2^k pi x: [N, 3 + 6 octaves]."""
    turns = [x * (math.pi * 2**k) for k in range(octaves)]
    return torch.cat([x, *(f(t) for t in turns for f in (torch.sin, torch.cos))], 1)
