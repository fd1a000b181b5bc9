"""How large a run becomes, and that it is refused if it cannot fit."""

from typing import get_args

import pytest

from macrosplat import options
from macrosplat.render import Frame
from macrosplat.support import memory
from macrosplat.support.errors import MacrosplatError
from macrosplat.train import effort


def frames(count: int, width: int) -> list[Frame]:
    return [Frame(width, width * 3 // 4)] * count


def test_every_quality_has_an_effort_and_more_is_more():
    assert tuple(effort.EFFORTS) == get_args(options.Quality)
    efforts = list(effort.EFFORTS.values())
    for name in ("steps", "per_pixel", "gaussians"):
        values = [getattr(one, name) for one in efforts]
        assert values == sorted(values) and len(set(values)) == len(values), name


def test_a_run_that_spends_less_says_so():
    small = frames(3, 640)
    assert effort.spared("standard", 4000, 10**9, small) is None
    assert effort.spared("standard", 9000, 150_000, small) is None
    said = effort.spared("standard", 1500, 36_864, small)
    assert said is not None and "1,500 of 4,000 steps, at most 36,864 Gaussians instead of 184,320" in said
    assert "at most 92,160 Gaussians instead of 184,320" in (effort.spared("standard", 12_000, 92_160, small) or "")
    assert effort.spared("draft", 1500, 76_800, small) is None


@pytest.mark.parametrize("quality", get_args(options.Quality))
def test_gaussians_grow_with_the_pixels_between_bounds(quality):
    counts = [effort.default_gaussians(quality, frames(3, width)) for width in (32, 320, 640, 8000)]
    spent = effort.EFFORTS[quality]
    assert counts == sorted(counts)
    assert counts[0] == effort.FEWEST and counts[-1] == spent.gaussians
    assert counts[1] == max(effort.FEWEST, round(spent.per_pixel * 320 * 240))


def test_estimate_grows_with_everything():
    least = effort.estimate(frames(10, 640), 10_000)
    assert least < effort.estimate(frames(20, 640), 10_000)
    assert least < effort.estimate(frames(10, 1280), 10_000)
    assert least < effort.estimate(frames(10, 640), 100_000)
    assert least < effort.estimate(frames(10, 640), 10_000, samples=8)
    more = [effort.estimate(frames(10, 640), n, p) for p in (1, 8) for n in (10_000, 100_000)]
    assert more[3] - more[2] > more[1] - more[0]  # each aperture sample draws them
    # 30 photos of 1600 px and 300 000 Gaussians have to fit into 6 GB.
    assert effort.estimate(frames(30, 1600), 300_000, samples=8) < 6e9


def test_what_does_not_fit_is_refused_with_what_to_lower(monkeypatch):
    needed = effort.MARGIN * effort.estimate(frames(3, 640), 10_000)
    monkeypatch.setattr(effort, "available", lambda: needed * 1.01)
    effort.check_memory(frames(3, 640), 10_000)
    monkeypatch.setattr(effort, "available", lambda: needed * 0.99)
    with pytest.raises(MacrosplatError, match=r"lower --width \(now 640\) or --max-gaussians \(now 10000\)"):
        effort.check_memory(frames(3, 640), 10_000)
    monkeypatch.setattr(effort, "available", lambda: None)  # nobody knows: go on
    effort.check_memory(frames(3, 640), 10_000)


def test_available_is_read_from_the_system():
    free = memory.available()
    assert free is None or 1e6 < free < 1e15
