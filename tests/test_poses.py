"""Poses: nothing at zero, rigid in the end, a turn about the pivot, a dolly zoom, gradients by finite differences."""

import math

import torch

from macrosplat.lens import LensStart, Sharp
from macrosplat.lens.thin import ThinLens, sheared
from macrosplat.model.poses import Poses
from macrosplat.render import Pinhole
from macrosplat.render.centre import camera_centre

DEPTH, PIXEL = 5.0, 0.02


def start(dtype=torch.float64) -> torch.Tensor:
    """[2, 4, 4] rigid views."""
    views = torch.eye(4, dtype=dtype).repeat(2, 1, 1)
    c, s = math.cos(0.4), math.sin(0.4)
    views[0, :3, :3] = torch.tensor([[c, 0, s], [0, 1, 0], [-s, 0, c]], dtype=dtype)
    views[0, :3, 3] = torch.tensor([0.1, -0.2, 4.0], dtype=dtype)
    views[1, :3, 3] = torch.tensor([0.3, 0.1, 6.0], dtype=dtype)
    return views


def poses(turn=(0.0, 0.0, 0.0), shift=(0.0, 0.0, 0.0), dtype=torch.float64) -> Poses:
    """Poses whose first photo is moved."""
    made = Poses(start(dtype), torch.full((2,), DEPTH, dtype=dtype), PIXEL)
    for name, value in (("pose.turn", turn), ("pose.shift", shift)):
        made.parameters[name] = torch.stack([torch.tensor(value, dtype=dtype), torch.zeros(3, dtype=dtype)])
    return made


def test_nothing_moves_at_zero():
    made = Poses(start(torch.float32), torch.full((2,), DEPTH), PIXEL)
    # Only the pivot is added and subtracted: half a unit in the last place of 5.
    torch.testing.assert_close(made.all(), start(torch.float32), atol=5e-7, rtol=0)


def test_rigid_whatever_the_numbers():
    view = poses((0.3, -0.5, 0.2), (7.0, -3.0, 2.0)).view(0)
    rotation = view[:3, :3]
    torch.testing.assert_close(rotation @ rotation.T, torch.eye(3, dtype=torch.float64), atol=1e-12, rtol=0)
    assert torch.det(rotation) > 0 and torch.equal(view[3], torch.tensor([0, 0, 0, 1.0], dtype=torch.float64))


def test_turn_is_about_the_pivot_on_the_axis():
    for turn in ((0.1, 0.0, 0.0), (0.0, 0.2, 0.0), (0.3, -0.1, 0.5)):
        moved = poses(turn).view(0) @ torch.linalg.inv(start()[0])  # camera before to camera after
        pivot = torch.tensor([0.0, 0.0, DEPTH, 1.0], dtype=torch.float64)
        torch.testing.assert_close(moved @ pivot, pivot, atol=1e-12, rtol=0)
    # By Rodrigues a turn of t about y takes (0, 0, 1) to (sin t, 0, cos t).
    moved = poses((0.0, 0.2, 0.0)).view(0) @ torch.linalg.inv(start()[0])
    wanted = torch.tensor([math.sin(0.2), 0.0, math.cos(0.2)], dtype=torch.float64)
    torch.testing.assert_close(moved[:3, 2], wanted, atol=1e-12, rtol=0)


def test_shift_counts_pixels_at_the_pivot():
    moved = poses(shift=(3.0, -2.0, 1.0)).view(0) - start()[0]
    wanted = PIXEL * torch.tensor([3.0, -2.0, 1.0], dtype=torch.float64)
    torch.testing.assert_close(moved[:3, 3], wanted, atol=1e-12, rtol=0)
    assert moved[:3, :3].abs().max() < 1e-12


def test_one_photo_does_not_move_another():
    torch.testing.assert_close(poses((0.1, 0.2, 0.3), (1.0, 2.0, 3.0)).all()[1], start()[1], atol=1e-12, rtol=0)


def test_gradients_are_finite_differences():
    def view(turn, shift, focal):
        made = poses()
        made.parameters.update({"pose.turn": turn, "pose.shift": shift, "pose.focal": focal})
        return made.view(0)

    for scale in (0.0, 0.3):  # at zero too, where training begins
        g = torch.Generator().manual_seed(1)
        turn, shift = (scale * torch.randn(2, 3, generator=g, dtype=torch.float64) for _ in range(2))
        focal = torch.tensor(0.1 * scale, dtype=torch.float64)
        assert torch.autograd.gradcheck(view, tuple(t.requires_grad_() for t in (turn, shift, focal)))


F = 1.03


def longer(f: float = F) -> Poses:
    """Poses that are turned, shifted, and of another focal length."""
    made = poses((0.03, -0.05, 0.02), (7.0, -3.0, 2.0))
    made.parameters["pose.focal"] = torch.tensor(math.log(f), dtype=torch.float64)
    return made


def projected(view: torch.Tensor, fx: float, points: torch.Tensor) -> torch.Tensor:
    """[N, 2] px from the axis, of points [N, 4]."""
    seen = points @ view.T
    return fx * seen[:, :2] / seen[:, 2:3]


def some_points() -> torch.Tensor:
    """[20, 4] world, about the pivot."""
    xyz = torch.randn(20, 3, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    xyz[:, 2] *= 0.3
    return torch.cat([xyz, torch.ones(20, 1, dtype=torch.float64)], 1)


def test_focal_length_goes_with_a_dolly():
    """What lies at the pivot's depth stays; a camera that steps back by (f - 1) p with f times fx sees the same."""
    before, after = longer(1.0).view(0), longer().view(0)
    points, fx = some_points(), 200.0
    back = torch.eye(4, dtype=torch.float64)
    back[2, 3] = (F - 1) * DEPTH
    rigid = back @ before
    torch.testing.assert_close(projected(after, fx, points), projected(rigid, F * fx, points), atol=1e-9, rtol=0)
    torch.testing.assert_close(longer().rigid().view(0), rigid, atol=1e-12, rtol=0)
    local = torch.cat([points[:, :2], torch.full((20, 1), DEPTH, dtype=torch.float64), points[:, 3:]], 1)
    at_pivot = local @ torch.linalg.inv(before).T
    torch.testing.assert_close(projected(after, fx, at_pivot), projected(before, fx, at_pivot), atol=1e-9, rtol=0)
    assert (projected(after, fx, points) - projected(before, fx, points)).abs().max() > 0.1


def test_a_lens_before_rigid_cameras_is_the_same_lens():
    """Blur and the views through the pupil: the pupil stays, focus distances are f times as large."""
    points, fx, made = some_points(), 200.0, longer()
    lens = ThinLens(LensStart(0.4, (5.2, 5.5), (1.0, 0.8)))
    far, view, rigid = lens.farther(F), made.view(0), made.rigid().view(0)
    assert far.found()["pupil_diameter"] == lens.found()["pupil_diameter"]
    assert math.isclose(far.found()["focus_distance"][0], F * 5.2, rel_tol=1e-6)

    def pinhole(f):
        return Pinhole(f * fx, f * fx, 20.0, 15.0, 40, 30)

    def radius(lens, view, f):
        depth = (points @ view.T)[:, 2]
        return lens.radius(Sharp(depth, depth, depth), pinhole(f).at(torch.eye(4)), 0)

    torch.testing.assert_close(radius(far, rigid, F), radius(lens, view, 1.0), atol=1e-5, rtol=1e-5)
    u, v = (torch.tensor(x, dtype=torch.float64) for x in (0.11, -0.07))
    through = sheared(view, u, v, torch.tensor(5.2, dtype=torch.float64))
    truly = sheared(rigid, u, v, torch.tensor(F * 5.2, dtype=torch.float64))
    torch.testing.assert_close(projected(through, fx, points), projected(truly, F * fx, points), atol=1e-9, rtol=0)
    torch.testing.assert_close(camera_centre(through), camera_centre(truly), atol=1e-9, rtol=0)


def test_rigid_cameras_are_rigid():
    for view in longer().rigid().all():
        torch.testing.assert_close(view[:3, :3] @ view[:3, :3].T, torch.eye(3, dtype=torch.float64), atol=1e-12, rtol=0)
