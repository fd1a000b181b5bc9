"""Several processes that train together: what they learn is what one would have learned from the same photos."""

import os
import subprocess
import sys
import textwrap
from collections.abc import Iterable
from pathlib import Path

import numba
import numpy as np
import pytest
import torch

from macrosplat.lens.blades import ORDERS
from macrosplat.lens.decided import BY_LOOK
from macrosplat.lens.rim import NAMES, RimTold
from macrosplat.lens.terms import NOT_SEEN, SEEN, UNDECIDED
from macrosplat.lens.thin import ThinLens
from macrosplat.support.ranks import free_port
from macrosplat.train.adam import Adam
from macrosplat.train.ranks import Ranks
from macrosplat.train.trainer import Trainer
from making_training import make_trainer

STEPS, BATCH = 16, 2  # photos; a step takes two
SCHEDULE = {"densify_every": 4, "densify_from": 0.0, "drop": 0.1, "refine_poses": True, "learn_from": 0.0}
# A rank: trains to the end, keeps what it has come to.
RANK = """
    import sys, torch
    from macrosplat.train.ranks import Meeting
    from test_ranks import trained
    torch.set_num_threads(1)
    ranks = Meeting().join(torch.device("cpu"))
    found = trained(ranks)
    ranks.leave()  # gloo's thread must not outlive the interpreter
    torch.save(found, sys.argv[1])
"""


def trained(ranks: Ranks) -> dict[str, torch.Tensor]:
    """All parameters after 8 steps of two photos, and after the first of them."""
    numba.set_num_threads(1)  # as the other ranks: three processes share the cores
    trainer, _ = make_trainer(STEPS, **SCHEDULE)
    trainer.share(ranks, BATCH)
    found = {}
    while trainer.done < STEPS:
        trainer.step()
        if trainer.done == BATCH:
            # After one step the first moments are the gradients times 1 - beta1^2.
            found |= {f"gradient of {name}": t.clone() for name, t in trainer.adam.first.items()}
    return found | {name: t.detach().clone() for name, t in trainer.model.parameters().items()}


def test_two_ranks_learn_to_the_bit_what_one_does_of_the_same_batch(tmp_path: Path) -> None:
    """Gradients of a step, what density control chose (which rows there are), and the end of a short training.

    The tolerance is none: of two summands the order does not matter.
    """
    where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": "2", "NUMBA_NUM_THREADS": "1"}
    paths = os.pathsep.join([str(Path(__file__).parent), *filter(None, sys.path)])
    ranks = [
        subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(RANK), str(tmp_path / f"{rank}.pt")],
            env=os.environ | where | {"RANK": str(rank), "PYTHONPATH": paths},
        )
        for rank in range(2)
    ]
    alone = trained(Ranks())
    assert [rank.wait(120) for rank in ranks] == [0, 0]
    start = len(make_trainer(STEPS)[0].model.gaussians)
    assert len(alone["means"]) > start and alone["gradient of means"].abs().max() > 0
    for rank in range(2):
        found = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        assert found.keys() == alone.keys()
        for name, value in found.items():
            assert torch.equal(value, alone[name]), name


def test_a_batch_is_the_mean_of_its_photos() -> None:
    """The gradients of two photos, one by one, in float32: their mean is the batch's to rounding."""
    each = []
    for done in (0, 1):
        trainer, _ = make_trainer(STEPS, **SCHEDULE)
        trainer.done = done
        plan = trainer.schedule.at(0, trainer.start, trainer.model.lens)
        each.append(trainer._steps._gradients(plan, done)[1])  # type: ignore[union-attr]
    trainer, _ = make_trainer(STEPS, **SCHEDULE)
    trainer.share(Ranks(), 2)
    trainer.step()
    for name, first in trainer.adam.first.items():
        a, b = each[0].get(name), each[1].get(name)
        if a is not None and b is not None:
            expected = (1 - 0.9**2) * (a + b) / 2
            torch.testing.assert_close(first, expected, rtol=1e-5, atol=1e-6 * float(expected.abs().max()), msg=name)


def test_moments_forget_by_photos_and_constant_gradients_go_as_a_square_root() -> None:
    """Of a constant gradient Adam's step is its rate, whatever the batch and however often it has been taken."""
    x = torch.zeros(3)
    adam = Adam({"x": x}, {"x": 0.5})
    adam.batch = 4
    for n in range(1, 6):
        adam.step({"x": torch.full((3,), 2.0)})
        torch.testing.assert_close(x, torch.full((3,), -0.5 * n))
    assert adam.counts["x"] == 20
    torch.testing.assert_close(adam.first["x"], torch.full((3,), 2.0 * (1 - 0.9**20)))


@pytest.mark.parametrize("batch", [1, 2, 3, 4])
def test_density_changes_as_often_by_photos_whatever_the_batch(batch: int) -> None:
    trainer: Trainer = make_trainer(1000, densify_from=0.0, densify_until=1.0)[0]
    plans = [trainer.schedule.at(step, 900, trainer.model.lens, batch) for step in range(0, 1000, batch)]
    assert sum(plan.densify > 0 for plan in plans) == 9


class Follower(Ranks):
    """Rank 1 of 2, whose rank 0 was told of seven blades and of no cat's eye."""

    told = (np.zeros(len(NAMES)), 1e-4 * np.eye(len(NAMES)))

    def take_from_first(self, tensors: Iterable[torch.Tensor]) -> None:
        self.told[0][NAMES.index("cos7")] = 0.9
        for tensor, first in zip(tensors, self.told, strict=True):
            tensor.copy_(torch.from_numpy(first))


def test_what_rank_0_was_told_of_the_pupil_is_what_all_decide(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own look would have seen a cat's eye and no blades."""
    trainer, _ = make_trainer(STEPS, **SCHEDULE)
    lens = trainer.model.lens
    assert isinstance(lens, ThinLens)
    lens.parameters |= {f"{name}_seen": torch.tensor(UNDECIDED) for name in BY_LOOK}
    lens._seen.clear()
    lens._orders = ORDERS
    step = np.zeros(len(NAMES))
    step[NAMES.index("cats_eye")] = 0.3
    monkeypatch.setattr("macrosplat.train.trainer.look_at_rim", lambda *_: RimTold(step, 1e-4 * np.eye(len(NAMES))))
    trainer.ranks = Follower(1, 2)
    before = lens.plan(0.9).terms
    lens.decide(trainer._told_of_rim)
    assert [lens.seen(name) for name in BY_LOOK] == [SEEN, NOT_SEEN]
    assert lens.parameters["lens.blades"][0].item() == 7 and lens.parameters["lens.cats_eye"].item() == 0
    assert before == () and lens.plan(0.9).terms == ("lens.blades",)  # another kind of step, though nothing learns anew
