"""Motion during the exposure: samples along a screw against shifted views, matrices and differences."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from scipy.linalg import expm

from macrosplat.lens import LensStart, Sampling, Sharp, aperture, motion
from macrosplat.lens.aperture import learned_of
from macrosplat.lens.thin import ThinLens
from macrosplat.render import Camera, Frame, Pinhole

FX, FOCUS, PUPIL, WIDTH, HEIGHT = 200.0, 5.0, 0.8, 48, 36
CAMERA = Pinhole(fx=FX, fy=FX, cx=24.0, cy=18.0, width=WIDTH, height=HEIGHT).at(torch.eye(4))
START = LensStart(PUPIL, (FOCUS, 6.0), (1.0, 0.5), sigma0=0.05, width=WIDTH, settings={"motion": "on"})


def lens(*numbers: float) -> ThinLens:
    made = ThinLens(START)
    made.say_moved(0, torch.tensor(numbers) if numbers else None)
    return made


def waves(depth: float, length: float = 9.0):
    """Draws a plane across the axis, of waves as long as so many px in focus."""

    def draw(camera: Camera, reshape=None) -> Sharp:
        dtype, frame = camera.view.dtype, camera.frame
        y, x = torch.meshgrid(
            torch.arange(frame.height, dtype=dtype), torch.arange(frame.width, dtype=dtype), indexing="ij"
        )
        pixels = torch.stack([(x + 0.5 - 24.0) / FX, (y + 0.5 - 18.0) / FX, torch.ones_like(x)], -1)
        colours, depths = [], []
        for view in camera.view.reshape(-1, 4, 4):
            # Where the rays meet the plane of world z = depth: rotation^T (z pixel - shift) has that z.
            back = torch.linalg.inv(view[:3, :3])
            origin, ways = -back @ view[:3, 3], pixels @ back.T
            z = (depth - origin[2]) / ways[..., 2]
            at = (origin + z[..., None] * ways) * (2 * math.pi * FX / (FOCUS * length))
            colours.append(torch.stack([at[..., 0].sin(), at[..., 1].sin(), (at[..., 0] + at[..., 1]).cos()], -1))
            depths.append(z)
        shape = camera.view.shape[:-2]
        colour, far = (torch.stack(found).view(*shape, *found[0].shape) for found in (colours, depths))
        return Sharp(0.5 + 0.4 * colour, torch.ones_like(far), far)

    return draw


@pytest.mark.parametrize("samples", [1, 4, 8, 16])
def test_instants_have_the_moments_of_the_exposure(samples):
    instants = (
        np.array(motion.instants_of(samples, tuple(range(samples))))
        if samples > 1
        else np.array(motion.spread_evenly(4))
    )
    assert instants.sum() == pytest.approx(0, abs=1e-12) and np.abs(instants).max() < 0.5
    assert (instants**2).mean() == pytest.approx(1 / 12)
    for learned in {4: (2,), 8: (4,)}.get(samples, ()):
        rows, shares = learned_of(samples, learned)
        some, weights = np.array(motion.instants_of(samples, tuple(rows), True)), np.array(shares) / learned
        assert (weights * some).sum() == pytest.approx(0, abs=1e-12)
        assert (weights * some**2).sum() == pytest.approx(1 / 12)


def test_a_camera_goes_along_a_screw():
    numbers = torch.tensor([6.0, -4.0, 2.0, 3.0, 5.0, -8.0], dtype=torch.float64)
    focus, focal = torch.tensor(FOCUS, dtype=torch.float64), torch.tensor(FX, dtype=torch.float64)
    moving = motion.screw(numbers, focus, focal, 17.0)
    instants = torch.tensor([-0.5, 0.0, 0.31], dtype=torch.float64)
    for t, found in zip(instants, motion.along(moving, instants), strict=True):
        np.testing.assert_allclose(found.numpy(), expm(float(t) * moving.numpy()), atol=1e-7)
        torch.testing.assert_close(
            found[:3, :3] @ found[:3, :3].T, torch.eye(3, dtype=torch.float64), atol=1e-6, rtol=0
        )
    # A turn through the pivot leaves it where it is; a shift, and a roll at the reach, move it by their px.
    pivot = torch.tensor([0.0, 0.0, FOCUS, 1.0], dtype=torch.float64)
    only = torch.eye(6, dtype=torch.float64)
    velocity = [motion.screw(one, focus, focal, 17.0) @ pivot for one in only]
    wanted = [(FOCUS / FX, 0, 0), (0, FOCUS / FX, 0), (0, 0, FOCUS / 17), (0, 0, 0), (0, 0, 0), (0, 0, 0)]
    np.testing.assert_allclose([one[:3].numpy() for one in velocity], wanted, atol=1e-12)
    aside = pivot + torch.tensor([17 * FOCUS / FX, 0, 0, 0], dtype=torch.float64)
    assert float((motion.screw(only[3], focus, focal, 17.0) @ aside)[1]) == pytest.approx(FOCUS / FX)


@pytest.mark.parametrize("samples", [1, 4, 8, 16])
def test_what_is_in_focus_is_the_mean_of_shifted_views(samples):
    """By its closed form: waves of which the mean over shifts d has the contrast of mean cos(2 pi d / length)."""
    far = 4.0
    taken = lens(far, 0.0, 0.0, 0.0, 0.0, 0.0).photograph(waves(FOCUS), CAMERA, 0, Sampling(samples, 0.3))
    still = lens().photograph(waves(FOCUS), CAMERA, 0, Sampling(samples, 0.3))
    known = motion.spread_evenly(4) if samples == 1 else motion.instants_of(samples, tuple(range(samples)))
    contrast = float(np.cos(2 * np.pi * far * np.array(known) / 9.0).mean())
    assert contrast == pytest.approx(np.sinc(far / 9.0), abs=0.015)  # that of the whole exposure
    inner = np.s_[4:-4, 4:-4]
    torch.testing.assert_close(taken[inner][..., 0] - 0.5, contrast * (still[inner][..., 0] - 0.5), atol=2e-4, rtol=0)
    torch.testing.assert_close(taken[inner][..., 1], still[inner][..., 1], atol=2e-4, rtol=0)
    back = lens(-far, 0.0, 0.0, 0.0, 0.0, 0.0).photograph(waves(FOCUS), CAMERA, 0, Sampling(samples, 0.3))
    torch.testing.assert_close(back[inner], taken[inner], atol=2e-4, rtol=0)


def test_a_photo_that_did_not_move_is_taken_as_ever():
    for sampling in (Sampling(), Sampling(8, 0.3), Sampling(8, torch.tensor(0.3), learned=4)):
        made = lens(3.0, 1.0, 0.0, 0.0, 0.0, 0.0)
        plain = ThinLens(dataclasses.replace(START, settings={}))
        assert torch.equal(*(one.photograph(waves(4.2), CAMERA, 1, sampling) for one in (made, plain)))
        one = Sampling(sampling.samples, sampling.angle, sampling.learned, moving=True)
        on_device, known = (made.photograph(waves(4.2), CAMERA, which, one) for which in (torch.tensor([0]), 0))
        assert torch.equal(on_device, known)


def test_a_way_is_pulled_to_none_in_the_turn_of_its_photo_only():
    """Of many photos each would else be pulled as often as there are photos for every time that it is compared."""
    made = lens(2.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    made.say_moved(1, torch.tensor([0.0, 3.0, 0.0, 0.0, 0.0, 0.0]))
    of_one = torch.zeros(2, 6)
    of_one[1, :2] = torch.tensor([0.5, -0.25])
    found = {"lens.motion": of_one.clone()}
    made.believe(found)
    expected = of_one.clone()
    expected[1, 1] += 3.0 * motion.BELIEF
    torch.testing.assert_close(found["lens.motion"], expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("sampling", [Sampling(), Sampling(4, 0.3)])
def test_gradients_are_those_of_differences(sampling):
    """In double precision."""
    camera = dataclasses.replace(CAMERA, frame=Frame(16, 12)).at(torch.eye(4, dtype=torch.float64))
    camera = dataclasses.replace(camera, intrinsics=camera.intrinsics.double())
    numbers = torch.tensor([2.0, -1.5, 0.7, 1.2, 0.9, -0.6], dtype=torch.float64)
    made = lens(*numbers.tolist())
    for name, value in vars(made).items():
        if isinstance(value, torch.Tensor):
            setattr(made, name, value.double())
    made.parameters = {name: value.double() for name, value in made.parameters.items()}
    weights = torch.sin(torch.arange(16 * 12 * 3, dtype=torch.float64)).view(12, 16, 3)

    def pulled(values: torch.Tensor) -> torch.Tensor:
        made.parameters["lens.motion"] = torch.stack([values, torch.zeros_like(values)])
        return (weights * made.photograph(waves(4.8), camera, 0, sampling)).sum()

    leaf = numbers.clone().requires_grad_()
    (found,) = torch.autograd.grad(pulled(leaf), leaf)
    with torch.no_grad():
        sides = [
            [pulled(numbers + sign * 1e-4 * unit) for sign in (1, -1)] for unit in torch.eye(6, dtype=torch.float64)
        ]
    wanted = torch.stack([(up - down) / 2e-4 for up, down in sides])
    torch.testing.assert_close(found, wanted, rtol=2e-4, atol=1e-5)


def test_on_a_gpu_it_is_the_same_motion(monkeypatch):
    """Aperture samples by their kernel, in Triton's interpreter where there is no GPU."""

    def taken() -> tuple[torch.Tensor, ...]:
        made = lens(3.0, 1.0, 0.5, 0.7, 0.2, -0.3)
        leaves = [made.parameters[name].requires_grad_() for name in ("lens.motion", "lens.pupil", "lens.focus")]
        sampling = Sampling(8, torch.tensor(0.3), learned=4, moving=True)
        picture = made.photograph(waves(4.5), CAMERA, torch.tensor([0]), sampling)
        weights = torch.sin(torch.arange(picture.numel(), dtype=torch.float32)).view(picture.shape)
        return picture.detach(), *torch.autograd.grad((weights * picture).sum(), leaves)

    wanted = taken()
    monkeypatch.setattr(aperture, "on_gpu", lambda tensor: True)
    for found, known in zip(taken(), wanted, strict=True):
        torch.testing.assert_close(found, known, rtol=1e-3, atol=1e-4)
