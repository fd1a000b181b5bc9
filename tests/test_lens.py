"""The lens models: geometry of the sheared views, and photos against closed forms and against each other."""

import dataclasses
import math
from typing import get_args

import pytest
import torch

from macrosplat import options
from macrosplat.lens import LENSES, LensStart, Sampling, Sharp
from macrosplat.lens.aperture import aperture_samples, sheared
from macrosplat.lens.blur_reference import gather_blur
from macrosplat.lens.defocused import APART
from macrosplat.lens.plain import PlainLens
from macrosplat.lens.spans import spans_of
from macrosplat.lens.thin import SIGMA0_MAX, SIGMA0_MIN, ThinLens
from macrosplat.render import Camera, Frame, Pinhole
from macrosplat.train.effort import affords_early

FX, FOCUS, PUPIL = 200.0, 5.0, 0.8
PINHOLE = Pinhole(fx=FX, fy=FX, cx=48.0, cy=36.0, width=96, height=72)
CAMERA = PINHOLE.at(torch.eye(4))
START = LensStart(PUPIL, (FOCUS, 6.0), (1.0, 0.5), sigma0=0.05, width=96)


def project(view: torch.Tensor, point: torch.Tensor) -> torch.Tensor:
    """[2] px."""
    local = view[:3, :3] @ point + view[:3, 3]
    return FX * local[:2] / local[2] + torch.tensor([PINHOLE.cx, PINHOLE.cy], dtype=point.dtype)


def test_registry_has_the_names_of_the_options():
    assert tuple(LENSES) == get_args(options.Lens)
    for name, make in LENSES.items():
        lens = make(START)
        assert lens.name == name
        assert lens.rates.keys() <= lens.parameters.keys()


@pytest.mark.parametrize("depth", [3.0, 4.5, FOCUS, 5.5, 9.0])
@pytest.mark.parametrize("angle", [0.0, 0.7, 2.0, 4.0])
def test_a_point_of_the_pupil_moves_what_is_out_of_focus(depth, angle):
    u, v = (torch.tensor(PUPIL / 2 * f(angle), dtype=torch.float64) for f in (math.cos, math.sin))
    view, point = torch.eye(4, dtype=torch.float64), torch.tensor([0.2, -0.1, depth], dtype=torch.float64)
    moved = project(sheared(view, u, v, torch.tensor(FOCUS, dtype=torch.float64)), point) - project(view, point)
    # A camera moved by (u, v) sees a point at d shifted by -(u, v) fx / d; the plane of focus is put back by + fx / d0.
    s = PUPIL / 2 * FX * (1 / FOCUS - 1 / depth)
    wanted = s * torch.tensor([math.cos(angle), math.sin(angle)], dtype=torch.float64)
    torch.testing.assert_close(moved, wanted, atol=1e-9, rtol=0)


@pytest.mark.parametrize("points", [4, 8, 16])
def test_points_and_residual_have_the_disc_s_second_moments(points):
    """A disc of radius 1 has a variance of 1/4 along each axis; its points lie inside of it, around its middle."""
    u, v, residual = aperture_samples(Sampling(points, 0.3), torch.zeros(()))
    assert len(u) == len(v) == points and float((u**2 + v**2).max()) < 1
    for axis in (u, v):
        assert float(axis.mean()) == pytest.approx(0, abs=1e-6)
        assert float((axis**2).mean()) + residual**2 == pytest.approx(0.25, abs=2e-3 if points <= 8 else 0.02)


def test_gradients_of_some_samples_are_in_the_mean_those_of_the_whole_pupil():
    """Of a squared picture, over many turns of the ring: that of the mean picture, of which samples that are compared
    with themselves are far."""
    contrast = torch.ones((), requires_grad=True)

    @one_by_one
    def draw(camera: Camera, reshape=None) -> Sharp:
        y, x = torch.meshgrid(torch.arange(12.0), torch.arange(16.0), indexing="ij")
        dx, dy = FX * camera.view[0, 3] / 4.2, FX * camera.view[1, 3] / 4.2
        colour = torch.stack([torch.sin(x - dx), torch.cos(y - dy), torch.sin(x + y - dx - dy)], -1)
        return Sharp(contrast * colour, torch.ones_like(x), torch.full_like(x, 4.2))

    lens, camera = ThinLens(START), dataclasses.replace(CAMERA, frame=Frame(16, 12))

    def gradients(learned: int) -> tuple[torch.Tensor, torch.Tensor]:
        turns = [Sampling(8, 2.399963 * step, learned) for step in range(100)]
        pictures = [lens.photograph(draw, camera, 0, turn) for turn in turns]
        each = [torch.autograd.grad(p.square().sum(), contrast, retain_graph=True)[0] for p in pictures]
        (of_mean,) = torch.autograd.grad(torch.stack(pictures).mean(0).square().sum(), contrast)
        return torch.stack(each).mean(), of_mean

    (same, wanted), (apart, _) = gradients(0), gradients(4)
    assert abs(float(apart - wanted)) < 0.05 * abs(float(same - wanted))


def test_the_pupil_s_centre_is_drawn_once_for_the_samples_learned_from_and_those_compared_with():
    """A photo taken by four samples; those compared with, on a ring of their own, make it what all eight see."""
    drawn = []

    @one_by_one
    def draw(camera: Camera, reshape=None) -> Sharp:
        drawn.append(camera.view)
        y, x = torch.meshgrid(torch.arange(12.0), torch.arange(16.0), indexing="ij")
        dx, dy = FX * camera.view[0, 3] / 4.2, FX * camera.view[1, 3] / 4.2
        colour = torch.stack([torch.sin(x - dx), torch.cos(y - dy), torch.sin(x + y - dx - dy)], -1)
        return Sharp(colour.requires_grad_(), torch.ones_like(x), torch.full_like(x, 4.2))

    lens, camera = ThinLens(START), dataclasses.replace(CAMERA, frame=Frame(16, 12))
    taken = lens.photograph(draw, camera, 0, Sampling(8, 0.3, 4))
    centres = [view for view in drawn if torch.equal(view, camera.view)]
    assert len(drawn) == 4 + 7 and len(centres) == 1
    compared = lens.photograph(draw, camera, 0, Sampling(8, 0.3 * APART))
    torch.testing.assert_close(taken, compared, atol=1e-6, rtol=0)


def test_points_are_a_setting_of_the_lens():
    def spans(points: str) -> list[int]:
        start = dataclasses.replace(START, settings={"aperture_samples": points})
        return [span[2] for span in ThinLens(start).spans]

    assert [spans(n) for n in ("1", "4", "8", "16")] == [[], [8, 4], [8, 8], [8, 16]]
    assert options.Options(quality="draft").lens_settings()["aperture_samples"] == "4"
    chosen = {"aperture_samples": "8", "aberrations": "auto", "blades": "auto", "motion": "off"}
    assert options.Options().lens_settings() == chosen | {"aperture_from": "late"}
    assert options.Options().lens_settings(early=True) == chosen | {"aperture_from": "early"}
    assert spans_of(options.Options().lens_settings(early=True))[-1] == (0.3, 1.0, 8, 4)


def test_only_a_gpu_sees_detail_through_several_samples_early_and_only_of_small_photos():
    small, large = Frame(640, 480), Frame(1264, 948)
    assert affords_early(torch.device("cuda"), [small])
    assert not affords_early(torch.device("cuda"), [small, large])
    assert not affords_early(torch.device("cpu"), [small])


def test_shear_comes_after_the_pose():
    view = torch.eye(4, dtype=torch.float64)
    view[:3, 3] = torch.tensor([0.3, 0.1, 2.0])
    u = torch.tensor(0.3, dtype=torch.float64)
    at_focus = torch.tensor([0.0, 0.0, FOCUS - 2.0], dtype=torch.float64)
    seen = project(sheared(view, u, 0 * u, torch.tensor(FOCUS, dtype=torch.float64)), at_focus)
    torch.testing.assert_close(seen, project(view, at_focus), atol=1e-9, rtol=0)


def one_by_one(draw):
    """`draw` of one camera as one of M, too."""

    def each(camera: Camera, reshape=None) -> Sharp:
        if camera.view.ndim == 2:
            return draw(camera, reshape)
        seen = [draw(one, reshape) for one in camera.each()]
        return Sharp(*(torch.stack([getattr(s, field.name) for s in seen]) for field in dataclasses.fields(Sharp)))

    return each


def plane(depth: float):
    """`draw` of a smooth pattern on a plane of one depth, seen from any sheared view."""

    @one_by_one
    def draw(camera: Camera, reshape=None) -> Sharp:
        y, x = torch.meshgrid(torch.arange(PINHOLE.height) + 0.5, torch.arange(PINHOLE.width) + 0.5, indexing="ij")
        # Of a plane parallel to the sensor the view moves the whole picture by the same amount.
        shift = project(camera.view, torch.tensor([0.0, 0.0, depth])) - torch.tensor([PINHOLE.cx, PINHOLE.cy])
        x, y = x - shift[0], y - shift[1]
        waves = [0.5 + 0.4 * torch.sin(2 * math.pi * (x * c + y * s) / 14.0) for c, s in ((1, 0), (0, 1), (0.7, 0.7))]
        return Sharp(torch.stack(waves, -1), torch.ones_like(x), torch.full_like(x, depth))

    return draw


@pytest.mark.parametrize("depth", [4.2, 6.5])
def test_many_points_of_the_pupil_make_the_blur_of_a_plane(depth):
    lens = ThinLens(START)
    s = PUPIL / 2 * FX * (1 / FOCUS - 1 / depth)
    sigma = math.hypot(abs(s) / 2, START.sigma0)
    assert 2 < abs(s) < 5
    exact = gather_blur(plane(depth)(CAMERA).colour.double(), torch.full((72, 96), sigma, dtype=torch.float64))
    inside = (slice(12, -12), slice(12, -12))
    contrast = float(exact[inside].std()) / float(plane(depth)(CAMERA).colour[inside].std())
    assert contrast < 0.8  # there is something to find
    centre = lens.photograph(plane(depth), CAMERA, 0, Sampling())
    # The ladder's own bound: 0.5 % of the contrast, which is 0.8 here.
    assert (centre.double() - exact)[inside].abs().max() < 0.005 * 0.8
    errors = []
    for points in (2, 4, 16):
        taken = lens.photograph(plane(depth), CAMERA, 0, Sampling(points, 0.4))
        errors.append(float((taken.double() - exact)[inside].abs().max()))
    # A ring with a blur has another profile than a Gaussian: the pattern's contrast may differ by a few percent of 0.8.
    assert errors[2] < 0.03 and errors[1] < 0.03 and errors[0] > 2 * errors[1], errors


def test_in_focus_nothing_but_sigma0_is_left():
    lens = ThinLens(START)
    sharp = plane(FOCUS)(CAMERA).colour
    for through in (Sampling(), Sampling(4, 1.0)):
        taken = lens.photograph(plane(FOCUS), CAMERA, 0, through)
        assert (taken - sharp)[4:-4, 4:-4].abs().max() < 0.003


def test_the_ring_may_be_turned():
    lens = ThinLens(START)
    one, other, same = (lens.photograph(plane(4.2), CAMERA, 0, Sampling(4, angle)) for angle in (0.0, 0.5, math.pi / 2))
    assert (one - same).abs().max() < 1e-5 < (one - other).abs().max()


def test_radius_is_the_closed_form():
    lens = ThinLens(START)
    depth = torch.tensor([[3.0, 5.0, 6.0, 8.0]])
    sharp = Sharp(depth[..., None].expand(1, 4, 3), torch.ones_like(depth), depth)
    for photo, (focus, aperture) in enumerate(zip(START.focus, START.aperture, strict=True)):
        wanted = PUPIL * aperture / 2 * FX * (1 / focus - 1 / depth)
        torch.testing.assert_close(lens.radius(sharp, CAMERA, photo).detach(), wanted)
    assert PlainLens(START).radius(sharp, CAMERA, 0).abs().max() == 0


def test_the_estimate_is_what_it_started_from():
    found = ThinLens(START).estimate(torch.tensor([2.0, 2.0]))
    assert found.pupil_diameter == pytest.approx(PUPIL) and found.focus_distances == pytest.approx(START.focus)
    assert found.sigma0_px == pytest.approx(0.05) and found.relative_apertures == START.aperture
    assert PlainLens(START).estimate(torch.tensor([2.0, 2.0])) is None


def test_sigma0_counts_pixels_of_the_training_width_and_is_bounded():
    lens = ThinLens(LensStart(1e-6, (FOCUS,), (1.0,), sigma0=1.2, width=96))
    sharp = plane(FOCUS)(CAMERA).colour
    exact = gather_blur(sharp.double(), torch.full((72, 96), 0.6, dtype=torch.float64))
    lens.width = 192  # the frame has half the pixels that sigma0 counts
    taken = lens.photograph(plane(FOCUS), CAMERA, 0, Sampling())
    assert (taken.double() - exact)[4:-4, 4:-4].abs().max() < 0.004
    for start, wanted in ((9.0, SIGMA0_MAX), (1e-4, SIGMA0_MIN)):
        got = ThinLens(LensStart(1.0, (FOCUS,), (1.0,), sigma0=start)).sigma0()
        assert got.item() == pytest.approx(wanted)


def test_plain_returns_the_render():
    lens, drawn = PlainLens(START), plane(4.2)
    assert torch.equal(lens.photograph(drawn, CAMERA, 0, Sampling(4, 0.3)), drawn(CAMERA).colour)
    assert not lens.parameters


@pytest.mark.parametrize("points", [1, 4])
def test_gradients_of_the_lens_are_finite_differences(points):
    """In float64, where the blur is the exact gather."""
    small = Frame(20, 16)
    target = torch.rand(16, 20, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    @one_by_one
    def draw(camera: Camera, reshape=None) -> Sharp:
        view, fx = camera.view, camera.intrinsics[0]
        y, x = torch.meshgrid(torch.arange(16.0).double(), torch.arange(20.0).double(), indexing="ij")
        local = view[:3, :3] @ torch.tensor([0.0, 0.0, 4.2], dtype=torch.float64) + view[:3, 3]
        dx, dy = fx * local[0] / local[2], fx * local[1] / local[2]
        colour = torch.stack([torch.sin((x - dx) / 2), torch.cos((y - dy) / 2), torch.sin((x - dx + y - dy) / 3)], -1)
        return Sharp(colour, torch.ones_like(x), torch.full_like(x, 4.2))

    def loss(intrinsics: torch.Tensor, *numbers: torch.Tensor) -> torch.Tensor:
        lens = ThinLens(START)
        lens.reference, lens.aperture = lens.reference.double(), lens.aperture.double()
        lens.parameters = dict(zip(lens.parameters, numbers, strict=True))
        camera = Camera(torch.eye(4, dtype=torch.float64), intrinsics, small)
        return ((lens.photograph(draw, camera, 1, Sampling(points, 0.3)) - target) ** 2).sum()

    begin = [p.double().requires_grad_() for p in ThinLens(START).parameters.values()]
    begin[2] = torch.tensor(math.log(0.4), dtype=torch.float64, requires_grad=True)  # inside its bounds
    intrinsics = torch.tensor([FX, FX, 10.0, 8.0], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(loss, [intrinsics, *begin], rtol=1e-4)
