"""Restormer (Zamir et al. 2022), from a file of weights that the user names, loaded by the package `spandrel` and its
`spandrel_extra_arches`, which holds the networks whose licences are not as free: Restormer's among them."""

from __future__ import annotations

import contextlib
import importlib
import sys
import types
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from macrosplat.support.errors import MacrosplatError
from macrosplat.support.files import expanded

MULTIPLE = 8  # the network halves its frame three times
TORCHVISION = ("torchvision", "torchvision.transforms", "torchvision.transforms.functional")
OVERLAP = 32  # px between tiles: an edge is seen from further inside


def load_spandrel() -> Any:
    """The package `spandrel`, knowing Restormer, whether torchvision works beside this torch or not.

    It imports a few functions of torchvision, for networks other than Restormer; builds of both that do not belong
    together fail on import.

    Raises:
        MacrosplatError: it is not installed.
    """
    try:
        with _something_for(TORCHVISION):
            import spandrel  # pyright: ignore[reportMissingImports]
            import spandrel_extra_arches  # pyright: ignore[reportMissingImports]

            spandrel_extra_arches.install(ignore_duplicates=True)
    except ImportError as error:
        raise MacrosplatError(
            f"--deblur-first restormer needs the package spandrel ({error}); install it with "
            "pip install --no-deps spandrel spandrel_extra_arches einops safetensors."
        ) from error
    return spandrel


@contextlib.contextmanager
def _something_for(names: Sequence[str]) -> Iterator[None]:
    """Where these modules cannot be imported, others stand in for them meanwhile: all that they hold is None."""
    try:
        for name in names:
            importlib.import_module(name)
        missing: list[str] = []
    except Exception:  # torch raises RuntimeError when its operators do not fit
        missing = list(names)
    for name in missing:
        sys.modules[name] = module = types.ModuleType(name)
        module.__path__ = []
        module.__getattr__ = lambda _: None  # type: ignore[method-assign]
    try:
        yield
    finally:
        for name in missing:
            del sys.modules[name]


def load_restormer(weights: str | None) -> Any:
    """The network on the GPU if there is one.

    Raises:
        MacrosplatError: no file, no package, or not a Restormer's weights.
    """
    if weights is None:
        raise MacrosplatError("--deblur-first restormer needs its weights: name their file with --deblur.weights.")
    path = expanded(weights)
    if not path.is_file():
        raise MacrosplatError(f"{path} does not exist; --deblur.weights takes the file of Restormer's weights.")
    spandrel = load_spandrel()
    try:
        model = spandrel.ModelLoader(device="cpu").load_from_file(path)
    except Exception as error:  # whatever a foreign file makes a foreign package raise
        raise MacrosplatError(
            f"{path} cannot be read as weights ({type(error).__name__}: {error}).".replace("\n", " ")
        ) from error
    if model.architecture.id != "Restormer":
        raise MacrosplatError(f"{path} holds the weights of {model.architecture.name}, not of Restormer.")
    network = model.model.eval()
    return network.to("cuda") if torch.cuda.is_available() else network


@torch.no_grad()
def restore(network: Any, photo: NDArray[np.uint8], tile: int) -> NDArray[np.uint8]:
    """[H, W, 3] sRGB through the network, tile by tile; where tiles overlap, each counts up to half of the overlap."""
    device = next(network.parameters()).device
    height, width = photo.shape[:2]
    planes = torch.from_numpy(np.ascontiguousarray(photo).copy()).to(device).permute(2, 0, 1)[None].float() / 255
    out = torch.empty_like(planes[0])
    step = max(MULTIPLE, tile - 2 * OVERLAP)
    for y in range(0, height, step):
        for x in range(0, width, step):
            top, left = max(0, y - OVERLAP), max(0, x - OVERLAP)
            bottom, right = min(height, y + step + OVERLAP), min(width, x + step + OVERLAP)
            part = planes[:, :, top:bottom, left:right]
            pad = (0, -part.shape[3] % MULTIPLE, 0, -part.shape[2] % MULTIPLE)
            done = network(torch.nn.functional.pad(part, pad, mode="replicate"))[0]
            y_end, x_end = min(height, y + step), min(width, x + step)
            out[:, y:y_end, x:x_end] = done[:, y - top : y_end - top, x - left : x_end - left]
    return (out.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy()
