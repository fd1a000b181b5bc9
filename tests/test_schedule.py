"""The schedule at its switching points, whatever its numbers are."""

import dataclasses
import itertools

import pytest

from macrosplat.lens import LensStart, Sampling
from macrosplat.lens.blurnet import BlurNet
from macrosplat.lens.covariance import CovarianceLens
from macrosplat.lens.terms import TERMS
from macrosplat.lens.thin import FASTER, PUPIL_END, ThinLens
from macrosplat.train.schedule import FEW_POSES, RATES, Schedule, by_poses

START = 1000


def lens(**changed) -> ThinLens:
    made = ThinLens(LensStart(0.1, (5.0,), (1.0,)))
    for name, value in changed.items():
        assert hasattr(made, name), name
        setattr(made, name, value)
    return made


LENS = lens().rates


def plan(step, steps=10_000, of_lens=None, **changed):
    return Schedule(steps=steps, gaussians=4000, **changed).at(step, START, of_lens or lens())


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
    at = round(lens().poses_from * 10_000)
    assert "pose.turn" not in plan(at - 1, refine_poses=True).rates
    assert {"pose.turn", "pose.shift"} <= plan(at, refine_poses=True).rates.keys()


def test_focal_lengths_are_learned_through_the_whole_pupil_only():
    focal = {"pose.focal", "pose.breathing"}
    for step in range(2_000, 10_000, 500):
        made = plan(step, refine_poses=True, breathing=True)
        assert (focal <= made.rates.keys()) == (made.sampling.samples > 1), step
        assert focal <= plan(step, of_lens=lens(spans=()), refine_poses=True, breathing=True).rates.keys()
        assert "pose.breathing" not in plan(step, refine_poses=True).rates
        given = plan(step, refine_poses=True, refine_focal=False, breathing=True).rates
        assert not focal & given.keys() and ("pose.turn" in given) == ("pose.turn" in made.rates)


def test_lens_is_held_until_there_is_a_scene():
    at = round(lens().learn_from * 10_000)
    assert not LENS.keys() & plan(at - 1).rates.keys()
    assert plan(at).rates["lens.focus"] == LENS["lens.focus"]


def test_foci_are_learned_before_the_pupil():
    at = round(lens().pupil_from * 10_000)
    assert "lens.focus" in plan(at - 1).rates and "lens.pupil" not in plan(at - 1).rates
    assert plan(at).rates["lens.pupil"] == FASTER * LENS["lens.pupil"]


def test_without_spans_there_is_one_sample_and_the_lens_learns_throughout():
    for step in (1000, 5000, 9999):
        found = plan(step, of_lens=lens(spans=()))
        every = LENS.keys() - {term.name for term in TERMS}  # those are looked for in the first span
        assert found.sampling == Sampling() and every <= found.rates.keys()


def test_the_pupil_s_rate_falls_until_it_is_held():
    held = round(10_000 * lens().spans[0][1])
    first = round(10_000 * lens().pupil_from)
    whole = FASTER * LENS["lens.pupil"]
    assert plan(first).rates["lens.pupil"] == whole and "lens.pupil" not in plan(held).rates
    assert plan(held - 1).rates["lens.pupil"] == pytest.approx(PUPIL_END * whole, rel=0.01)
    assert plan(held - 1).rates["lens.focus"] == LENS["lens.focus"]


def test_several_samples_in_the_spans_alone_and_their_ring_turns():
    several = lens(spans=((0.2, 0.3, 4, 0), (0.6, 0.8, 4, 0), (0.8, 1.0, 8, 4)))
    steps = (1999, 2000, 2999, 3000, 5999, 6000, 7999, 8000, 9999)
    assert [plan(step, of_lens=several).sampling.samples for step in steps] == [1, 4, 4, 1, 1, 4, 4, 8, 8]
    assert plan(2000, of_lens=several).sampling.angle != plan(2001, of_lens=several).sampling.angle


def test_a_lens_may_slow_the_scene_and_ask_for_more_of_it():
    blurnet = BlurNet(LensStart(1.0, (5.0,), (1.0,), settings={"joint_from": 0.5}))
    alone, joint = (round(10_000 * t) for t in (blurnet.learn_from, blurnet.joint_from))
    slow, full = (plan(step, of_lens=blurnet).rates["sh0"] for step in (alone, joint))
    assert slow == pytest.approx(blurnet.chosen.warm_rate * full) and slow < full
    covariance = CovarianceLens(LensStart(1.0, (5.0,), (1.0,), settings={"extra": 0.25, "extra_at": 0.3}))
    asked = {step: n for step in range(10_000) if (n := plan(step, of_lens=covariance).extra)}
    assert asked == {3000: 1000}


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
        assert short.sh_degree == long.sh_degree and short.sampling.samples == long.sampling.samples


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
