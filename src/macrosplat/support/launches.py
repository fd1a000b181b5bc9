"""Triton's kernels compiled by several threads at once, before they are launched.

Triton compiles a kernel where it is first launched, one after the other. So the work that launches them is gone through
once on CPU tensors, where nothing is launched: each kernel that it meets is noted and left to a pool of threads. Most
of the compiling leaves Python alone (experiments: first-run).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from macrosplat.support.dispatch import as_on_a_gpu, pretending
from macrosplat.support.sources import digest

ZEROED = {torch.empty: torch.zeros, torch.empty_like: torch.zeros_like, Tensor.new_empty: Tensor.new_zeros}


class _Zeroed(TorchFunctionMode):
    """What kernels would fill is zeros: an index, say, that torch can look up."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return ZEROED.get(func, func)(*args, **(kwargs or {}))


def compile_ahead(work: Callable[[], None], threads: int, wanted: Callable[[], bool]) -> bool:
    """Compile, by so many threads, all kernels that `work` would launch for CPU tensors if they were on a GPU.

    They are then in Triton's cache, and loaded. Other threads may launch kernels meanwhile.

    Args:
        work: must not depend on what kernels compute. wanted: is asked now and then whether to go on.

    Returns:
        Whether all were; one that was not is compiled where it is launched, which says what is wrong with it.
    """
    from triton import knobs
    from triton.runtime.jit import JITFunction

    kind: Any = JITFunction
    runtime: Any = knobs.runtime
    launch, before = kind.run, runtime.jit_cache_hook
    found: dict[tuple[Any, str], Future[None]] = {}
    pool = ThreadPoolExecutor(threads, "compiling")

    def instead(*, key: str, fn: Any, compile: dict[str, Any], **more: Any) -> bool | None:
        if not pretending():  # another thread, or one of the pool's
            return before(key=key, fn=fn, compile=compile, **more) if before else None
        if (fn.jit_function, key) not in found:
            found[fn.jit_function, key] = pool.submit(_compile, fn.jit_function, compile["specialization_data"])
        return True  # nothing more is to be done about it here

    def run(kernel: Any, *args: Any, warmup: bool, **kwargs: Any) -> Any:
        return launch(kernel, *args, warmup=warmup or pretending(), **kwargs)  # what is there is not launched, either

    kind.run, runtime.jit_cache_hook = run, instead
    try:
        with as_on_a_gpu(), _Zeroed():
            work()
        while wanted() and wait(found.values(), timeout=0.2).not_done:
            pass
    finally:
        pool.shutdown(cancel_futures=True)
        kind.run, runtime.jit_cache_hook = launch, before
    return all(one.done() and not one.cancelled() and one.exception() is None for one in found.values())


def _compile(kernel: Any, what: str) -> None:
    """One kernel for one kind of arguments; asking for `run` compiles what launches it, and loads both."""
    compiled = kernel.preload(what)
    if compiled is not None:
        _ = compiled.run


def compiled_mark(*of: object) -> Path:
    """A file that says, where it exists, that the kernels of some work are in Triton's cache, for this kind of GPU."""
    import triton

    kind = "".join(map(str, torch.cuda.get_device_capability()))
    what = "-".join([digest(b"triton"), triton.__version__, kind, *map(str, of)])
    folder = os.environ.get("TRITON_CACHE_DIR") or Path(os.environ.get("TRITON_HOME") or Path.home(), ".triton/cache")
    return Path(folder) / f"macrosplat-{what}"
