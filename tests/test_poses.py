"""Poses: nothing at zero, rigid always, a turn about the pivot, gradients against finite differences."""

import math

import torch

from macrosplat.scene.poses import Poses

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
    def view(turn, shift):
        made = poses()
        made.parameters["pose.turn"], made.parameters["pose.shift"] = turn, shift
        return made.view(0)

    for scale in (0.0, 0.3):  # at zero too, where training begins
        g = torch.Generator().manual_seed(1)
        turn, shift = (scale * torch.randn(2, 3, generator=g, dtype=torch.float64) for _ in range(2))
        assert torch.autograd.gradcheck(view, (turn.requires_grad_(), shift.requires_grad_()))
