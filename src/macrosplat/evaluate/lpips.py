"""LPIPS (Zhang et al. 2018, version 0.1, AlexNet), from weights that the user names: none come with this package.

In: two files, as their projects publish them: torchvision's AlexNet (`features.0.weight`, ...) and the linear layers of
LPIPS (`lin0.model.1.weight`, ...); or one file that holds both. Out: a map [H, W] of the distance, whose mean is LPIPS.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from macrosplat.support.errors import MacrosplatError

# Of sRGB in [-1, 1], LPIPS's own: ImageNet's mean and deviation.
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
# AlexNet's convolutions: place in `features`, outputs, inputs, kernel, stride, padding; a pooling goes before the
# second and the third.
LAYERS = ((0, 64, 3, 11, 4, 2), (3, 192, 64, 5, 1, 2), (6, 384, 192, 3, 1, 1), (8, 256, 384, 3, 1, 1))
LAYERS = (*LAYERS, (10, 256, 256, 3, 1, 1))
POOLED = (3, 6)
LEAST = 1e-10  # against a division by zero, LPIPS's own

Lpips = Callable[[NDArray[np.floating], NDArray[np.floating]], NDArray[np.floating]]


def load_lpips(files: Sequence[Path]) -> Lpips:
    """The map of two photos [H, W, 3] sRGB in [0, 1].

    Raises:
        MacrosplatError: a file is missing, no weights, or they are not those of AlexNet and its linear layers.
    """
    found: dict[str, Tensor] = {}
    for path in files:
        if not path.is_file():
            raise MacrosplatError(f"{path} does not exist; --lpips takes AlexNet's weights and LPIPS's linear layers.")
        try:
            found |= torch.load(path, weights_only=True, map_location="cpu")
        except Exception as error:  # whatever a foreign file makes torch raise
            raise MacrosplatError(f"{path} cannot be read as weights of torch ({type(error).__name__}).") from error
    names = ", ".join(str(path) for path in files)
    convolutions, linear = [], []
    for n, (place, outputs, inputs, kernel, _, _) in enumerate(LAYERS):
        weight = _of_shape(found, f"features.{place}.weight", (outputs, inputs, kernel, kernel), names)
        convolutions.append((weight, _of_shape(found, f"features.{place}.bias", (outputs,), names)))
        linear.append(_of_shape(found, f"lin{n}.model.1.weight", (1, outputs, 1, 1), names))

    @torch.no_grad()
    def distance(test: NDArray[np.floating], truth: NDArray[np.floating]) -> NDArray[np.floating]:
        return lpips_map(_planes(test), _planes(truth), convolutions, linear).numpy()

    return distance


def lpips_map(
    test: Tensor,  # [3, H, W] sRGB in [0, 1]
    truth: Tensor,  # [3, H, W]
    convolutions: Sequence[tuple[Tensor, Tensor]],  # weights and biases of AlexNet's five
    linear: Sequence[Tensor],  # [1, C, 1, 1] of each
) -> Tensor:  # [H, W]
    """The squared differences of unit features, weighted, enlarged to the frame and added."""
    total = torch.zeros(test.shape[1:], dtype=test.dtype)
    for a, b, weight in zip(_features(test, convolutions), _features(truth, convolutions), linear, strict=True):
        apart = F.conv2d((a - b) ** 2, weight)
        wide = F.interpolate(apart, size=total.shape, mode="bilinear", align_corners=False)[0, 0]
        total = total + wide * (apart.mean() / wide.mean().clamp_min(1e-20))  # enlarging must not change the mean
    return total


def _features(planes: Tensor, convolutions: Sequence[tuple[Tensor, Tensor]]) -> list[Tensor]:
    """[1, C, h, w] after each convolution, of length 1 at every place."""
    shift, scale = (planes.new_tensor(values)[:, None, None] for values in (SHIFT, SCALE))
    x, out = ((2 * planes - 1 - shift) / scale)[None], []
    for (place, _, _, _, stride, pad), (weight, bias) in zip(LAYERS, convolutions, strict=True):
        if place in POOLED:
            x = F.max_pool2d(x, 3, 2)
        x = F.relu(F.conv2d(x, weight, bias, stride, pad))
        out.append(x / (x.square().sum(1, keepdim=True).sqrt() + LEAST))
    return out


def _planes(photo: NDArray[np.floating]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(photo, np.float32)).permute(2, 0, 1)


def _of_shape(found: dict[str, Tensor], name: str, shape: tuple[int, ...], files: str) -> Tensor:
    tensor = found.get(name)
    if not isinstance(tensor, Tensor) or tensor.shape != shape:
        raise MacrosplatError(
            f"{files}: no {name} of {' x '.join(map(str, shape))} in it; --lpips takes torchvision's AlexNet and the "
            "linear layers that LPIPS has for it."
        )
    return tensor.float()
