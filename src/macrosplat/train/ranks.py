"""Several processes that train one scene together, one GPU each: every step's photos are spread over them.

Each process (rank) holds the whole model. A step of a batch of B photos: each rank takes its part of them, the
gradients are summed over all (one all-reduce of one flat tensor), and each takes the same step of Adam. Density
control, drop and noise are functions of (seed, step, purpose), and so are the same everywhere; rank 0 has the last
word after the number of Gaussians changed, as a GPU's sums do not come out the same twice.

A batch of B photos counts as B steps of the schedule: the rates are sqrt(B) times those of one photo and the decays of
Adam's moments beta^B, so that both forget and go as far in as many photos (Malladi et al., On the SDEs and Scaling
Rules for Adaptive Gradient Algorithms, 2022; for Gaussians Zhao et al., On Scaling Up 3D Gaussian Splatting Training,
2024).

In: what torchrun says in the environment (RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT). Out: `Ranks`.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor

from macrosplat.support.errors import MacrosplatError

READY = "macrosplat/ready"
PATIENCE = timedelta(days=7)  # that the others wait for rank 0 to find the cameras
NOTICED = 3.0  # s within which whoever watches over the ranks ends them all, with a sentence that knows more
LOST = timedelta(minutes=10)  # after which a collective that nobody answers is given up


@dataclass(frozen=True)
class Ranks:
    """Who trains together; by itself a process is rank 0 of 1."""

    rank: int = 0
    count: int = 1

    def sum(self, flat: Tensor) -> None:
        """Add up what all ranks have, in place: the same bits everywhere."""
        if self.count > 1:
            with _answered():
                torch.distributed.all_reduce(flat)

    def take_from_first(self, tensors: Iterable[Tensor]) -> None:
        """Overwrite tensors by those of rank 0."""
        if self.count > 1:
            with _answered():
                for tensor in tensors:
                    torch.distributed.broadcast(tensor.detach(), 0)

    def leave(self) -> None:
        """After the last step, which all have taken."""
        if self.count > 1:
            torch.distributed.destroy_process_group()


@contextlib.contextmanager
def _answered() -> Iterator[None]:
    """That another rank is no longer there, as a sentence.

    Raises:
        MacrosplatError: it is not.
    """
    try:
        yield
    except RuntimeError as error:
        time.sleep(NOTICED)
        raise MacrosplatError(
            "Another process of this run was lost; what was done is kept, and --resume goes on with it, also with "
            "another number of --devices."
        ) from error


class Meeting:
    """How the processes of a run find each other: rank 0 prepares the run, the others wait for it."""

    def __init__(self) -> None:
        self.rank, self.count = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
        self._store: Any = None
        if self.count > 1:
            from torch.distributed.rendezvous import rendezvous

            self._store, _, _ = next(rendezvous("env://", timeout=timedelta(minutes=10)))

    @property
    def follows(self) -> bool:
        """Whether this process is not the one that prepares the run and writes it."""
        return self.rank > 0

    def wait(self) -> bool:
        """Until rank 0 has a checkpoint that training begins from; False: it ended before, and has said why."""
        try:
            self._store.wait([READY], PATIENCE)
        except RuntimeError:  # the store ends with rank 0
            return False
        return True

    def join(self, device: torch.device) -> Ranks:
        """Begin to work together."""
        if self.count == 1:
            return Ranks()
        from torch.distributed.distributed_c10d import PrefixStore

        if not self.follows:
            self._store.set(READY, "yes")
        torch.distributed.init_process_group(
            "nccl" if device.type == "cuda" else "gloo",
            store=PrefixStore("macrosplat", self._store),
            rank=self.rank,
            world_size=self.count,
            timeout=LOST,
        )
        return Ranks(self.rank, self.count)
