"""A GPU's kernels are loaded by a thread that ends with the work beside it, whatever either comes to."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from macrosplat import loading
from macrosplat.lens import LENSES, LensStart
from macrosplat.options import Options
from macrosplat.train.schedule import Schedule

GPU = torch.device("cuda")


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What steps were asked for; they go on until they are not wanted, or fail soon."""
    asked: list[Any] = []

    def steps(device: torch.device, samples: loading.Samples, count: int, wanted: Callable[[], bool]) -> None:
        asked.append((device, samples, count, threading.current_thread()))
        end = time.monotonic() + 0.05
        while wanted():
            if time.monotonic() > end:
                raise RuntimeError("out of memory")
            time.sleep(0.005)
        asked.append("stopped")

    monkeypatch.setattr(loading, "take_first_steps", steps)
    return asked


def test_the_kinds_of_steps_that_a_run_takes(taken: list[Any]) -> None:
    with loading.loading(GPU, Options(quality="draft")):
        pass
    ((device, samples, count, thread),) = taken
    assert device == GPU and samples == ((1, 0), (8, 4), (4, 2))
    assert count == loading.STEPS and not thread.is_alive()


def test_colours_are_of_every_degree_that_a_training_goes_through(monkeypatch: pytest.MonkeyPatch) -> None:
    degrees, make = [], loading.make_trainer

    def made(*args: Any, **kwargs: Any) -> Any:
        trainer = make(*args, **kwargs)
        plan = trainer.schedule.at(0, 1, trainer.model.lens)
        degrees.append((trainer.model.gaussians.sh_degree, plan.sh_degree))
        return trainer

    monkeypatch.setattr(loading, "make_trainer", made)
    loading.take_first_steps(torch.device("cpu"), ((1, 0),), 1)
    run = Schedule(steps=100, gaussians=1)
    planned = {run.at(step, 1, LENSES["plain"](LensStart(1.0, (1.0,), (1.0,)))).sh_degree for step in range(100)}
    assert set(degrees) == {(run.sh_degree, degree) for degree in planned}


def test_kernels_are_compiled_by_threads_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[int] = []

    def compile_ahead(work: Callable[[], None], threads: int, wanted: Callable[[], bool]) -> bool:
        asked.append(threads)
        return len(asked) > 1

    monkeypatch.setattr(loading, "compile_ahead", compile_ahead)
    monkeypatch.setattr(loading, "compiled_mark", lambda *of: tmp_path / "-".join(map(str, of)))
    for cores in (1, 40, 4, 4):  # one thread has nobody to share with; of the second nothing is known
        monkeypatch.setattr(loading, "CORES", cores)
        loading._compile(((1, 0), (8, 4)), lambda: True)
    assert asked == [loading.MOST, 4] and (tmp_path / "1-0-8-4").exists()


def test_it_stops_where_the_work_does(taken: list[Any]) -> None:
    with pytest.raises(KeyboardInterrupt), loading.loading(GPU, Options()):
        raise KeyboardInterrupt
    assert taken[-1] == "stopped" and not taken[0][-1].is_alive()


def test_no_thread_for_a_cpu_or_another_lens(taken: list[Any]) -> None:
    with loading.loading(torch.device("cpu"), Options()), loading.loading(GPU, Options(lens="plain")):
        pass
    assert not taken
