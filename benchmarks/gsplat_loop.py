"""A plain training loop around gsplat, as its users write it, on a capture that macrosplat has reconstructed.

    python benchmarks/gsplat_loop.py RUN

In: a RUN on a GPU: its cameras, points and number of steps. Out: milliseconds of a step of both, over a whole training
in this process, and how well the loop fits the photos. It is eager: gsplat's rasterizer, its MCMC strategy
up to the same number of Gaussians, L1 + D-SSIM by torch's convolutions, torch's fused Adam; full resolution, no blur.
Ours looks through the pupil, blurs, and starts at a quarter of the resolution, as `reconstruct` does.
"""

from __future__ import annotations

import math
import sys
import time
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as functional
from gsplat import MCMCStrategy, rasterization  # pyright: ignore[reportMissingImports]
from torch import Tensor

from macrosplat import loop, placing
from macrosplat.capture.open import open_capture
from macrosplat.run import Run
from macrosplat.support.progress import Progress
from macrosplat.train.schedule import MEANS_END, RATES
from macrosplat.train.trainer import Trainer

SSIM_WINDOW, SSIM_SIGMA = 11, 1.5  # of Wang et al. 2004
EVERY_SH = 0.15  # of the steps: when another degree of the harmonics begins


def start(run: Path) -> Trainer:
    """A trainer as `run` had it at its first step: the same cameras, points, photos and Gaussians."""
    made = Run(run).manifest
    aside = run.parent / f"{run.name}-start"
    with Progress() as progress:
        opened = open_capture(Path(made.capture), True, True)
        begun = Run.begin(aside, Path(made.capture), opened.photos, made.options, resume=True)
        placing.take_cameras(Run(run), begun)
        given = placing.place(opened, begun, progress, made.options.width)
        return loop.make_trainer(given, begun, torch.device("cuda"), progress)[0]


def ssim(a: Tensor, b: Tensor, window: Tensor) -> Tensor:
    """Mean structural similarity of [1, 3, H, W]."""

    def mean(x: Tensor) -> Tensor:
        x = functional.conv2d(x, window[None, None, None, :].expand(3, 1, 1, -1), groups=3)
        return functional.conv2d(x, window[None, None, :, None].expand(3, 1, -1, 1), groups=3)

    m, n = mean(a), mean(b)
    v, w, c = mean(a * a) - m * m, mean(b * b) - n * n, mean(a * b) - m * n
    return ((2 * m * n + 1e-4) * (2 * c + 9e-4) / ((m * m + n * n + 1e-4) * (v + w + 9e-4))).mean()


def main(run: Path) -> None:
    made = Run(run).manifest
    trainer = start(run)
    steps, most = trainer.schedule.steps, trainer.schedule.gaussians
    model, targets = trainer.model, trainer.targets
    g = model.gaussians
    begun = {
        "means": g.means, "quats": g.quats, "scales": g.log_scales, "opacities": g.opacity_logits,
        "sh0": g.sh0[:, None], "shN": g.sh_rest,
    }  # fmt: skip
    params: Any = torch.nn.ParameterDict({k: torch.nn.Parameter(v.detach().clone()) for k, v in begun.items()})
    rates = {
        "means": RATES["means"] * trainer.pixel, "quats": RATES["quats"], "scales": RATES["log_scales"],
        "opacities": RATES["opacity_logits"], "sh0": RATES["sh0"], "shN": RATES["sh_rest"],
    }  # fmt: skip
    optimizers: Any = {
        k: torch.optim.Adam([{"params": params[k], "lr": lr}], eps=1e-15, fused=True) for k, lr in rates.items()
    }
    decay = torch.optim.lr_scheduler.ExponentialLR(optimizers["means"], MEANS_END ** (1 / steps))
    strategy = MCMCStrategy(
        cap_max=most, refine_start_iter=steps // 20, refine_stop_iter=int(0.85 * steps), refine_every=100
    )
    strategy.check_sanity(params, optimizers)
    state = strategy.initialize_state()
    photos = [torch.from_numpy(p).cuda() for p in targets.photos]
    cameras = model.cameras()
    views = torch.stack([camera.view for camera in cameras])
    numbers = [camera.intrinsics.tolist() for camera in cameras]
    ks = [torch.tensor([[fx, 0, cx], [0, fy, cy], [0, 0, 1.0]]).cuda() for fx, fy, cx, cy in numbers]
    backdrop = torch.stack([p.float().mean((0, 1)) / 255 for p in photos])
    x = torch.arange(SSIM_WINDOW).cuda() - SSIM_WINDOW // 2
    window = torch.exp(-(x**2) / (2 * SSIM_SIGMA**2))
    window = window / window.sum()

    def draw(v: int, degree: int) -> tuple[Tensor, dict]:
        p = cameras[v].frame
        drawn, _, info = rasterization(
            params["means"], params["quats"], params["scales"].exp(), params["opacities"].sigmoid(),
            torch.cat([params["sh0"], params["shN"]], 1), views[v][None], ks[v][None], p.width, p.height,
            sh_degree=degree, packed=False, rasterize_mode="antialiased", backgrounds=backdrop[v][None],
        )  # fmt: skip
        return drawn[0], info

    def step(number: int) -> None:
        v = targets.photo_of(number, 0)
        degree = min(model.gaussians.sh_degree, int(number / steps / EVERY_SH))
        drawn, info = draw(v, degree)
        photo = photos[v].float() / 255
        strategy.step_pre_backward(params, optimizers, state, number, info)
        l1 = (drawn - photo).abs().mean()
        similar = ssim(drawn.permute(2, 0, 1)[None], photo.permute(2, 0, 1)[None], window)
        loss = 0.8 * l1 + 0.2 * (1 - similar)
        loss = loss + 0.003 * params["opacities"].sigmoid().mean() + 0.003 * params["scales"].exp().mean()
        loss.backward()
        for optimizer in optimizers.values():
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        lr = decay.get_last_lr()[0]
        decay.step()
        strategy.step_post_backward(params, optimizers, state, number, info, lr=lr)

    for number in range(20):  # compiles and warms up; a run's own first steps do, too
        step(number)
    torch.cuda.synchronize()
    began = time.perf_counter()
    for number in range(20, steps):
        step(number)
    torch.cuda.synchronize()
    theirs = (time.perf_counter() - began) / (steps - 20)
    with torch.no_grad():
        fit = [psnr(draw(v, g.sh_degree)[0].clamp(0, 1), photos[v]) for v in range(len(photos))]
    print(f"{torch.cuda.get_device_name()}, {steps} steps, {len(photos)} photos of {cameras[0].frame.width} px.")
    print(
        f"gsplat loop, no blur: {1e3 * theirs:.3f} ms a step, {len(params['means'])} Gaussians, "
        f"fit {sum(fit) / len(fit):.2f} dB."
    )
    ours, gaussians = train(start(run))
    print(
        f"macrosplat --lens {made.options.lens}: {1e3 * ours:.3f} ms a step, {gaussians} Gaussians: "
        f"{theirs / ours:.2f} times as fast a step."
    )


def psnr(drawn: Tensor, photo: Tensor) -> float:
    return -10 * math.log10(float((drawn - photo.float() / 255).square().mean()))


def train(trainer: Trainer) -> tuple[float, int]:
    """Seconds of a step of ours, over all of them, and how many Gaussians there are in the end."""
    steps = trainer.schedule.steps
    torch.cuda.synchronize()
    began = time.perf_counter()
    while trainer.done < steps:
        trainer.step()
    trainer.settle()
    torch.cuda.synchronize()
    return (time.perf_counter() - began) / steps, len(trainer.model.gaussians)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
