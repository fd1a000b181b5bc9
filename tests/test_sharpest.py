"""Whether anything is in focus: known blurs are read back, grain is no sharpness, a sharp capture is not accused."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from macrosplat import pipeline
from macrosplat.lens import LensStart
from macrosplat.lens.sharpest import edge_sigmas, nothing_in_focus, sharpest_edges
from macrosplat.lens.thin import ThinLens
from macrosplat.options import Options
from macrosplat.output import finish
from macrosplat.support.colour import to_bytes, to_linear, to_srgb
from making_captures import make, write_capture


def blocks(seed=0, sigma=0.0, grain=0.0):
    """[H, W, 3] sRGB bytes: plain squares with straight edges, blurred in linear light."""
    random = np.random.default_rng(seed)
    light = np.kron(random.uniform(0.05, 0.9, (6, 8, 1)), np.ones((24, 24, 3)))
    srgb = to_srgb(gaussian_filter(light, (sigma, sigma, 0)) if sigma else light)
    return to_bytes(srgb + grain / 255 * random.normal(size=srgb.shape))


@pytest.mark.parametrize("sigma", [1.0, 2.0, 3.0, 4.0])
@pytest.mark.parametrize("grain", [0.0, 2.0])
def test_a_known_blur_is_read_back(sigma, grain):
    # The sRGB curve makes one side of an edge steeper: up to a sixth.
    assert np.median(edge_sigmas(blocks(sigma=sigma, grain=grain))) == pytest.approx(sigma, rel=0.2)


def test_what_is_sharp_reads_as_sharp():
    assert sharpest_edges([blocks(seed) for seed in range(4)]) < 0.5
    assert nothing_in_focus([blocks(seed, grain=3) for seed in range(4)]) is None
    assert sharpest_edges([np.full((40, 40, 3), 90, np.uint8)] * 3) == 0  # nothing there to judge by
    # One photo in three has something in focus.
    mixed = [blocks(n, sigma=0 if n % 3 == 0 else 3) for n in range(9)]
    assert nothing_in_focus(mixed) is None


def test_what_is_blurred_everywhere_is_said():
    said = nothing_in_focus([blocks(seed, sigma=3) for seed in range(4)])
    assert said is not None and "No photo has anything in focus: at 192 px" in said


def test_few_photos_and_surroundings_say_nothing_of_the_object():
    plain = [np.full((144, 192, 3), 90, np.uint8)] * 5
    assert nothing_in_focus([*plain, *(blocks(seed, sigma=3) for seed in range(3))]) is None
    assert nothing_in_focus([*plain[:1], *(blocks(seed, sigma=3) for seed in range(3))]) is not None
    # Before a blurred backdrop of strong edges lies something sharp and faint.
    photos, masks = [], []
    for seed in range(4):
        random, mask = np.random.default_rng(seed), np.zeros((144, 192), np.uint8)
        light = np.kron(random.uniform(0.05, 0.9, (6, 8, 1)), np.ones((24, 24, 3)))
        light[24:120, 48:144] = 0.3
        photo, texture = to_bytes(to_srgb(gaussian_filter(light, (3, 3, 0)))), random.integers(0, 2, (12, 12, 1)) * 3
        mask[48:96, 72:120] = 255
        photo[48:96, 72:120] += np.kron(texture, np.ones((4, 4, 3))).astype(np.uint8)
        photos.append(photo)
        masks.append(mask)
    assert nothing_in_focus(photos) is not None and nothing_in_focus(photos, masks) is None


def test_a_blur_that_all_photos_share_is_not_taken_for_the_lens():
    start = LensStart(1.0, (5.0,), (1.0,))
    assert "lens.sigma0" in ThinLens(start).rates
    assert "lens.sigma0" not in ThinLens(LensStart(1.0, (5.0,), (1.0,), all_blurred=True)).rates


def test_a_blurred_capture_is_said_and_stays_blurred(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(finish, "VIEWER_STEPS", 3)
    made = make()
    blurred = []
    for sharp in made.sharp:
        light = gaussian_filter(to_linear(sharp.astype(np.float32) / 255), (5, 5, 0))
        blurred.append(to_bytes(to_srgb(light)))
    made = type(made)(**{**vars(made), "photos": blurred})
    capture = write_capture(tmp_path / "capture", made)
    options = Options(steps=4, width=80, max_gaussians=600, device="cpu")
    summary = str(pipeline.reconstruct(capture, tmp_path / "run", options))
    assert "No photo has anything in focus" in summary and "in focus in at least one" not in summary
    assert "No photo has anything in focus" in capsys.readouterr().err
    lens = json.loads((tmp_path / "run" / "lens.json").read_text())
    assert lens["sigma0_px"] == pytest.approx(0.5)  # as it began
    assert any("No photo has anything in focus" in note for note in lens["notes"])
