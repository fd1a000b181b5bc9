"""Where rays meet the scene: against planes, and against the density along each ray in float64."""

from __future__ import annotations

import importlib

import numpy as np
import pytest
import torch
from scipy.ndimage import median_filter

from macrosplat.output.surface import median_of_nine
from macrosplat.render import Pinhole, render, surface, surface_cpu, surface_reference
from macrosplat.render.project_reference import rotations
from macrosplat.render.surface import surface_depth
from macrosplat.scene import Gaussians

PINHOLE = Pinhole(200.0, 180.0, 21.0, 15.5, 40, 30, near=0.5)


def gaussians(means, scales, quats, opacities) -> Gaussians:
    n = len(means)
    alpha = torch.tensor(opacities, dtype=torch.float32).expand(n)
    return Gaussians(
        means=torch.tensor(np.asarray(means), dtype=torch.float32),
        log_scales=torch.tensor(np.asarray(scales), dtype=torch.float32).log().expand(n, 3).contiguous(),
        quats=torch.tensor(np.asarray(quats), dtype=torch.float32).expand(n, 4).contiguous(),
        opacity_logits=torch.logit(alpha).contiguous(),
        sh0=torch.zeros(n, 3),
        sh_rest=torch.zeros(n, 0, 3),
    )


def rays() -> np.ndarray:
    """[H, W, 3] through the pixels' centres, z = 1."""
    y, x = np.mgrid[: PINHOLE.height, : PINHOLE.width] + 0.5
    return np.stack([(x - PINHOLE.cx) / PINHOLE.fx, (y - PINHOLE.cy) / PINHOLE.fy, np.ones_like(x)], -1)


def test_a_flat_gaussian_is_the_plane_that_it_lies_in() -> None:
    angle = 0.9
    # A disc without thickness turned about y: its normal is (sin, 0, cos).
    scene = gaussians([[0.1, -0.2, 8.0]], [[1.0, 1.0, 1e-3]], [np.cos(angle / 2), 0, np.sin(angle / 2), 0], 0.9)
    depth = surface_depth(scene, PINHOLE.at(torch.eye(4))).numpy()
    normal = np.array([np.sin(angle), 0.0, np.cos(angle)])
    wanted = normal @ [0.1, -0.2, 8.0] / (rays() @ normal)
    assert (depth > 0).mean() > 0.5
    np.testing.assert_allclose(depth[depth > 0], wanted[depth > 0], rtol=1e-4)


def test_the_densest_point_of_each_ray_where_the_light_has_gone() -> None:
    random = np.random.default_rng(0)
    n = 30
    means = np.column_stack([random.uniform(-0.6, 0.6, n), random.uniform(-0.5, 0.5, n), random.uniform(5, 7, n)])
    scene = gaussians(means, random.uniform(0.1, 0.5, (n, 3)), random.normal(size=(n, 4)), random.uniform(0.1, 0.6, n))
    view = torch.eye(4)
    turn = rotations(scene.quats.double()).numpy()
    inverse = np.einsum("nij,nj,nkj->nik", turn, scene.log_scales.double().exp().numpy() ** -2.0, turn)
    order = np.argsort(means[:, 2])
    through = np.ones((PINHOLE.height, PINHOLE.width))
    wanted = np.zeros_like(through)
    every_third = np.arange(through.size).reshape(through.shape) % 3 == 0
    t = np.linspace(3, 9, 6001)
    for i in order:
        # Alpha as the renderer has it, from one Gaussian alone; z from the density along the ray.
        alone = scene.map(lambda tensor, i=i: tensor[i : i + 1])
        alpha = render(alone, PINHOLE.at(view)).alpha.numpy()
        after = through * (1 - alpha)
        for row, column in zip(*np.nonzero((through > 0.5) & (after <= 0.5) & every_third), strict=True):
            away = t[:, None] * rays()[row, column] - means[i]
            wanted[row, column] = t[np.einsum("si,ij,sj->s", away, inverse[i], away).argmin()]
        through = after
    depth = surface_depth(scene, PINHOLE.at(view)).numpy()
    clear = every_third & (np.abs(through - 0.5) > 1e-3)  # a ray that just does, or just does not
    assert ((depth > 0) == (wanted > 0))[clear].all() and (wanted > 0).sum() > 100
    both = (depth > 0) & (wanted > 0)
    # Half a step of the sampling; a few rays end one Gaussian earlier or later for the kernel's exponential.
    assert (np.abs(depth - wanted)[both] < 2e-3).mean() > 0.98


def test_less_light_gone_is_nearer() -> None:
    means = [[0.0, 0.0, z] for z in (5.0, 5.5, 6.0, 6.5)]
    scene = gaussians(means, [[3.0, 3.0, 0.01]], [1.0, 0, 0, 0], 0.3)  # leaves 0.7, 0.49, 0.34, 0.24
    camera = PINHOLE.at(torch.eye(4))
    middle = [float(surface_depth(scene, camera, left)[15, 21]) for left in (0.8, 0.6, 0.4, 0.3, 0.1)]
    np.testing.assert_allclose(middle, [5.0, 5.5, 6.0, 6.5, 0.0], rtol=1e-4)


def test_a_gpu_finds_the_same_splats(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(1)
    means = np.column_stack([random.uniform(-0.6, 0.6, 20), random.uniform(-0.5, 0.5, 20), random.uniform(5, 7, 20)])
    turns = random.normal(size=(20, 4))
    scene = gaussians(means, random.uniform(0.1, 0.5, (20, 3)), turns, random.uniform(0.2, 0.9, 20))
    camera = PINHOLE.at(torch.eye(4))
    wanted = surface_depth(scene, camera)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    kernels = importlib.import_module("macrosplat.render.surface_cuda")
    monkeypatch.setattr(surface, "kernels_for", lambda *_: kernels)
    got = surface_depth(scene.map(lambda tensor: tensor.to(device)), camera.to(device)).cpu()
    # A ray may end one Gaussian earlier or later for the exponential.
    assert (wanted > 0).any() and (got - wanted).abs().gt(1e-3).float().mean() < 0.005


def test_a_photos_surface_is_free_of_single_pixels() -> None:
    planes = torch.rand(13, 17, generator=torch.Generator().manual_seed(0))
    np.testing.assert_array_equal(median_of_nine(planes).numpy(), median_filter(planes.numpy(), 3, mode="nearest"))


def test_the_densest_points_of_the_cpu_are_those_of_plain_torch() -> None:
    random = np.random.default_rng(1)
    n, camera = 40, PINHOLE.at(torch.eye(4))
    means = np.column_stack([random.uniform(-0.6, 0.6, n), random.uniform(-0.5, 0.5, n), random.uniform(5, 7, n)])
    scene = gaussians(means, random.uniform(0.02, 0.5, (n, 3)), random.normal(size=(n, 4)), random.uniform(0.1, 0.6, n))
    takers = torch.from_numpy(random.integers(-1, n, (PINHOLE.height, PINHOLE.width)).astype(np.int32))
    centres = torch.from_numpy(random.uniform(0, 40, (n, 2)).astype(np.float32))
    of = scene.means[:, 2], scene.quats, scene.log_scales, centres, takers, camera, 3.0
    ours, plain = surface_cpu.densest(*of), surface_reference.densest(*of)
    assert torch.equal(ours == 0, takers < 0) and torch.allclose(ours, plain, rtol=1e-5, atol=1e-4)
