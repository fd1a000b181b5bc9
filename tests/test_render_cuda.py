"""The Triton kernels of both render stages, on a GPU if there is one and in Triton's interpreter otherwise."""

import importlib
import math

import pytest
import torch

from macrosplat.render import Camera, Pinhole, Plane, bins_cuda, project, project_cuda, rasterize, render
from macrosplat.render.capacity import PairBuffer, fixed_capacity
from macrosplat.scene import Gaussians
from test_render import PINHOLE, incoming, make_scene, make_view

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


@pytest.fixture(autouse=True)
def triton_kernels(monkeypatch):
    """float32 goes to the Triton kernels, also from the CPU tensors of the interpreter."""

    def kernels_for(stage: str, tensor: torch.Tensor):
        return importlib.import_module(f"{stage}_{'reference' if tensor.dtype == torch.float64 else 'cuda'}")

    monkeypatch.setattr(project, "kernels_for", kernels_for)
    monkeypatch.setattr(rasterize, "kernels_for", kernels_for)


def fast(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.to(DEVICE, torch.float32)


def draw(
    scene: Gaussians,
    view: torch.Tensor,
    weights: list[torch.Tensor],
    degree: int | None = None,
    pinhole: Pinhole = PINHOLE,
    intrinsics: torch.Tensor | None = None,
):
    """Render, and the gradients of all inputs, on the CPU and in float64."""
    if intrinsics is None:
        intrinsics = pinhole.at(view).intrinsics
    inputs = [t.detach().clone().requires_grad_() for t in (*scene.tensors().values(), view, intrinsics)]
    out = render(Gaussians(*inputs[:6]), Camera(inputs[6], inputs[7], pinhole.frame), degree)
    drawn = (out.colour, out.alpha, out.depth)
    grads = torch.autograd.grad(drawn, inputs, weights)
    return [t.detach().cpu().double() for t in drawn], [g.cpu().double() for g in grads]


def weights_of(pinhole: Pinhole) -> list[torch.Tensor]:
    g = torch.Generator().manual_seed(1)
    h, w = pinhole.height, pinhole.width
    return [torch.randn(*shape, generator=g, dtype=torch.float64) for shape in ((h, w, 3), (h, w), (h, w))]


def assert_close(got, expected) -> None:
    for a, b in zip(got[0], expected[0], strict=True):
        # float32 flips a few pixels across the 1/255 cut-off: those may differ by one such step
        assert (a - b).abs().median() < 1e-5 and (a - b).abs().max() < 2.6 / 255 * 3
    for a, b in zip(got[1], expected[1], strict=True):
        assert a.shape == b.shape
        assert torch.linalg.norm(a - b) <= 5e-3 * torch.linalg.norm(b)


@pytest.mark.parametrize("tile", [8, 16])
def test_agrees_with_reference(monkeypatch, tile):
    monkeypatch.setattr(bins_cuda, "TILE", tile)
    scene, view, weights = make_scene(60, 3), make_view(), incoming()
    expected = draw(scene, view, weights)
    assert_close(draw(scene.map(fast), fast(view), [fast(w) for w in weights]), expected)


@pytest.mark.parametrize(("degree", "used"), [(0, None), (1, None), (2, None), (3, 1)])
def test_every_degree_agrees_with_reference(degree, used):
    scene, view, weights = make_scene(20, degree), make_view(), incoming()
    expected = draw(scene, view, weights, used)
    assert_close(draw(scene.map(fast), fast(view), [fast(w) for w in weights], used), expected)


def test_several_views_at_once_agree_with_reference():
    scene = make_scene(25, 2)
    views = torch.stack([make_view(), make_view(False), make_view()])
    views[2, :3, 3] += 0.1
    weights = [torch.stack([w, 2 * w.flip(0), -w]) for w in incoming()]
    expected = draw(scene, views, weights)
    assert expected[0][0].shape[0] == 3 and expected[1][6].shape == (3, 4, 4)
    assert_close(draw(scene.map(fast), fast(views), [fast(w) for w in weights]), expected)


def test_views_of_the_same_depths_are_sorted_once_and_have_the_same_bits():
    scene, weights = make_scene(30, 1).map(fast), [fast(torch.stack([w, -w, 2 * w])) for w in incoming()]
    views = fast(torch.stack([make_view(), make_view(), make_view()]))
    views[1, 0, 3] += 1.2
    views[2, 0, 2] += 0.1
    splats, extents = project.project(scene, PINHOLE.at(views), 1)
    splats = splats.detach().requires_grad_()
    assert torch.equal(splats[0, :, 9], splats[2, :, 9]) and (extents[0] > 0).ne(extents[1] > 0).any()
    results = []
    for plane in (None, Plane()):
        drawn = rasterize.rasterize(splats, extents, PINHOLE.width, PINHOLE.height, plane)
        results.append((*drawn, *torch.autograd.grad(drawn, [splats], weights)))
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))
    table, reach = splats.detach().view(-1, 10), extents.view(-1, 2)
    bins = bins_cuda.bin_splats(table, reach, PINHOLE.width, PINHOLE.height, 3, Plane())
    assert len(bins.order) == 30 and int(bins.offsets[-1]) == len(bins.items)


def test_each_of_several_views_may_have_intrinsics_of_its_own():
    scene, view, weights = make_scene(25, 1), make_view(False), incoming()
    views, weights = torch.stack([view, view]), [torch.stack([w, -w]) for w in weights]
    own = torch.tensor([[60.0, 55.0, 21.0, 14.0], [44.0, 70.0, 12.0, 18.0]], dtype=torch.float64)
    expected = draw(scene, views, weights, intrinsics=own)
    assert expected[1][7].shape == (2, 4) and not torch.equal(expected[0][1][0], expected[0][1][1])
    got = draw(scene.map(fast), fast(views), [fast(w) for w in weights], intrinsics=fast(own))
    assert_close(got, expected)


def test_nothing_is_computed_for_a_camera_that_learns_nothing(monkeypatch):
    """And what is learned of the scene, or of the view alone, has the same bits."""
    launched, add_shares = [], project_cuda._add_shares
    monkeypatch.setattr(project_cuda, "_add_shares", Launched(add_shares, launched))
    scene, weights = make_scene(20, 1).map(fast), [fast(w) for w in incoming()]
    whole = draw(scene, fast(make_view()), weights)
    for learned in (6, 7):
        inputs = [t.clone() for t in (*scene.tensors().values(), fast(make_view()))]
        leaves = [t.requires_grad_() for t in inputs[:learned]]
        out = render(Gaussians(*inputs[:6]), PINHOLE.at(inputs[6]))
        grads = torch.autograd.grad((out.colour, out.alpha, out.depth), leaves, weights)
        assert all(torch.equal(a.cpu().double(), b) for a, b in zip(grads, whole[1], strict=False))
    assert launched == [project_cuda.POSE.value + 4, project_cuda.POSE.value]


class Launched:
    """A kernel that notes the floats of a block's share whenever it is launched."""

    def __init__(self, kernel, into: list[int]) -> None:
        self.kernel, self.into = kernel, into

    def __getitem__(self, grid):
        def launch(*args, **options):
            self.into.append(options["SHARE"])
            return self.kernel[grid](*args, **options)

        return launch


@pytest.mark.parametrize("bucket", [16, 128])
def test_opaque_splats_end_light_paths_and_give_the_rest_no_gradient(monkeypatch, bucket):
    """More layers than a chunk, or a bucket, so that tiles stop early; some alphas are held at their maximum."""
    monkeypatch.setattr(bins_cuda, "BUCKET", bucket)
    scene = make_scene(50, 0, size=0.5)
    scene = scene.with_(opacity_logits=scene.opacity_logits + 4)
    expected = draw(scene, make_view(), incoming())
    got = draw(scene.map(fast), fast(make_view()), [fast(w) for w in incoming()])
    assert_close(got, expected)
    assert (got[1][3] == 0).sum() > 10


def test_frames_of_one_pixel_and_of_no_whole_tile():
    for width, height in ((1, 1), (17, 31)):
        pinhole = Pinhole(60.0, 55.0, width / 2, height / 2, width, height)
        scene, view, weights = make_scene(30, 1), make_view(), weights_of(pinhole)
        expected = draw(scene, view, weights, pinhole=pinhole)
        assert_close(draw(scene.map(fast), fast(view), [fast(w) for w in weights], pinhole=pinhole), expected)


def test_splats_that_lie_over_many_tiles():
    pinhole = Pinhole(150.0, 150.0, 61.0, 42.0, 121, 83)
    scene, view, weights = make_scene(7, 1), make_view(), weights_of(pinhole)
    scene.log_scales[::2] += 1.5
    expected = draw(scene, view, weights, pinhole=pinhole)
    got = draw(scene.map(fast), fast(view), [fast(w) for w in weights], pinhole=pinhole)
    assert_close(got, expected)
    camera = pinhole.at(fast(view))
    bins = bins_cuda.bin_splats(*project.project(scene.map(fast), camera, 1), pinhole.width, pinhole.height)
    pairs = bins.offsets.diff()
    assert int((pairs > 32).sum()) >= 2 and int((pairs == 0).sum()) < 3


def test_more_splats_than_a_block_and_more_tiles_than_pairs():
    scene, view = make_scene(130, 0, size=0.02), make_view()
    expected = draw(scene, view, incoming())
    assert_close(draw(scene.map(fast), fast(view), [fast(w) for w in incoming()]), expected)
    one = make_scene(1, 0, size=0.02)
    expected = draw(one, view, incoming())
    assert_close(draw(one.map(fast), fast(view), [fast(w) for w in incoming()]), expected)


@pytest.mark.parametrize("culled", ["behind", "aside", "empty"])
def test_what_is_not_seen_is_not_drawn_and_has_no_gradient(culled):
    scene = make_scene(0 if culled == "empty" else 5, 1).map(fast)
    offset = fast(torch.tensor([0.0, 0.0, -9.0]) if culled == "behind" else torch.tensor([99.0, 0.0, 0.0]))
    drawn, grads = draw(scene.with_(means=scene.means + offset), fast(make_view(False)), [fast(w) for w in incoming()])
    assert all(d.abs().max() == 0 for d in drawn)
    assert all(not g.any() for g in grads)


def test_same_bits_every_time():
    scene, view, weights = make_scene(60, 1).map(fast), fast(make_view()), [fast(w) for w in incoming()]
    first, again = draw(scene, view, weights), draw(scene, view, weights)
    assert all(torch.equal(a, b) for kind in (0, 1) for a, b in zip(first[kind], again[kind], strict=True))


def test_an_overflow_is_known_and_a_grown_buffer_draws_the_whole_picture():
    scene, view, weights = make_scene(40, 0).map(fast), fast(make_view()), [fast(w) for w in incoming()]
    exact = draw(scene, view, weights)
    small = PairBuffer(7, DEVICE)
    with fixed_capacity(small):
        short = draw(scene, view, weights)
    assert small.overflowed() and not torch.equal(short[0][1], exact[0][1])
    grown = small.grown()
    assert grown.capacity >= int(small.needed) > 7
    with fixed_capacity(grown):
        whole = draw(scene, view, weights)
    assert not grown.overflowed() and int(grown.needed) == int(small.needed)
    assert all(torch.equal(a, b) for kind in (0, 1) for a, b in zip(whole[kind], exact[kind], strict=True))


def test_what_a_buffer_needed_is_the_most_of_all_its_pictures():
    buffer, view = PairBuffer(4096, DEVICE), fast(make_view())
    needed = []
    with fixed_capacity(buffer):
        for n in (5, 40, 10):
            render(make_scene(n, 0).map(fast), PINHOLE.at(view))
            needed.append(int(buffer.needed))
    assert 0 < needed[0] < needed[1] == needed[2]


def test_no_pair_is_missing_and_none_is_doubled():
    """Against a count by brute force: tiles that hold a pixel which the splat reaches."""
    scene, view, pinhole = make_scene(30, 0, size=0.1).map(fast), fast(make_view()), Pinhole(120, 120, 61, 41, 121, 83)
    splats, extents = project.project(scene, pinhole.at(view), 0)
    bins = bins_cuda.bin_splats(splats, extents, pinhole.width, pinhole.height)
    columns = math.ceil(pinhole.width / bins.tile)
    ranges, items = bins.ranges.tolist(), bins.items.tolist()
    listed = [(t, i) for t in range(len(ranges) - 1) for i in items[ranges[t] : ranges[t + 1]]]
    assert len(listed) == len(set(listed)) == ranges[-1] == len(items)
    assert sorted(bins.slots.tolist()) == list(range(len(items)))
    for t in range(len(ranges) - 1):  # front to back
        depths = splats[items[ranges[t] : ranges[t + 1]], 9]
        assert (depths.diff() >= 0).all()
    y, x = torch.meshgrid(torch.arange(pinhole.height) + 0.5, torch.arange(pinhole.width) + 0.5, indexing="ij")
    met = set()
    for i, (mx, my, a, b, c, opacity) in enumerate(splats[:, :6].tolist()):
        dx, dy = x - mx, y - my
        alpha = opacity * torch.exp(-0.5 * (a * dx * dx + c * dy * dy) - b * dx * dy)
        rows, cols = torch.nonzero((alpha > 1.01 / 255) & bool(extents[i, 0] > 0), as_tuple=True)
        reached = {
            (r // bins.tile * columns + q // bins.tile, i) for r, q in zip(rows.tolist(), cols.tolist(), strict=False)
        }
        assert reached <= set(listed)
        met |= reached
    assert len(listed) <= 1.02 * len(met), (len(listed), len(met))  # some are met between pixels' middles only
