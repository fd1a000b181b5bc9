"""Meshes with a texture: a sphere whose light is a function of place, in every format, as other readers have it."""

from __future__ import annotations

import importlib
import io
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh
from numpy.typing import NDArray
from PIL import Image

from macrosplat.export import mesh as mesh_module
from macrosplat.export.mesh_files import Mesh, check_suffix, write_mesh_file
from macrosplat.export.shape import Shape
from macrosplat.export.texture import painted, unwrapped
from macrosplat.photos.decode import TABLE_8
from macrosplat.support.errors import MacrosplatError

TEXEL = 0.02


def light_at(places: NDArray) -> NDArray[np.float32]:
    """Linear light that has more detail than the sphere has corners."""
    return (0.5 + 0.3 * np.sin(6 * places)).astype(np.float32)


@pytest.fixture(scope="module")
def made() -> Mesh:
    sphere = trimesh.creation.icosphere(2)
    vertices, faces = np.asarray(sphere.vertices), np.asarray(sphere.faces, np.int64)
    opened = unwrapped(vertices, faces, TEXEL)
    colours = light_at(vertices)

    def ask(places: NDArray, normals: NDArray) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        assert (places * normals).sum(1).min() > 0
        seen = places[:, 2] > 0  # from below nobody looks
        return np.where(seen[:, None], light_at(places), 0).astype(np.float32), seen

    picture = painted(vertices, faces, colours, opened, ask)
    return Mesh(vertices[opened.source], opened.faces, colours[opened.source], opened.uv, picture)


def off(vertices: NDArray, faces: NDArray, uv: NDArray, picture: NDArray) -> float:
    """How far the picture is from the light, in the median, at the middles of the upper faces."""
    middles, at = vertices[faces].mean(1), uv[faces].mean(1)
    rows, columns = (at[:, ::-1] * picture.shape[:2]).astype(int).T
    above = middles[:, 2] > 0.2
    return float(np.median(np.abs(TABLE_8[picture[rows, columns]] - light_at(middles))[above]))


def test_texels_have_the_light_of_the_places_that_they_show(made: Mesh) -> None:
    assert made.uv is not None and made.picture is not None
    assert made.uv.min() >= 0 and made.uv.max() <= 1
    # The same surface, cut open.
    assert trimesh.Trimesh(made.vertices, made.faces, process=False).area == pytest.approx(
        trimesh.creation.icosphere(2).area, rel=1e-6
    )
    assert off(made.vertices, made.faces, made.uv, made.picture) < 0.01
    # Charts do not lie on one another, and fill what they may: twice their area is too much.
    corners = made.uv[made.faces] * made.picture.shape[1::-1]
    sides = corners[:, 1:] - corners[:, :1]
    covered = np.abs(np.linalg.det(sides)).sum() / 2 / (made.picture.shape[0] * made.picture.shape[1])
    assert 0.3 < covered < 1
    # What nobody sees takes the colours of the corners, and no texel beside a chart is left black.
    assert made.picture.min() > 60


def test_glb_and_obj_are_read_by_trimesh(made: Mesh, tmp_path: Path) -> None:
    for name in ("a b.glb", "a b.obj"):
        write_mesh_file(tmp_path / name, made, mm=True)
        read = trimesh.load(tmp_path / name, process=False, maintain_order=True)
        one = next(iter(read.geometry.values())) if isinstance(read, trimesh.Scene) else read
        assert isinstance(one, trimesh.Trimesh) and len(one.faces) == len(made.faces)
        visual: Any = one.visual
        image = visual.material.baseColorTexture if name.endswith("glb") else visual.material.image
        picture, uv = np.asarray(image.convert("RGB")), np.array(visual.uv)
        uv[:, 1] = 1 - uv[:, 1]  # trimesh counts from below
        assert off(np.asarray(one.vertices), np.asarray(one.faces), uv, picture) < 0.015
    assert {path.name for path in tmp_path.iterdir()} == {"a b.glb", "a b.obj", "a b.mtl", "a b.jpg"}


def test_usdz(made: Mesh, tmp_path: Path) -> None:
    up = np.array([0.1, -0.7, -0.6])
    write_mesh_file(tmp_path / "a.usdz", replace(made, up=up.tolist()), mm=True)
    with zipfile.ZipFile(tmp_path / "a.usdz") as archive:
        kinds = {info.compress_type for info in archive.infolist()}
        assert kinds == {zipfile.ZIP_STORED} and archive.namelist()[0].endswith(".usdc")
        inside = next(name for name in archive.namelist() if name.endswith(".jpg"))
        picture = np.asarray(Image.open(io.BytesIO(archive.read(inside))).convert("RGB"))
    usd, geometry = importlib.import_module("pxr.Usd"), importlib.import_module("pxr.UsdGeom")
    stage = usd.Stage.Open(str(tmp_path / "a.usdz"))
    assert geometry.GetStageMetersPerUnit(stage) == 1e-3 and geometry.GetStageUpAxis(stage) == "Y"
    read = geometry.Mesh(stage.GetPrimAtPath("/object/mesh"))
    faces = np.array(read.GetFaceVertexIndicesAttr().Get()).reshape(-1, 3)
    uv = np.array(geometry.PrimvarsAPI(read).GetPrimvar("st").Get())
    uv[:, 1] = 1 - uv[:, 1]
    assert np.array_equal(faces, made.faces)
    assert off(np.array(read.GetPointsAttr().Get(), float), faces, uv, picture) < 0.015
    world = np.array(geometry.XformCache().GetLocalToWorldTransform(read.GetPrim()))  # of rows
    np.testing.assert_allclose(up / np.linalg.norm(up) @ world[:3, :3], [0, 1, 0], atol=1e-6)


def test_what_cannot_be_is_said_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MacrosplatError, match=r"not into a\.stl"):
        check_suffix(Path("a.stl"), Shape(texture=True))
    for missing, suffix in (("xatlas", "glb"), ("pxr.Sdf", "usdz")):
        monkeypatch.setitem(importlib.import_module("sys").modules, missing, None)
        with pytest.raises(MacrosplatError, match="pip install"):
            check_suffix(Path(f"a.{suffix}"), Shape(texture=True))
        monkeypatch.undo()
    monkeypatch.setitem(importlib.import_module("sys").modules, "pxr.Sdf", None)
    with pytest.raises(MacrosplatError, match=r"macrosplat\[usd\]"):
        mesh_module.write_mesh(tmp_path, tmp_path / "a.usdz")
