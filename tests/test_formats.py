"""SPZ and .splat read back; SPZ as an independent reader (gsply) has it; broken files are named."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import gsply
import numpy as np
import pytest
import torch

from macrosplat.export.gltf import write_gltf
from macrosplat.scene.formats.read import read_scene
from macrosplat.scene.formats.splat import write_splat
from macrosplat.scene.formats.spz import write_spz
from macrosplat.scene.gaussians import SH_REST, Gaussians
from macrosplat.support.errors import MacrosplatError


def scene(count: int = 40, degree: int = 2) -> Gaussians:
    make = torch.Generator().manual_seed(4)

    def uniform(*shape: int) -> torch.Tensor:
        return 2 * torch.rand(*shape, generator=make) - 1

    quats = torch.nn.functional.normalize(uniform(count, 4), dim=1)
    rest = 0.9 * uniform(count, SH_REST[degree], 3)
    return Gaussians(50 * uniform(count, 3), 3 * uniform(count, 3), quats, uniform(count), uniform(count, 3), rest)


def same_turn(a: torch.Tensor, b: torch.Tensor) -> float:
    a, b = (torch.nn.functional.normalize(q, dim=1) for q in (a, b))
    return float((1 - (a * b).sum(1).abs()).max())


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
def test_spz_reads_back_within_its_steps(tmp_path: Path, degree: int) -> None:
    wanted = scene(degree=degree)
    write_spz(tmp_path / "a.spz", wanted)
    found = read_scene(tmp_path / "a.spz").as_tensors()
    assert (found.means - wanted.means).abs().max() < 1e-5
    assert (found.log_scales - wanted.log_scales).abs().max() < 0.5 / 16 + 1e-5
    assert (found.opacity_logits.sigmoid() - wanted.opacity_logits.sigmoid()).abs().max() < 0.51 / 255
    assert (found.sh0 - wanted.sh0).abs().max() < 0.51 / 255 / 0.15
    assert same_turn(found.quats, wanted.quats) < 1e-5
    assert degree == 0 or (found.sh_rest - wanted.sh_rest).abs().max() < 8.5 / 128


def test_spz_as_another_reader_has_it(tmp_path: Path) -> None:
    wanted = scene()
    write_spz(tmp_path / "a.spz", wanted)
    found = gsply.read_spz(tmp_path / "a.spz")
    # It leaves the file's axes (right, up, back) as they are.
    assert np.abs(np.asarray(found.means) * (1, -1, -1) - wanted.means.numpy()).max() < 1e-5


def test_splat_reads_back_without_harmonics(tmp_path: Path) -> None:
    wanted = scene()
    write_splat(tmp_path / "a.splat", wanted)
    found = read_scene(tmp_path / "a.splat").as_tensors()
    order = ((found.means[None] - wanted.means[:, None]).norm(dim=2)).argmin(1)
    assert torch.equal(found.means[order], wanted.means)
    assert same_turn(found.quats[order], wanted.quats) < 1e-3
    assert found.sh_rest.shape == (40, 0, 3)


def test_gltf_holds_linear_scales_and_opacities(tmp_path: Path) -> None:
    wanted = scene()
    write_gltf(tmp_path / "a.glb", wanted)
    data = (tmp_path / "a.glb").read_bytes()
    size = struct.unpack_from("<I", data, 12)[0]
    document, binary = json.loads(data[20 : 20 + size]), data[28 + size :]
    assert struct.unpack_from("<I", data, 8)[0] == len(data)
    primitive = document["meshes"][0]["primitives"][0]
    view = document["bufferViews"][
        document["accessors"][primitive["attributes"]["KHR_gaussian_splatting:SCALE"]]["bufferView"]
    ]
    scales = np.frombuffer(binary, "<f4", 3 * 40, view["byteOffset"]).reshape(-1, 3)
    np.testing.assert_allclose(scales, wanted.log_scales.exp().numpy(), rtol=1e-6)
    assert "KHR_gaussian_splatting:SH_DEGREE_2_COEF_4" in primitive["attributes"]


@pytest.mark.parametrize(("name", "content"), [("a.spz", b"PLY"), ("a.splat", bytes(33)), ("a.obj", b"v 0 0 0")])
def test_broken_files_are_named(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(MacrosplatError, match=name):
        read_scene(tmp_path / name)
