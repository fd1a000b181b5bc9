"""The pupil's shape told by its rim: points of light through polygons and lemons, and what counts as seen."""

import dataclasses
import math

import numpy as np
import pytest
import torch

from macrosplat.lens import Sampling, Sharp, cats_eye, rim, terms
from macrosplat.lens.aperture import sheared
from macrosplat.lens.blades import ORDERS, shaped
from macrosplat.lens.rim import NAMES, RimTold
from macrosplat.lens.thin import ThinLens
from macrosplat.support.colour import to_bytes, to_srgb
from macrosplat.train import rim_look
from making_training import make_trainer
from test_cats_eye import disc
from test_lens import CAMERA, FX, START, one_by_one

WIDTH, HEIGHT, DEPTH = CAMERA.frame.width, CAMERA.frame.height, 8.0
PLACES = ((20.0, 18.0), (75.0, 20.0), (30.0, 55.0), (70.0, 52.0))  # px; their circles have a radius of 6 px
SPOT = 1.2  # px, sigma


@one_by_one
def draw(camera, reshape=None) -> Sharp:
    """Points of light on black, far behind the focus."""
    places = torch.tensor(PLACES) + FX * (camera.view[:2, 2] + camera.view[:2, 3] / DEPTH)
    down, right = (
        torch.exp(-(((torch.arange(size) + 0.5 - places[:, axis, None]) / SPOT) ** 2 / 2).clamp_max(30))
        for axis, size in ((1, HEIGHT), (0, WIDTH))
    )
    light = down.T @ right
    return Sharp(light[..., None].expand(-1, -1, 3), torch.ones_like(light), torch.full_like(light, DEPTH))


def through(lens: ThinLens, blades=None, corner=0.0) -> torch.Tensor:
    """Their photo, by many points of the pupil."""
    pupil, focus, _ = lens._numbers(0, CAMERA)
    u, v = disc(160)
    if blades is not None:
        u, v = shaped(u, v, torch.tensor(blades, dtype=torch.float64))
    u, v = u.float(), v.float()
    away, (cosine, sine) = cats_eye.directions(WIDTH, HEIGHT, torch.zeros(()))
    taken, t = torch.zeros(HEIGHT, WIDTH, 3), corner * away
    left = cats_eye.moments(t)[0][..., None]
    for m in range(len(u)):
        square = u[m] ** 2 + v[m] ** 2
        along = ((square + (u[m] ** 2 - v[m] ** 2) * cosine + 2 * u[m] * v[m] * sine) / 2).clamp_min(0).sqrt()
        inside = (square + 2 * t * along + t**2 < 1) if corner else torch.ones_like(t, dtype=torch.bool)
        view = sheared(CAMERA.view, u[m : m + 1] * pupil / 2, v[m : m + 1] * pupil / 2, focus)
        taken += inside[..., None] * draw(CAMERA.at(view)).colour[0] / len(u)
    return taken / left


def test_points_of_light_through_a_polygon_or_a_lemon():
    lens = ThinLens(dataclasses.replace(START, width=WIDTH))
    _, slopes = lens.rim(draw, CAMERA, 0)
    whole, corner = through(lens), NAMES.index("cats_eye")

    def told(taken: torch.Tensor) -> np.ndarray:
        return np.linalg.lstsq(slopes.flatten(1).T.numpy(), (taken - whole).flatten().numpy(), rcond=None)[0]

    found = told(through(lens, (7, 0.2, 1.0)))
    swings = {n: complex(found[NAMES.index(f"cos{n}")], found[NAMES.index(f"sin{n}")]) for n in ORDERS}
    assert abs(swings[7]) == pytest.approx(1.0, abs=0.2)
    at = math.atan2(swings[7].imag, swings[7].real) / 7
    assert math.remainder(at - 0.2 - math.pi / 7, 2 * math.pi / 7) == pytest.approx(0, abs=0.02)
    assert max(abs(swing) for n, swing in swings.items() if n != 7) < 0.3
    assert abs(found[corner]) < 0.03 and abs(found[0]) < 0.02
    found = told(through(lens, corner=0.15))
    assert found[corner] == pytest.approx(0.15, abs=0.03)


def record(straight: float, sure: float, corner: float = 0.0, corner_sure: float = 0.01) -> RimTold:
    """Seven blades with a corner at 0.1 radians."""
    step, variance = np.zeros(len(NAMES)), np.full(len(NAMES), sure**2)
    step[[NAMES.index("cos7"), NAMES.index("sin7")]] = straight * np.array([math.cos(0.7), math.sin(0.7)])
    step[NAMES.index("cats_eye")], variance[NAMES.index("cats_eye")] = corner, corner_sure**2
    return RimTold(step, np.diag(variance))


def test_what_counts_as_seen():
    found = rim.blades_seen(record(0.9, 0.1), ORDERS)
    assert found is not None and found[0] == 7 and found[2] == pytest.approx(0.9)
    assert math.remainder(found[1] - 0.1 - math.pi / 7, 2 * math.pi / 7) == pytest.approx(0)
    assert rim.blades_seen(record(1.8, 0.1), ORDERS)[2] == 1.0  # sharpened photos swing more
    assert rim.blades_seen(record(0.9, 0.3), ORDERS) is None and rim.blades_seen(record(0.9, 0.3), (7,)) is not None
    assert rim.blades_seen(record(0.2, 0.01), ORDERS) is None  # sure, and nearly round
    assert rim.blades_seen(record(0.9, 0.1), (6,)) is None
    assert rim.blades_seen(record(0.9, math.inf), ORDERS) is None
    assert rim.cats_eye_seen(record(0, 0.1, 0.2)) == 0.2 and rim.cats_eye_seen(record(0, 0.1, 0.9)) == cats_eye.MOST
    assert rim.cats_eye_seen(record(0, 0.1, 0.2, 0.1)) is None and rim.cats_eye_seen(record(0, 0.1, 0.03)) is None
    assert rim.cats_eye_seen(record(0, 0.1, 0.23, 0.05)) is None  # what is found of whole pupils, and its uncertainty


def test_a_lens_is_decided_once_by_one_look():
    settings = {"aberrations": "auto", "blades": "auto", "aperture_samples": "8"}
    made = ThinLens(dataclasses.replace(START, width=WIDTH, settings=settings))
    asked = []

    def look() -> RimTold:
        asked.append(1)
        return record(0.9, 0.1, 0.2)

    made.decide(look)
    assert not asked and not made.undecided(terms.LOOKED_AT - 0.01) and made.undecided(terms.LOOKED_AT)
    assert made.opening(0, CAMERA).blades is None and "lens.cats_eye" not in made.plan(0.9).rates
    made.decide(look)
    assert asked == [1] and not made.undecided(1.0)
    shape = made.opening(0, CAMERA)
    assert shape.blades is not None and shape.clipped is not None and "lens.cats_eye" in made.plan(0.9).rates
    estimate = made.estimate(torch.tensor([1.0, 1.0]))
    assert estimate.blades == pytest.approx((7, 0.1 + math.pi / 7, 0.9)) and estimate.cats_eye == pytest.approx(0.2)
    said = ThinLens(dataclasses.replace(START, settings=settings | {"blades": "round", "aberrations": "off"}))
    assert not said.undecided(1.0)


def test_photos_of_a_bladed_lens_and_of_a_round_one(monkeypatch):
    """The scene as it is: what the lens made of it through seven blades is told, and that it was round."""
    monkeypatch.setattr(rim_look, "PHOTOS", 1)
    model, targets = (trainer := make_trainer(1)[0]).model, trainer.targets
    lens = model.lens

    def turn_to(blades: tuple[float, ...], seen: float) -> None:
        lens.parameters |= {"lens.blades": torch.tensor(blades), "lens.blades_seen": torch.tensor(seen)}
        lens._seen.clear()

    swings = []
    for straight in (1.0, 0.0):
        turn_to((7.0, 0.2, straight), terms.SEEN)
        with torch.no_grad():
            taken = [model.photograph(v, Sampling(32, 0.2)).clamp(0, 1) for v in range(2)]
        targets.photos = [to_bytes(to_srgb(light).numpy()) for light in taken]
        turn_to((0.0, 0.0, 0.0), terms.NOT_SEEN)
        swings.append(rim_look.look_at_rim(model, targets).blades(7)[0])
    corner = complex(math.cos(1.4 + math.pi), math.sin(1.4 + math.pi))
    found = (swings[0] - swings[1]) / corner
    assert 0.5 < found.real < 1.3 and abs(found.imag) < 0.35
