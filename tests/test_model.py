"""The model of a photo: what its doors show agrees, and a lens model of one's own is one file and a line."""

import dataclasses

import torch
from torch import Tensor

from macrosplat.lens import LENSES, LensPlan, LensStart, Sampling
from macrosplat.lens.model import Draw, Lens, PhotoIndex, Sharp
from macrosplat.lens.thin import ThinLens
from macrosplat.model.model import Model
from macrosplat.render import Camera
from macrosplat.train import checkpoint
from macrosplat.train.trainer import Trainer
from making_captures import PUPIL
from making_training import PIXEL, make_trainer


class Breathing(Lens):
    """A toy: no blur, a veil of stray light, and a focal length that each photo may have of its own."""

    name = "breathing"

    def __init__(self, start: LensStart) -> None:
        self.parameters = {"lens.veil": torch.zeros(()), "lens.zoom": torch.zeros(len(start.focus))}
        self.rates = {"lens.veil": 1e-2, "lens.zoom": 1e-3}

    def plan(self, t: float) -> LensPlan:
        return LensPlan(rates=self.rates, poses=False, extra=0.1 if t >= 0.5 else 0.0)

    def intrinsics(self, calibrated: Tensor, photo: PhotoIndex) -> Tensor:
        zoom = self.parameters["lens.zoom"].exp()[photo].reshape(())
        return calibrated * torch.stack([zoom, zoom, torch.ones_like(zoom), torch.ones_like(zoom)])

    def photograph(self, draw: Draw, camera: Camera, photo: PhotoIndex, sampling: Sampling) -> Tensor:
        return draw(camera).colour + self.parameters["lens.veil"]

    def radius(self, sharp: Sharp, camera: Camera, photo: int, points: Tensor | None = None) -> Tensor:
        return torch.zeros_like(sharp.depth)


def test_a_new_lens_model_is_its_file_and_a_line(monkeypatch, tmp_path):
    """It is trained, saved, gone on with to the same bits and asked by outputs; nothing else knows its name."""
    monkeypatch.setitem(LENSES, "breathing", Breathing)

    def run(steps: int) -> tuple[Trainer, LensStart]:
        trainer, start = make_trainer(12, lens="breathing", half_from=0.0, full_from=0.0)
        with torch.no_grad():  # the second photo was taken with a longer lens
            trainer.model.rig.start[1, :2] /= 1.02
        for _ in range(steps):
            trainer.step()
        return trainer, start

    whole, _ = run(12)
    assert len(whole.model.gaussians) > 900
    assert whole.model.lens.parameters["lens.veil"] != 0
    zoom = whole.model.lens.parameters["lens.zoom"].detach()
    assert zoom[1] > zoom[[0, 2, 3, 4, 5]].max() and zoom[1] > 1e-3
    half, start = run(7)
    checkpoint.save(tmp_path / "checkpoint", half, tuple("abcdef"), start)
    state = checkpoint.load(tmp_path / "checkpoint")
    again = Trainer(state.model, half.targets, half.schedule, PIXEL, 0)
    checkpoint.resume(again, state)
    while again.done < 12:
        again.step()
    got, wanted = again.model.parameters(), whole.model.parameters()
    assert all(torch.equal(got[name], wanted[name]) for name in wanted)
    assert whole.model.estimate() is None
    with torch.no_grad():
        assert whole.model.blur_radius(1).abs().max() == 0
        seen = whole.model.photograph(1) - whole.model.sharp(whole.model.camera(1), 1)
    torch.testing.assert_close(
        seen.mean((0, 1)), whole.model.lens.parameters["lens.veil"] * whole.model.exposure.gain(1)
    )


def trained() -> Model:
    trainer, _ = make_trainer(10)
    with torch.no_grad():
        trainer.model.exposure.log_gains[1] += 0.2
    return trainer.model


@torch.no_grad()
def test_a_photo_is_its_camera_seen_through_the_lens_as_it_was_exposed():
    """`photograph` against the same chain through another door: any camera through a thin lens of the same numbers."""
    model = trained()
    lens, camera = model.lens, model.camera(1)
    assert isinstance(lens, ThinLens)
    focus = model.estimate().focus_distances[1]
    for sampling in (Sampling(), Sampling(4, 0.3)):
        wanted = model.refocused(camera, PUPIL, focus, sampling, 1, float(lens.sigma0()))
        torch.testing.assert_close(model.photograph(1, sampling), wanted, rtol=1e-4, atol=1e-5)
    shut = model.refocused(camera, 1e-6, focus, Sampling(), 1)
    torch.testing.assert_close(shut, model.sharp(camera, 1), atol=2e-2, rtol=0)
    # Exposure is a gain on top of what the scene's own light is.
    torch.testing.assert_close(model.sharp(camera, 1), model.exposure.gain(1) * model.draw(camera, 1).colour)


@torch.no_grad()
def test_the_blur_of_a_photo_is_the_lens_s_of_its_depth():
    model = trained()
    sharp = model.draw(model.camera(2), 2)
    wanted = PUPIL / 2 * model.camera(2).intrinsics[0] * (1 / model.estimate().focus_distances[2] - 1 / sharp.depth)
    solid = sharp.alpha > 0.5
    torch.testing.assert_close(model.blur_radius(2)[solid], wanted[solid], rtol=1e-3, atol=1e-3)


@torch.no_grad()
def test_a_photo_number_on_the_device_and_on_the_host_is_the_same_photo():
    model, frame = trained(), None
    frame = dataclasses.replace(model.rig.frames[0], width=24, height=18)
    for frozen in (False, True):
        seen = [model.photograph(photo, Sampling(), frame, frozen=frozen) for photo in (3, torch.tensor([3]))]
        assert torch.equal(*seen)
