"""`RUN/evaluation.json` read back: the means of every section, for whoever shows them."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from macrosplat.run import Run
from macrosplat.support.json import checked, load_json


class Means(msgspec.Struct):
    """Figures by name (psnr in dB, ssim, flip), means over the photos of a section."""

    frame: dict[str, float] | None = None
    mask: dict[str, float] | None = None  # of the photos that have one


class _File(msgspec.Struct):
    means: dict[str, Means] = msgspec.field(default_factory=dict)


def read_means(run: Run) -> Mapping[str, Means]:
    """By section; nothing where RUN was never evaluated.

    Raises:
        MacrosplatError: the file is not one that `evaluate` wrote.
    """
    path = run.evaluation
    return checked(load_json(path, finite=True), _File, str(path)).means if path.is_file() else {}
