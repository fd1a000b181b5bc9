"""Photos that do not fit: decoded again when wanted, and compared with as if they had stayed."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from macrosplat.photos.shelf import Shelf
from macrosplat.render import Frame
from macrosplat.train.targets import PER_PIXEL, PLANES, SOON, Targets

WIDTH, HEIGHT, PHOTOS = 128, 96, 7


def pictures(count: int = PHOTOS) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    return [random.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8) for _ in range(count)]


def make(budget: float) -> Targets:
    sizes = [Frame(WIDTH, HEIGHT)] * PHOTOS
    masks = [None if v % 2 else np.full((HEIGHT, WIDTH), 200 + v, np.uint8) for v in range(PHOTOS)]
    return Targets(pictures(), sizes, masks, budget=budget)


def test_a_shelf_keeps_what_fits_and_reads_the_rest_again():
    wanted, read = pictures(), []

    def open_(number: int) -> np.ndarray:
        read.append(number)
        return wanted[number]

    shelf = Shelf(PHOTOS, open_, 3 * wanted[0].nbytes)
    assert len(shelf) == PHOTOS and read == []
    for number in (0, 1, 2, 0, 1, 2):
        assert shelf[number] is wanted[number]
    assert read == [0, 1, 2]
    assert shelf[-1] is wanted[-1] and shelf[1] is wanted[1] and read == [0, 1, 2, PHOTOS - 1]
    assert shelf[0] is wanted[0] and read[-1] == 0  # the one wanted longest ago had gone
    assert all(a is b for a, b in zip(shelf[2:5], wanted[2:5], strict=True))
    with pytest.raises(IndexError):
        shelf[PHOTOS]
    with ThreadPoolExecutor(8) as threads:
        numbers = np.random.default_rng(1).integers(0, PHOTOS, 400).tolist()
        assert all(got is wanted[n] for n, got in zip(numbers, threads.map(shelf.__getitem__, numbers), strict=True))
    assert sum(p.nbytes for p in shelf._kept.values()) == shelf._bytes <= 3 * wanted[0].nbytes


@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_a_small_budget_shows_the_same_photos(scale):
    one = PER_PIXEL * WIDTH * HEIGHT * scale**2
    ample, tight = make(float("inf")), make(4.2 * one)
    steps = range(3 * PHOTOS)
    for step in steps:
        photo = ample.photo_of(step, 0)
        (wanted, frame), (got, other) = ample.at(photo, scale), tight.at(photo, scale)
        assert frame == other and wanted.total == got.total
        for name in PLANES[:4]:
            assert torch.equal(getattr(wanted, name), getattr(got, name))
        soon = [ample.photo_of(later, 0) for later in range(step + 1, step + 1 + SOON)]
        bank, slot = tight.bank(photo, scale, soon)
        target = bank.at(torch.tensor([slot])).alone()
        torch.testing.assert_close(target.weight * wanted.total / target.total, wanted.weight)
        for name in ("photo", "mean", "variance"):
            assert torch.equal(getattr(wanted, name), getattr(target, name))
        assert len(tight._made) <= 4
    kept = {id(bank): bank for bank in tight._banks.values()}.values()
    assert len(kept) == 1  # of one size
    assert sum(PER_PIXEL * s.targets.weight.numel() for s in kept) <= 5 * one


def test_another_resolution_forgets_what_was_on_its_way():
    tight = make(0.0)
    tight.bank(0, 0.5, [1, 2, 3])
    bank, slot = tight.bank(1, 1.0)
    assert bank.at(torch.tensor([slot])).alone().photo.shape == (3, HEIGHT, WIDTH)
