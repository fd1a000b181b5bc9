"""Whether the content of a checkpoint is one that a run wrote: shapes, kinds and finite numbers, before it is drawn.

In: what torch read. Out: nothing, or a `ValueError` that says what is wrong; `checkpoint.load` makes a sentence of it.
"""

from __future__ import annotations

import math
import zipfile
from pathlib import Path
from typing import Any

import torch

from macrosplat.lens import LENSES, LensStart

LARGEST_SIDE = 65535  # px of a photo


def check_archive(path: Path) -> None:
    """Whether the file is a zip archive as torch writes it: whole, and no larger unpacked than it is itself.

    Raises:
        ValueError: it is none, damaged, or compressed (4 MB of zip may hold 4 GB).
    """
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        size = sum(entry.file_size for entry in entries)
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries) or size > path.stat().st_size:
            raise ValueError("it is compressed")
        if archive.testzip() is not None:  # torch does not look at the checksums
            raise ValueError("a checksum differs")


def check_state(state: Any) -> None:
    """Whether all parts are there and fit one another.

    Raises:
        ValueError, LookupError, TypeError, AttributeError: they do not.
    """
    _finite("state", state)
    moments = [state["adam"][name] for name in ("first", "second")]
    parts = [*(state[name] for name in ("gaussians", "lens_parameters", "rig_parameters")), *moments]
    learned = [*(value for part in parts for value in part.values()), state["backdrop"], state["exposure"]]
    _must(all(value.dtype == torch.float32 for value in learned), "whole numbers instead of what was learned")
    photos = len(state["names"])
    _must(photos > 0 and all(isinstance(name, str) for name in state["names"]), "names")
    _must(len(set(state["names"])) == photos, "names twice")
    for name, least in (("done", 0), ("start", 1)):
        _must(isinstance(state[name], int) and not isinstance(state[name], bool) and state[name] >= least, name)
    _must(isinstance(state["pixel"], float) and state["pixel"] > 0, "pixel")
    _must(len(state["gaussians"]["means"]) > 0, "no Gaussians")
    fresh = LENSES[state["lens"]["name"]](LensStart(**state["lens"]["start"])).parameters
    saved = state["lens_parameters"]
    _must(fresh.keys() == saved.keys(), "parameters of the lens")
    for name, parameter in fresh.items():
        _shaped(f"parameter {name}", saved[name], tuple(parameter.shape))
    cameras = state["rig"]
    _shaped("views", cameras["views"], (photos, 4, 4))
    _shaped("intrinsics", cameras["intrinsics"], (photos, 4))
    _shaped("pivot_depth", cameras["pivot_depth"], (photos,))
    _shaped("moves", cameras["moves"], (photos,))
    _must(len(cameras["leader"]) == photos and all(0 <= n < photos for n in cameras["leader"]), "leaders")
    poses = state["rig_parameters"]
    _must(poses.keys() == {"pose.turn", "pose.shift", "pose.focal", "pose.breathing"}, "parameters of the rig")
    of_poses = {"pose.turn": (photos, 3), "pose.shift": (photos, 3), "pose.focal": (), "pose.breathing": ()}
    for name, shape in of_poses.items():
        _shaped(name, poses[name], shape)
    frames = cameras["frames"]
    _must(len(frames) == photos, "sizes")
    for frame in frames:
        for side in ("width", "height"):
            _must(isinstance(frame[side], int) and 0 < frame[side] <= LARGEST_SIDE, side)
    for name in ("backdrop", "exposure"):
        _must(len(state[name]) == photos and state[name].dim() >= 2, name)


def _finite(name: str, value: Any) -> None:
    """Every number in it is finite, every tensor of numbers float32 (or of whole ones)."""
    if isinstance(value, torch.Tensor):
        _must(not value.is_floating_point() or value.dtype == torch.float32, f"{name} is {value.dtype}")
        _must(not value.is_complex() and value.layout == torch.strided, f"{name} is {value.dtype}")
        _must(bool(torch.isfinite(value).all()), f"{name} is not finite")
    elif isinstance(value, dict):
        for key, inner in value.items():
            _finite(f"{name}.{key}", inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            _finite(name, inner)
    elif isinstance(value, float):
        _must(math.isfinite(value), f"{name} is {value}")


def _shaped(name: str, value: Any, shape: tuple[int, ...]) -> None:
    _must(isinstance(value, torch.Tensor) and value.shape == shape, f"{name} has not the shape {shape}")


def _must(holds: bool, what: str) -> None:
    if not holds:
        raise ValueError(what)
