"""Steps of several photos on GPUs, spread over ranks: recorded as two graphs with the all-reduce between them.

The first takes one photo and adds its gradients to a flat tensor; it is replayed for each photo that is this rank's.
The second takes what all ranks summed and improves the scene. Whether a picture was truncated on any rank travels in
the sum: all ranks stop at the same step, and take it again together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from macrosplat.train.graphs import RATES, Graphs
from macrosplat.train.step import Kind
from macrosplat.train.targets import TargetBank

if TYPE_CHECKING:
    from macrosplat.train.schedule import Plan
    from macrosplat.train.training import Training

ALIGNED = 64  # floats: a tensor in the flat one begins where kernels load four at once


class SharedGraphs(Graphs):
    """Takes the steps of a training run whose batch is more than one photo."""

    def __init__(self, training: Training) -> None:
        super().__init__(training)
        self._flat = torch.empty(0)
        self._sums: dict[str, Tensor] = {}  # views of it by parameter; last the loss, and pictures that were truncated
        self._improvements: dict[tuple[str, ...], Any] = {}  # graphs, by what they change

    def step(self, plan: Plan) -> Tensor:
        """Take a step. Returns the mean loss (a scalar on the device); see `Graphs.step`."""
        training = self._training
        if self._scene is not training.model.gaussians:
            self._renew()
        names: tuple[str, ...] = ()
        for turn in training.turns():
            kind, bank, slot = self._target(plan, turn)
            self._send(plan, turn, slot)
            self._play(kind, bank)
            names = tuple(self._changed[kind])
        training.ranks.sum(self._flat)
        if names in self._improvements and self._graphs_wanted:
            if self._improvements[names] is None:
                self._improvements[names] = self._captured(lambda: self._improve(names))
            self._improvements[names].replay()
        else:
            self._aside(lambda: self._improve(names))
            self._improvements[names] = None
        self._took(list(names))
        return self._loss.clone()

    def _renew(self) -> None:
        before = self._scene
        super()._renew()
        if before is None or self._scene is not before:
            self._improvements = {}
            shapes = {name: tensor.shape for name, tensor in self._training.model.parameters().items()}
            sizes = [-(-shape.numel() // ALIGNED) * ALIGNED for shape in shapes.values()]
            self._flat = torch.zeros(sum(sizes) + 2, device=self._inputs.device)
            parts = self._flat[:-2].split(sizes)
            self._sums = {
                name: part[: shape.numel()].view(shape)
                for (name, shape), part in zip(shapes.items(), parts, strict=True)
            }

    def _take(self, kind: Kind, bank: TargetBank) -> list[str]:
        """One photo: its gradients are added to the sums."""
        loss, found, truncated = self._gradients(kind, bank)
        with torch.no_grad():
            for name, gradient in found.items():
                if gradient is not None:
                    self._sums[name].add_(gradient)
            self._flat[-2:].add_(torch.stack([loss, truncated.to(loss)[0]]))
        return [name for name, gradient in found.items() if gradient is not None]

    @torch.no_grad()
    def _improve(self, names: tuple[str, ...]) -> None:
        truncated = self._flat[-1:] > 0
        self._flat.div_(self._training.batch)
        sent = self._inputs
        rates = {n: sent[RATES + 2 * k : RATES + 2 * k + 2] for k, n in enumerate(self._names)}
        self._change(self._flat[-2], {name: self._sums[name] for name in names}, rates, truncated)
        self._flat.zero_()
