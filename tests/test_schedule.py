"""The schedule at its switching points, whatever its numbers are."""

import dataclasses
import itertools

import pytest

from macrosplat.lens import Pupil
from macrosplat.train.schedule import FEW_POSES, PUPIL_END, RATES, Schedule, by_poses

LENS = {"lens.pupil": 1e-3, "lens.focus": 2e-3}
START = 1000


def plan(step, steps=10_000, **changed):
    return Schedule(steps=steps, gaussians=4000, **changed).at(step, START, LENS)


def test_resolution_switches():
    s = Schedule(10_000, 4000)
    half, full = round(s.half_from * 10_000), round(s.full_from * 10_000)
    scales = [plan(step).scale for step in (0, half - 1, half, full - 1, full, 9_999)]
    assert scales == [0.25, 0.25, 0.5, 0.5, 1.0, 1.0]


def test_degrees_come_one_by_one():
    for most in (0, 1, 2, 3):
        degrees = [plan(step, sh_degree=most).sh_degree for step in range(0, 10_000, 50)]
        assert degrees == sorted(degrees) and degrees[0] == 0 and degrees[-1] == most
        assert set(degrees) == set(range(most + 1))


def test_poses_are_held_unless_they_are_refined_and_then_until_late():
    assert not any(name.startswith("pose.") for step in (0, 5000, 9999) for name in plan(step).rates)
    at = round(Schedule(10_000, 4000).poses_from * 10_000)
    assert "pose.turn" not in plan(at - 1, refine_poses=True).rates
    assert {"pose.turn", "pose.shift"} <= plan(at, refine_poses=True).rates.keys()


def test_lens_is_held_until_there_is_a_scene():
    at = round(Schedule(10_000, 4000).lens_from * 10_000)
    assert not LENS.keys() & plan(at - 1).rates.keys()
    assert plan(at).rates["lens.pupil"] == LENS["lens.pupil"]


def test_without_spans_the_lens_is_looked_through_the_centre_and_learned_throughout():
    for step in (1000, 5000, 9999):
        found = plan(step, pupil_spans=())
        assert found.through == Pupil() and LENS.keys() <= found.rates.keys()


def test_the_pupil_s_rate_falls_until_it_is_held():
    held = round(10_000 * Schedule(10_000, 4000).pupil_spans[0][1])
    first = round(10_000 * Schedule(10_000, 4000).lens_from)
    assert plan(first).rates["lens.pupil"] == LENS["lens.pupil"] and "lens.pupil" not in plan(held).rates
    assert plan(held - 1).rates["lens.pupil"] == pytest.approx(PUPIL_END * LENS["lens.pupil"], rel=0.01)
    assert plan(held - 1).rates["lens.focus"] == LENS["lens.focus"]


def test_several_points_in_the_spans_alone_and_their_ring_turns():
    spans = ((0.2, 0.3, 4), (0.6, 0.8, 4), (0.8, 1.0, 8))
    points = [
        plan(step, pupil_spans=spans).through.points for step in (1999, 2000, 2999, 3000, 5999, 6000, 7999, 8000, 9999)
    ]
    assert points == [1, 4, 4, 1, 1, 4, 4, 8, 8]
    assert plan(2000, pupil_spans=spans).through.angle != plan(2001, pupil_spans=spans).through.angle


def test_rates_only_fall_and_begin_in_full():
    for name in RATES:
        seen = [p.rates[name] for p in (plan(step) for step in range(0, 10_000, 100)) if name in p.rates]
        assert all(b <= a for a, b in itertools.pairwise(seen)), name
        if not name.startswith("pose."):
            assert seen[0] == RATES[name] and 0 < seen[-1] < RATES[name]


def test_schedule_stretches_with_the_number_of_steps():
    for share in (0.0, 0.13, 0.5, 0.77, 0.99):
        short, long = plan(int(100 * share), steps=100), plan(int(10_000 * share), steps=10_000)
        assert short.rates == pytest.approx(long.rates) and short.scale == long.scale
        assert short.sh_degree == long.sh_degree and short.through.points == long.through.points


def test_growth_is_geometric_from_the_start_to_the_cap():
    schedule = Schedule(10_000, 4000)
    wanted = {step: plan(step).densify for step in range(0, 10_000)}
    asked = {step: n for step, n in wanted.items() if n}
    assert all(step % schedule.densify_every == 0 for step in asked)
    assert min(asked) >= schedule.densify_from * 10_000 and max(asked) <= schedule.densify_until * 10_000
    counts = list(asked.values())
    assert counts[0] == START and counts == sorted(counts) and counts[-1] == 4000
    grown = [n for step, n in asked.items() if step <= schedule.grown * 10_000]
    ratios = [b / a for a, b in itertools.pairwise(grown)]
    assert max(ratios) == pytest.approx(min(ratios), abs=0.003)  # counts are whole numbers


def test_few_poses_are_trained_otherwise():
    many, few = by_poses(FEW_POSES + 1, 10.0), by_poses(FEW_POSES, 10.0)
    assert Schedule(100, 1000, **few).drop > 0 and few["sh_degree"] == 0
    assert many == {"least_views": 3, "least_views_near": 3}
    assert (few["least_views"], few["least_views_near"]) == (3, 6)
    # A row of photos that overlap by thirds keeps what two show; three that share a point fix it.
    assert by_poses(FEW_POSES, 3.0)["least_views_near"] == 2
    assert by_poses(200, 150.0)["least_views_near"] == 3


def test_noise_ends_with_density_control():
    until = round(Schedule(10_000, 4000).densify_until * 10_000)
    assert plan(0).noise == 1.0 and plan(until - 1).noise > 0 and plan(until).noise == 0


def test_values_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        plan(0).scale = 1.0  # type: ignore[misc]
