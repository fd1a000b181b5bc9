"""What a run will take: that it grows with what is asked for, and what is said of it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from macrosplat.options import Options
from macrosplat.photos.records import Photo
from macrosplat.support.errors import MacrosplatError
from macrosplat.support.threads import speed_of
from macrosplat.train.expected import GPU_START, Expected, check_results, expected

CPU = torch.device("cpu")


def of(count: int, known: bool = True, device: torch.device = CPU, **options) -> Expected:
    photos = [Photo(f"{n}.jpg", Path(f"{n}.jpg"), 640, 480) for n in range(count)]
    return expected([(p.width, p.height) for p in photos], Options(**options), known, device)


def test_more_takes_longer() -> None:
    draft, standard, high = (of(30, width=320, quality=quality).seconds for quality in ("draft", "standard", "high"))
    assert draft < standard < high
    # What grows with the steps and the pixels alone: twice the steps are twice the training.
    one, two, three = (of(30, width=320, steps=steps).seconds for steps in (1000, 2000, 3000))
    assert three - two == pytest.approx(two - one) and two > one
    small, large = (
        of(30, width=width, steps=1000).seconds - of(30, width=width, steps=1).seconds for width in (160, 320)
    )
    assert 2 * small < large < 4 * small  # Gaussians grow with the pixels, and a sample costs something by itself
    assert of(30, known=False, width=320).seconds > of(30, width=320).seconds
    pointed = expected([(640, 480)] * 30, Options(width=320), True, CPU, points_known=True).seconds
    assert pointed < of(30, width=320).seconds  # nothing is triangulated
    assert of(60, width=320).bytes > of(30, width=320).bytes
    assert of(30, width=320).width == 320 and of(30, width=5000).width == 640


def test_a_run_takes_what_it_took(monkeypatch: pytest.MonkeyPatch) -> None:
    # experiments: what-a-run-takes, sfm-quick. The demo on two cores.
    monkeypatch.setattr("macrosplat.train.expected.CORES", 2)
    run = {"width": 320, "quality": "draft"}
    training = of(30, known=False, steps=1501, **run).seconds - of(30, known=False, steps=1, **run).seconds
    assert training == pytest.approx(56, rel=0.1)
    assert of(30, known=False, **run).seconds - training == pytest.approx(42, rel=0.1)
    found = expected([(1728, 1152)] * 35, Options(**run), False, CPU).seconds  # experiments: sfm-quick, mary_rose
    given = expected([(1728, 1152)] * 35, Options(**run), True, CPU, points_known=True).seconds
    assert 258 / 2 < found - given < 268  # s of processor time, and by a clock that tests shared
    assert speed_of(1) == 1 and speed_of(16) == pytest.approx(3.37, abs=0.01)


def test_kernels_are_built_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    gpu = torch.device("cuda")
    first = of(30, width=320, device=gpu).seconds
    (tmp_path / "kernel").touch()
    assert first - of(30, width=320, device=gpu).seconds == pytest.approx(GPU_START)


def test_it_is_said_in_words_and_so_is_a_full_disk() -> None:
    guess = Expected(600.0, 2.5e9, 640)
    assert guess.sentence(1e12) == "This will take about 10 minutes and 2.5 GB of disk, trained at 640 px."
    assert "Only 100 MB of disk are free" in guess.sentence(1e8)
    assert "10 minutes, 7.6 GB of memory and 2.5 GB of disk" in Expected(600.0, 2.5e9, 640, 7.6e9).sentence()
    assert "take less" in Expected(2000.0, 2.5e9, 640).sentence() and "take less" not in guess.sentence()
    assert (
        "about a minute" in Expected(20.0, 1e6, 96).sentence() and "2.0 hours" in Expected(7200.0, 1e6, 96).sentence()
    )


def photos_of(count: int, width: int, height: int) -> list[Photo]:
    return [Photo(f"{n}.jpg", Path(f"{n}.jpg"), width, height) for n in range(count)]


def test_memory_is_that_of_the_largest_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    def memory(count: int, width: int, height: int) -> float:
        return expected([(width, height)] * count, Options(width=96), True, CPU).memory

    monkeypatch.setattr("macrosplat.train.expected.available", lambda: 1e12)
    monkeypatch.setattr("macrosplat.train.expected.CORES", 0)
    assert memory(3, 12000, 9000) == pytest.approx(0.6e9 + 86 * 108e6)  # a sharp photo
    many = memory(1000, 640, 480)
    assert many == pytest.approx(0.6e9 + 1000 * 560 * 3072)  # feature points
    pointed = expected([(640, 480)] * 1000, Options(width=96), True, CPU, points_known=True).memory
    assert pointed == pytest.approx(1.7e9)  # experiments: large-captures
    # However many photos there are, training keeps no more than there is room for.
    small = expected([(640, 480)] * 4, Options(), True, CPU).memory
    monkeypatch.setattr("macrosplat.train.expected.available", lambda: 2e9)
    assert small < expected([(640, 480)] * 400, Options(), True, CPU).memory < small + 1.4e9
    assert memory(1000, 640, 480) == many


def test_photos_that_could_not_be_written_are_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("macrosplat.train.expected.available", lambda: 4e9)
    check_results(photos_of(3, 6000, 4000))
    with pytest.raises(MacrosplatError, match=r"0\.jpg has 12000 x 9000 px: to make it sharp takes about 9\.9 GB"):
        check_results(photos_of(3, 12000, 9000))
