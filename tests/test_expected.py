"""What a run will take: that it grows with what is asked for, and what is said of it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from macrosplat.options import Options
from macrosplat.photos.records import Photo
from macrosplat.train.expected import Expected, expected

CPU = torch.device("cpu")


def of(count: int, known: bool = True, device: torch.device = CPU, **options) -> Expected:
    photos = [Photo(f"{n}.jpg", Path(f"{n}.jpg"), 640, 480) for n in range(count)]
    return expected(photos, Options(**options), known, device)


def test_more_takes_longer() -> None:
    draft, standard, high = (of(30, width=320, quality=quality).seconds for quality in ("draft", "standard", "high"))
    assert draft < standard < high
    # What grows with the steps and the pixels alone: twice the steps are twice the training.
    one, two, three = (of(30, width=320, steps=steps).seconds for steps in (1000, 2000, 3000))
    assert three - two == pytest.approx(two - one) and two > one
    small, large = (
        of(30, width=width, steps=1000).seconds - of(30, width=width, steps=1).seconds for width in (160, 320)
    )
    assert large == pytest.approx(4 * small)
    assert of(30, known=False, width=320).seconds > of(30, width=320).seconds
    assert of(60, width=320).bytes > of(30, width=320).bytes
    assert of(30, width=320).width == 320 and of(30, width=5000).width == 640


def test_it_is_said_in_words_and_so_is_a_full_disk() -> None:
    guess = Expected(600.0, 2.5e9, 640)
    assert guess.sentence(1e12) == "This will take about 10 minutes and 2.5 GB of disk, trained at 640 px."
    assert "Only 100 MB of disk are free" in guess.sentence(1e8)
    assert (
        "about a minute" in Expected(20.0, 1e6, 96).sentence() and "2.0 hours" in Expected(7200.0, 1e6, 96).sentence()
    )
