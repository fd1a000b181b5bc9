"""How much memory there is to work with."""

from __future__ import annotations

from pathlib import Path


def available() -> float | None:
    """Bytes of memory free for a program (Linux); None where nobody says."""
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return float(line.split()[1]) * 1024
    except (OSError, ValueError):
        pass
    return None
