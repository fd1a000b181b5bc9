"""The one place that knows devices: which kernels serve a tensor, and how many threads they get.

A stage `x` has its kernels in `x_cpu.py` (Numba), `x_cuda.py` (Triton) and `x_reference.py` (plain torch, any dtype).
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterator
from types import ModuleType

import torch

from macrosplat.support.errors import MacrosplatError


def kernels_for(stage: str, tensor: torch.Tensor) -> ModuleType:
    """The module with the kernels of `stage` (as "macrosplat.render.project") for this tensor's device and dtype.

    float64 always goes to the reference: it is the specification, and nothing fast is written in float64.
    """
    kind = "reference" if tensor.dtype == torch.float64 else tensor.device.type
    return importlib.import_module(f"{stage}_{kind}")


def choose(device: str) -> torch.device:
    """The device that `--device auto|cpu|cuda` means.

    Raises:
        MacrosplatError: `cuda` was asked for, and there is no CUDA GPU.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise MacrosplatError("--device cuda was asked for, but torch finds no CUDA GPU; use --device cpu (or auto).")
    return torch.device("cuda" if device != "cpu" and torch.cuda.is_available() else "cpu")


def select_row(table: torch.Tensor, number: int | torch.Tensor) -> torch.Tensor:
    """`table[number]`; of a number [1] on the device, without the host reading it."""
    return table[number] if isinstance(number, int) else table.index_select(0, number)[0]


@contextlib.contextmanager
def one_torch_thread() -> Iterator[None]:
    """Numba owns the cores while a step runs: torch's own pool would fight it for them."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
