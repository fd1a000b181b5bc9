"""Kernels are compiled by threads, from launches that are only pretended."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from macrosplat import loading
from macrosplat.support import dispatch, launches
from macrosplat.support.dispatch import as_on_a_gpu, kind_of, on_gpu
from making_training import made, make_trainer

interpreter = pytest.importorskip("triton.runtime.interpreter")

KERNELS = """
import triton
import triton.language as tl

@triton.jit(do_not_specialize=["n"])
def add(x, n, BLOCK: tl.constexpr):
    i = tl.arange(0, BLOCK)
    tl.store(x + i, tl.load(x + i, mask=i < n) + 1, mask=i < n)

@triton.jit
def broken(x):
    tl.store(x, tl.nothing_of_the_kind(x))
"""
WHAT = {"specialization_data": ""}
PROGRAM = """
import torch
from triton.backends.compiler import GPUTarget
from triton.runtime import driver
import kernels
from macrosplat.support import launches

class Driver:  # of a GPU that is not there
    get_current_target = lambda self: GPUTarget("cuda", 90, 32)
    get_current_device = lambda self: 0
    get_current_stream = lambda self, device: 0

def work(broken):
    x = torch.empty(8)
    assert x.eq(0).all()
    for block in 8, 16, 16:
        kernels.add[(1,)](x, 5, BLOCK=block)
    kernels.add[(1,)](x.half(), 5, BLOCK=8)
    if broken:
        kernels.broken[(1,)](x)
    assert x.eq(0).all(), "nothing is launched"

driver.set_active(Driver())
launches._compile = lambda kernel, what: kernel.preload(what)  # what launches it has to be linked with the driver
print([launches.compile_ahead(lambda: work(broken), 2, lambda: True) for broken in (False, True)])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="Triton's compiler comes for Linux")
def test_each_kernel_is_compiled_once_for_each_kind_of_arguments(tmp_path: Path) -> None:
    (tmp_path / "kernels.py").write_text(KERNELS)
    paths = os.pathsep.join([str(tmp_path), *sys.path])
    quiet = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    said = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=quiet | {"TRITON_CACHE_DIR": str(tmp_path / "cache"), "PYTHONPATH": paths},
        capture_output=True,
        text=True,
    )
    assert said.stdout.strip() == "[True, False]", said.stderr
    assert len(list(tmp_path.glob("cache/*/add.cubin"))) == 3


def test_who_is_not_wanted_any_more_waits_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    began, go_on = threading.Event(), threading.Event()

    class Runtime:
        jit_cache_hook: Any = None

    class Kernel:
        def run(self, *args: Any, warmup: bool) -> None:
            for key in "ab":
                said = Runtime.jit_cache_hook(key=key, fn=SimpleNamespace(jit_function=self), compile=WHAT)
                assert said is True and warmup

    def compile_one(kernel: Any, what: str) -> None:
        began.set()
        go_on.wait(5)

    def work() -> None:
        Kernel().run(warmup=False)
        assert began.wait(5)
        threading.Timer(0.5, go_on.set).start()  # after what waits its turn was given up

    monkeypatch.setitem(sys.modules, "triton", SimpleNamespace(knobs=SimpleNamespace(runtime=Runtime)))
    monkeypatch.setitem(sys.modules, "triton.runtime.jit", SimpleNamespace(JITFunction=Kernel))
    monkeypatch.setattr(launches, "_compile", compile_one)
    plain = Kernel.run
    assert launches.compile_ahead(work, 1, lambda: False) is False
    assert Kernel.run is plain and Runtime.jit_cache_hook is None


def test_only_the_thread_that_pretends_is_on_a_gpu() -> None:
    here, seen = torch.zeros(1), []
    with as_on_a_gpu():
        assert on_gpu(here) and not on_gpu(here.double()) and kind_of(torch.device("cpu")) == "cuda"
        thread = threading.Thread(target=lambda: seen.append(on_gpu(here)))
        thread.start()
        thread.join()
        name = dispatch.kernels_for("macrosplat.render.project", here).__name__
    assert seen == [False] and name == "macrosplat.render.project_cuda" and not on_gpu(here)


@pytest.mark.skipif(torch.cuda.is_available(), reason="kernels are the interpreter's where there is no GPU")
def test_first_steps_launch_every_kernel_of_a_training_and_need_nothing_of_what_they_compute(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    met: set[str] = set()
    kinds: set[tuple[Any, ...]] = set()

    def note(self: Any, *args: Any, **kwargs: Any) -> None:
        met.add(self.fn.__module__.removeprefix("macrosplat."))
        given = inspect.signature(self.fn).bind(*args, **{k: v for k, v in kwargs.items() if k in self.arg_names})
        written = self.fn.__annotations__
        kinds.add(
            (
                self.fn,
                *(
                    v if written.get(k) == "tl.constexpr" else getattr(v, "dtype", None)
                    for k, v in given.arguments.items()
                ),
            )
        )

    monkeypatch.setattr(interpreter.GridExecutor, "__call__", note)
    with as_on_a_gpu(), launches._Zeroed():
        loading.take_first_steps(torch.device("cpu"), ((1, 0), (4, 2)), 1)
    package = Path(loading.__file__).parent
    written = {".".join(path.relative_to(package).with_suffix("").parts) for path in package.rglob("*_cuda.py")}
    shared = {
        "render.sh_cuda",
        "render.projection_cuda",
        "render.tables_cuda",
        "train.random_cuda",
    }  # other kernels call
    assert written - met == shared
    ahead = set(kinds)
    photos = made().photos
    masks = [np.full(photo.shape[:2], 255, np.uint8) for photo in photos]
    for given in ({}, {"alpha_masks": masks, "refine_poses": True, "moves": (False, *(True,) * (len(photos) - 1))}):
        with as_on_a_gpu(), launches._Zeroed():
            trainer, _ = make_trainer(1000, densify_every=10**6, spans=((0.3, 1.0, 4, 2),), learn_from=0.0, **given)
            for trainer.done in (50, 200, 320, 500, 900):
                trainer.step()
    assert kinds == ahead
