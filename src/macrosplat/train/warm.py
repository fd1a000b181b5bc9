"""The GPU made ready while the CPU still finds points: kernels compiled (or loaded), libraries started, before the
first step asks for them.

What is needed is not listed here, it is tried: a trainer as the run will have one takes a step of every kind that its
schedule knows, on a made-up scene. First nothing is launched and what would have been compiled is noted, so that
several threads can compile it at the same time; then the steps are taken. Nothing of it reaches the run: it has its
own tensors and its own random numbers.
"""

from __future__ import annotations

import contextlib
import gc
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from macrosplat.lens import Lens, LensStart, Reshape, Sharp
from macrosplat.threads import CORES
from macrosplat.train.made_up import made_up
from macrosplat.train.recorded import AHEAD
from macrosplat.train.schedule import Schedule
from macrosplat.train.trainer import Trainer

COUNTS = (4096, 4099)  # Gaussians: Triton compiles anew for what 16 divides
COMPILERS = 16  # threads: of 46 kernels that take 26 s one after the other, 8 of them make 10 s
SIZES = 3  # of photos in pixels that are tried; captures with more are rare


class Ahead:
    """A thread that makes a GPU ready; as a context manager, it has ended when that is left. Of a CPU it does nothing.

    What goes wrong in it is left to the run itself to meet, and to say.
    """

    def __init__(
        self,
        device: torch.device,
        lens: Callable[[LensStart], Lens],
        settings: dict[str, Any],  # of the lens
        schedule: Callable[[Lens], Schedule],
        sizes: Sequence[tuple[int, int]],  # of the photos at the training width
        masked: bool,
    ) -> None:
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        if device.type == "cuda":
            made = (device, lens, settings, schedule, masked)
            sizes = list(dict.fromkeys(sizes))[:SIZES]
            self._thread = threading.Thread(target=self._run, args=(sizes, made), name="ahead", daemon=True)

    def __enter__(self) -> Ahead:
        if self._thread:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self.wait()

    def busy(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def wait(self) -> None:
        """Until all is ready. The run uses the GPU only after that."""
        while self._thread and self._thread.is_alive():
            self._thread.join(0.2)  # in slices, so that Ctrl-C is seen everywhere

    def _run(self, sizes: list[tuple[int, int]], made: tuple) -> None:
        with contextlib.suppress(Exception):
            with contextlib.suppress(ImportError, AttributeError):  # of Triton: then the steps compile one by one
                with _noting() as noted:
                    for count in COUNTS:
                        self._take(sizes, count, made, dry=True)
                self._compile(noted)
            self._take(sizes, COUNTS[0], made)
            torch.cuda.synchronize()
        gc.collect()  # a trainer and its recorder hold each other
        torch.cuda.empty_cache()

    def _compile(self, noted: dict[Any, tuple[Any, str]]) -> None:
        def one(kernel: Any, what: str) -> None:
            if not self._stopped.is_set():
                _ = kernel.preload(what).run  # asked for, it compiles the launcher, too, and loads both

        with ThreadPoolExecutor(min(COMPILERS, CORES), "compile") as pool:
            # What was met last is of the highest degree, and takes longest.
            for kernel, what in reversed(list(noted.values())):
                pool.submit(one, kernel, what)

    def _take(self, sizes: list[tuple[int, int]], count: int, made: tuple, dry: bool = False) -> None:
        for size in sizes:
            trainer = made_up(count, *size, *made)
            steps = kinds(trainer.schedule, trainer.start, trainer.learned.lens.rates, quiet=dry)
            for step in steps if dry else steps[:1] + steps:  # the second time, a step is recorded
                if self._stopped.is_set():
                    return
                trainer.done = step
                trainer.step()
                if not dry:
                    trainer.settle()
                _look(trainer, step)


def kinds(schedule: Schedule, start: int, rates: dict[str, float], quiet: bool) -> list[int]:
    """The first step of every kind that a schedule has; `quiet`: without those after which the host waits."""
    found: dict[Any, int] = {}
    for step in range(schedule.steps):
        plan = schedule.at(step, start, rates)
        changes = bool(plan.extra or plan.densify)
        if quiet and (changes or (step + 1) % AHEAD == 0 or step + 1 == schedule.steps):
            continue
        kind = plan.scale, plan.sh_degree, plan.through.points, tuple(sorted(plan.rates)), changes
        found.setdefault(kind, step)
    return list(found.values())


@torch.no_grad()
def _look(trainer: Trainer, step: int) -> None:
    """Take the photo of a step without learning from it, as whoever watches does."""
    learned = trainer.learned
    plan = trainer.schedule.at(step, trainer.start, learned.lens.rates)
    pinhole = trainer.frames.seen(0, plan.scale)[1]

    def draw(view: torch.Tensor, reshape: Reshape | None = None) -> Sharp:
        return learned.draw(view, pinhole, 0, plan.sh_degree, reshape)

    learned.lens.photograph(draw, learned.poses.view(0), pinhole, 0, plan.through)


@contextlib.contextmanager
def _noting() -> Iterator[dict[Any, tuple[Any, str]]]:
    """Inside, Triton compiles and launches nothing that is new; the kernels that it would have, and of what kind."""
    from triton import knobs

    noted: dict[Any, tuple[Any, str]] = {}

    def note(*, key: Any, fn: Any, compile: Any, **_: Any) -> bool:
        noted.setdefault((fn.module, fn.name, key), (fn.jit_function, compile["specialization_data"]))
        return True  # "leave it"

    before = knobs.runtime.jit_cache_hook
    knobs.runtime.jit_cache_hook = note
    try:
        with _Zeros():
            yield noted
    finally:
        knobs.runtime.jit_cache_hook = before


class _Zeros(TorchDispatchMode):
    """New tensors hold zeros: what no kernel has written is nevertheless a number, and a valid index."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if isinstance(out, torch.Tensor) and func.overloadpacket.__name__.startswith(("empty", "new_empty")):
            out.zero_()
        return out
