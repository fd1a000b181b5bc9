"""Stacks of one pose, against a lens sampled at many points: a near thing before a far one, light hidden as it is."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import binary_dilation, gaussian_filter

from macrosplat import cli
from macrosplat.capture.open import open_capture
from macrosplat.deblur.stacker import stack
from macrosplat.stack import is_stack
from macrosplat.stack.blur import find_reach
from macrosplat.stack.depth import place_of
from macrosplat.stack.order import by_hiding, by_outlines, nearer_end
from macrosplat.stack.peel import all_in_focus, fused
from macrosplat.stack.reconstruct import name_of
from macrosplat.support.colour import to_bytes, to_linear, to_srgb
from macrosplat.support.metrics import psnr
from macrosplat.web.page import html_of_run
from making_photos import CANON, exif, save
from making_stack import COUNT, HEIGHT, WIDEST, WIDTH, make_stack


def decibels(picture, sharp, where):
    """PSNR over some pixels."""
    return -10 * np.log10(((to_srgb(np.clip(picture, 0, 1)) - to_srgb(sharp))[where] ** 2).mean())


@pytest.fixture(scope="module")
def scene():
    return make_stack()


@pytest.fixture(scope="module")
def found(scene):
    _, slices, _ = scene
    inside = [np.ones((HEIGHT, WIDTH), bool)] * COUNT
    place = place_of(slices, inside)
    joined = fused(slices, inside, place)
    return inside, place, joined, find_reach(slices, place, joined)


def test_each_pixel_finds_its_slice(scene, found):
    _, _, disc = scene
    edge = binary_dilation(disc, iterations=8) & binary_dilation(~disc, iterations=8)
    wrong = np.abs(found[1] - np.where(disc, 0, COUNT - 1))
    assert np.percentile(wrong[~edge], 95) < 0.3


def test_a_plain_spot_that_nothing_tells_lies_where_its_surroundings_do():
    """A sheet in focus in slice 1 of 4, with a plain patch; the far slice shows a spot of stray light in it."""
    rng = np.random.default_rng(1)
    y, x = np.mgrid[:96, :96] - 48.0
    away = np.hypot(x, y)
    sheet = np.where(away < 9, 0.3, 0.3 + 0.2 * gaussian_filter(rng.normal(size=(96, 96)), 1))
    slices = [gaussian_filter(sheet, 0.3 + 2 * abs(s - 1)) for s in range(4)]
    slices[3] += 0.12 * np.exp(-((away / 2) ** 2))
    place = place_of([np.repeat(one[..., None], 3, 2).astype(np.float32) for one in slices], [away < 999] * 4)
    assert np.abs(place - 1).max() < 1


def test_blur_grows_as_the_lens_makes_it(found):
    # A disc of radius r has the second moment of a Gaussian of r / 2; fine detail is blurred more than that tells.
    np.testing.assert_allclose(found[3], WIDEST / 2 * np.arange(COUNT) / (COUNT - 1), atol=0.2 * WIDEST / 2)


def test_which_end_is_near(scene, found):
    _, slices, _ = scene
    _, place, joined, reach = found
    evidence = by_hiding(slices, place, joined, reach), by_outlines(joined, place)
    assert nearer_end(*evidence) == 1
    turned = COUNT - 1 - place, joined, reach[-1] - reach[::-1]
    assert by_hiding(slices[::-1], *turned) + by_outlines(joined, turned[0]) == pytest.approx(-sum(evidence), abs=0.02)


def test_no_halo_where_the_near_thing_ends(scene, found):
    sharp, slices, disc = scene
    inside, place, joined, reach = found
    band = binary_dilation(disc, iterations=12) & ~binary_dilation(disc, iterations=2)
    peeled = all_in_focus(slices, inside, place, reach)
    simple = to_linear(stack([to_bytes(to_srgb(one)) for one in slices])[COUNT // 2] / 255.0)
    figures = [decibels(one, sharp, band) for one in (peeled, joined, simple)]
    assert figures[0] > max(figures[1:]) + 3, figures
    assert decibels(peeled, sharp, ~binary_dilation(disc, iterations=12)) > 30


@pytest.mark.parametrize("pose, name", [("a/b", "b"), (".", "stack"), ("..", "stack"), ("../x", "x"), ("", "stack")])
def test_a_pose_of_any_name_gives_a_file(pose, name):
    assert name_of(pose) == name


def test_a_stack_from_the_command_line(tmp_path, scene, capsys):
    sharp, slices, _ = scene
    for k, one in enumerate(slices[::-1]):  # the farthest first
        save(tmp_path / "photos" / f"beetle_{k}.png", to_bytes(to_srgb(one)), exif(**CANON))
    assert is_stack(open_capture(tmp_path))
    run = tmp_path / "run"
    assert cli.main(["reconstruct", str(tmp_path), "--out", str(run)]) == 0
    said = capsys.readouterr().out
    assert "One pose, 4 slices" in said and "beetle_3.png is focused nearest" in said
    picture = np.asarray(Image.open(run / "sharp" / "beetle.png"))
    assert psnr(picture / 255.0, to_srgb(sharp)) > 25
    lens = json.loads((run / "lens.json").read_text())
    assert lens["nearest"] == "beetle_3.png" and [s["photo"] for s in lens["slices"]][-1] == "beetle_0.png"
    depth = np.asarray(Image.open(run / "maps" / "depth" / "beetle.png"))
    assert depth[68, 90] < 0.1 * 65535 < 0.9 * 65535 < depth[10, 10]
    page = (run / "index.html").read_text()
    assert "beetle_3.png is focused nearest" in page and page.count("data:image/webp") == 7
    (run / "lens.json").write_text(json.dumps({**lens, "nearest": None}))
    page = html_of_run(run)
    assert "the slices do not tell" in page and "From near" not in page
    for words in (
        ["export", "--format", "ply"],
        ["continue", "--steps", "+10"],
        ["evaluate", "--truth", str(tmp_path)],
    ):
        assert cli.main([words[0], str(run), *words[1:]]) == 2
        assert "is a stack of one pose" in capsys.readouterr().err
    assert cli.main(["export", str(run), "--format", "zip", "--out", str(tmp_path / "it.zip")]) == 0
    before = (run / "sharp" / "beetle.png").read_bytes()
    assert cli.main(["reconstruct", str(tmp_path), "--out", str(run), "--resume"]) == 0
    assert (run / "sharp" / "beetle.png").read_bytes() == before
