"""The kernels that a run will need, called once on a made-up scene: the CPU's are then in Numba's cache, a GPU's are
loaded, and its context is there.

A GPU's are loaded by a thread, while COLMAP finds points or cameras, which leaves Python alone; in a machine's first
run several threads compile them before (`support/launches.py`).
"""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Callable, Iterator, Sequence
from itertools import product

import torch

from macrosplat.lens.spans import spans_of
from macrosplat.options import Options
from macrosplat.output.detail.bounds import bounded
from macrosplat.output.detail.energy import energy_around
from macrosplat.output.detail.pyramid import collapsed, laplacian
from macrosplat.output.detail.radius import blur_radius
from macrosplat.output.viewer_fit import fit_for_viewers
from macrosplat.render.surface import surface_depth
from macrosplat.support.launches import compile_ahead, compiled_mark
from macrosplat.support.threads import CORES
from macrosplat.train.made_up import Size, make_setting, make_trainer
from macrosplat.train.schedule import Schedule

SIZE = Size(gaussians=96, width=48, height=32, degree=Schedule(steps=1, gaussians=1).sh_degree)
PHOTOS = 2  # in the capture: a kernel that knows of one alone is another one
STEPS = 3  # of each kind: taken as it comes, recorded, replayed
MOST = 16  # threads that compile; of what holds the interpreter there is no more to share
Samples = Sequence[tuple[int, int]]  # of the aperture, and through how many of them gradients go (0: all)


def take_first_steps(
    device: torch.device, samples: Samples, steps: int, wanted: Callable[[], bool] = lambda: True
) -> None:
    """Every kernel of a training with a thin lens, and of the results, in the order in which a run needs them.

    Args:
        samples: one after the other, the last of several. wanted: is asked now and then whether to go on.
    """
    setting = make_setting(SIZE)
    for count, learned in samples:
        for degree, whole in product(range(SIZE.degree), (True, False)):  # projections of their own, as it begins
            if wanted():
                make_trainer(setting, count, PHOTOS, device, False, learned, degree, whole).step()
        for terms, whole in ((False, True), (True, False), (False, False)):
            trainer = make_trainer(setting, count, PHOTOS, device, terms, learned, whole=whole)
            for _ in range(steps):
                if not wanted():
                    return
                trainer.step()
    trainer.settle()
    with torch.no_grad():
        model = trainer.model
        camera = model.camera(0)
        seen = model.draw(camera, 0)
        surface_depth(model.gaussians.detach(), camera)
        blur_radius(seen.depth, seen.alpha)
        planes = seen.colour.permute(2, 0, 1).contiguous()
        energy_around(collapsed(laplacian(planes, 2)))
        bounded(planes, planes, planes, planes[:1], 2)
        behind = model.behind(0, camera.frame)
    fit_for_viewers(model.gaussians.detach(), [camera], [behind], steps=3, wanted=math.inf)


def _compile(samples: Samples, wanted: Callable[[], bool]) -> None:
    """On a machine's first run: compile the kernels of these steps for its GPU, by all its cores."""
    mark = compiled_mark(*(number for pair in samples for number in pair))
    threads = min(CORES, MOST)
    if threads > 1 and not mark.exists():
        whole = compile_ahead(lambda: take_first_steps(torch.device("cpu"), samples, 1, wanted), threads, wanted)
        if whole and wanted():
            mark.touch()


@contextlib.contextmanager
def loading(device: torch.device, options: Options) -> Iterator[None]:
    """A thread loads the kernels of a run on a GPU meanwhile; it has ended when this block has.

    Nothing depends on it: what goes wrong in it goes wrong in the run as well, and is said there.
    """
    if device.type != "cuda" or options.lens != "thin":
        yield
        return
    stopped = threading.Event()
    spans = spans_of(options.lens_settings(early=True))
    samples = ((1, 0), *dict.fromkeys(span[2:] for span in spans))

    def wanted() -> bool:
        return not stopped.is_set()

    def load() -> None:
        with contextlib.suppress(Exception):
            _compile(samples, wanted)
        with contextlib.suppress(Exception):
            take_first_steps(device, samples, STEPS, wanted)
            torch.cuda.empty_cache()

    thread = threading.Thread(target=load, name="loading", daemon=True)
    thread.start()
    try:
        yield
    except BaseException:
        stopped.set()
        raise
    finally:
        thread.join()
