"""`Gaussians`: the one record of a scene. `means` are world, colours are linear light as spherical harmonics."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

# Number of spherical-harmonics coefficients above degree 0, by degree: (degree + 1)^2 - 1.
SH_REST = {0: 0, 1: 3, 2: 8, 3: 15}
SH_C0 = 0.28209479177387814  # Y_00 = 1 / (2 sqrt(pi)); colour = 0.5 + SH_C0 * sh0 + ...


@dataclass(frozen=True)
class Gaussians:
    """A scene of N Gaussians. All tensors float32 (float64 in tests) on one device; numpy arrays where it comes from a
    file or goes into one, which needs no torch.

    Colour seen from a direction is max(0, 0.5 + sum_k SH_k(direction) c_k) in *linear* light (sRGB primaries).
    """

    means: Tensor  # [N, 3] world
    log_scales: Tensor  # [N, 3] natural logarithm of the standard deviations along the axes, scene units
    quats: Tensor  # [N, 4] w, x, y, z; need not be normalised
    opacity_logits: Tensor  # [N] opacity = sigmoid
    sh0: Tensor  # [N, 3] degree 0
    sh_rest: Tensor  # [N, K, 3] degrees 1.., K in SH_REST.values()

    def __post_init__(self) -> None:
        n = self.means.shape[0]
        wanted = {"means": (n, 3), "log_scales": (n, 3), "quats": (n, 4), "opacity_logits": (n,), "sh0": (n, 3)}
        for name, shape in wanted.items():
            got = tuple(getattr(self, name).shape)
            assert got == shape, f"{name} has shape {got}, expected {shape}"
        k = self.sh_rest.shape[1:]
        assert self.sh_rest.shape[0] == n and k[0] in SH_REST.values() and k[1] == 3, f"sh_rest has shape {(n, *k)}"

    def __len__(self) -> int:
        return self.means.shape[0]

    @property
    def sh_degree(self) -> int:
        return {k: degree for degree, k in SH_REST.items()}[self.sh_rest.shape[1]]

    def tensors(self) -> dict[str, Tensor]:
        """The parameters by name, in the order of the fields."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    def map(self, f) -> Gaussians:
        """The same record with `f(tensor)` in place of every tensor: the one door for moving, sorting, cloning."""
        return Gaussians(**{name: f(value) for name, value in self.tensors().items()})

    def with_(self, **changed: Tensor) -> Gaussians:
        return replace(self, **changed)

    def detach(self) -> Gaussians:
        return self.map(lambda t: t.detach())

    @classmethod
    def of_arrays(cls, **arrays: NDArray[Any]) -> Gaussians:
        """A scene of numpy arrays, as files hold it."""
        found: dict[str, Any] = {name: np.require(a, np.float32, ["C", "W"]) for name, a in arrays.items()}
        return cls(**found)

    def arrays(self, dtype: type[np.floating] = np.float32) -> dict[str, NDArray[Any]]:
        """The parameters by name, as numpy arrays on the host."""
        found = {}
        for name, values in self.tensors().items():
            held: Any = values if isinstance(values, np.ndarray) else values.detach().cpu().numpy()
            found[name] = held.astype(dtype, copy=False)
        return found

    def as_tensors(self) -> Gaussians:
        """The same scene of tensors on the CPU, to be drawn."""
        import torch

        return self.map(lambda values: torch.from_numpy(values) if isinstance(values, np.ndarray) else values)
