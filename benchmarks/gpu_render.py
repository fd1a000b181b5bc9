"""Milliseconds of the render stages on a GPU, each way of compositing, eager and as CUDA graphs.

    python benchmarks/gpu_render.py [GAUSSIANS WIDTH HEIGHT]

Without arguments 100,000 Gaussians of SH degree 3 at 800 x 600, the scene of `macrosplat bench`. Checks every way
against the float64 reference first, on a smaller scene. A way that fails says so and the others go on. With gsplat
installed, its own rendering of the same scene stands beside. Medians of device events.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from macrosplat.render import Pinhole, bins_cuda, composite_cuda, project_cuda, render
from macrosplat.render import rasterize_cuda as rasterizer
from macrosplat.render.capacity import PairBuffer, fixed_capacity
from macrosplat.scene import Gaussians

DEGREE = 3
DISTANCE = 10.0  # scene units to the object's middle
REPEATS = 50
WARPS = (1, 2, 4)


def make_setting(n: int, width: int, height: int) -> tuple[Gaussians, Pinhole]:
    """What `macrosplat.bench.make_setting` makes: it is not imported because it needs Numba."""
    random = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=random)

    fx = 5.0 * width
    half_frame = torch.tensor([width, height]) / 2 * DISTANCE / fx
    place = torch.nn.functional.normalize(normal(n, 3), dim=1) * torch.rand(n, 1, generator=random) ** (1 / 3)
    gaussians = Gaussians(
        means=place * torch.tensor([*(0.95 * half_frame), 1.0]) + torch.tensor([0.0, 0.0, DISTANCE]),
        log_scales=math.log(1.8 * DISTANCE / fx) + 0.5 * normal(n, 3),
        quats=normal(n, 4),
        opacity_logits=1.5 * normal(n),
        sh0=normal(n, 3),
        sh_rest=0.2 * normal(n, (DEGREE + 1) ** 2 - 1, 3),
    )
    return gaussians, Pinhole(fx, fx, width / 2, height / 2, width, height, near=0.2 * DISTANCE)


def eager_ms(work: Callable[[], Any]) -> float:
    """Median time of the device between two events, the host's launches included where it is the slower."""
    for _ in range(5):
        work()
    times = []
    for _ in range(REPEATS):
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        work()
        end.record()
        end.synchronize()
        times.append(begin.elapsed_time(end))
    return sorted(times)[len(times) // 2]


def graph_ms(work: Callable[[], Any]) -> float:
    """The same, recorded once and replayed."""
    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        for _ in range(3):
            work()
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        work()
    return eager_ms(graph.replay)


def tried(name: str, work: Callable[[], Any]) -> Any:
    """Run, or print in one line why not."""
    try:
        return work()
    except Exception as error:  # a way that does not compile must not hide the others
        lines = str(error).strip().splitlines() or [""]
        print(f"{name:44s} FAILED {type(error).__name__}: {lines[0][:150]}", flush=True)
        return None


def show(name: str, work: Callable[[], Any]) -> float | None:
    """A line of the table; the graph's milliseconds."""
    eager = tried(name, lambda: eager_ms(work))
    if eager is None:
        return None
    graph = tried(f"{name}, graph", lambda: graph_ms(work))
    print(f"{name:44s} {eager:9.4f} {'-' if graph is None else f'{graph:.4f}':>9s}", flush=True)
    return graph


def check(tile: int, warps: int) -> None:
    """The largest differences from the float64 reference on the CPU, pictures and gradients."""
    scene, pinhole = make_setting(300, 61, 45)
    random = torch.Generator().manual_seed(1)
    weights = [torch.randn(*s, generator=random) for s in ((45, 61, 3), (45, 61), (45, 61))]
    results = []
    for device, dtype in (("cpu", torch.float64), ("cuda", torch.float32)):
        inputs = [t.to(device, dtype).requires_grad_() for t in (*scene.tensors().values(), torch.eye(4))]
        out = render(Gaussians(*inputs[:6]), inputs[6], pinhole)
        drawn = (out.colour, out.alpha, out.depth)
        grads = torch.autograd.grad(drawn, inputs, [w.to(device, dtype) for w in weights])
        results.append(([t.detach().cpu().double() for t in drawn], [g.cpu().double() for g in grads]))
    (expected, expected_grads), (got, got_grads) = results
    pictures = max((a - b).abs().max().item() for a, b in zip(got, expected, strict=True))
    gradients = max(((a - b).norm() / b.norm()).item() for a, b in zip(got_grads, expected_grads, strict=True))
    verdict = "agrees" if pictures < 0.03 * DISTANCE and gradients < 5e-3 else "DIFFERS"
    print(f"tile {tile:2d} warps {warps}: {verdict}, pictures {pictures:.1e}, gradients {gradients:.1e}", flush=True)


def measure(scene: Gaussians, pinhole: Pinhole) -> None:
    width, height = pinhole.width, pinhole.height
    inputs = [*scene.tensors().values(), torch.eye(4, device="cuda"), torch.zeros(3, device="cuda")]
    splats, extents = project_cuda.forward(*inputs, pinhole, DEGREE)
    random = torch.Generator("cuda").manual_seed(1)
    g_splats = torch.randn(splats.shape, generator=random, device="cuda")
    incoming = [torch.randn(*s, generator=random, device="cuda") for s in ((height, width, 3), *[(height, width)] * 2)]
    print(f"\n{'stage':44s} {'eager ms':>9s} {'graph ms':>9s}")
    total = 0.0
    for block in (64, 128, 256):
        project_cuda.BLOCK = block
        ahead = show(f"project forward, block {block}", lambda: project_cuda.forward(*inputs, pinhole, DEGREE))
        back = show(
            f"project backward, block {block}",
            lambda: project_cuda.backward(*inputs, pinhole, DEGREE, extents, g_splats),
        )
        if block == 64:
            total = (ahead or math.nan) + (back or math.nan)
    project_cuda.BLOCK = 64
    show("torch.sort of N float32, stable", lambda: torch.sort(splats[:, 9], stable=True))
    best = {}
    for tile in (8, 16):
        bins_cuda.TILE = tile
        bins = tried(f"bins, tile {tile}", lambda: bins_cuda.bin_splats(splats, extents, width, height))
        if bins is None:
            continue
        pairs = len(bins.items)
        print(
            f"tile {tile}: {pairs:,} pairs, {len(bins.stops):,} tiles, at most {int(bins.ranges.diff().max())} in one"
        )
        with fixed_capacity(PairBuffer(pairs, "cuda")):
            binning = show(f"bins, tile {tile}", lambda: bins_cuda.bin_splats(splats, extents, width, height))
        keys = torch.randint(0, len(bins.stops), (pairs,), dtype=torch.int16, device="cuda")
        show(f"  of it torch.sort of int16 pairs, tile {tile}", lambda keys=keys: torch.sort(keys, stable=True))
        drawn = [torch.empty_like(t) for t in incoming]
        rows = torch.empty(pairs, 10, device="cuda")
        walks: dict[str, float] = {}
        for warps in WARPS:

            def forward(warps=warps, bins=bins, drawn=drawn, tile=tile):
                composite_cuda.forward_kernel[bins.stops.shape](
                    splats, bins.items, bins.ranges, bins.stops, *drawn, width, height,
                    TILE=tile, CHUNK=rasterizer.CHUNK, num_warps=warps,
                )  # fmt: skip

            def backward(warps=warps, bins=bins, drawn=drawn, tile=tile, rows=rows):
                composite_cuda.backward_kernel[bins.stops.shape](
                    splats, bins.items, bins.slots, bins.ranges, bins.stops, *drawn, *incoming, rows, width, height,
                    TILE=tile, CHUNK=rasterizer.CHUNK, num_warps=warps,
                )  # fmt: skip

            for direction, work in (("forward", forward), ("backward", backward)):
                took = show(f"tile {tile} warps {warps} {direction} kernel", work)
                if took is not None and took < walks.get(direction, math.inf):
                    walks[direction], best[tile, direction] = took, warps
            if warps == WARPS[-1]:
                walked = int((bins.stops - bins.ranges[:-1]).sum())
                print(f"  walked pairs: {walked:,} of {pairs:,}")
        summing = show(
            f"tile {tile} rows summed per splat",
            lambda bins=bins, rows=rows, pairs=pairs: rasterizer._sum_rows[(-(-len(splats) // rasterizer.SUM_BLOCK),)](
                bins.order, bins.offsets, rows, g_splats, len(splats), pairs, BLOCK=rasterizer.SUM_BLOCK
            ),
        )
        parts = total + (binning or math.nan) + (summing or math.nan) + sum(walks.values())
        print(f"tile {tile}: sum of the best parts, project + bins + both passes, as graphs: {parts:.4f} ms")
    whole(scene, pinhole, incoming, best)


def whole(scene: Gaussians, pinhole: Pinhole, incoming: list[Tensor], best: dict) -> None:
    """project + rasterize through autograd, forward and backward, with the quickest ways of each tile size."""
    leaves = [t.clone().requires_grad_() for t in (*scene.tensors().values(), torch.eye(4, device="cuda"))]
    centre = torch.zeros(3, device="cuda")
    from macrosplat.render.project import project
    from macrosplat.render.rasterize import rasterize

    def both() -> None:
        splats, extents = project(Gaussians(*leaves[:6]), leaves[6], centre, pinhole, DEGREE)
        drawn = rasterize(splats, extents, pinhole.width, pinhole.height)
        torch.autograd.grad(drawn, leaves, incoming)

    for tile in (8, 16):
        if (tile, "forward") not in best or (tile, "backward") not in best:
            continue
        bins_cuda.TILE = tile
        rasterizer.WARPS = best[tile, "backward"]
        print(f"\ntile {tile}: warps {rasterizer.WARPS}")
        exact = tried("exact room", lambda: eager_ms(both))
        print(f"{f'WHOLE tile {tile}, exact room, the host waits':44s} {exact or math.nan:9.4f}")
        buffer = PairBuffer(1 << 14, "cuda")
        with fixed_capacity(buffer):
            both()
        buffer = buffer.grown()
        with fixed_capacity(buffer):
            show(f"WHOLE tile {tile}, room for {buffer.capacity:,}", both)
        print("overflowed" if buffer.overflowed() else f"needed {int(buffer.needed):,}")


def rival(scene: Gaussians, pinhole: Pinhole) -> None:
    """gsplat's eager time on the same scene, if it can be imported."""
    try:
        from gsplat import rasterization
    except ImportError as error:
        print(f"\ngsplat: {error}")
        return
    t = {name: value.clone().requires_grad_() for name, value in scene.tensors().items()}
    k = torch.tensor([[pinhole.fx, 0, pinhole.cx], [0, pinhole.fy, pinhole.cy], [0, 0, 1.0]], device="cuda")[None]
    view = torch.eye(4, device="cuda")[None]

    def run(mode: str) -> None:
        colours = torch.cat([t["sh0"][:, None], t["sh_rest"]], 1)
        drawn, alpha, _ = rasterization(
            t["means"], t["quats"], t["log_scales"].exp(), t["opacity_logits"].sigmoid(), colours, view, k,
            pinhole.width, pinhole.height, sh_degree=DEGREE, render_mode=mode, rasterize_mode="antialiased",
        )  # fmt: skip
        (drawn.sum() + alpha.sum()).backward()

    for mode in ("RGB", "RGB+D"):
        took = tried(f"gsplat {mode}", lambda mode=mode: eager_ms(lambda: run(mode)))
        if took is not None:
            print(f"gsplat {mode}, forward + backward, eager: {took:.3f} ms")


def main() -> None:
    n, width, height = map(int, sys.argv[1:4]) if len(sys.argv) > 3 else (100_000, 800, 600)
    if not torch.cuda.is_available():
        sys.exit("gpu_render.py measures a CUDA GPU, and torch finds none.")
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}; {n:,} Gaussians, {width} x {height}")
    for tile in (8, 16):
        bins_cuda.TILE = tile
        for warps in WARPS:
            rasterizer.WARPS = warps
            tried(f"check, tile {tile} warps {warps}", lambda tile=tile, warps=warps: check(tile, warps))
    scene, pinhole = make_setting(n, width, height)
    scene = scene.map(lambda t: t.cuda())
    tried("measure", lambda: measure(scene, pinhole))
    tried("gsplat", lambda: rival(scene, pinhole))


if __name__ == "__main__":
    main()
