"""Meshes: a sphere fused from its exact depth maps; files as other readers have them."""

from __future__ import annotations

import json
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from plyfile import PlyData

from macrosplat.export import tidy
from macrosplat.export.depths import Station
from macrosplat.export.gltf import write_mesh_gltf
from macrosplat.export.mesh import SPECK, _opened, _spread, _without_specks
from macrosplat.export.mesh_files import Mesh, check_suffix, write_mesh_file
from macrosplat.export.orbit import look_at, orbit
from macrosplat.export.shape import Shape
from macrosplat.export.tsdf import Volume
from macrosplat.export.vertex_colours import Colours
from macrosplat.photos.decode import TABLE_8
from macrosplat.render import Pinhole
from macrosplat.support.errors import MacrosplatError

RADIUS, AWAY = 1.0, 6.0
INTRINSICS = np.array([400.0, 400.0, 80.0, 80.0])


def sphere_depth(view: np.ndarray) -> np.ndarray:
    """[160, 160] camera z of a sphere about the origin; 0 beside it."""
    y, x = np.mgrid[:160, :160] + 0.5
    ray = np.stack([(x - 80) / 400, (y - 80) / 400, np.ones_like(x)], -1)
    centre = view[:3, 3]
    a, b, c = (ray**2).sum(-1), ray @ centre, centre @ centre - RADIUS**2
    inside = b * b - a * c
    return np.where(inside > 0, (b - np.sqrt(np.maximum(inside, 0))) / a, 0).astype(np.float32)


@pytest.fixture(scope="module")
def sphere() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    axes = np.concatenate([np.eye(3), -np.eye(3)])
    stands = AWAY * np.concatenate(
        [axes, np.array([[x, y, z] for x in (1, -1) for y in (1, -1) for z in (1, -1)]) / 3**0.5]
    )
    volume = Volume.around(np.full(3, -1.2), np.full(3, 1.2), 0.04, 0.16, 10**6)
    for stand in stands:
        up = np.array([0.0, 0.0, 1.0]) if abs(stand[2]) < 5 else np.array([0.0, 1.0, 0.0])
        view = look_at(stand, np.zeros(3), up)
        volume.add(sphere_depth(view), view, INTRINSICS)
    return volume.surface()


def test_a_sphere_is_found(sphere) -> None:
    vertices, faces, normals = sphere
    outside = np.linalg.norm(vertices, axis=1)
    # Its own; and where the maps' reach behind the surface ends nothing is left standing.
    assert np.abs(outside - RADIUS).max() < 0.04 and np.median(np.abs(outside - RADIUS)) < 0.005
    corners = vertices[faces]
    turned = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    assert ((turned * corners.mean(1)).sum(1) > -1e-9).all()
    assert ((normals * vertices).sum(1) / outside > 0.8).all()
    # Closed: every edge belongs to two faces; and the volume is a sphere's.
    edges = np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), 1)
    assert (np.unique(edges, axis=0, return_counts=True)[1] == 2).all()
    volume = (corners[:, 0] * np.cross(corners[:, 1], corners[:, 2])).sum() / 6
    assert volume == pytest.approx(4 / 3 * np.pi * RADIUS**3, rel=0.02)


def test_voxels_are_bounded() -> None:
    volume = Volume.around(np.zeros(3), np.array([10.0, 5.0, 1.0]), 1e-3, 1e-3, 50_000)
    assert volume.distance.size <= 50_000 and volume.truncation >= 2 * volume.voxel
    assert all(volume.voxel * (n - 1) >= side for n, side in zip(volume.shape, (10, 5, 1), strict=True))


def test_nothing_to_be_seen_is_said(monkeypatch) -> None:
    with pytest.raises(MacrosplatError, match="no surface"):
        Volume.around(np.zeros(3), np.ones(3), 0.2, 0.2, 1000).surface()
    monkeypatch.setitem(sys.modules, "skimage.measure", None)
    with pytest.raises(MacrosplatError, match=r"macrosplat\[mesh\]"):
        Volume.around(np.zeros(3), np.ones(3), 0.2, 0.2, 1000).surface()


def test_what_no_map_looked_into_is_closed_within_the_region(sphere) -> None:
    """A sphere seen from above only, and a region that ends at z = -0.5."""
    volume = Volume.around(np.full(3, -1.2), np.full(3, 1.2), 0.04, 0.16, 10**6)
    for stand in AWAY * np.array(
        [[0.0, 0.0, 1.0], [0.1, 0.0, 1.0], [0.6, 0.0, 0.8], [-0.6, 0.0, 0.8], [0.0, 0.6, 0.8]]
    ):
        view = look_at(stand, np.zeros(3), np.array([0.0, 1.0, 0.0]))
        volume.add(sphere_depth(view), view, INTRINSICS)
    x, y, z = (volume.origin[:, None] + volume.voxel * np.arange(volume.shape[0]))[:, None, None, :]
    x, y = x.reshape(-1, 1, 1), y.reshape(1, -1, 1)
    inside = (z > -0.5) & (x * x + y * y + z * z < 1.15**2)
    vertices, faces, _ = volume.closed(2, inside, 0.5)
    made = trimesh.Trimesh(vertices, faces, process=False)
    assert made.is_watertight and made.body_count == 1 and made.volume > 0
    above = vertices[vertices[:, 2] > 0.2]
    assert np.median(np.abs(np.linalg.norm(above, axis=1) - RADIUS)) < 0.02
    assert vertices[:, 2].min() > -0.6
    with pytest.raises(MacrosplatError, match="no surface"):
        volume.closed(2, np.zeros(volume.shape, bool), 0.5)


def test_smoothing_does_not_shrink_and_specks_go(sphere) -> None:
    vertices, faces, _ = sphere
    assert np.abs(np.linalg.norm(tidy.smoothed(vertices, faces), axis=1) - RADIUS).max() < 0.04
    speck = np.concatenate([faces, len(vertices) + np.array([[0, 1, 2]])])
    assert len(faces) > SPECK and tidy.pieces(speck, len(vertices) + 3) == 2
    assert np.array_equal(_without_specks(speck, len(vertices) + 3), faces)
    assert np.array_equal(tidy.largest(speck, len(vertices) + 3), faces)


def test_what_no_view_sees_is_left_open_and_takes_the_colour_around(sphere) -> None:
    vertices, faces, _ = sphere
    seen = vertices[:, 2] > 0
    seen[::7] = False  # here and there a place that every view missed
    kept = _opened(faces, seen)
    assert vertices[kept][..., 2].min() > -0.4 and tidy.pieces(kept, len(vertices)) == 1
    assert len(kept) > 0.95 * (vertices[faces][..., 2] > 0.1).all(1).sum()  # no holes where they were missed
    colours = _spread(np.where(seen[:, None], 0.5, 0.0).repeat(3, 1).astype(np.float32), seen, faces)
    np.testing.assert_allclose(colours, 0.5, atol=1e-6)


def test_fewer_triangles_stay_within_the_error_and_closed(sphere) -> None:
    vertices, faces, _ = sphere
    vertices = tidy.smoothed(vertices, faces)
    fewer, corners, off = tidy.decimated(vertices, faces, 0.01)
    assert len(corners) < 0.3 * len(faces) and 0 < off <= 0.01
    made = trimesh.Trimesh(fewer, corners, process=False)
    assert made.is_watertight
    # By another way of measuring: a sphere's own distance.
    assert np.quantile(np.abs(np.linalg.norm(made.sample(2000), axis=1) - RADIUS), 0.99) < 0.03


def test_surfaces_that_touch_at_an_edge_come_apart() -> None:
    """Two tetrahedra that share an edge: four faces meet there."""
    vertices = np.array([[0.0, 0, 0], [0, 0, 1], [1, 0, 0], [0, 1, 0], [-1, 0, 0], [0, -1, 0]])
    faces = np.array([[0, 3, 2], [0, 2, 1], [0, 1, 3], [1, 2, 3], [0, 5, 4], [0, 4, 1], [0, 1, 5], [1, 4, 5]])
    assert not trimesh.Trimesh(vertices, faces, process=False).is_watertight
    apart = trimesh.Trimesh(*tidy.unpinched(vertices, faces), process=False)
    assert apart.is_watertight and apart.body_count == 2 and len(apart.vertices) == 8
    assert apart.volume == pytest.approx(2 / 6)
    # A reader that joins what stands in one place leaves them apart, too.
    read = trimesh.Trimesh(
        tidy.apart(np.asarray(apart.vertices), np.asarray(apart.faces)).astype(np.float32), apart.faces
    )
    assert read.is_watertight and read.body_count == 2 and read.volume == pytest.approx(2 / 6, rel=0.03)


def test_places_take_the_colours_of_the_photos_that_see_them(sphere) -> None:
    """A photo of a sphere: red left, blue right; from behind nobody looks."""
    vertices, _, normals = sphere
    view = look_at(np.array([0.0, 0.0, AWAY]), np.zeros(3), np.array([0.0, 1.0, 0.0]))
    picture = np.zeros((320, 320, 3), np.float32)  # twice as fine as the depth map
    picture[:, :160, 0], picture[:, 160:, 2] = 0.8, 0.6
    camera = Pinhole(*INTRINSICS, width=160, height=160).at(torch.tensor(view, dtype=torch.float32))
    colours = Colours(vertices, normals, 0.2)
    colours.add(Station(camera, sphere_depth(view)), (picture, np.ones((160, 160), np.float32)))
    light, seen = colours.mean()
    assert seen[vertices[:, 2] > 0.4].all() and not seen[vertices[:, 2] < -0.2].any()
    right = vertices @ view[0, :3]
    assert np.abs(light[seen & (right < -0.05)] - (0.8, 0, 0)).max() < 1e-6
    assert np.abs(light[seen & (right > 0.05)] - (0, 0, 0.6)).max() < 1e-6


def test_files(tmp_path: Path, sphere) -> None:
    vertices, faces, _ = sphere
    rgb = np.random.default_rng(0).integers(0, 256, vertices.shape, np.uint8)
    mesh = Mesh(vertices, faces, TABLE_8[rgb])
    write_mesh_file(tmp_path / "a.ply", mesh, mm=True)
    read = PlyData.read(str(tmp_path / "a.ply"))
    np.testing.assert_allclose(np.stack([read["vertex"][c] for c in "xyz"], 1), vertices, rtol=1e-6, atol=1e-6)
    assert np.array_equal(np.stack([read["vertex"][c] for c in ("red", "green", "blue")], 1), rgb)
    assert np.array_equal(np.stack(read["face"]["vertex_indices"]), faces)
    for kind in ("obj", "stl"):
        write_mesh_file(tmp_path / f"a.{kind}", mesh, mm=True)
        same = trimesh.load(tmp_path / f"a.{kind}")
        np.testing.assert_allclose(same.bounds, [vertices.min(0), vertices.max(0)], atol=1e-5)
        assert len(same.faces) == len(faces)
    with pytest.raises(MacrosplatError, match=r"a\.off"):
        check_suffix(tmp_path / "a.off", Shape())

    write_mesh_gltf(tmp_path / "a.glb", vertices, faces, rgb / np.float32(255), 1e-3)
    data = (tmp_path / "a.glb").read_bytes()
    size = struct.unpack_from("<I", data, 12)[0]
    document, binary = json.loads(data[20 : 20 + size]), data[28 + size :]
    primitive = document["meshes"][0]["primitives"][0]
    found = {}
    for name, number in {**primitive["attributes"], "indices": primitive["indices"]}.items():
        accessor = document["accessors"][number]
        view = document["bufferViews"][accessor["bufferView"]]
        kind = {5126: "<f4", 5125: "<u4"}[accessor["componentType"]]
        width = {"SCALAR": 1, "VEC3": 3}[accessor["type"]]
        found[name] = np.frombuffer(binary, kind, accessor["count"] * width, view["byteOffset"]).reshape(-1, width)
    np.testing.assert_allclose(found["POSITION"], vertices, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(found["COLOR_0"], rgb / 255, atol=1e-6)
    assert np.array_equal(found["indices"].reshape(-1, 3), faces)
    # Millimetres, in a format of metres, the right way up.
    assert document["nodes"] == [{"mesh": 0, "rotation": [1.0, 0.0, 0.0, 0.0], "scale": [1e-3] * 3}]


@pytest.mark.parametrize("spread", [2 * np.pi * 11 / 12, 1.0], ids=["all round", "an arc"])
def test_the_orbit_goes_where_photos_are(spread: float) -> None:
    pivot, up = np.array([1.0, 2.0, 3.0]), np.array([0.0, 0.6, 0.8])
    level = np.array([[1.0, 0, 0], np.cross(up, [1.0, 0, 0])])
    turns = np.linspace(0, spread, 12)
    away = np.cos(0.4) * (np.cos(turns)[:, None] * level[0] + np.sin(turns)[:, None] * level[1]) + np.sin(0.4) * up
    views = np.stack([look_at(pivot + 5 * a, pivot, up) for a in away])
    path = orbit(views, pivot, 40)
    centres = -np.einsum("vji,vj->vi", path[:, :3, :3], path[:, :3, 3])
    np.testing.assert_allclose(np.linalg.norm(centres - pivot, axis=1), 5, rtol=1e-6)
    np.testing.assert_allclose(path[:, :3, :3] @ pivot + path[:, :3, 3], np.tile([0, 0, 5.0], (40, 1)), atol=1e-9)
    nearest = np.linalg.norm(centres[:, None] - (pivot + 5 * away), axis=2)
    # Between two photos at the most: on a full circle they stand 30 degrees apart.
    assert nearest.min(1).max() < (1.4 if spread > 3 else 0.75)
    # All of it is visited.
    assert nearest.min(0).max() < (1.0 if spread > 3 else 0.75)
