"""Masks made from photos: against the silhouettes that the photos were painted with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

from macrosplat.capture.made_masks import with_made_masks
from macrosplat.capture.records import Capture
from macrosplat.photos.find import find_photos
from macrosplat.photos.silhouettes import silhouettes
from macrosplat.support.colour import to_bytes, to_srgb

WIDTH, HEIGHT = 160, 120


def _paint(folder: Path, backdrop: str, count: int = 4) -> list[np.ndarray]:
    """Photos of a blurred, textured disc with a soft shadow; its true silhouettes."""
    random = np.random.default_rng(3)
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    truth = []
    leaves = gaussian_filter(random.uniform(0, 255, (HEIGHT, 3 * WIDTH, 3)), (4, 4, 0)) * 4 - 380
    for n in range(count):
        thing = (x - 60 - 6 * n) ** 2 + (y - 62) ** 2 < 30**2
        thing |= (abs(x - 60 - 6 * n) < 3) & (y > 60)  # a leg that leaves the frame
        ground = np.full((HEIGHT, WIDTH, 3), 215.0) - 0.1 * y[..., None]
        if backdrop == "leaves":
            ground = leaves[:, 30 * n : 30 * n + WIDTH]
        shadow = 1 - 0.25 * np.exp(-(((x - 110) / 25) ** 2) - ((y - 95) / 15) ** 2)
        inside = np.array([90.0, 60, 30]) + 20 * gaussian_filter(random.normal(0, 6, (HEIGHT, WIDTH)), 2)[..., None]
        alpha = gaussian_filter(thing.astype(float), 2.0)[..., None]
        seen = alpha * inside + (1 - alpha) * ground * shadow[..., None] + random.normal(0, 1, (HEIGHT, WIDTH, 1))
        Image.fromarray(np.clip(seen, 0, 255).astype(np.uint8)).save(folder / f"{n}.png")
        truth.append(thing)
    return truth


def test_before_a_plain_backdrop(tmp_path: Path) -> None:
    truth = _paint(tmp_path, "sweep")
    found = silhouettes(find_photos(tmp_path).photos)
    assert found is not None and found.why == "the backdrop is plain"
    for mask, thing in zip(found.masks, truth, strict=True):
        both = (mask > 127) & thing
        assert both.sum() > 0.98 * thing.sum()
        assert both.sum() > 0.88 * ((mask > 127) | thing).sum()


def test_a_blurred_leg_is_kept_and_hardly_thickened(tmp_path: Path) -> None:
    """5 px, by a blur of 4: where 0.4 of the contrast that is left lies, the leg would be 15 px."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    for n in range(3):
        body = (x - 40) ** 2 + (y - 60) ** 2 < 25**2
        leg = (abs(y - 50 - 5 * n) <= 2) & (x > 40) & (x < 140)
        alpha = np.maximum(gaussian_filter(body.astype(float), 1), gaussian_filter(leg.astype(float), 4))
        seen = to_srgb(0.03 * alpha + 0.7 * (1 - alpha))[..., None].repeat(3, 2)
        Image.fromarray(to_bytes(seen)).save(tmp_path / f"{n}.png")
    found = silhouettes(find_photos(tmp_path).photos)
    assert found is not None
    for mask in found.masks:
        thick = (mask > 127)[:, 80:130].sum(0)
        assert thick.min() >= 5 and thick.max() <= 12


def test_outlines_are_as_fine_as_the_photo(tmp_path: Path) -> None:
    """Legs of 3 px in focus, in photos larger than those that the backdrop is told from."""
    width, height = 640, 480
    y, x = np.mgrid[:height, :width]
    truth = []
    for n in range(3):
        thing = (x - 320) ** 2 + (y - 150) ** 2 < 60**2
        for leg in range(-2, 3):
            thing |= (abs(x - 320 - 22 * leg - 3 * n) <= 1) & (y > 150) & (y < 440)
        alpha = gaussian_filter(thing.astype(float), 0.5)
        seen = to_srgb(0.03 * alpha + 0.7 * (1 - alpha))[..., None].repeat(3, 2)
        Image.fromarray(to_bytes(seen)).save(tmp_path / f"{n}.png")
        truth.append(thing)
    found = silhouettes(find_photos(tmp_path).photos)
    assert found is not None
    for mask, thing in zip(found.masks, truth, strict=True):
        assert mask.shape == thing.shape
        legs = np.index_exp[200:430]
        assert ((mask > 127) & thing)[legs].sum() > 0.95 * ((mask > 127) | thing)[legs].sum()


@pytest.mark.parametrize("pale", [False, True])
def test_a_hole_that_shows_the_backdrop_is_open_unless_the_thing_is_as_pale(tmp_path: Path, pale: bool) -> None:
    """A brown ring with its shadow behind it; then a part of it is painted grey: the same hole could be paint."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    for n in range(3):
        away = np.hypot(x - 70 - 8 * n, y - 60)
        ring = (away < 34) & (away > 9)
        inside = np.where(pale & (y > 75), 0.3, 0.0)[..., None]
        inside = np.where(inside > 0, inside, [0.25, 0.12, 0.03])
        alpha = gaussian_filter(ring.astype(float), 1)[..., None]
        ground = 0.7 * np.where(away < 50, 0.75 + 0.25 * (away / 50) ** 2, 1)[..., None]
        Image.fromarray(to_bytes(to_srgb(alpha * inside + (1 - alpha) * ground))).save(tmp_path / f"{n}.png")
    found = silhouettes(find_photos(tmp_path).photos)
    assert found is not None
    for n, mask in enumerate(found.masks):
        away = np.hypot(x - 70 - 8 * n, y - 60)
        assert ((mask > 127) == pale)[away < 6].all()
        assert (mask > 127)[(away > 12) & (away < 31)].all()


def test_before_a_room_that_stands_still_while_the_thing_turns(tmp_path: Path) -> None:
    """The thing covers what is near its axis in every photo, and a ring about it in most."""
    random = np.random.default_rng(5)
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(float)
    room = 110 + 60 * gaussian_filter(random.normal(size=(HEIGHT, WIDTH, 3)), (5, 5, 0)) * 9
    own = 25 * gaussian_filter(random.normal(size=(400, 400)), 2) * 7
    truth = []
    for n in range(16):
        cos, sin = np.cos(np.pi * n / 8), np.sin(np.pi * n / 8)
        along, across = cos * (x - 80) + sin * (y - 60), -sin * (x - 80) + cos * (y - 60)
        thing = ((along - 12) / 38) ** 2 + (across / 17) ** 2 < 1
        colour = 235 + own[(across + 200).astype(int), (along + 200).astype(int)][..., None] * [1, 1, 0.6]
        alpha = gaussian_filter(thing.astype(float), 1.0)[..., None]
        seen = alpha * colour + (1 - alpha) * room + random.normal(0, 1, room.shape)
        Image.fromarray(np.clip(seen, 0, 255).astype(np.uint8)).save(tmp_path / f"{n:02d}.png")
        truth.append(thing)
    found = silhouettes(find_photos(tmp_path).photos)
    assert found is not None and found.why == "the room stands still while the object turns"
    for mask, thing in zip(found.masks, truth, strict=True):
        both = (mask > 127) & thing
        assert both.sum() > 0.97 * thing.sum() and both.sum() > 0.85 * ((mask > 127) | thing).sum()


def test_of_many_photos_some_are_looked_at_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The masks are those that all photos come to; where some are in doubt, the others are not read."""
    _paint(tmp_path, "sweep", count=7)
    photos = find_photos(tmp_path).photos
    whole = silhouettes(photos)
    monkeypatch.setattr("macrosplat.photos.silhouettes.SAMPLE", 4)
    found = silhouettes(photos)
    assert whole is not None and found is not None and len(found.masks) == 7
    assert all((one == other).all() for one, other in zip(whole.masks, found.masks, strict=True))
    (tmp_path / "leaves").mkdir()
    _paint(tmp_path / "leaves", "leaves", count=7)
    doubted, read = find_photos(tmp_path / "leaves").photos, []
    assert silhouettes(doubted, lambda: read.append(1)) is None and len(read) == 4


def test_none_where_in_doubt(tmp_path: Path) -> None:
    _paint(tmp_path, "leaves")
    assert silhouettes(find_photos(tmp_path).photos) is None


def test_none_of_a_dark_room_whose_wall_is_lit_in_one_photo(tmp_path: Path) -> None:
    """Dark surroundings alone are a backdrop; a lit wall differs from them, but not as the thing does."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    thing = gaussian_filter(((x - 70) ** 2 + (y - 60) ** 2 < 30**2).astype(float), 2.0)[..., None]
    wall = gaussian_filter((x > 118).astype(float), 1.0)[..., None]
    for n in range(6):
        lit = np.clip(80 - 2 * y / 3, 40, 80)[..., None] * wall if n == 4 else 0
        seen = thing * np.array([210.0, 190, 150]) + (1 - thing) * (np.array([24.0, 20, 12]) + lit)
        Image.fromarray(np.broadcast_to(seen, (HEIGHT, WIDTH, 3)).astype(np.uint8)).save(tmp_path / f"{n}.png")
    photos = find_photos(tmp_path).photos
    assert silhouettes(photos) is None
    assert silhouettes([*photos[:4], photos[5]]) is not None


def test_kept_to_be_mended(tmp_path: Path) -> None:
    home, masks = tmp_path / "photos", tmp_path / "run" / "masks"
    home.mkdir()
    _paint(home, "sweep")
    opened = Capture(tmp_path, find_photos(home).photos)
    made, said = with_made_masks(opened, masks, lambda *_: None, lambda: None)
    assert said is not None and str(masks) in said
    assert [photo.mask for photo in made.photos] == [masks / f"{n}.png.png" for n in range(4)]
    (masks / "2.png.png").unlink()
    Image.new("L", (WIDTH, HEIGHT), 255).save(masks / "1.png.png")
    mended, _ = with_made_masks(opened, masks, pytest.fail, pytest.fail)
    assert [photo.mask is None for photo in mended.photos] == [False, False, True, False]
    (masks / "about.txt").write_bytes(b"mine \xff")  # somebody's own words
    assert "by the masks there" in (with_made_masks(opened, masks, pytest.fail, pytest.fail)[1] or "")
    assert with_made_masks(made, tmp_path / "other", pytest.fail, pytest.fail) == (made, None)
