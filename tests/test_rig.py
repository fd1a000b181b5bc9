"""The rig: nothing at zero, rigid always, a turn about the pivot, a dolly zoom, gradients by finite differences."""

import math

import pytest
import torch

from macrosplat.lens import LensStart, Sharp
from macrosplat.lens.breathing import expected, zooms
from macrosplat.lens.thin import ThinLens
from macrosplat.model.rig import Rig
from macrosplat.render import Camera, Frame

DEPTH, PIXEL, FX = 5.0, 0.02, 200.0
FRAME = Frame(40, 30)
INTRINSICS = torch.tensor([[FX, 190.0, 20.0, 15.0], [180.0, 185.0, 21.0, 14.0]], dtype=torch.float64)


def start(dtype=torch.float64) -> torch.Tensor:
    """[2, 4, 4] rigid views."""
    views = torch.eye(4, dtype=dtype).repeat(2, 1, 1)
    c, s = math.cos(0.4), math.sin(0.4)
    views[0, :3, :3] = torch.tensor([[c, 0, s], [0, 1, 0], [-s, 0, c]], dtype=dtype)
    views[0, :3, 3] = torch.tensor([0.1, -0.2, 4.0], dtype=dtype)
    views[1, :3, 3] = torch.tensor([0.3, 0.1, 6.0], dtype=dtype)
    return views


def rig(turn=(0.0, 0.0, 0.0), shift=(0.0, 0.0, 0.0), dtype=torch.float64) -> Rig:
    """Two cameras, of which the first is moved."""
    made = Rig(start(dtype), INTRINSICS.to(dtype), [FRAME] * 2, torch.full((2,), DEPTH, dtype=dtype), PIXEL)
    for name, value in (("pose.turn", turn), ("pose.shift", shift)):
        made.parameters[name] = torch.stack([torch.tensor(value, dtype=dtype), torch.zeros(3, dtype=dtype)])
    return made


def views(made: Rig) -> torch.Tensor:
    return torch.stack([made.camera(photo).view for photo in range(len(made))])


def test_nothing_moves_at_zero():
    made = rig(dtype=torch.float32)
    assert torch.equal(made.camera(1).intrinsics, INTRINSICS[1].float()) and made.camera(1).frame == FRAME
    # Only the pivot is added and subtracted: half a unit in the last place of 5.
    torch.testing.assert_close(views(made), start(torch.float32), atol=5e-7, rtol=0)


def test_rigid_whatever_the_numbers():
    view = rig((0.3, -0.5, 0.2), (7.0, -3.0, 2.0)).camera(0).view
    rotation = view[:3, :3]
    torch.testing.assert_close(rotation @ rotation.T, torch.eye(3, dtype=torch.float64), atol=1e-12, rtol=0)
    assert torch.det(rotation) > 0 and torch.equal(view[3], torch.tensor([0, 0, 0, 1.0], dtype=torch.float64))


def test_turn_is_about_the_pivot_on_the_axis():
    for turn in ((0.1, 0.0, 0.0), (0.0, 0.2, 0.0), (0.3, -0.1, 0.5)):
        moved = rig(turn).camera(0).view @ torch.linalg.inv(start()[0])  # camera before to camera after
        pivot = torch.tensor([0.0, 0.0, DEPTH, 1.0], dtype=torch.float64)
        torch.testing.assert_close(moved @ pivot, pivot, atol=1e-12, rtol=0)
    # By Rodrigues a turn of t about y takes (0, 0, 1) to (sin t, 0, cos t).
    moved = rig((0.0, 0.2, 0.0)).camera(0).view @ torch.linalg.inv(start()[0])
    wanted = torch.tensor([math.sin(0.2), 0.0, math.cos(0.2)], dtype=torch.float64)
    torch.testing.assert_close(moved[:3, 2], wanted, atol=1e-12, rtol=0)


def test_shift_counts_pixels_at_the_pivot():
    moved = rig(shift=(3.0, -2.0, 1.0)).camera(0).view - start()[0]
    wanted = PIXEL * torch.tensor([3.0, -2.0, 1.0], dtype=torch.float64)
    torch.testing.assert_close(moved[:3, 3], wanted, atol=1e-12, rtol=0)
    assert moved[:3, :3].abs().max() < 1e-12


def test_one_photo_does_not_move_another():
    torch.testing.assert_close(views(rig((0.1, 0.2, 0.3), (1.0, 2.0, 3.0)))[1], start()[1], atol=1e-12, rtol=0)


def test_a_given_camera_stays_and_takes_no_gradient():
    made = rig((0.1, 0.2, 0.3), (1.0, 2.0, 3.0))
    made.moves = torch.tensor([0.0, 1.0], dtype=torch.float64)
    torch.testing.assert_close(views(made), start(), atol=1e-12, rtol=0)
    leaves = [made.parameters[name].requires_grad_() for name in ("pose.turn", "pose.shift")]
    weights = torch.arange(1.0, 33.0, dtype=torch.float64).reshape(2, 4, 4)
    for found in torch.autograd.grad((views(made) * weights).sum(), leaves):
        assert torch.equal(found[0], torch.zeros(3, dtype=torch.float64)) and bool((found[1] != 0).any())


def test_gradients_are_finite_differences():
    magnifications = torch.tensor([1.0, -1.0], dtype=torch.float64)

    def camera(turn, shift, focal, breathing):
        made = rig()
        moved = {"pose.turn": turn, "pose.shift": shift, "pose.focal": focal, "pose.breathing": breathing}
        made.parameters.update(moved)
        found = made.camera(0, Frame(20, 15), magnifications)
        return found.view, found.intrinsics

    for scale in (0.0, 0.3):  # at zero too, where training begins
        g = torch.Generator().manual_seed(1)
        turn, shift = (scale * torch.randn(2, 3, generator=g, dtype=torch.float64) for _ in range(2))
        focal = torch.tensor(0.1 * scale, dtype=torch.float64)
        breathing = torch.tensor(0.05 * scale, dtype=torch.float64)
        assert torch.autograd.gradcheck(camera, tuple(t.requires_grad_() for t in (turn, shift, focal, breathing)))


def test_a_lens_that_keeps_its_focal_length_breathes_as_the_law_says():
    """1 / f = 1 / v + 1 / d0, and fx measures v: from magnifications known up to a factor follow the true fx."""
    f, d0 = 60.0, torch.tensor([139.0, 142.0, 145.0, 149.0], dtype=torch.float64)
    v = 1 / (1 / f - 1 / d0)
    m = v / d0
    start = LensStart(1.0, tuple((5 / 3.7 / m).tolist()), (1.0,) * 4)  # up to a factor
    lens = ThinLens(start)
    coefficient = expected(f, float(v.mean()), lens.spread)
    found = zooms(torch.tensor(coefficient), lens.magnifications())
    torch.testing.assert_close(found.double(), v / v.mean(), rtol=1e-6, atol=0)
    # Photos focused alike tell no law; a lens shorter than its nominal focal length keeps it.
    assert expected(f, 2 * f, 1e-4) == 0 and expected(f, 0.9 * f, 0.02) == 0
    assert expected(f, 2 * f, 0.02) == pytest.approx(0.01)


def test_breathing_is_a_dolly_zoom_of_each_photo():
    """Each camera steps back by its own (f - 1) p: what lies at the pivot's depth stays where it is."""
    made, magnifications = rig(), torch.tensor([1.0, -1.0], dtype=torch.float64)
    made.parameters["pose.breathing"] = torch.tensor(0.03, dtype=torch.float64)
    for photo, f in enumerate(made.focal_factors(magnifications)):
        assert abs(float(f) - (1.03, 0.97)[photo]) < 1e-9
        own = rig()
        own.parameters["pose.focal"] = f.log()
        found, wanted = made.camera(photo, None, magnifications), own.camera(photo)
        torch.testing.assert_close(found.view, wanted.view)
        torch.testing.assert_close(found.intrinsics, wanted.intrinsics)
    # Slices of one pose were brought to one magnification: they do not breathe.
    slices = Rig(start(), INTRINSICS, [FRAME] * 2, torch.full((2,), DEPTH, dtype=torch.float64), PIXEL, (0, 0))
    slices.parameters["pose.breathing"] = torch.tensor(0.03, dtype=torch.float64)
    assert slices.focal_factors(magnifications).equal(torch.ones(2, dtype=torch.float64))


F = 1.03


def longer(f: float = F) -> Rig:
    """Cameras that are turned, shifted, and of another focal length."""
    made = rig((0.03, -0.05, 0.02), (7.0, -3.0, 2.0))
    made.parameters["pose.focal"] = torch.tensor(math.log(f), dtype=torch.float64)
    return made


def projected(camera: Camera, points: torch.Tensor) -> torch.Tensor:
    """[N, 2] px of points [N, 4]."""
    seen = points @ camera.view.T
    return camera.intrinsics[:2] * seen[:, :2] / seen[:, 2:3] + camera.intrinsics[2:]


def some_points() -> torch.Tensor:
    """[20, 4] world, about the pivot."""
    xyz = torch.randn(20, 3, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    xyz[:, 2] *= 0.3
    return torch.cat([xyz, torch.ones(20, 1, dtype=torch.float64)], 1)


def test_focal_length_goes_with_a_dolly():
    """The camera steps back by (f - 1) p with f times fx and fy: what lies at the pivot's depth p stays where it is."""
    before, after = longer(1.0).camera(0), longer().camera(0)
    scale = torch.tensor([F, F, 1.0, 1.0], dtype=torch.float64)
    torch.testing.assert_close(after.intrinsics, before.intrinsics * scale, rtol=1e-12, atol=0)
    back = torch.eye(4, dtype=torch.float64)
    back[2, 3] = (F - 1) * DEPTH
    torch.testing.assert_close(after.view, back @ before.view, atol=1e-12, rtol=0)
    torch.testing.assert_close(longer().followed(before.view[None])[0], after.view, atol=1e-12, rtol=0)
    points = some_points()
    local = torch.cat([points[:, :2], torch.full((20, 1), DEPTH, dtype=torch.float64), points[:, 3:]], 1)
    at_pivot = local @ torch.linalg.inv(before.view).T
    torch.testing.assert_close(projected(after, at_pivot), projected(before, at_pivot), atol=1e-9, rtol=0)
    assert (projected(after, points) - projected(before, points)).abs().max() > 0.1


def test_blur_goes_with_the_dolly():
    """The camera steps back by (F - 1) p before a scene that stays, and its pupil grows F times, so that a focal length
    that is corrected changes no blur to first order: of what lies z behind the focus at p,
    (D F / 2) F fx (1 / (F p) - 1 / (F p + z)) = (D / 2) fx (1 / p - 1 / (p + z)) F (p + z) / (F p + z)."""
    lens = ThinLens(LensStart(0.4, (DEPTH, 5.5), (1.0, 0.8), focal=tuple((INTRINSICS[:, 0] / FRAME.width).tolist())))
    depth = torch.tensor([4.6, 5.0, 5.4], dtype=torch.float64)

    def radius(made: Rig, depth: torch.Tensor) -> torch.Tensor:
        return lens.radius(Sharp(depth, depth, depth), made.camera(0), 0).detach()

    before, after = radius(longer(1.0), depth), radius(longer(), depth + (F - 1) * DEPTH)
    torch.testing.assert_close(after, before * F * depth / (depth + (F - 1) * DEPTH), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(after, before, rtol=1.1 * 0.4 / DEPTH * (F - 1), atol=1e-5)
    assert float(before[0].abs()) > 0.5 and abs(float(before[1])) < 1e-4
    found, was = lens.estimate(longer().focal_lengths()), lens.estimate(longer(1.0).focal_lengths())
    assert abs(found.pupil_diameter / was.pupil_diameter - F) < 1e-6
    torch.testing.assert_close(torch.tensor(found.focus_distances), F * torch.tensor(was.focus_distances))


def test_a_frame_of_another_size_has_the_same_camera():
    whole, half = rig().camera(1), rig().camera(1, Frame(20, 10))
    torch.testing.assert_close(
        half.intrinsics, whole.intrinsics * torch.tensor([1 / 2, 1 / 3, 1 / 2, 1 / 3], dtype=torch.float64)
    )


def test_frozen_cameras_are_the_same_and_computed_once():
    made, number = longer(), torch.tensor([1])
    with torch.no_grad():
        for photo in (0, 1):
            one, other = made.frozen(photo, FRAME), made.camera(photo)
            assert torch.equal(one.view, other.view) and torch.equal(one.intrinsics, other.intrinsics)
        kept = made._frozen[FRAME.width, FRAME.height]
        assert torch.equal(made.frozen(number, FRAME).view, made.camera(number, FRAME).view)
        assert made._frozen[FRAME.width, FRAME.height] is kept
