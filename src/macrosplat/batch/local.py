"""Several specimens at the same time on this machine, each in a process of its own with its share of cores and GPUs.

In: tasks. Out: each one's state, as it becomes known.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace

from macrosplat.batch.state import State
from macrosplat.batch.work import Task, carry_out
from macrosplat.support.errors import MacrosplatError
from macrosplat.support.gpus import gpus
from macrosplat.support.threads import CORES

HELD_ELSEWHERE = 2.0  # s until a specimen that another process is at is looked at again
Outcome = State | MacrosplatError


def run(
    tasks: Sequence[Task],
    workers: int,
    seen: Callable[[Task, Outcome], None],
    tick: Callable[[], None],
) -> None:
    """Carry out all tasks, `workers` at a time.

    Args:
        seen: is told each outcome, in this thread. tick: is called now and then.

    Raises:
        KeyboardInterrupt: the processes were asked to end, and did, with their states kept.
    """
    waiting, later = deque(tasks), deque[tuple[float, Task]]()
    outcomes: queue.SimpleQueue[tuple[Task, Outcome | None]] = queue.SimpleQueue()
    stop, lock, left = threading.Event(), threading.Lock(), len(tasks)
    shares = environments(workers)

    def work(environment: dict[str, str]) -> None:
        while not stop.is_set():
            with lock:
                if waiting:
                    task = waiting.popleft()
                elif later and later[0][0] <= time.monotonic():
                    task = later.popleft()[1]
                elif later or left > 0:
                    task = None
                else:
                    return
            if task is None:
                stop.wait(0.05)
                continue
            try:
                outcomes.put((task, carry_out(replace(task, environment=environment), stop)))
            except MacrosplatError as error:
                outcomes.put((task, error))
            except Exception as error:  # a defect of ours, or of the system: this specimen's line, not the batch's end
                outcomes.put((task, MacrosplatError(f"{type(error).__name__}: {error}")))

    threads = [threading.Thread(target=work, args=(share,), daemon=True) for share in shares]
    for thread in threads:
        thread.start()
    try:
        while left:
            tick()
            try:
                task, outcome = outcomes.get(timeout=0.2)
            except queue.Empty:
                continue
            if outcome is None:
                with lock:
                    later.append((time.monotonic() + HELD_ELSEWHERE, task))
                continue
            with lock:
                left -= 1
            seen(task, outcome)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
        while not outcomes.empty():
            task, outcome = outcomes.get()
            if outcome is not None:
                seen(task, outcome)


def environments(workers: int) -> list[dict[str, str]]:
    """What each of the processes may use: its share of the cores, and one GPU, where there are several."""
    few = dict.fromkeys(("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(max(1, CORES // workers)))
    there = gpus()
    return [few | ({"CUDA_VISIBLE_DEVICES": there[n % len(there)]} if there else {}) for n in range(workers)]
