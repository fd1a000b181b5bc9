"""Rates and clocks of a GPU: device events, of work that is recorded as a CUDA graph, as training does it."""

# Triton's own types do not know what its compiler accepts.
# pyright: reportArgumentType=false, reportCallIssue=false, reportGeneralTypeIssues=false

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
import triton
import triton.language as tl

from macrosplat.bench.rates import Rates
from macrosplat.render.capacity import PairBuffer, fixed_capacity
from macrosplat.train.trainer import Trainer

REPEATS = 30
# Of a stage in its graph. Starting a graph takes time, too, which a step pays once (experiments: graph-copies).
COPIES = 8
ROUNDS = tl.constexpr(4096)  # multiply-adds per number in the loop that measures arithmetic


@triton.jit
def _multiply_add(numbers, a, b, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(numbers + i)
    y = x + 1.0
    for _ in range(ROUNDS // 2):
        x = x * a + b
        y = y * a + b
    tl.store(numbers + i, x + y)


def calibrate(numbers: int = 1 << 22) -> Rates:
    """Time the two loops."""
    source = torch.ones(1 << 28, device="cuda")
    target, few = torch.empty_like(source), torch.ones(numbers, device="cuda")
    copying = eager(lambda: target.copy_(source))
    arithmetic = eager(lambda: _multiply_add[(numbers // 1024,)](few, 0.999, 0.001, BLOCK=1024))
    return Rates(2.0 * ROUNDS.value * numbers / arithmetic, 2 * source.nbytes / copying)


def eager(work: Callable[[], Any], repeats: int = REPEATS) -> float:
    """Median seconds between two events, the host's launches included where they take longer."""
    for _ in range(3):
        work()
    times = []
    for _ in range(repeats):
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        work()
        end.record()
        end.synchronize()
        times.append(begin.elapsed_time(end))
    return sorted(times)[len(times) // 2] / 1000


def recorded(work: Callable[[], Any], repeats: int = REPEATS) -> float:
    """Median seconds of the work as part of a CUDA graph."""
    buffer = PairBuffer(1 << 14, "cuda")
    with fixed_capacity(buffer):
        work()
    with fixed_capacity(buffer.grown()):
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(2):
                work()
        torch.cuda.current_stream().wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        # Relaxed, as training records: what is freed meanwhile, of the size before, must not spoil it.
        with torch.cuda.graph(graph, capture_error_mode="relaxed"):
            for _ in range(COPIES):
                work()
    return eager(graph.replay, repeats) / COPIES


def step(trainer: Trainer, steps: int = 50) -> float:
    """Seconds of a step of training, the host's part included: the best of three runs, after some that record it."""
    seconds = []
    for run in range(4):
        trainer.settle()
        began = time.perf_counter()
        for _ in range(steps):
            trainer.step()
        trainer.settle()
        torch.cuda.synchronize()
        seconds += [(time.perf_counter() - began) / steps] if run else []
    return min(seconds)


def gsplat(gaussians: Any, pinhole: Any, degree: int) -> float | None:
    """Seconds of the peer's project + rasterize on the same scene, forward + backward, eager; None without gsplat."""
    try:
        from gsplat import rasterization  # pyright: ignore[reportMissingImports]
    except ImportError:
        return None
    t = {name: value.detach().clone().requires_grad_() for name, value in gaussians.tensors().items()}
    k = torch.tensor([[pinhole.fx, 0, pinhole.cx], [0, pinhole.fy, pinhole.cy], [0, 0, 1.0]], device="cuda")[None]
    view = torch.eye(4, device="cuda")[None]

    def both() -> None:
        colours = torch.cat([t["sh0"][:, None], t["sh_rest"]], 1)
        drawn, alpha, _ = rasterization(
            t["means"], t["quats"], t["log_scales"].exp(), t["opacity_logits"].sigmoid(), colours, view, k,
            pinhole.width, pinhole.height, sh_degree=degree, render_mode="RGB+D", rasterize_mode="antialiased",
        )  # fmt: skip
        torch.autograd.grad([drawn.sum() + alpha.sum()], list(t.values()))

    return eager(both)
