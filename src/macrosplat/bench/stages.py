"""Every stage of a step, timed, and the least that it can take."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from macrosplat.bench.rates import REPEATS, Rates, best
from macrosplat.lens.blur import variable_blur
from macrosplat.lens.coc import defocus
from macrosplat.lens.ladder import ladder
from macrosplat.render import constants
from macrosplat.render.centre import camera_centre
from macrosplat.render.project import project
from macrosplat.render.rasterize import STAGE, rasterize
from macrosplat.scene.gaussians import SH_REST
from macrosplat.support.colour import to_bytes, to_srgb
from macrosplat.support.dispatch import kernels_for
from macrosplat.train.adam import Adam
from macrosplat.train.loss import make_target, photo_loss
from macrosplat.train.made_up import DISTANCE, MOST_BLUR, Setting, Size, make_setting, make_trainer
from macrosplat.train.schedule import RATES

STEPS = {"step, 1 aperture sample": 1, "step, 4 aperture samples": 4}


def measure(
    size: Size, rates: Rates, repeats: int = REPEATS, device: torch.device | str = "cpu"
) -> list[tuple[str, float, float]]:
    """Name, seconds and floor in seconds of every stage at one size, then of whole steps."""
    device = torch.device(device)
    setting = make_setting(size)
    setting = replace(setting, gaussians=setting.gaussians.map(lambda t: t.to(device)))
    width, height = size.width, size.height
    floors = count(setting, size, rates)
    view = torch.eye(4, device=device).requires_grad_()
    gaussians = setting.gaussians.map(lambda t: t.clone().requires_grad_())
    camera = setting.pinhole.at(view)
    leaves = [*gaussians.tensors().values(), view]
    centre = camera_centre(view).detach()  # its kernels are a step's, not the stage's
    splats, extents = (t.detach() for t in project(gaussians, camera, size.degree, centre))
    splats.requires_grad_()
    drawn = [t.detach() for t in rasterize(splats, extents, width, height)]
    colour, alpha, depth = drawn
    depth = (depth / alpha.clamp_min(1e-6)).requires_grad_()
    colour.requires_grad_()
    lens = [torch.tensor(v, requires_grad=True, device=device) for v in (setting.pupil, DISTANCE, 0.5)]
    photo = to_bytes(to_srgb(colour.detach().clamp(0, 1)).cpu().numpy())
    target = make_target(torch.from_numpy(np.roll(photo, 1, axis=1)).to(device))

    fx = camera.intrinsics[0]

    def sigmas() -> Tensor:
        return defocus(depth, alpha, fx, *lens)

    sigma = sigmas().detach().requires_grad_()
    blurred = variable_blur(colour, sigma).detach().requires_grad_()
    random = torch.Generator().manual_seed(1)
    to_splats, to_frame = (torch.randn(*t.shape, generator=random).to(device) for t in (splats, colour))
    to_plane = torch.randn(height, width, generator=random).to(device)
    parameters = {name: t.detach().clone() for name, t in gaussians.tensors().items()}
    gradients = {name: torch.randn(t.shape, generator=random).to(device) for name, t in parameters.items()}
    adam = Adam(parameters, {name: RATES[name] * setting.pixel for name in parameters})

    def back(outputs: Any, inputs: list[Tensor], incoming: Any) -> None:
        torch.autograd.grad(outputs, inputs, incoming)

    stages: dict[str, Callable[[], Any]] = {
        "project": lambda: back(project(gaussians, camera, size.degree, centre)[0], leaves, to_splats),
        "rasterize": lambda: back(rasterize(splats, extents, width, height), [splats], (to_frame, to_plane, to_plane)),
        "blur": lambda: back(variable_blur(colour, sigma), [colour, sigma], to_frame),
        "defocus + blur": lambda: back(variable_blur(colour, sigmas()), [colour, depth, *lens], to_frame),
        "loss": lambda: back(photo_loss(blurred, target), [blurred], None),
        "adam": lambda: adam.step(gradients),
    }
    if device.type == "cpu":
        stages |= {name: make_trainer(setting, samples).step for name, samples in STEPS.items()}
        return [(name, best(work, repeats), floors[name]) for name, work in stages.items()]
    return _on_gpu(stages, setting, size, floors, adam, gradients)


def _on_gpu(stages, setting: Setting, size: Size, floors: dict[str, float], adam: Adam, gradients):
    """The same list from device events: each stage recorded as a CUDA graph, whole steps as training takes them."""
    from macrosplat.bench import cuda

    rows = torch.tensor(
        [adam.bias_corrected_rate(name, rate) for name, rate in adam.rates.items()], dtype=torch.float64
    ).cuda()
    go = torch.zeros(1, dtype=torch.int64, device="cuda")
    stages["adam"] = lambda: adam.step_with_device_rates(gradients, dict(zip(adam.rates, rows, strict=True)), go)
    found = [(name, cuda.recorded(work), floors[name]) for name, work in stages.items()]
    both = floors["project"] + floors["rasterize"]
    plain = make_setting(size)  # on the CPU: a trainer moves it
    found += [(name, cuda.step(make_trainer(plain, n, device="cuda")), floors[name]) for name, n in STEPS.items()]
    peer = cuda.gsplat(setting.gaussians, setting.pinhole, size.degree)
    return found + ([] if peer is None else [("gsplat's project + rasterize, eager", peer, both)])


def count(setting: Setting, size: Size, rates: Rates) -> dict[str, float]:
    """Seconds that each stage takes at the least; the counting stands at the top of this file."""
    n, pixels, coefficients = size.gaussians, size.width * size.height, 1 + SH_REST[size.degree]
    floats = 11 + 3 * coefficients
    view = torch.eye(4, device=setting.gaussians.means.device)
    with torch.no_grad():
        splats, extents = project(setting.gaussians, setting.pinhole.at(view), size.degree)
    bins = kernels_for(STAGE, splats).forward(splats, extents, size.width, size.height)[3]
    walked = float((bins.stops - bins.ranges[:-1]).sum())
    a, b, c, opacity = (splats[extents[:, 0] > 0, k].double() for k in range(2, 6))
    # The ellipse a x^2 + 2 b x y + c y^2 = 2 ln(opacity / alpha_min) has this area.
    area = math.pi * 2 * torch.log(opacity / constants.ALPHA_MIN) / torch.sqrt(a * c - b * b)
    inside = float(area.sum()) * walked / len(bins.items)
    levels = int((ladder().sigmas < MOST_BLUR * size.width).sum()) + 1
    floors = {
        "project": rates.floor(4 * n * (3 * floats + 24), n * (900 + 28 * coefficients)),
        "rasterize": rates.floor(n * 120 + walked * 108 + pixels * 60, inside * 90),
        "blur": rates.floor(pixels * 80, pixels * (120 * levels + 40)),
        "defocus + blur": rates.floor(pixels * 80, pixels * (120 * levels + 60)),
        "loss": rates.floor(pixels * 55, pixels * 816),
        "adam": rates.floor(n * floats * 28, n * floats * 12),
    }
    once = floors["loss"] + floors["adam"]
    each = floors["project"] + floors["rasterize"] + floors["defocus + blur"]
    return {**floors, "step, 1 aperture sample": each + once, "step, 4 aperture samples": 4 * each + once}
