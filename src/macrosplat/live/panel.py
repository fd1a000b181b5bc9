"""The controls and figures beside the live picture. viser's threads set the attributes, training reads them.

In: a server, a trainer. Out: what visitors chose. Lengths in scene units.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import torch

from macrosplat.cameras.records import centres_of
from macrosplat.live.draw import Kind
from macrosplat.output.focus_range import focus_range, means_seen
from macrosplat.support.progress import duration
from macrosplat.support.remaining import Remaining
from macrosplat.train.reckoned import work_of

if TYPE_CHECKING:
    import viser

    from macrosplat.train.trainer import Trainer

PUPIL = 0.05  # of the distance to the object, for lens models that have none: f/10 at 1:1, say
SIGMA0 = 0.5  # px of the training width, for lens models that have none
SECONDS_BETWEEN = 1.0  # of the figures
KINDS: dict[str, Kind] = {"Sharp": "sharp", "Blurred": "blurred", "Left blurred, right sharp": "split"}
STRAYS = 2.0  # % of the Gaussians, nearest and farthest, that say nothing of where the scene lies while it is learned


class Panel:
    """`paused`, `stop`, `kind`, `aperture`, `focus`: what visitors chose last; `pupil`, `sigma0`: what was found."""

    def __init__(
        self, server: viser.ViserServer, trainer: Trainer, names: tuple[str, ...], changed: Callable[[], None]
    ) -> None:
        """Args: changed: called when somebody chose something."""
        self.paused = self.stop = False
        self.kind: Kind = "sharp"
        self.aperture = 1.0
        self._server, self._changed = server, changed
        self._cameras = [camera.to(torch.device("cpu")) for camera in trainer.model.cameras()]
        self._views = np.stack([camera.view.double().numpy() for camera in self._cameras])
        means = means_seen(trainer.model.gaussians)
        self._middle = np.median(means, axis=0)
        self._distance = float(np.linalg.norm(centres_of(self._views[0]) - self._middle))
        self._found(trainer)
        between = focus_range(means, self._views[0], self._focuses or (), STRAYS)
        self.focus = between.start
        self._told = time.monotonic()
        self._remaining = Remaining(work_of(trainer), trainer.schedule.steps)
        self._figures: dict[str, float] = {}
        self._steps: list[int] = []  # that the chart shows, with their dB
        self._psnrs: list[float] = []
        self._stand()
        self._controls(names, between.nearest, between.farthest)

    def tell(self, trainer: Trainer, figures: dict[str, float]) -> None:
        """Show where the training stands, every so often."""
        if figures:
            self._figures = figures
            self._found(trainer)
            if "psnr" in figures:
                self._steps.append(trainer.done)
                self._psnrs.append(figures["psnr"])
        now = time.monotonic()
        if now - self._told < SECONDS_BETWEEN:
            return
        if self.paused:
            self._remaining.paused(now)
        else:
            self._remaining.counted(trainer.done, now)
        self._told = now
        self._status.content = self._text(trainer)
        self._bar.value = 100 * trainer.done / trainer.schedule.steps
        if len(self._steps) > len(self._chart.data[0]) or len(self._steps) == 1:
            self._chart.data = np.array(self._steps, float), np.array(self._psnrs, float)
            self._chart.visible = len(self._steps) > 1

    def end(self, text: str) -> None:
        """Say that nothing more will come."""
        self._status.content = f"**{text}**"
        self._pause_button.disabled = self._stop_button.disabled = True

    def _text(self, trainer: Trainer) -> str:
        done, steps = trainer.done, trainer.schedule.steps
        lines = [f"**{'Paused at step' if self.paused else 'Step'} {done:,} of {steps:,}**"]
        rate, left = self._remaining.rate(), self._remaining.seconds()
        if rate is not None and left is not None and not self.paused:
            lines.append(f"{rate:.3g} steps/s, {duration(left)} left")
        if "psnr" in self._figures:
            lines.append(f"PSNR on the photos {self._figures['psnr']:.2f} dB, loss {self._figures['loss']:.4f}")
        lines.append(f"{len(trainer.model.gaussians):,} Gaussians")
        if self._focuses:
            near, far = min(self._focuses), max(self._focuses)
            lines.append(f"Pupil {self.pupil:.4g}, focus {near:.4g} to {far:.4g} (scene units)")
        return "<br>".join(lines)

    def _found(self, trainer: Trainer) -> None:
        lens = trainer.model.estimate()
        self.pupil = PUPIL * self._distance if lens is None else lens.pupil_diameter
        self.sigma0 = SIGMA0 if lens is None else lens.sigma0_px
        self._focuses = () if lens is None else lens.focus_distances

    def _stand(self) -> None:
        """New visitors stand where the first photo was taken from."""
        position, ahead, up = _pose(self._views[0])
        start = self._server.initial_camera
        self._server.scene.set_up_direction(tuple(-self._views[:, 1, :3].mean(0)))
        start.position, start.look_at, start.up = position, position + self._distance * ahead, up
        start.fov = self._fov(0)

    def _fov(self, photo: int) -> float:
        camera = self._cameras[photo]
        return float(2 * np.arctan(camera.frame.height / 2 / float(camera.intrinsics[1])))

    def _controls(self, names: tuple[str, ...], near: float, far: float) -> None:
        gui = self._server.gui
        self._status = gui.add_markdown("Training begins.")
        self._bar = gui.add_progress_bar(0.0)
        self._pause_button = gui.add_button("Pause")
        self._stop_button = gui.add_button("Stop and save", color="red", hint="Write the results of what there is")
        kinds = gui.add_dropdown("Picture", tuple(KINDS), hint="Sharp, as a lens sees it, or half and half")
        aperture = gui.add_slider("Aperture", 0.0, 3.0, 0.05, 1.0, hint="In pupils as they were found from the photos")
        step = 10.0 ** np.floor(np.log10((far - near) / 100))  # a round one: the numbers stay short
        near, far = step * np.floor(near / step), step * np.ceil(far / step)
        focus = gui.add_slider("Focus", near, far, step, min(max(self.focus, near), far), hint="Distance, scene units")
        view = gui.add_dropdown("Stand at", names, hint="Where a photo was taken from, and its focus")
        self._chart = gui.add_uplot(
            (np.zeros(1), np.zeros(1)),
            ({"label": "step"}, {"label": "PSNR (dB)", "stroke": "#0b6b5d", "width": 2}),
            scales={"x": {"time": False}},
            aspect=1.8,
            visible=False,
        )

        @self._pause_button.on_click
        def _(_: object) -> None:
            self.paused = not self.paused
            self._pause_button.label = "Go on" if self.paused else "Pause"
            self._changed()

        @self._stop_button.on_click
        def _(_: object) -> None:
            self.stop = True
            self._changed()

        @kinds.on_update
        def _(_: object) -> None:
            self.kind = KINDS[kinds.value]
            self._changed()

        @aperture.on_update
        def _(_: object) -> None:
            self.aperture = float(aperture.value)
            self._changed()

        @focus.on_update
        def _(_: object) -> None:
            self.focus = float(focus.value)
            self._changed()

        @view.on_update
        def _(event: viser.GuiEvent) -> None:
            photo = names.index(view.value)
            if event.client is not None:
                position, ahead, up = _pose(self._views[photo])
                depth = float(ahead @ (self._middle - position))
                with event.client.atomic():
                    camera = event.client.camera
                    camera.position, camera.look_at, camera.up_direction = position, position + depth * ahead, up
                    camera.fov = self._fov(photo)
            if self._focuses:
                focus.value = min(max(self._focuses[photo], near), far)
                self.focus = float(focus.value)
            self._changed()


def _pose(view: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where a camera stands, which way it looks, and what is up for it: [3] each, world."""
    return centres_of(view), view[2, :3].copy(), -view[1, :3]
