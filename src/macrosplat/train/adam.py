"""Adam over named parameter tensors, each with its own learning rate.

In: gradients by name. The parameters are changed in place. Rows of the state follow the rows of the scene
through `remap` and nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from macrosplat.support.dispatch import kernels_for
from macrosplat.train import adam_reference
from macrosplat.train.bias import bias_corrected_rate

STAGE = "macrosplat.train.adam"

BETA1 = 0.9
BETA2 = 0.999
EPS = 1e-15  # gradients of a mean over 10^6 pixels are of the order 1e-9 and must not drown in it


class Adam:
    """`parameters` and `rates` may be read at any time; rates may be set between steps."""

    def __init__(self, parameters: Mapping[str, torch.Tensor], rates: Mapping[str, float]):
        assert parameters.keys() == rates.keys(), f"rates for {sorted(rates)}, parameters {sorted(parameters)}"
        for name, parameter in parameters.items():
            assert parameter.is_contiguous(), f"{name} must be contiguous"
        self.parameters = dict(parameters)
        self.rates = dict(rates)
        self.first = {name: torch.zeros_like(p, requires_grad=False) for name, p in parameters.items()}
        self.second = {name: torch.zeros_like(p, requires_grad=False) for name, p in parameters.items()}
        self.counts = dict.fromkeys(parameters, 0)  # photos that a parameter learned from
        self._flats: dict[str, tuple[tuple[torch.Tensor, ...], Any]] = {}
        self.batch = 1  # of them a step: the moments forget as fast by photos, whatever it is

    @property
    def betas(self) -> tuple[float, float]:
        """Of a step."""
        return BETA1**self.batch, BETA2**self.batch

    def step(self, gradients: Mapping[str, torch.Tensor | None]) -> None:
        """A parameter without a gradient (None or not named) stays, and so does its state."""
        together = []  # what a CPU's kernel takes, all at once
        for name, gradient in gradients.items():
            if gradient is None:
                continue
            parameter = self.parameters[name]
            assert gradient.shape == parameter.shape, (
                f"gradient of {name} is {tuple(gradient.shape)}, the parameter {tuple(parameter.shape)}"
            )
            self.counts[name] += self.batch
            # The bias after so many photos is that of so many steps of a batch.
            how = self.rates[name], self.counts[name] / self.batch
            gradient = gradient.detach().contiguous()
            fast = parameter.dtype == torch.float32
            kernels = kernels_for(STAGE, parameter) if fast else adam_reference
            if hasattr(kernels, "step_all"):
                together.append((self._flat(name), gradient, how))
                continue
            kernels.step(parameter.detach(), gradient, self.first[name], self.second[name], *how, *self.betas, EPS)
        if together:
            from macrosplat.train import adam_cpu

            adam_cpu.step_all(together, *self.betas, EPS)

    def _flat(self, name: str) -> tuple[Any, Any, Any]:
        """A parameter and its moments as a CPU's kernel takes them, kept as long as they are these tensors."""
        tensors = self.parameters[name], self.first[name], self.second[name]
        kept = self._flats.get(name)
        if kept is None or any(t is not of for t, of in zip(tensors, kept[0], strict=True)):
            from macrosplat.train.adam_cpu import flat

            parameter, first, second = map(flat, tensors)
            kept = self._flats[name] = tensors, (parameter, first, second)
        return kept[1]

    def bias_corrected_rate(self, name: str, rate: float) -> tuple[float, float]:
        """How far the next step of a parameter goes, as `step_with_device_rates` wants it."""
        return bias_corrected_rate(rate, self.counts[name] + self.batch, BETA1, BETA2)

    def step_with_device_rates(
        self,
        gradients: Mapping[str, torch.Tensor | None],
        rates: Mapping[str, torch.Tensor],  # [2] float64 of `bias_corrected_rate` for every parameter
        stopped: torch.Tensor,  # [1]; not 0: nothing changes
    ) -> None:
        """`step` by numbers that are on the GPU already; counting is the caller's. float32 only."""
        from macrosplat.train import adam_cuda

        tensors = []
        for name, how_far in rates.items():
            gradient = gradients.get(name)
            gradient = None if gradient is None else gradient.detach().contiguous()
            tensors.append((self.parameters[name].detach(), gradient, self.first[name], self.second[name], how_far))
        adam_cuda.step_with_device_rates(tensors, stopped, *self.betas, EPS)

    def remap(
        self,
        parameters: Mapping[str, torch.Tensor],  # the new tensors [M, ...] of the names concerned
        source: torch.Tensor,  # [M] int64, the old row that each new row comes from
        fresh: torch.Tensor | None = None,  # [M] bool, rows that start with empty moments
    ) -> None:
        """Rows were relocated, sorted, added or dropped: the moments follow, and the new tensors are stepped."""
        for name, parameter in parameters.items():
            assert parameter.is_contiguous(), f"{name} must be contiguous"
            assert parameter.shape[0] == source.shape[0], (
                f"{name} has {parameter.shape[0]} rows, source {source.shape[0]}"
            )
            for moments in (self.first, self.second):
                rows = moments[name].index_select(0, source)
                if fresh is not None:
                    rows[fresh] = 0.0
                moments[name] = rows
            self.parameters[name] = parameter

    def state_dict(self) -> dict:
        """All but the parameters themselves; tensors are not copied."""
        return {
            "first": dict(self.first),
            "second": dict(self.second),
            "counts": dict(self.counts),
            "rates": dict(self.rates),
        }

    def load_state_dict(self, state: dict) -> None:
        assert state["first"].keys() == self.parameters.keys(), (
            f"state of {sorted(state['first'])}, parameters {sorted(self.parameters)}"
        )
        for name, parameter in self.parameters.items():
            for moments, saved in ((self.first, state["first"]), (self.second, state["second"])):
                assert saved[name].shape == parameter.shape, (
                    f"state of {name} is {tuple(saved[name].shape)}, the parameter {tuple(parameter.shape)}"
                )
                moments[name] = saved[name].detach().to(parameter).clone(memory_format=torch.contiguous_format)
        self.counts = dict(state["counts"])
        self.rates = dict(state["rates"])
