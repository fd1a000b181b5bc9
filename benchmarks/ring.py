"""Where a few aperture samples should lie, and what residual blur completes them: `lens.thin`'s constants.

    python benchmarks/ring.py            the best radius of the ring and the best residual blur, for M samples
    python benchmarks/ring.py RUN [PX]   on a finished run's scene: PSNR (dB) against 96 aperture samples

A thin lens draws a point out of focus as a disc of radius r. M aperture samples, each blurred by the Gaussian of
sigma = residual r, draw M spots instead. What differs is weighed in the frequency domain as photos weigh it, whose
amplitudes fall like 1 / f:

    error = mean over directions of the integral of |OTF_M(k) - 2 J1(k r) / (k r)|^2 / k^2  k dk

`scale` is the pupil, relative to the true one, with which M samples fit the disc best: 1 where they do not mislead D.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path
from unittest import mock

import numpy as np
from scipy.optimize import minimize
from scipy.special import j1

K = np.linspace(0.02, 40, 2000)  # 1 / r
TURNS = np.linspace(0, 2 * math.pi, 120, endpoint=False)
SAMPLES = 96
# Ring and residual tried on a scene: those with the disc's second moments, those that fit it best, and others.
TRIED = {
    1: ((0.0, 0.5),),
    4: ((0.62, 0.24), (0.59, 0.3175), (0.64, 0.22), (0.65, 0.197)),
    8: ((0.684, 0.2127), (0.695, 0.223), (0.7, 0.189), (0.71, 0.1716), (0.72, 0.152), (0.72, 0.19)),
}


def error(ring: int, centre: bool, radius: float, residual: float, scale: float = 1.0) -> float:
    k = K * scale
    spots = sum(np.exp(1j * k * radius * np.cos(TURNS[:, None] - 2 * math.pi * j / ring)) for j in range(ring))
    made = (spots + centre) / (ring + centre) * np.exp(-0.5 * (residual * k) ** 2)
    return float((np.abs(made - 2 * j1(K) / K) ** 2).mean(0) @ (1 / K) * (K[1] - K[0]))


def best_scale(ring: int, centre: bool, radius: float, residual: float) -> float:
    scales = np.linspace(0.85, 1.2, 71)
    return float(scales[np.argmin([error(ring, centre, radius, residual, s) for s in scales])])


def best(ring: int, centre: bool) -> tuple[float, float]:
    """Radius and residual of the least error."""
    found = minimize(lambda p: error(ring, centre, abs(p[0]), abs(p[1])), (0.6, 0.25), method="Nelder-Mead")
    return abs(found.x[0]), abs(found.x[1])


def table() -> None:
    print("points         radius  residual  error    scale")
    rows = [("1", 1, False, (0.0, 0.5)), ("4, as moments", 4, False, (0.62, 0.24))]
    rows += [(str(n), n, False, best(n, False)) for n in (3, 4, 6, 7)] + [("7 + centre", 7, True, best(7, True))]
    for name, ring, centre, (radius, residual) in rows:
        wrong, scale = error(ring, centre, radius, residual), best_scale(ring, centre, radius, residual)
        print(f"{name:14s} {radius:6.3f}  {residual:8.4f}  {wrong:.5f}  {scale:5.3f}")


def on_a_scene(run: Path, width: int | None) -> None:
    import torch

    from macrosplat.lens import Sampling, aperture, thin
    from macrosplat.lens.defocused import blurred
    from macrosplat.support.colour import to_srgb
    from macrosplat.support.dispatch import one_torch_thread
    from macrosplat.train.checkpoint import load

    state = load(run / "checkpoint")
    lens, model = state.model.lens, state.model
    assert isinstance(lens, thin.ThinLens), f"{run} was not made with the thin lens"
    turn = math.pi * (3 - math.sqrt(5))
    at = [(math.sqrt((k + 0.5) / SAMPLES), k * turn) for k in range(SAMPLES)]
    variants = [(points, *given) for points, options in TRIED.items() for given in options]
    scores: dict[tuple[int, float, float], list[float]] = {variant: [] for variant in variants}
    with torch.no_grad(), one_torch_thread():
        for photo in range(0, len(state.names), 12):
            camera = model.camera(photo)
            if width:
                camera = camera.scaled(width, round(width * camera.frame.height / camera.frame.width))

            def draw(camera, reshape=None):
                return model.draw(camera, photo, None, reshape)  # noqa: B023

            pupil, focus = lens.pupil(photo, camera), lens.focus(photo, camera)
            sigma0 = lens.sigma0() * (camera.frame.width / lens.width)
            u, v = (torch.tensor([r * f(a) for r, a in at]) * pupil / 2 for f in (math.cos, math.sin))
            # The spots of so many points lie closer than a pixel: only sigma0 is left to blur.
            exact = sum(
                blurred(draw(camera.at(seen)), camera, 0.06 * pupil, focus, sigma0)
                for seen in aperture.sheared(camera.view, u, v, focus)[:, None]
            )
            exact = to_srgb((exact / SAMPLES).clamp(0, 1))
            for points, radius, residual in variants:
                through = Sampling(points, 0.4)
                with mock.patch.dict(aperture.LAYOUTS, {points: (radius, residual)}):
                    taken = lens.photograph(draw, camera, photo, through)
                wrong = to_srgb(taken.clamp(0, 1)) - exact
                scores[points, radius, residual].append(-10 * math.log10(float((wrong**2).mean())))
    for (points, radius, residual), found in scores.items():
        print(f"{points} points, ring {radius:5.3f}, residual {residual:6.4f}: {np.mean(found):6.2f} dB")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        on_a_scene(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else None)
    else:
        table()
