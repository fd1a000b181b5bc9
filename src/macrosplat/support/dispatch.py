"""The one place that knows devices: which kernels serve a tensor, and how many threads they get.

A stage `x` has its kernels in `x_cpu.py` (Numba), `x_cuda.py` (Triton) and `x_reference.py` (plain torch, any dtype);
where one of the first two is not written, the reference serves.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from types import ModuleType

import torch

from macrosplat.support.errors import MacrosplatError

_as_on_a_gpu = ContextVar("as_on_a_gpu", default=False)


@contextlib.contextmanager
def as_on_a_gpu() -> Iterator[None]:
    """This thread's tensors go to the kernels of a GPU meanwhile, wherever they are (`support/launches.py`)."""
    before = _as_on_a_gpu.set(True)
    try:
        yield
    finally:
        _as_on_a_gpu.reset(before)


def pretending() -> bool:
    """Whether this thread is `as_on_a_gpu`."""
    return _as_on_a_gpu.get()


def kind_of(device: torch.device) -> str:
    """Whose kernels serve a device: "cpu" or "cuda"."""
    return "cuda" if _as_on_a_gpu.get() else device.type


def kernels_for(stage: str, tensor: torch.Tensor, written: Sequence[str] = ("cpu", "cuda")) -> ModuleType:
    """The module with the kernels of `stage` (as "macrosplat.render.project") for this tensor's device and dtype.

    float64 always goes to the reference: it is the specification, and nothing fast is written in float64.

    Args:
        written: the devices that kernels of this stage are written for.
    """
    kind = kind_of(tensor.device)
    fast = tensor.dtype != torch.float64 and kind in written
    return importlib.import_module(f"{stage}_{kind if fast else 'reference'}")


def on_gpu(tensor: torch.Tensor) -> bool:
    """Whether a few numbers like these are worth a kernel of their own: a GPU takes longer to begin than to add."""
    return tensor.dtype == torch.float32 and kind_of(tensor.device) == "cuda"


def choose(device: str, say: Callable[[str], None] | None = None) -> torch.device:
    """The device that `--device auto|cpu|cuda` means.

    Args:
        say: is told in a sentence why a GPU is left alone; None: stderr is.

    Raises:
        MacrosplatError: `cuda` was asked for, and cannot be had.
    """
    if device == "cpu" or (device == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise MacrosplatError("--device cuda was asked for, but torch finds no CUDA GPU; use --device cpu (or auto).")
    if importlib.util.find_spec("triton") is None:  # torch for Windows comes without it
        if device == "cuda":
            raise MacrosplatError(
                "--device cuda was asked for, but Triton, which the GPU kernels are written in, is not installed; "
                "install it (on Windows: pip install triton-windows), or use --device cpu."
            )
        sentence = "There is a CUDA GPU, but Triton is not installed (on Windows: triton-windows): the CPU computes."
        (say or _to_stderr)(sentence)
        return torch.device("cpu")
    return torch.device("cuda")


def _to_stderr(sentence: str) -> None:
    print(f"macrosplat: {sentence}", file=sys.stderr)


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
