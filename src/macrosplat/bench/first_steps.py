"""The first steps of a made-up scene, by a process of its own: the CPU's kernels are then in the cache.

`support/ahead.py` starts it, while the cameras of a run are found. It ends with the process that started it.
"""

from __future__ import annotations

import os
import sys
import threading

import torch

from macrosplat.bench.setting import Size, make_setting, make_trainer
from macrosplat.output.detail.pyramid import collapsed, laplacian
from macrosplat.output.detail.radius import blur_radius
from macrosplat.render.surface import surface_depth
from macrosplat.support.numba import compiled_mark

SIZE = Size(gaussians=100, width=48, height=32, degree=3)


def take_first_steps() -> None:
    """Every kernel of a training with a thin lens, and of the results, in the order in which a run needs them."""
    setting = make_setting(SIZE)
    for samples in (1, 4):
        for terms in (True, False):
            trainer = make_trainer(setting, samples, terms=terms)
            trainer.step()
    with torch.no_grad():
        model = trainer.model
        camera = model.camera(0)
        seen = model.draw(camera, 0)
        surface_depth(model.gaussians.detach(), camera)
        blur_radius(seen.depth, seen.alpha)
        planes = seen.colour.permute(2, 0, 1).contiguous()
        collapsed(laplacian(planes, 2))


def _end_with_parent() -> None:
    """The pipe on stdin closes when the other process ends, however it does."""
    sys.stdin.buffer.read()
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(target=_end_with_parent, daemon=True).start()
    take_first_steps()
    compiled_mark().touch()
    os._exit(0)
