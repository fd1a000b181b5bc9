"""The .ply layout against plyfile and the original's order; broken files are named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from plyfile import PlyData

from macrosplat.scene.formats.ply import properties, read_ply, write_ply
from macrosplat.scene.gaussians import SH_REST, Gaussians
from macrosplat.support.errors import MacrosplatError


def scene(count: int = 7, degree: int = 2) -> Gaussians:
    make = torch.Generator().manual_seed(4)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=make)

    quats = torch.nn.functional.normalize(normal(count, 4), dim=1)
    return Gaussians(
        normal(count, 3), normal(count, 3), quats, normal(count), normal(count, 3), normal(count, SH_REST[degree], 3)
    )


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
def test_what_is_written_is_read_back(tmp_path: Path, degree: int) -> None:
    wanted = scene(degree=degree)
    write_ply(tmp_path / "scene.ply", wanted)
    got = read_ply(tmp_path / "scene.ply").as_tensors()
    for name, value in wanted.tensors().items():
        torch.testing.assert_close(getattr(got, name), value, rtol=0, atol=1e-6, msg=name)


def test_plyfile_reads_the_original_layout(tmp_path: Path) -> None:
    wanted = scene()
    write_ply(tmp_path / "scene.ply", wanted)
    ply = PlyData.read(str(tmp_path / "scene.ply"))
    vertex = ply["vertex"]
    assert [p.name for p in vertex.properties] == properties(8)
    assert ply.comments == ["made by macrosplat"] and ply.byte_order == "<" and vertex.count == 7
    np.testing.assert_allclose(vertex["y"], wanted.means[:, 1])
    np.testing.assert_allclose(vertex["nx"], 0)
    np.testing.assert_allclose(vertex["f_dc_2"], wanted.sh0[:, 2])
    # Channel by channel: the third coefficient of green is number 8 + 2.
    np.testing.assert_allclose(vertex["f_rest_10"], wanted.sh_rest[:, 2, 1])
    np.testing.assert_allclose(vertex["opacity"], wanted.opacity_logits)
    np.testing.assert_allclose(vertex["scale_1"], wanted.log_scales[:, 1])
    np.testing.assert_allclose(vertex["rot_0"], wanted.quats[:, 0], atol=1e-6)


def test_rotations_are_normalised(tmp_path: Path) -> None:
    wanted = scene()
    write_ply(tmp_path / "scene.ply", wanted.with_(quats=3.0 * wanted.quats))
    torch.testing.assert_close(read_ply(tmp_path / "scene.ply").as_tensors().quats, wanted.quats)


def test_an_empty_scene_is_a_file_too(tmp_path: Path) -> None:
    write_ply(tmp_path / "scene.ply", scene(0))
    assert len(read_ply(tmp_path / "scene.ply")) == 0


def test_broken_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "scene.ply"
    with pytest.raises(MacrosplatError, match=r"scene\.ply cannot be read"):
        read_ply(path)
    path.write_bytes(b"not a ply at all")
    with pytest.raises(MacrosplatError, match="not a binary"):
        read_ply(path)
    write_ply(path, scene())
    whole = path.read_bytes()
    path.write_bytes(whole[:-4])
    with pytest.raises(MacrosplatError, match="cut short: 7"):
        read_ply(path)
    path.write_bytes(whole.replace(b"property float opacity", b"property float opaqueX"))
    with pytest.raises(MacrosplatError, match="lacks opacity"):
        read_ply(path)
