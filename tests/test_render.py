"""The render stages against closed forms, the float64 reference, and finite differences."""

import math

import numpy as np
import pytest
import torch

from macrosplat.render import Camera, Pinhole, Plane, bins_cpu, constants, rasterize_reference, render
from macrosplat.render.project import project
from macrosplat.render.rasterize import rasterize
from macrosplat.scene import Gaussians
from macrosplat.scene.gaussians import SH_C0

PINHOLE = Pinhole(fx=60.0, fy=55.0, cx=21.0, cy=14.0, width=40, height=30)


def make_scene(n: int, degree: int, seed: int = 0, size: float = 0.12) -> Gaussians:
    g = torch.Generator().manual_seed(seed)
    normal = lambda *shape: torch.randn(*shape, generator=g, dtype=torch.float64)  # noqa: E731
    means = normal(n, 3) * torch.tensor([0.5, 0.4, 0.5])
    return Gaussians(
        means=means,
        log_scales=math.log(size) + 0.4 * normal(n, 3),
        quats=normal(n, 4),
        opacity_logits=normal(n),
        sh0=normal(n, 3) * 0.6,
        sh_rest=normal(n, (degree + 1) ** 2 - 1, 3) * 0.2,
    )


def make_view(sheared: bool = True) -> torch.Tensor:
    view = torch.eye(4, dtype=torch.float64)
    c, s = math.cos(0.3), math.sin(0.3)
    view[:3, :3] = torch.tensor([[c, 0, s], [0, 1, 0], [-s, 0, c]], dtype=torch.float64)
    view[:3, 3] = torch.tensor([0.05, -0.02, 2.5])
    if sheared:  # a sub-aperture view: x += u z / d0 - u
        shear = torch.eye(4, dtype=torch.float64)
        shear[0, 2], shear[0, 3], shear[1, 2], shear[1, 3] = 0.08, -0.2, -0.04, 0.1
        view = shear @ view
    return view


def gradients(scene: Gaussians, view: torch.Tensor, weights: list[torch.Tensor], degree: int | None = None):
    """Of six tensors of the scene, the view and the intrinsics."""
    intrinsics = PINHOLE.at(view).intrinsics
    inputs = [t.clone().requires_grad_() for t in (*scene.tensors().values(), view, intrinsics)]
    out = render(Gaussians(*inputs[:6]), Camera(inputs[6], inputs[7], PINHOLE.frame), degree)
    loss = sum((w * t).sum() for w, t in zip(weights, (out.colour, out.alpha, out.depth), strict=True))
    return out, torch.autograd.grad(loss, inputs)


def incoming(seed: int = 1) -> list[torch.Tensor]:
    g = torch.Generator().manual_seed(seed)
    h, w = PINHOLE.height, PINHOLE.width
    return [torch.randn(*shape, generator=g, dtype=torch.float64) for shape in ((h, w, 3), (h, w), (h, w))]


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
def test_cpu_agrees_with_reference(degree):
    scene, view, weights = make_scene(60, degree), make_view(), incoming()
    expected, expected_grads = gradients(scene, view, weights)
    got, got_grads = gradients(scene.map(lambda t: t.float()), view.float(), [w.float() for w in weights])
    for name in ("colour", "alpha", "depth"):
        # float32 flips a few pixels across the 1/255 cut-off: those may differ by one such step
        difference = (getattr(got, name).double() - getattr(expected, name)).abs()
        assert difference.median() < 1e-5 and difference.max() < 2.6 / 255 * 3, name
    for name, a, b in zip([*scene.tensors(), "view", "intrinsics"], got_grads, expected_grads, strict=True):
        assert a.shape == b.shape
        if b.numel():
            assert torch.linalg.norm(a.double() - b) < 5e-3 * torch.linalg.norm(b), name


def test_lower_degree_than_the_scene_has():
    scene, view, weights = make_scene(20, 3), make_view(), incoming()
    expected, expected_grads = gradients(scene, view, weights, degree=1)
    got, got_grads = gradients(scene.map(lambda t: t.float()), view.float(), [w.float() for w in weights], degree=1)
    assert torch.allclose(got.colour.double(), expected.colour, atol=1e-2)
    assert got_grads[5][:, 3:].abs().max() == 0
    assert torch.linalg.norm(got_grads[5].double() - expected_grads[5]) < 5e-3 * torch.linalg.norm(expected_grads[5])


def test_finite_differences(monkeypatch):
    """The reference's gradients, with the step at 1/255 removed: four splats, every parameter and the camera.

    Two of them lie where the projection is linearised at the bounds of the frame, which move with the intrinsics."""
    cut_free = rasterize_reference.rasterize
    monkeypatch.setattr(rasterize_reference, "rasterize", lambda *a: cut_free(*a, alpha_min=0.0))
    scene, view, weights = make_scene(4, 2, seed=3, size=0.2), make_view(), incoming()
    scene.means[2:, :2] += torch.tensor([[1.6, 0.3], [0.2, -1.3]])
    scene.log_scales[2:] += 1.0
    _, analytic = gradients(scene, view, weights)
    inputs = [*scene.tensors().values(), view, PINHOLE.at(view).intrinsics]

    def loss() -> float:
        out = render(Gaussians(*inputs[:6]), Camera(inputs[6], inputs[7], PINHOLE.frame))
        return sum((w * t).sum() for w, t in zip(weights, (out.colour, out.alpha, out.depth), strict=True)).item()

    for tensor, gradient in zip(inputs, analytic, strict=True):
        if tensor is view:
            gradient, tensor = gradient[:3], tensor[:3]
        flat, g = tensor.reshape(-1), gradient.reshape(-1)
        numeric = torch.empty_like(g)
        for k in range(len(flat)):
            keep = flat[k].item()
            values = []
            for step in (1e-6, -1e-6):
                tensor.view(-1)[k] = keep + step
                values.append(loss())
            tensor.view(-1)[k] = keep
            numeric[k] = (values[0] - values[1]) / 2e-6
        assert torch.allclose(numeric, g, rtol=1e-5, atol=1e-5 * g.abs().max().item())


def test_one_gaussian_is_its_closed_form():
    """A round Gaussian on the axis: a round blob of variance (f s / z)^2 + the pixel's, light conserved."""
    f, z, s, opacity = 80.0, 4.0, 0.1, 0.6
    pinhole = Pinhole(f, f, 16.5, 16.5, 33, 33)
    colour = torch.tensor([0.7, 0.3, 0.1])
    scene = Gaussians(
        means=torch.tensor([[0.0, 0.0, z]]),
        log_scales=torch.full((1, 3), math.log(s)),
        quats=torch.tensor([[1.0, 0.0, 0.0, 0.0]]),
        opacity_logits=torch.logit(torch.tensor([opacity])),
        sh0=((colour - 0.5) / SH_C0)[None],
        sh_rest=torch.zeros(1, 0, 3),
    )
    out = render(scene, pinhole.at(torch.eye(4)))
    variance = (f * s / z) ** 2
    y, x = np.mgrid[:33, :33] - 16.0
    peak = opacity * variance / (variance + constants.PIXEL_VARIANCE)
    alpha = peak * np.exp(-(x**2 + y**2) / 2 / (variance + constants.PIXEL_VARIANCE))
    alpha[alpha < 1 / 255] = 0
    assert np.allclose(out.alpha.numpy(), alpha, atol=1e-4)
    assert np.allclose(out.colour.numpy(), alpha[..., None] * colour.numpy(), atol=1e-4)
    assert np.allclose(out.depth.numpy(), alpha * z, atol=1e-3)


def test_near_hides_far():
    scene = make_scene(2, 0).map(lambda t: t.float())
    scene = scene.with_(
        means=torch.tensor([[0.0, 0.0, 3.0], [0.0, 0.0, 2.0]]),
        log_scales=torch.full((2, 3), math.log(1.0)),
        opacity_logits=torch.full((2,), 9.0),
        sh0=torch.tensor([[1.0, -1.0, -1.0], [-1.0, 1.0, -1.0]]),
    )
    middle = render(scene, PINHOLE.at(torch.eye(4))).colour[14, 21]
    assert middle[1] > 0.7 and middle[0] < 0.3


@pytest.mark.parametrize("culled", ["behind", "aside"])
def test_what_is_not_seen_is_not_drawn_and_has_no_gradient(culled):
    scene = make_scene(5, 1).map(lambda t: t.float())
    offset = torch.tensor([0.0, 0.0, -9.0]) if culled == "behind" else torch.tensor([99.0, 0.0, 0.0])
    scene = scene.with_(means=scene.means + offset)
    out, grads = gradients(scene, make_view(False).float(), [w.float() for w in incoming()])
    assert out.alpha.max() == 0
    assert all(g.abs().max() == 0 for g in grads)


def test_an_empty_scene_renders_to_nothing():
    scene = make_scene(0, 1).map(lambda t: t.float())
    assert render(scene, PINHOLE.at(torch.eye(4))).alpha.max() == 0


def test_same_bits_every_time_and_from_two_threads():
    from concurrent.futures import ThreadPoolExecutor

    scene, view = make_scene(300, 2).map(lambda t: t.float()), make_view().float()
    weights = [w.float() for w in incoming()]
    run = lambda _: gradients(scene, view, weights)  # noqa: E731
    first, first_grads = run(0)
    with ThreadPoolExecutor(2) as pool:
        for out, grads in pool.map(run, range(6)):
            assert torch.equal(out.colour, first.colour)
            assert all(torch.equal(a, b) for a, b in zip(grads, first_grads, strict=True))


@pytest.mark.parametrize("what", ["splats", "view"])
def test_wrong_shapes_are_named(what):
    scene = make_scene(3, 0)
    with pytest.raises(AssertionError, match="has shape"):
        if what == "view":
            render(scene, PINHOLE.at(torch.eye(3, dtype=torch.float64)))
        else:
            scene.with_(means=scene.means[:, :2])


def test_the_order_of_depths_is_that_of_a_stable_sort():
    random = np.random.default_rng(0)
    values = np.concatenate([random.normal(size=3000), random.integers(-3, 3, 2000), [np.inf, -np.inf, 1e-40]])
    values = random.permutation(values).astype(np.float32) + np.float32(0)  # without -0, which is no depth
    np.testing.assert_array_equal(bins_cpu.stable_order(values), np.argsort(values, kind="stable"))
    assert len(bins_cpu.stable_order(values[:0])) == 0


def test_views_of_the_same_depths_are_sorted_once_and_have_the_same_bits(monkeypatch):
    scene, weights = (
        make_scene(60, 1).map(lambda t: t.float()),
        [torch.stack([w, -w, 2 * w]).float() for w in incoming()],
    )
    views = torch.stack([make_view(), make_view(), make_view()]).float()
    views[1, 0, 3] += 1.2
    splats, extents = project(scene, PINHOLE.at(views), 1)
    splats = splats.detach().requires_grad_()
    assert torch.equal(splats[0, :, 9], splats[2, :, 9]) and (extents[0] > 0).ne(extents[1] > 0).any()
    sorts, plain = [], bins_cpu.stable_order

    def counted(values):
        sorts.append(len(values))
        return plain(values)

    results = []
    for plane in (None, Plane()):
        drawn = rasterize(splats, extents, PINHOLE.width, PINHOLE.height, plane)
        results.append((*drawn, *torch.autograd.grad(drawn, [splats], weights)))
        if plane is None:
            monkeypatch.setattr(bins_cpu, "stable_order", counted)
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))
    rasterize(splats[1:], extents[1:], PINHOLE.width, PINHOLE.height, plane)  # the others of that plane
    assert sorts == [60]


def test_tiles_of_two_views_are_those_that_an_ellipse_meets():
    """Against a count by brute force: every tile with a pixel that the splat draws, hardly any without, each once."""
    pinhole, tile = Pinhole(120.0, 120.0, 82.0, 58.0, 161, 117), bins_cpu.TILE
    scene = make_scene(60, 0, size=0.1).map(lambda t: t.float())
    needles = torch.cat([scene.log_scales[:20] + torch.tensor([2.5, -3.0, -3.0]), scene.log_scales[20:]])
    views = torch.stack([make_view(), make_view(sheared=False)]).float()
    splats, extents = project(scene.with_(log_scales=needles), pinhole.at(views), 0)
    table, reach = splats.reshape(-1, 10).numpy(), extents.reshape(-1, 2).numpy()
    bins = bins_cpu.bin_splats(table, reach, pinhole.width, pinhole.height, views=2)
    columns, rows = -(-pinhole.width // tile), -(-pinhole.height // tile)
    listed = [(t, i) for t in range(len(bins.ranges) - 1) for i in bins.items[bins.ranges[t] : bins.ranges[t + 1]]]
    assert len(listed) == len(set(listed)) and sorted(bins.slots) == list(range(len(listed)))
    drawn = set()
    y, x = np.mgrid[0 : pinhole.height, 0 : pinhole.width] + 0.5
    for i, (mx, my, a, b, c, opacity) in enumerate(table[:, :6].astype(np.float64)):
        power = (a * (x - mx) ** 2 + c * (y - my) ** 2) / 2 + b * (x - mx) * (y - my)
        inside = (opacity * np.exp(-power) >= constants.ALPHA_MIN) & (reach[i, 0] > 0)
        first = i // len(scene) * columns * rows
        drawn |= {(first + v // tile * columns + u // tile, i) for v, u in zip(*np.nonzero(inside), strict=True)}
    # An ellipse may meet a tile between the middles of its pixels.
    assert drawn <= set(listed) and len(listed) < 1.02 * len(drawn)
