"""Steps on a GPU: each kind of step is recorded once as a CUDA graph and replayed, and no step waits for the device.

What differs between two steps of a kind (photo, angle of the samples, rates, keys of random numbers) is sent ahead in
one small copy. Memory for (tile, splat) pairs is given before they are counted (`render.capacity`). When it was too
small, the device itself stops: that step and all that follow change nothing, until the host looks (`settle`, at the
latest every `AHEAD` steps), makes room, and goes back to the first of them. No step is ever taken with a truncated
picture.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from macrosplat.render import Frame
from macrosplat.render.capacity import STEP, PairBuffer, fixed_capacity
from macrosplat.train import noise_cuda
from macrosplat.train.random import Purpose
from macrosplat.train.step import AHEAD, Kind, gradients
from macrosplat.train.targets import SOON, TargetBank

if TYPE_CHECKING:
    from macrosplat.scene.gaussians import Gaussians
    from macrosplat.train.schedule import Plan
    from macrosplat.train.training import Training

PAIRS = 8  # a Gaussian has about so many, for the first guess of the room
# Room is made anew, while a graph is recorded anyway, when it is less than this times the need or more than that.
TIGHT, WIDE = 1.1, 1.5
# Places in what is sent ahead of a step, float64; Adam's bias-corrected rates follow, two for each parameter.
PHOTO, SLOT, ANGLE, NOISE, DROP_KEY, NOISE_KEY, RATES = range(7)


class Graphs:
    """Takes the steps of a training run whose scene is on a CUDA device."""

    def __init__(self, training: Training) -> None:
        self._training = training
        device = training.targets.device
        self._graphs_wanted = device.type == "cuda"  # Triton's interpreter takes the same steps one by one
        # Gradients are asked for, never accumulated: that leaves live on another stream than a capture harms nothing.
        quiet = getattr(torch.autograd.graph, "set_warn_on_accumulate_grad_stream_mismatch", None)
        if quiet:
            quiet(False)
        self._names = list(training.model.parameters())
        length = RATES + 2 * len(self._names)
        self._inputs = torch.zeros(length, dtype=torch.float64, device=device)
        rows = AHEAD + training.batch  # the host looks where `done` passes a multiple of AHEAD
        self._ahead = torch.zeros(rows, length, dtype=torch.float64, pin_memory=self._graphs_wanted)
        self._applied, self._stopped = torch.zeros(2, 1, dtype=torch.int64, device=device).unbind(0)
        self._loss = torch.zeros((), device=device)
        self._buffers: dict[tuple[Frame, int], PairBuffer] = {}
        self._changed: dict[Kind, list[str]] = {}  # what a kind of step changes: what got a gradient when first taken
        self._graphs: dict[Kind, Any] = {}
        self._pending: list[tuple[int, list[str]]] = []  # steps since the host last looked: `done`, what they change
        self._sent = 0  # turns since then
        self._scene: Gaussians | None = None  # the tensors that the graphs were made for, and Adam's moments
        self._moments: tuple[dict[str, Tensor], dict[str, Tensor]] = {}, {}
        # All that autograd sees happens on one stream. What it keeps of the default stream, work on that would have to
        # wait for in the middle of a capture, which CUDA forbids.
        self._stream = torch.cuda.Stream(device) if self._graphs_wanted else None
        self._pool, self._keeper = None, None

    def step(self, plan: Plan) -> Tensor:
        """Take a step. Returns the loss (a scalar on the device), which is only true if `settle` goes back no steps."""
        turn = self._training.done
        kind, bank, slot = self._target(plan, turn)
        if self._scene is not self._training.model.gaussians:
            self._renew()
        self._send(plan, turn, slot)
        self._play(kind, bank)
        self._took(self._changed[kind])
        return self._loss.clone()

    @property
    def pending(self) -> bool:
        """Whether steps were taken since the host last looked."""
        return bool(self._pending)

    def settle(self) -> int:
        """Look at what the device did. Returns by how much `done` is too high, for want of room; there is room now, and
        those steps are to be taken again. Waits for the device."""
        if not self._pending:
            return 0
        applied, stopped = torch.cat([self._applied, self._stopped]).tolist()
        refused, training = self._pending[applied:], self._training
        for _, names in refused:
            for name in names:
                training.adam.counts[name] -= training.batch
        if stopped:
            self._buffers = {key: b.grown() if b.overflowed() else b for key, b in self._buffers.items()}
            self._graphs.clear()
            self._stopped.zero_()
        self._applied.zero_()
        self._pending.clear()
        self._sent = 0
        return training.done - refused[0][0] if refused else 0

    def _target(self, plan: Plan, turn: int) -> tuple[Kind, TargetBank, int]:
        """What is compared with in a turn (`Training.turns`): the kind of step, the photos of its size, its slot."""
        training = self._training
        soon = (training.photo(turn + training.batch * later) for later in range(1, 1 + SOON))
        photo = training.photo(turn)
        bank, slot = training.targets.bank(photo, plan.scale, soon)
        return plan.kind(bank.frame, training.moving(photo)), bank, slot

    def _play(self, kind: Kind, bank: TargetBank) -> None:
        """Take a step of a kind: the first as it comes, which compiles what has to be compiled and counts pairs; the
        second is recorded, and replayed like all that follow."""
        if kind not in self._changed or not self._graphs_wanted:
            self._changed[kind] = self._aside(lambda: self._take(kind, bank))
            return
        if kind not in self._graphs:
            self._graphs[kind] = self._record(kind, bank)
        self._graphs[kind].replay()

    def _took(self, names: list[str]) -> None:
        """Note a step that the device was given, and what it changes."""
        training = self._training
        self._pending.append((training.done, names))
        for name in names:
            training.adam.counts[name] += training.batch

    def _renew(self) -> None:
        """The scene has other tensors: what was recorded is void, unless there are as many Gaussians as before."""
        assert not self._pending, "settle before the scene changes"
        now, adam = self._training.model.gaussians, self._training.adam
        if self._scene is not None and len(self._scene) == len(now):
            self._move_back(self._scene)
        else:
            self._graphs.clear()
            self._scene, self._moments = now, (dict(adam.first), dict(adam.second))
        for key, buffer in self._buffers.items():
            fitting = self._fitting(buffer)
            if fitting is not buffer:
                self._buffers[key] = fitting
                self._graphs = {
                    kind: g for kind, g in self._graphs.items() if (kind.frame, kind.sampling.at_once) != key
                }

    def _move_back(self, scene: Gaussians) -> None:
        """Bring the scene, and its part of Adam's state, to the tensors that the graphs were made for."""
        adam = self._training.adam
        with torch.no_grad():
            for name, tensor in scene.tensors().items():
                tensor.copy_(adam.parameters[name])
                adam.parameters[name] = tensor
                for now, then in zip((adam.first, adam.second), self._moments, strict=True):
                    then[name].copy_(now[name])
                    now[name] = then[name]
        self._training.model.gaussians = scene

    def _fitting(self, buffer: PairBuffer) -> PairBuffer:
        """The buffer, or one of another size if that is too tight or so wide that sorting it takes long."""
        needed = int(buffer.needed.item())
        fits = needed == 0 or TIGHT * needed <= buffer.capacity <= WIDE * needed + STEP
        return buffer if fits else buffer.fitted()

    def _send(self, plan: Plan, turn: int, slot: int) -> None:
        """Bring what this turn differs in to the device."""
        if self._sent == len(self._ahead):
            raise AssertionError("the host looks at least every AHEAD steps")
        training = self._training
        rates = training.rates(plan)
        values = [0.0] * len(self._inputs)
        values[PHOTO], values[SLOT] = training.photo(turn), slot
        values[ANGLE] = math.remainder(training.angle(plan, turn), 2 * math.pi)
        values[NOISE] = training.noise(plan)
        values[DROP_KEY], values[NOISE_KEY] = training.key(Purpose.DROP, turn), training.key(Purpose.NOISE)
        for k, name in enumerate(self._names):
            if name in rates:
                values[RATES + 2 * k : RATES + 2 * k + 2] = training.adam.bias_corrected_rate(name, rates[name])
        ahead = self._ahead[self._sent]
        self._sent += 1
        ahead.copy_(torch.tensor(values, dtype=torch.float64))
        self._inputs.copy_(ahead, non_blocking=True)

    def _take(self, kind: Kind, bank: TargetBank) -> list[str]:
        """The step itself, from what was sent. Returns the names of what it changes."""
        loss, found, truncated = self._gradients(kind, bank)
        sent = self._inputs
        rates = {n: sent[RATES + 2 * k : RATES + 2 * k + 2] for k, n in enumerate(self._names)}
        self._change(loss, found, rates, truncated)
        return [name for name, gradient in found.items() if gradient is not None]

    def _gradients(self, kind: Kind, bank: TargetBank) -> tuple[Tensor, Mapping[str, Tensor | None], Tensor]:
        """Loss and gradients of the photo that was sent, and [1] whether they are of a truncated picture."""
        training, sent = self._training, self._inputs
        key = kind.frame, kind.sampling.at_once
        if key not in self._buffers:
            pairs = math.ceil(PAIRS * max(kind.sampling.at_once, 1) * len(training.model.gaussians) / STEP) * STEP
            self._buffers[key] = PairBuffer(pairs, sent.device)
        buffer = self._buffers[key]
        photo, slot = sent[PHOTO : PHOTO + 1].long(), sent[SLOT : SLOT + 1].long()
        numbers = sent[ANGLE].float(), sent[DROP_KEY : DROP_KEY + 1], training.weights
        with fixed_capacity(buffer):
            loss, found = gradients(training.model, kind, photo, bank.at(slot), *numbers)
        return loss, found, buffer.needed > buffer.capacity

    @torch.no_grad()
    def _change(
        self, loss: Tensor, found: Mapping[str, Tensor | None], rates: Mapping[str, Tensor], truncated: Tensor
    ) -> None:
        """Change the model by gradients, unless they are of a truncated picture, or a step before was."""
        training, sent = self._training, self._inputs
        noise_cuda.note(truncated, loss, self._stopped, self._applied, self._loss)
        training.adam.step_with_device_rates(found, rates, self._stopped)
        training.model.lens.confine()  # changes nothing in a step that was stopped
        noise, key = sent[NOISE : NOISE + 1], sent[NOISE_KEY : NOISE_KEY + 1]
        limits = training.smallest, training.slender
        noise_cuda.add_position_noise(training.model.gaussians, *limits, noise, key, self._stopped)

    def _record(self, kind: Kind, bank: TargetBank) -> Any:
        """A graph of the step. `torch.cuda.graph` would collect garbage first, which takes longer than recording."""
        if self._pool is None:
            self._pool = torch.cuda.graph_pool_handle()
            self._keeper = self._captured(lambda: self._loss.mul(1.0))  # the pool lives as long as one graph of it
        return self._captured(lambda: self._take(kind, bank))

    def _captured(self, work: Callable[[], Any]) -> Any:
        graph = torch.cuda.CUDAGraph()

        def capture() -> None:
            graph.capture_begin(pool=self._pool, capture_error_mode="relaxed")
            try:
                work()
            finally:
                graph.capture_end()

        self._aside(capture)
        return graph

    def _aside(self, work: Callable[[], Any]) -> Any:
        """Work done on the recorder's own stream, between what is before and after it on the current one."""
        if self._stream is None:
            return work()
        here = torch.cuda.current_stream()
        self._stream.wait_stream(here)
        with torch.cuda.stream(self._stream):
            result = work()
        here.wait_stream(self._stream)
        return result
