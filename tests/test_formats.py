"""SPZ and .splat read back; SPZ as an independent reader (gsply) has it; broken files are named."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import gsply
import numpy as np
import pytest
import torch
from PIL import Image
from scipy.spatial import KDTree
from scipy.spatial.transform import Rotation

from macrosplat.export.gltf import upright, write_gltf
from macrosplat.scene.formats.compressed import write_compressed
from macrosplat.scene.formats.read import read_scene
from macrosplat.scene.formats.sog import write_sog
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


@pytest.mark.parametrize("degree", [0, 2])
def test_compressed_ply_as_another_reader_has_it(tmp_path: Path, degree: int) -> None:
    path = tmp_path / "a.compressed.ply"
    given = scene(300, degree)  # two chunks
    write_compressed(path, given)
    for read in (read_scene(path).as_tensors(), theirs(path, degree)):
        order = torch.as_tensor(KDTree(read.means.numpy()).query(given.means.numpy())[1])  # they come in another order
        assert len(order.unique()) == 300
        back = read.map(lambda values, order=order: values[order])
        # Half a step of 10 bits within the bounds of a chunk, which are at most 100 and 6 wide; colours of 8 bits.
        torch.testing.assert_close(back.means, given.means, rtol=0, atol=0.051)
        torch.testing.assert_close(back.log_scales, given.log_scales, rtol=0, atol=0.0031)
        assert same_turn(back.quats, given.quats) < 1e-5
        torch.testing.assert_close(back.sh0, given.sh0, rtol=0, atol=0.0041)
        torch.testing.assert_close(back.sh_rest, given.sh_rest, rtol=0, atol=0.0323)
        torch.testing.assert_close(back.opacity_logits.sigmoid(), given.opacity_logits.sigmoid(), rtol=0, atol=0.0021)


def theirs(path: Path, degree: int) -> Gaussians:
    """What gsply reads, as ours."""
    read = gsply.plyread(str(path))
    rest = np.asarray(read.shN).reshape(len(read.means), -1, 3)[:, : SH_REST[degree]]
    return Gaussians.of_arrays(
        means=read.means,
        log_scales=read.scales,
        quats=read.quats,
        opacity_logits=read.opacities,
        sh0=read.sh0,
        sh_rest=rest,
    ).as_tensors()


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


@pytest.mark.parametrize("up", [(0.0, -1, 0), (0, 1, 0), (0, 0, 1), (0.1, -0.7, -0.6)])
def test_gltf_stands_upright(up: tuple[float, float, float]) -> None:
    turn = Rotation.from_quat(upright(up))
    np.testing.assert_allclose(turn.apply(np.array(up) / np.linalg.norm(up)), [0, 1, 0], atol=1e-12)


@pytest.mark.parametrize(
    ("name", "content"), [("a.spz", b"PLY"), ("a.splat", bytes(33)), ("a.sog", b"PK"), ("a.obj", b"v 0 0 0")]
)
def test_broken_files_are_named(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(MacrosplatError, match=name):
        read_scene(tmp_path / name)


def test_sog_is_read_back_as_its_specification_says(tmp_path: Path) -> None:
    """Decoded here step by step as the specification of version 2 has it."""
    chance = np.random.default_rng(3)
    n, k = 3000, 3
    given = Gaussians.of_arrays(
        means=chance.normal(0, 20, (n, 3)),
        log_scales=chance.normal(-3, 1, (n, 3)),
        quats=chance.normal(0, 1, (n, 4)),
        opacity_logits=chance.normal(0, 2, n),
        sh0=chance.normal(0, 1, (n, 3)),
        sh_rest=chance.integers(-1, 2, (n, 1, 1)) * chance.normal(0, 0.1, (1, k, 3)),  # of three kinds
    )
    write_sog(tmp_path / "a.sog", given)
    with zipfile.ZipFile(tmp_path / "a.sog") as archive:
        meta = json.loads(archive.read("meta.json"))

        def pixels(name: str) -> np.ndarray:
            return np.asarray(Image.open(io.BytesIO(archive.read(name))).convert("RGBA"))

        def rows(name: str) -> np.ndarray:
            return pixels(name).reshape(-1, 4)[: meta["count"]].astype(int)

        assert (meta["version"], meta["count"]) == (2, n)
        low, high = np.array(meta["means"]["mins"]), np.array(meta["means"]["maxs"])
        lower, upper = (rows(name)[:, :3] for name in meta["means"]["files"])
        logs = low + (high - low) * (lower + 256 * upper) / 65535
        means = np.sign(logs) * (np.exp(np.abs(logs)) - 1)
        log_scales = np.array(meta["scales"]["codebook"])[rows("scales.webp")[:, :3]]
        colour = rows("sh0.webp")
        sh0, alpha = np.array(meta["sh0"]["codebook"])[colour[:, :3]], colour[:, 3] / 255
        packed = rows("quats.webp")
        quats = np.zeros((n, 4))
        for row, (a, b, c, tag) in zip(quats, packed, strict=True):
            row[[i for i in range(4) if i != tag - 252]] = (np.array([a, b, c]) / 255 * 2 - 1) / 2**0.5
            row[tag - 252] = np.sqrt(max(0, 1 - (row**2).sum()))
        labels = rows("shN_labels.webp")
        index = labels[:, 0] + 256 * labels[:, 1]
        assert index.max() < meta["shN"]["count"] and meta["shN"]["bands"] == 1
        table = pixels("shN_centroids.webp")[:, :, :3].astype(int)
        at = (index % 64)[:, None] * k + np.arange(k)
        sh_rest = np.array(meta["shN"]["codebook"])[table[(index // 64)[:, None], at]]
    g = given.arrays(np.float64)
    near = KDTree(means).query(g["means"])[1]  # they come in another order
    assert len(np.unique(near)) == n
    np.testing.assert_allclose(means[near], g["means"], atol=0.01)
    for found, wanted in ((log_scales, g["log_scales"]), (sh0, g["sh0"])):  # coarser where few are
        off = np.abs(found[near] - wanted)
        assert off.max() < 0.2 and off.mean() < 0.01
    np.testing.assert_allclose(alpha[near], 1 / (1 + np.exp(-g["opacity_logits"])), atol=0.003)
    unit = g["quats"] / np.linalg.norm(g["quats"], axis=1, keepdims=True)
    assert np.abs((quats[near] * unit).sum(1)).min() > 0.9999
    np.testing.assert_allclose(sh_rest[near], g["sh_rest"], atol=0.01)
    # What was decoded here is what the reader finds: of the file, and of what is in it lying beside its meta.json.
    with zipfile.ZipFile(tmp_path / "a.sog") as archive:
        archive.extractall(tmp_path / "unpacked")
    for path in (tmp_path / "a.sog", tmp_path / "unpacked" / "meta.json"):
        read = read_scene(path).arrays(np.float64)
        for name, wanted in (("means", means), ("log_scales", log_scales), ("sh0", sh0), ("sh_rest", sh_rest)):
            np.testing.assert_allclose(read[name], wanted, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(read["quats"], quats, atol=1e-6)
        np.testing.assert_allclose(1 / (1 + np.exp(-read["opacity_logits"])), alpha, atol=0.002)


def _sog(tmp_path: Path, change: Callable[[dict], object]) -> Path:
    write_sog(tmp_path / "good.sog", scene(40, 1))
    with zipfile.ZipFile(tmp_path / "good.sog") as good, zipfile.ZipFile(tmp_path / "bad.sog", "w") as bad:
        for name in good.namelist():
            content = good.read(name)
            if name == "meta.json":
                meta = json.loads(content)
                change(meta)
                content = json.dumps(meta).encode()
            bad.writestr(name, content)
    return tmp_path / "bad.sog"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda meta: meta.update(version=1), "version 1; version 2 can be read"),
        (lambda meta: meta.update(count=10**6), "1000000 Gaussians were promised"),
        (lambda meta: meta["means"].update(files=["../x", "y"]), "damaged"),
        (lambda meta: meta["scales"].update(codebook=[0.0]), "a codebook of 1 numbers"),
        (lambda meta: meta["shN"].update(count=0), "of a palette of 0"),
        (lambda meta: meta.pop("quats"), "damaged"),
        (lambda meta: meta["means"].update(mins=[10**400] * 3), "damaged"),
        (lambda meta: meta["scales"].update(files=["meta.json"]), "meta.json is no lossless picture"),
    ],
)
def test_sog_that_is_damaged_is_named(tmp_path: Path, change: Callable[[dict], object], said: str) -> None:
    with pytest.raises(MacrosplatError, match=f"bad.sog.*{said}"):
        read_scene(_sog(tmp_path, change))
