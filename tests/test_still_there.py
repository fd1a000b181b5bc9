"""What defocus is said to have taken of what is nearly in focus, and whether the photo has it nevertheless."""

import math

import pytest
import torch

from macrosplat.output.detail.missing import find_missing
from macrosplat.output.detail.own import AS_TAKEN, STILL, keep_detail


def softened(plane: torch.Tensor, times: int) -> torch.Tensor:
    for _ in range(times):
        for axis in (-1, -2):
            plane = (plane.roll(1, axis) + 2 * plane + plane.roll(-1, axis)) / 4
    return plane


@pytest.mark.parametrize("sharp", [True, False])
def test_light_given_back_near_focus_is_taken_off_as_far_as_the_photo_is_sharp(sharp: bool) -> None:
    """The scene is softer than the photo, or the photo as blurred as is claimed; light that the
    bounds of sharp photos leave room for is given back everywhere."""
    truth = 0.5 + 0.2 * softened(torch.randn(1, 128, 128, generator=torch.Generator().manual_seed(0)), 2)
    scene, photo = (softened(truth, 2), truth) if sharp else (truth, softened(truth, 4))
    taken = scene - softened(scene, 4)
    near, far = 0.8, 2.0  # px
    claimed = torch.full((128, 128), near)
    claimed[:, 64:] = far
    still = find_missing(photo[0], scene[0], taken[0], claimed, 4).still_there()
    assert still > 0.9 if sharp else still < 0.05
    photo, scene, taken = (plane.expand(3, -1, -1).contiguous() for plane in (photo, scene, taken))
    more = 0.002  # a hundredth of the pixels is at the bounds of sharp photos already
    light = (keep_detail(photo, scene, taken + more, claimed) - keep_detail(photo, scene, taken, claimed)).mean((0, 1))
    reach = STILL * still if sharp else AS_TAKEN
    for radius, columns in ((near, slice(8, 48)), (far, slice(80, 120))):
        kept = more * (1 - math.exp(-((radius / reach) ** 4)))
        torch.testing.assert_close(light[columns].mean(), torch.tensor(kept), atol=4e-5, rtol=0)
