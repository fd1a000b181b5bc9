"""One program as several processes, one for each GPU: begun, watched, ended together; as torchrun does, on one machine.

In: the words of a command, how many. Out: the exit code of rank 0, or a sentence about the rank that was lost.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import IO, Any

from macrosplat.support.errors import MacrosplatError
from macrosplat.support.gpus import gpus
from macrosplat.support.threads import CORES

LOOK_EVERY = 0.1  # s
A_CORE = 4  # ranks at the most, without GPUs
GRACE = 5.0  # s that a rank has to end by itself


def is_rank() -> bool:
    """Whether this process is one of several already (torchrun's way of saying so)."""
    return "RANK" in os.environ and "WORLD_SIZE" in os.environ


def is_follower() -> bool:
    """Whether it is one of them, and not the first, which alone writes."""
    return is_rank() and os.environ["RANK"] != "0" and os.environ["WORLD_SIZE"] != "1"


def together(words: Sequence[str], count: int, on_gpus: bool, program: Sequence[str] = ("-m", "macrosplat")) -> int:
    """Run `python PROGRAM WORDS` as so many ranks; only rank 0 speaks. Returns its exit code.

    Ctrl-C and `kill` are for rank 0; when it has ended, all end.

    Raises:
        MacrosplatError: there are not so many GPUs, or a rank was lost.
    """
    there = gpus()
    if on_gpus and len(there) < count:
        gpu = "1 GPU" if len(there) == 1 else f"{len(there)} GPUs"
        raise MacrosplatError(f"--devices {count} was asked for, and this machine has {gpu}; give fewer.")
    cores = os.cpu_count() or 1
    if not on_gpus and count > A_CORE * cores:  # each is a process of its own, with all of torch
        raise MacrosplatError(f"--devices {count} was asked for, and this machine has {cores} cores; give fewer.")
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT,)}
    with contextlib.ExitStack() as files:
        said = [files.enter_context(tempfile.TemporaryFile()) for _ in range(count)]
        ranks = _begin([*program, *words], count, there if on_gpus else [], said)
        before[signal.SIGTERM] = signal.signal(signal.SIGTERM, lambda *_: _tell(ranks[0], signal.SIGTERM))
        lost = None
        try:
            lost = _watch(ranks)
        finally:
            _end(ranks, 0.0 if lost is not None else GRACE)
            for number, handler in before.items():
                signal.signal(number, handler)
        if lost is None:
            return ranks[0].returncode
        words_of_lost = _last_words(said[lost], ranks[lost].returncode)
        raise MacrosplatError(
            f"Rank {lost} of {count} was lost ({words_of_lost}); what was done is kept, and --resume goes on with it, "
            "also with another number of --devices."
        )


def free_port() -> int:
    """A port of this machine that nobody listens at."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def _begin(
    words: Sequence[str], count: int, there: Sequence[str], said: Sequence[IO[bytes]]
) -> list[subprocess.Popen[bytes]]:
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": str(count)}
    shared |= dict.fromkeys(("NUMBA_NUM_THREADS", "OMP_NUM_THREADS"), str(max(1, CORES // count)))
    ranks = []
    for rank in range(count):
        own = {"RANK": str(rank), "LOCAL_RANK": "0"}  # each sees one GPU, its own
        own |= {"CUDA_VISIBLE_DEVICES": there[rank]} if there else {}
        quiet: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": said[rank]}
        ranks.append(
            subprocess.Popen(
                [sys.executable, *words],
                env=os.environ | shared | own,
                # Ctrl-C at a terminal reaches rank 0 and nobody else.
                start_new_session=rank > 0,
                preexec_fn=_answering if rank == 0 else None,
                **(quiet if rank > 0 else {}),
            )
        )
    return ranks


def _answering() -> None:
    """What was ignored here would stay ignored there."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _watch(ranks: Sequence[subprocess.Popen[bytes]]) -> int | None:
    """Until rank 0 has ended; or which rank was lost before."""
    while True:
        codes = [rank.poll() for rank in ranks]
        for rank, code in enumerate(codes[1:], 1):
            if code not in (None, 0) and codes[0] is None:
                return rank
        if codes[0] is not None:
            return 0 if codes[0] < 0 else None
        time.sleep(LOOK_EVERY)


def _end(ranks: Sequence[subprocess.Popen[bytes]], grace: float) -> None:
    """All of them. A rank that waits for a lost one hears nothing but SIGKILL, and would have nothing to add."""
    for rank in ranks:
        _tell(rank, signal.SIGTERM if grace else signal.SIGKILL)
    until = time.monotonic() + grace
    for rank in ranks:
        with contextlib.suppress(subprocess.TimeoutExpired):
            rank.wait(max(0.0, until - time.monotonic()))
        _tell(rank, signal.SIGKILL)
        rank.wait()


def _tell(rank: subprocess.Popen[bytes], number: int) -> None:
    if rank.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            rank.send_signal(number)


def _last_words(said: IO[bytes], code: int) -> str:
    said.seek(0)
    lines = said.read().decode("utf-8", "replace").strip().splitlines()
    how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    return f"{how}: {lines[-1].removeprefix('macrosplat: ')}" if lines and code >= 0 else how
