"""Agisoft Metashape's cameras, exported as XML.

`transform` is camera-to-chunk, 16 numbers row by row, axes as here (x right, y down, z forward). Of a sensor, after the
manual's appendix "Camera models": with x, y = X/Z, Y/Z,

    x' = x (1 + k1 r^2 + k2 r^4 + k3 r^6 + k4 r^8) + p1 (r^2 + 2 x^2) + 2 p2 x y
    u = w / 2 + cx + x' (f + b1) + y' b2,   v = h / 2 + cy + y' f

so that its p1, p2 are OpenCV's p2, p1. A pixel's middle lies at +0.5. Cameras stay in the chunk's own unit.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from macrosplat.cameras.assemble import (
    Entry,
    is_rotation,
    lens_of,
    nearest_rotation,
    nobody,
    place,
    remarks,
    rigid_inverse,
)
from macrosplat.cameras.records import Cameras, Distortion
from macrosplat.photos.names import plain
from macrosplat.photos.records import Photo
from macrosplat.support.errors import MacrosplatError

HEAD = 4096  # bytes within which a file says that it is one
LEAST_PX = 0.5  # what a parameter that COLMAP's models lack may move a corner by


def find_metashape(root: Path) -> list[Path]:
    """The XML files of the folder that hold a chunk of cameras."""
    return [path for path in sorted(root.iterdir()) if is_metashape(path)]


def is_metashape(path: Path) -> bool:
    return path.suffix.lower() == ".xml" and path.is_file() and _is_one(path)


def read_metashape(
    path: Path, photos: Sequence[Photo], dropped: Sequence[str] = ()
) -> tuple[tuple[Photo, ...], Cameras, tuple[str, ...]]:
    """The photos that the file knows, their cameras, and notes.

    Raises:
        MacrosplatError: it is damaged, of other photos, or has cameras that no lens makes (panoramas).
    """
    try:
        chunks = ElementTree.parse(path).getroot().findall(".//chunk")
    except (OSError, ElementTree.ParseError, ValueError, RecursionError) as error:
        raise MacrosplatError(
            f"{path} cannot be read as Metashape's XML ({error}); export it again, or remove it."
        ) from error
    aligned = [(chunk, _aligned(chunk)) for chunk in chunks]
    if not any(cameras for _, cameras in aligned):
        raise MacrosplatError(f"{path} has no cameras that were aligned; align them and export again, or remove it.")
    chunk, cameras = max(aligned, key=lambda one: len(one[1]))
    parts = Counter(camera.get("component_id") for camera in cameras)
    largest = parts.most_common(1)[0][0]
    notes = []
    if len(parts) > 1 or sum(bool(cameras) for _, cameras in aligned) > 1:
        rest = sum(len(cameras) for _, cameras in aligned) - parts[largest]
        notes.append(
            f"{path.name} holds several chunks or components; {rest} cameras of the smaller ones were left out."
        )
    sensors = {sensor.get("id"): sensor for sensor in chunk.findall("sensors/sensor")}
    entries = [
        _entry(path, camera, sensors.get(camera.get("sensor_id")))
        for camera in cameras
        if camera.get("component_id") == largest
    ]
    placed = place(photos, entries, "metashape")
    if not placed.photos:
        raise nobody(str(path), entries, photos)
    return placed.photos, placed.cameras, (*notes, *remarks(placed, path.name, dropped))


def _is_one(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            head = file.read(HEAD)
    except OSError:
        return False
    return b"<chunk" in head and b"<document" in head


def _aligned(chunk: ElementTree.Element) -> list[ElementTree.Element]:
    """Cameras, also those in groups, that have a place and are not switched off."""
    return [
        camera
        for camera in chunk.findall("cameras//camera")
        if camera.find("transform") is not None and camera.get("enabled", "true").lower() not in ("false", "0")
    ]


def _entry(path: Path, camera: ElementTree.Element, sensor: ElementTree.Element | None) -> Entry:
    label = camera.get("label") or camera.get("id") or "?"
    where = f"{path}, camera {plain(label)}"
    if sensor is None:
        raise MacrosplatError(f"{where} is of a sensor that the file does not hold; export it again.")
    matrix = np.array(_numbers(where, camera.findtext("transform") or "", 16)).reshape(4, 4)
    if not is_rotation(matrix[:3, :3]):
        raise MacrosplatError(f"{where} is not a rotation and a place; export it again.")
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = nearest_rotation(matrix[:3, :3]), matrix[:3, 3]
    calibration = _calibration(where, sensor)
    resolution = calibration.find("resolution")
    resolution = sensor.find("resolution") if resolution is None else resolution
    if resolution is None:
        raise MacrosplatError(f"{where} is of a sensor without a resolution; export it again.")
    width, height = (round(_numbers(where, resolution.get(side) or "", 1)[0]) for side in ("width", "height"))
    lens = _lens(where, calibration, (width, height))
    return Entry(where, label, rigid_inverse(pose), lambda size: lens, (width, height))


def _calibration(where: str, sensor: ElementTree.Element) -> ElementTree.Element:
    """The adjusted one, where there are several."""
    found = sensor.findall("calibration")
    if not found:
        raise MacrosplatError(f"{where} is of a sensor without a calibration; export it again.")
    return next((one for one in found if one.get("class") == "adjusted"), found[0])


def _lens(where: str, calibration: ElementTree.Element, size: tuple[int, int]) -> Distortion:
    kind = calibration.get("type", "frame")
    known = {"f", "fx", "fy", "cx", "cy", "b1", "b2", "k1", "k2", "k3", "k4", "p1", "p2", "p3", "p4"}
    value = {tag: _numbers(where, calibration.findtext(tag) or "0", 1)[0] for tag in known}
    width, height = size
    fy = value["f"] or value["fy"]
    fx = (value["f"] or value["fx"]) + value["b1"]
    centre = [width / 2 + value["cx"], height / 2 + value["cy"]]
    if calibration.find("f") is None and calibration.find("fx") is not None:  # files of version 1.2 and older
        centre = [value["cx"], value["cy"]]
    if kind not in ("frame", "fisheye") or not (fx > 0 and fy > 0 and width > 0 and height > 0):
        raise MacrosplatError(f"{where} is a camera of the type {kind!r} that cannot be used; only lenses can.")
    radius = math.hypot(width, height) / 2 / fy
    bends = abs(value["b2"]) * radius + fy * abs(value["k4"]) * radius**9 * (kind == "frame")
    bends += fy * (abs(value["p3"]) + abs(value["p4"])) * radius**4
    if kind == "fisheye":
        bends += fy * (abs(value["p1"]) + abs(value["p2"])) * radius**2
    if bends > LEAST_PX:
        raise MacrosplatError(
            f"{where}: skew b2, k4, p3 and p4 are not read, and move pixels by up to {bends:.1f} px; optimise the "
            "cameras without them, or export undistorted photos."
        )
    if kind == "fisheye":
        return Distortion("OPENCV_FISHEYE", (fx, fy, *centre, *(value[f"k{n}"] for n in (1, 2, 3, 4))), *size)
    more = {"k1": value["k1"], "k2": value["k2"], "k3": value["k3"], "p1": value["p2"], "p2": value["p1"]}
    return lens_of((fx, fy), centre, more, size)


def _numbers(where: str, text: str, count: int) -> list[float]:
    try:
        values = [float(word) for word in text.split()]
    except ValueError:
        values = []
    if len(values) != count or not np.isfinite(values).all():
        raise MacrosplatError(f"{where}: {text[:40]!r} is not {count} finite numbers; export it again.")
    return values
