"""Depth and circle-of-confusion maps, one pair per photo: 16 bit PNG to compute with, coloured PNG to look at.

`RUN/maps/depth/<photo>.png`: camera z = value * scale. `RUN/maps/coc/<photo>.png`: radius of the circle of confusion,
px of the training size = value * scale. 0 is "nothing there". The scales stand in `RUN/maps/maps.json`.
A lens model may add further maps of its own, values >= 0 at every pixel, in the same two ways.
`RUN/maps/coverage/<photo>.png`: how well what is seen there is covered by all photos, 0 to 1 = value * scale.
All lie pixel on pixel on `RUN/sharp/` at that size.
Colours: `depth_colour/` from near (yellow) to far (violet); `coc_colour/` white in focus, blue before it, red behind;
`coverage_colour/` blue in focus in some photo, yellow just so, red in none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from macrosplat.cameras.distort import AsTaken, keeps_frame
from macrosplat.cameras.records import Distortion
from macrosplat.output.sharp import save_png, write_png
from macrosplat.run import Run
from macrosplat.support.files import Writers, write_json
from macrosplat.support.json import checked, load_json

DARK = np.array([0.08, 0.08, 0.08])  # sRGB of "nothing there"
# viridis at nine places (matplotlib, CC0): even steps to the eye, also in grey and to the colour-blind.
_VIRIDIS = np.array(
    [
        *([0.267, 0.005, 0.329], [0.279, 0.175, 0.483], [0.230, 0.322, 0.546]),
        *([0.173, 0.449, 0.558], [0.128, 0.567, 0.551], [0.158, 0.684, 0.502]),
        *([0.369, 0.789, 0.383], [0.678, 0.864, 0.190], [0.993, 0.906, 0.144]),
    ]
)
# Blue, white, red (ends of ColorBrewer's RdBu).
_AROUND = np.array([[0.02, 0.19, 0.38], [0.26, 0.58, 0.76], [1.0, 1.0, 1.0], [0.84, 0.38, 0.30], [0.40, 0.0, 0.12]])
# Red, yellow, blue (ColorBrewer's RdYlBu).
_COVERAGE = np.array([[0.84, 0.19, 0.15], [0.99, 0.68, 0.38], [1.0, 1.0, 0.75], [0.57, 0.75, 0.86], [0.27, 0.46, 0.71]])
JUST_COVERED = float(np.exp(-1))  # coverage that is yellow


class MapScales(msgspec.Struct):
    """What `maps.json` says of a photo, as far as it is read back."""

    coc_scale: float


class _File(msgspec.Struct):
    photos: dict[str, MapScales]


def read_scales(run: Run) -> dict[str, MapScales]:
    """By photo, of `RUN/maps/maps.json`; nothing where there is none.

    Raises:
        MacrosplatError: the file is not one that `write_maps` wrote.
    """
    path = run.maps_index
    return checked(load_json(path, finite=True), _File, str(path)).photos if path.is_file() else {}


@dataclass(frozen=True)
class PhotoMaps:
    """The maps of one photo, at training size."""

    name: str  # `Photo.name`
    depth: NDArray[np.floating]  # [H, W] camera z of the surface, scene units; 0 where there is none
    defocus: NDArray[np.floating]  # [H, W] signed radius of the circle of confusion, px; > 0 behind the focus
    coverage: NDArray[np.floating] | None = None  # [H, W] 0 to 1
    more: dict[str, NDArray[np.floating]] = field(default_factory=dict)  # [H, W] >= 0, by the name of their folder

    def as_taken(self, distortion: Distortion | None) -> PhotoMaps:
        """The same maps, pixel on pixel with the photo as taken, where it is written so."""
        if not keeps_frame(distortion):
            return self
        bend = AsTaken(distortion, self.depth.shape[1], self.depth.shape[0])
        return replace(
            self,
            depth=bend.nearest(self.depth),
            defocus=bend.nearest(self.defocus),
            coverage=None if self.coverage is None else bend.nearest(self.coverage),
            more={kind: bend.nearest(plane) for kind, plane in self.more.items()},
        )


def write_maps(run: Run, maps: Iterable[PhotoMaps]) -> None:
    """Write the maps of every photo, then the sidecar; a few photos are in memory at a time."""
    with Writers() as writers:
        written = {photo.name: add_maps(writers, run, photo) for photo in maps}
    write_index(run, written)


def add_maps(writers: Writers, run: Run, photo: PhotoMaps) -> Future:
    """Have the maps of one photo written; what comes of it is for `write_index`."""
    return writers.add(_write_photo, run, photo)


def write_index(run: Run, written: Mapping[str, Future]) -> None:
    """The sidecar of all maps, by photo; waits until they are written."""
    photos = {name: future.result() for name, future in written.items()}
    about = "depth (camera z, scene units) or radius (px of the map) = 16 bit value * scale; 0: nothing there"
    write_json(run.maps_index, {"about": about, "photos": photos})


def _write_photo(run: Run, photo: PhotoMaps) -> dict[str, float]:
    """The maps of one photo. Returns their scales."""
    shape, scales = photo.depth.shape, {}
    assert photo.defocus.shape == shape, f"maps of {photo.name}: {shape}, {photo.defocus.shape}"
    there = photo.depth > 0
    for kind, value in {"depth": photo.depth, "coc": np.abs(photo.defocus)}.items():
        scales[f"{kind}_scale"] = write_16_bit(run.map(kind, photo.name), value, there)
    write_png(run.map("depth_colour", photo.name), colour_depth(photo.depth, there))
    write_png(run.map("coc_colour", photo.name), colour_defocus(photo.defocus, there))
    if photo.coverage is not None:
        scales["coverage_scale"] = write_16_bit(run.map("coverage", photo.name), photo.coverage, there)
        colours = np.where(there[..., None], colour_coverage(photo.coverage), DARK)
        write_png(run.map("coverage_colour", photo.name), colours)
    for kind, value in photo.more.items():
        everywhere = np.ones(shape, bool)
        scales[f"{kind}_scale"] = write_16_bit(run.map(kind, photo.name), value, everywhere)
        write_png(run.map(f"{kind}_colour", photo.name), colour_amount(value))
    return scales


def write_16_bit(path: Path, value: NDArray[np.floating], there: NDArray[np.bool_]) -> float:
    """Write values >= 0 so that the largest becomes 65535; where not `there`, 0, else at least 1. The scale used: 0 if
    all values are."""
    most = float(value[there].max()) if there.any() else 0.0
    scale = most / 65535.0
    levels = np.where(there, np.clip(np.rint(value / (scale or 1.0)), 1, 65535), 0).astype(np.uint16)
    save_png(path, levels)
    return scale


def colour_depth(depth: NDArray[np.floating], there: NDArray[np.bool_]) -> NDArray[np.float64]:
    """[H, W, 3] sRGB, near bright, far dark; the ends are the 1st and 99th percentile."""
    near, far = np.percentile(depth[there], [1, 99]) if there.any() else (0.0, 1.0)
    at = 1.0 - (depth - near) / max(far - near, 1e-12)
    return np.where(there[..., None], _ramp(_VIRIDIS, at), DARK)


def colour_amount(value: NDArray[np.floating]) -> NDArray[np.float64]:
    """[H, W, 3] sRGB, 0 dark; the bright end is the 99th percentile."""
    return _ramp(_VIRIDIS, value / max(float(np.percentile(value, 99)), 1e-12))


def colour_defocus(defocus: NDArray[np.floating], there: NDArray[np.bool_]) -> NDArray[np.float64]:
    """[H, W, 3] sRGB, white in focus, blue before it, red behind; the ends are the 99th percentile of the radius."""
    most = max(float(np.percentile(np.abs(defocus[there]), 99)), 1e-12) if there.any() else 1.0
    return np.where(there[..., None], _ramp(_AROUND, 0.5 + 0.5 * defocus / most), DARK)


def colour_coverage(value: NDArray[np.floating]) -> NDArray[np.float64]:
    """[..., 3] sRGB of coverage: 0 red, `JUST_COVERED` yellow, 1 blue."""
    at = np.where(value < JUST_COVERED, value / (2 * JUST_COVERED), 1 - (1 - value) / (2 * (1 - JUST_COVERED)))
    return _ramp(_COVERAGE, at)


def _ramp(stops: NDArray[np.float64], at: NDArray[np.floating]) -> NDArray[np.float64]:
    """[..., 3] colours at places 0..1 between evenly spaced stops [S, 3]."""
    places = np.linspace(0.0, 1.0, len(stops))
    return np.stack([np.interp(at, places, stops[:, k]) for k in range(3)], axis=-1)
