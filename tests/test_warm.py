"""What makes a GPU ready tries all that a schedule will ask for, and leaves the run alone."""

import pytest
import torch

from macrosplat.lens import LENSES
from macrosplat.options import Options
from macrosplat.train.made_up import made_up
from macrosplat.train.recorded import AHEAD, Kind
from macrosplat.train.schedule import Schedule
from macrosplat.train.warm import Ahead, kinds


def made(lens: str, steps: int, width: int = 32, height: int = 24):
    def schedule(used):
        return Schedule(steps, 256, refine_poses=True, **used.schedule)

    settings = Options(lens=lens).lens_settings()  # type: ignore[arg-type]
    return made_up(64, width, height, torch.device("cpu"), LENSES[lens], settings, schedule, True)


@pytest.mark.parametrize("lens", LENSES)
@pytest.mark.parametrize("steps", [60, 4000])
def test_every_kind_of_step_is_tried(lens, steps):
    trainer = made(lens, steps)
    schedule, rates = trainer.schedule, trainer.learned.lens.rates

    def kind(step: int) -> Kind:
        plan, photo = schedule.at(step, trainer.start, rates), trainer.frames.photo_of(step, 0)
        pinhole = trainer.frames.seen(photo, plan.scale)[1]
        return Kind(pinhole, plan.through.points, plan.sh_degree, tuple(sorted(plan.rates)))

    all_ = {kind(step) for step in range(0, steps, 5)}
    loud, quiet = (kinds(schedule, trainer.start, rates, quiet) for quiet in (False, True))
    assert {kind(step) for step in loud} >= all_ and {kind(step) for step in quiet} >= all_
    plans = [schedule.at(step, trainer.start, rates) for step in quiet]
    assert not any(plan.densify or plan.extra for plan in plans)
    assert not any((step + 1) % AHEAD == 0 or step + 1 == steps for step in quiet)


@pytest.mark.parametrize("lens", LENSES)
def test_a_made_up_scene_can_be_learned_from_and_random_numbers_stay(lens):
    before = torch.random.get_rng_state()
    trainer = made(lens, 60)
    assert all(torch.isfinite(trainer.step()) for _ in range(2))
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_cpu_needs_nothing():
    threads = torch.get_num_threads()
    with Ahead(torch.device("cpu"), LENSES["lens"], {}, lambda lens: Schedule(60, 256), [(32, 24)], False) as ahead:
        assert not ahead.busy()
        ahead.wait()
    assert torch.get_num_threads() == threads
