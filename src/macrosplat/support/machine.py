"""The machine that a run is on, in words."""

from __future__ import annotations

import contextlib
import platform
from pathlib import Path

import torch

from macrosplat.support.threads import CORES


def machine(device: torch.device) -> str:
    """What computes, in words: `NVIDIA H100`, or `AMD EPYC 7B13, 2 cores`."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    name = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):  # Linux, where `platform` only knows the architecture
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                name = line.partition(":")[2].strip()
                break
    return f"{name}, {CORES} {'core' if CORES == 1 else 'cores'}"
