"""The record of a run, `config.json`: what was asked and what became known; frozen, typed, versioned.

In: a file. Out: a `Manifest`, checked against its types: one that was changed by hand, damaged or written by another
version is refused in one sentence.
"""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec

from macrosplat.options import Options
from macrosplat.options.older import OLDEST, VERSION, completed
from macrosplat.photos.taken import TakenPhoto
from macrosplat.support.errors import MacrosplatError
from macrosplat.support.files import below
from macrosplat.support.json import checked, load_json

AGAIN = "reconstruct into a new folder"  # what helps when a RUN is damaged


class Figures(msgspec.Struct, frozen=True):
    """What a finished run came to; see `output.finish.Summary`."""

    photos: int
    gaussians: int
    steps: int
    seconds: float
    fit_psnr: float
    blur_px: float
    viewer_psnr: float
    exposure_stops: float
    focal_scale: float


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a run was asked to do, and what became known on the way (None: not yet)."""

    version: int
    capture: str  # absolute
    photos: tuple[TakenPhoto, ...]
    found: tuple[str, ...] = ()  # names of all photos of the capture, those included that were left out
    options: Options
    command: tuple[str, ...]
    camera_source: str | None = None  # `Cameras.source`
    registered: int | None = None  # photos that have a camera
    unsure: tuple[str, ...] = ()  # photos whose cameras few others hold, as structure from motion found them
    doubted: tuple[str, ...] = ()  # photos by which structure from motion contradicts itself, if they are many
    placed: tuple[str, ...] | None = None  # photos that the scene of the others has placed; None: not tried
    # Photos whose cameras the scene has shown to be wrong; None: not looked yet.
    expelled: tuple[str, ...] | None = None
    width: int | None = None  # px that was trained at
    held_out: tuple[str, ...] = ()  # names of photos that were not trained on
    # By what the circles of confusion of the lens model have to be multiplied to be those that the photos show.
    blur_shown: float | None = None
    limit: str | None = None  # a sentence: why the photos cannot be made sharp
    exposure_stops: dict[str, tuple[float, float, float]] = {}  # by photo: log2 of its gains
    planned: int | None = None  # steps that training is to take
    reopened: int | None = None  # steps that it was to take before it was continued beyond them
    seconds: float = 0.0
    machine: str | None = None
    stack: str | None = None  # the picture's name, of a run of a single pose
    summary: Figures | None = None


def read_manifest(path: Path) -> Manifest:
    """Read `config.json`.

    Raises:
        MacrosplatError: there is none, or it is not one that this version or one of the last wrote.
    """
    if not path.is_file():
        raise MacrosplatError(f"{path.parent} is not a run of macrosplat: it has no {path.name}.")
    found = load_json(path, remedy=AGAIN)
    if not isinstance(found, dict):
        raise MacrosplatError(f"{path} is not a configuration of macrosplat; {AGAIN}.")
    version = found.get("version")
    if not isinstance(version, int) or isinstance(version, bool) or version < OLDEST:
        raise MacrosplatError(f"{path} was written by another version of macrosplat; {AGAIN}.")
    if version > VERSION:
        raise MacrosplatError(f"{path} was written by a newer version of macrosplat; update this one, or {AGAIN}.")
    if isinstance(found.get("options"), dict):
        found = found | {"options": completed(found["options"], version)}
    _refuse_infinite(found, path)
    try:
        manifest = checked(found, Manifest, str(path), AGAIN)
    except MacrosplatError as error:  # an option out of bounds speaks of itself alone
        said = str(error)
        raise MacrosplatError(said if said.startswith(str(path)) else f"{path}: {said}") from error
    # An option that is missing would quietly have its default.
    known, there = flat(asdict(manifest.options)), flat(found["options"])
    for name in known:
        if name not in there:
            raise MacrosplatError(f"{path}: options.{name} is missing; {AGAIN}.")
    for name in (*(photo.name for photo in manifest.photos), *manifest.held_out, *manifest.exposure_stops):
        below(path.parent, name)
    if manifest.stack is not None:
        below(path.parent, manifest.stack)
    return manifest


def flat(options: dict[str, Any]) -> dict[str, Any]:
    """Options of options by their names on the command line: `blurnet.layers`."""
    out: dict[str, Any] = {}
    for name, value in options.items():
        out |= {f"{name}.{inner}": v for inner, v in value.items()} if isinstance(value, dict) else {name: value}
    return out


def _refuse_infinite(value: Any, path: Path, at: str = "") -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise MacrosplatError(f"{path}: {at} is {value}, which is no number; {AGAIN}.")
    if isinstance(value, dict):
        for key, inner in value.items():
            _refuse_infinite(inner, path, f"{at}.{key}".lstrip("."))
    if isinstance(value, list):
        for n, inner in enumerate(value):
            _refuse_infinite(inner, path, f"{at}[{n}]")
