"""Specimens on the nodes of a Ray cluster: one task for each, with its CPUs and GPUs; tasks of a node that dies go on
on another one, from the last checkpoint in DIR, which all nodes share.

In: tasks. Out: each one's state, as it becomes known.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from macrosplat.batch.local import Outcome
from macrosplat.batch.work import Task, carry_out
from macrosplat.support.errors import MacrosplatError
from macrosplat.support.extras import install

RETRIES = 3  # of a task whose node died
MOST_AHEAD = 1000  # tasks that are handed over at a time


@dataclass(frozen=True)
class Share:
    """What a specimen gets."""

    cpus: float = 1.0
    gpus: float = 0.0


def run(
    tasks: Sequence[Task],
    address: str,
    share: Share,
    seen: Callable[[Task, Outcome], None],
    tick: Callable[[], None],
) -> None:
    """Carry out all tasks on the cluster at `address` (`auto`: the one that this machine belongs to; `local`: one of
    this machine alone).

    Raises:
        MacrosplatError: Ray is not installed, or there is no cluster.
        KeyboardInterrupt: the tasks were cancelled, their states kept.
    """
    try:
        import ray
        import ray.exceptions
    except ImportError as error:
        raise MacrosplatError(f"--ray needs Ray: {install('cluster')}.") from error
    ours = not ray.is_initialized()
    if ours:
        try:
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
        except Exception as error:  # Ray has errors of its own for each way of not being there
            words = " ".join(str(error).split())[:200]
            raise MacrosplatError(
                f"There is no Ray cluster at {address} ({words}); begin one with `ray start`."
            ) from error
    work = ray.remote(num_cpus=share.cpus, num_gpus=share.gpus, max_retries=RETRIES, scheduling_strategy="SPREAD")(
        _carry_out
    )
    few = {name: str(max(1, int(share.cpus))) for name in ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    left, running = list(tasks), dict[Any, Task]()
    try:
        while left or running:
            while left and len(running) < MOST_AHEAD:
                task = left.pop(0)
                running[work.remote(replace(task, environment=few))] = task
            tick()
            ended, _ = ray.wait(list(running), timeout=0.5)
            for one in ended:
                task = running.pop(one)
                try:
                    seen(task, ray.get(one))
                except ray.exceptions.RayError as error:
                    words = " ".join(str(error).split())[:300]
                    seen(task, MacrosplatError(f"Its node was lost {RETRIES + 1} times, or Ray gave up: {words}"))
    except BaseException:
        for one in running:
            ray.cancel(one, force=False)
        ray.wait(list(running), num_returns=len(running), timeout=60.0) if running else None
        raise
    finally:
        if ours:
            ray.shutdown()


def _carry_out(task: Task) -> Outcome | None:
    """In a worker of Ray, which is cancelled by a KeyboardInterrupt. Errors are values: Ray would dress them up."""
    stop, outcome = threading.Event(), list[Outcome | None]()

    def work() -> None:
        try:
            outcome.append(carry_out(task, stop, patient=True))
        except MacrosplatError as error:
            outcome.append(error)
        except Exception as error:  # this specimen's line, not the batch's end
            outcome.append(MacrosplatError(f"{type(error).__name__}: {error}"))

    thread = threading.Thread(target=work)
    thread.start()
    try:
        while thread.is_alive():
            thread.join(0.2)
    except KeyboardInterrupt:
        stop.set()
        thread.join()
        raise
    return outcome[0]
