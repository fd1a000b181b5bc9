"""`log.jsonl`: a line of figures every so many steps. A resumed run cuts off what an interrupted one wrote too much."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from macrosplat.support.files import write_whole, written
from macrosplat.train.fit import Fit

if TYPE_CHECKING:
    from macrosplat.train.trainer import Trainer


class Log:
    """Use as a context manager; `line` appends."""

    def __init__(self, path: Path, done: int) -> None:
        """Args: done: steps that the run stands at; later lines are of steps that will be taken again."""
        self._path = path
        lines = []
        if path.is_file():
            for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
                try:
                    if json.loads(line)["step"] <= done:
                        lines.append(line + "\n")
                except (ValueError, KeyError, TypeError, RecursionError):  # cut off in the middle by a kill, or damaged
                    continue
        self._before = "".join(lines)
        self._file: TextIO | None = None
        self._began, self._at = time.monotonic(), done
        self._fit = Fit()

    def __enter__(self) -> Log:
        write_whole(self._path, lambda part: part.write_text(self._before, encoding="utf-8"))
        self._file = self._path.open("a", encoding="utf-8")
        return self

    def __exit__(self, *_: object) -> None:
        if self._file:
            self._file.close()

    def line(self, trainer: Trainer, loss: float) -> dict[str, float]:
        """Append where the trainer stands; returns the figures worth showing."""
        now = time.monotonic()
        lens = trainer.model.estimate()
        found = {} if lens is None else {"pupil_diameter": lens.pupil_diameter, "sigma0_px": lens.sigma0_px}
        record = {
            "step": trainer.done,
            "loss": loss if math.isfinite(loss) else None,
            "psnr": self._fit.psnr(trainer),
            "gaussians": len(trainer.model.gaussians),
            "focal_scale": trainer.model.rig.focal(),
            "ms_per_step": 1000 * (now - self._began) / max(1, trainer.done - self._at),
            **found,
        }
        self._began, self._at = now, trainer.done
        if self._file:
            with written(self._path):
                self._file.write(json.dumps(record) + "\n")
                self._file.flush()
        return {"psnr": record["psnr"], "gaussians": record["gaussians"], "loss": loss}
