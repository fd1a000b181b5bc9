"""RUN/preview.jpg while a training runs: the scene as it is now, sharp, from where one photo was taken.

In: a trainer between two steps, whose state stays as it is to the bit. Out: a file, for whoever watches from outside
(the studio, a script); it goes when the training ends.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

import torch
from PIL import Image

from macrosplat.live.watching import Nobody, Watching
from macrosplat.support.colour import to_bytes, to_srgb
from macrosplat.support.dispatch import one_torch_thread
from macrosplat.support.files import write_whole
from macrosplat.train.trainer import Trainer

SHARE = 0.03  # of the time that may go into pictures
LEAST = 3.0  # s between two of them
JPEG_QUALITY = 88
MOST_PIXELS = 640 * 480  # of a picture


class Preview(Watching):
    """Use as a context manager. What else watches (`inner`) is asked as before."""

    def __init__(self, trainer: Trainer, path: Path, inner: Watching | None = None) -> None:
        self._trainer, self._path, self._inner = trainer, path, inner or Nobody()
        self._photo = len(trainer.model.rig.frames) // 2
        self._due = 0.0  # of the clock

    def __enter__(self) -> Preview:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)

    def between_steps(self, figures: dict[str, float], interrupted: Callable[[], bool]) -> bool:
        now = time.monotonic()
        if now >= self._due and not interrupted():
            self._write()
            ended = time.monotonic()
            self._due = ended + max(LEAST, (ended - now) / SHARE)
        stops = self._inner.between_steps(figures, interrupted)
        self.finishes = self._inner.finishes
        return stops

    def trained(self) -> None:
        self._inner.trained()

    @torch.no_grad()
    def _write(self) -> None:
        trainer = self._trainer
        trainer.settle()  # on a GPU: what is learned is only true then
        with one_torch_thread():
            camera = trainer.model.cameras()[self._photo]
            frame = camera.frame
            factor = min(1.0, (MOST_PIXELS / (frame.width * frame.height)) ** 0.5)
            camera = camera.scaled(round(frame.width * factor), round(frame.height * factor))
            light = trainer.model.sharp(camera.to(trainer.model.gaussians.means.device))
            pixels = to_bytes(to_srgb(light.clamp(0, 1)).cpu().numpy())
        with contextlib.suppress(OSError):  # a picture that cannot be written spoils no training
            write_whole(self._path, lambda part: Image.fromarray(pixels).save(part, "JPEG", quality=JPEG_QUALITY))
