"""How large a run becomes, and that it is refused if it cannot fit."""

from typing import get_args

import pytest

from macrosplat import options
from macrosplat.render import Frame
from macrosplat.support.errors import MacrosplatError
from macrosplat.train import budget


def frames(count: int, width: int) -> list[Frame]:
    return [Frame(width, width * 3 // 4)] * count


def test_every_quality_has_an_effort_and_more_is_more():
    assert tuple(budget.EFFORTS) == get_args(options.Quality)
    efforts = list(budget.EFFORTS.values())
    for name in ("steps", "per_pixel", "gaussians"):
        values = [getattr(effort, name) for effort in efforts]
        assert values == sorted(values) and len(set(values)) == len(values), name


@pytest.mark.parametrize("quality", get_args(options.Quality))
def test_gaussians_grow_with_the_pixels_between_bounds(quality):
    counts = [budget.default_gaussians(quality, frames(3, width)) for width in (32, 320, 640, 8000)]
    effort = budget.EFFORTS[quality]
    assert counts == sorted(counts)
    assert counts[0] == budget.FEWEST and counts[-1] == effort.gaussians
    assert counts[1] == max(budget.FEWEST, round(effort.per_pixel * 320 * 240))


def test_estimate_grows_with_everything():
    least = budget.estimate(frames(10, 640), 10_000)
    assert least < budget.estimate(frames(20, 640), 10_000)
    assert least < budget.estimate(frames(10, 1280), 10_000)
    assert least < budget.estimate(frames(10, 640), 100_000)
    assert least < budget.estimate(frames(10, 640), 10_000, samples=8)
    more = [budget.estimate(frames(10, 640), n, p) for p in (1, 8) for n in (10_000, 100_000)]
    assert more[3] - more[2] > more[1] - more[0]  # each point of the pupil draws them
    # 30 photos of 1600 px and 300 000 Gaussians have to fit into 6 GB.
    assert budget.estimate(frames(30, 1600), 300_000, samples=8) < 6e9


def test_what_does_not_fit_is_refused_with_what_to_lower(monkeypatch):
    needed = budget.MARGIN * budget.estimate(frames(3, 640), 10_000)
    monkeypatch.setattr(budget, "available", lambda: needed * 1.01)
    budget.check_memory(frames(3, 640), 10_000)
    monkeypatch.setattr(budget, "available", lambda: needed * 0.99)
    with pytest.raises(MacrosplatError, match=r"lower --width \(now 640\) or --max-gaussians \(now 10000\)"):
        budget.check_memory(frames(3, 640), 10_000)
    monkeypatch.setattr(budget, "available", lambda: None)  # nobody knows: go on
    budget.check_memory(frames(3, 640), 10_000)


def test_available_is_read_from_the_system():
    free = budget.available()
    assert free is None or 1e6 < free < 1e15
