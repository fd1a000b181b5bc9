"""The backdrop: smooth from edge to edge, never below black, one grid per photo."""

import torch

from macrosplat.model.backdrop import Backdrop, grid_of
from macrosplat.model.constants import GRID


def test_constant_stays_constant():
    grids = torch.full((2, *GRID, 3), 0.3)
    torch.testing.assert_close(Backdrop(grids).at(1, 17, 11), torch.full((11, 17, 3), 0.3))


def test_a_ramp_of_the_grid_is_a_ramp_of_the_frame():
    columns = torch.linspace(0.0, 1.0, GRID[1])
    rows = torch.linspace(0.0, 1.0, GRID[0])
    grid = torch.stack([columns.expand(GRID), rows[:, None].expand(GRID), torch.zeros(GRID)], -1)
    for width, height in ((40, 30), (7, 5)):
        got = Backdrop(grid[None]).at(0, width, height)
        x, y = (torch.arange(width) + 0.5) / width, (torch.arange(height) + 0.5) / height
        torch.testing.assert_close(got[..., 0], x.expand(height, width))
        torch.testing.assert_close(got[..., 1], y[:, None].expand(height, width))


def test_starts_from_the_mean_of_each_cell():
    photo = torch.rand(3 * 6, 4 * 5, 3, generator=torch.Generator().manual_seed(0))
    grids = torch.stack([grid_of(photo), grid_of(2 * photo)])
    torch.testing.assert_close(grids[0, 1, 2], photo[6:12, 10:15].mean((0, 1)))
    torch.testing.assert_close(grids[1], 2 * grids[0])


def test_photos_of_other_sizes_share_the_grid():
    grids = torch.stack([grid_of(torch.rand(*size, 3)) for size in ((20, 30), (31, 17))])
    assert Backdrop(grids).grids.shape == (2, *GRID, 3)


def test_mean_is_the_mean_and_black_is_the_floor():
    grids = torch.rand(3, *GRID, 3, generator=torch.Generator().manual_seed(0))
    made = Backdrop(grids)
    wanted = sum(made.at(v, 9, 8) for v in range(3)) / 3
    torch.testing.assert_close(made.mean(9, 8), wanted)
    assert Backdrop(-grids).at(0, 9, 8).abs().max() == 0


def test_gradients_are_finite_differences_and_stay_with_their_photo():
    grids = torch.rand(2, *GRID, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64) + 0.1
    assert torch.autograd.gradcheck(lambda g: Backdrop(g).at(0, 6, 5), grids.requires_grad_())
    (gradient,) = torch.autograd.grad(Backdrop(grids).at(0, 6, 5).sum(), grids)
    assert gradient[1].abs().max() == 0 and gradient[0].min() > 0
