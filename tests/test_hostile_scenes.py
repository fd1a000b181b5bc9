"""Scene files of other programs, damaged: each is read as finite Gaussians, or refused in one sentence."""

from __future__ import annotations

import gzip
import os
import struct
import time
import zlib
from pathlib import Path

import gsply
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hostile import BOUNDED, damaged
from macrosplat.scene.formats.ply import write_ply
from macrosplat.scene.formats.read import read_scene
from macrosplat.scene.formats.splat import ROW, write_splat
from macrosplat.scene.formats.spz import HEADER, MAGIC, write_spz
from macrosplat.scene.gaussians import Gaussians
from macrosplat.support.errors import MacrosplatError
from macrosplat.web.page import as_html, of_file


def scene(count: int = 30, rest: int = 3) -> Gaussians:
    make = torch.Generator().manual_seed(1)

    def uniform(*shape: int) -> torch.Tensor:
        return 2 * torch.rand(*shape, generator=make) - 1

    return Gaussians(
        uniform(count, 3),
        uniform(count, 3) - 3,
        uniform(count, 4),
        uniform(count),
        uniform(count, 3),
        uniform(count, rest, 3),
    )


def bytes_of(kind: str, folder: Path) -> bytes:
    path = folder / f"good.{kind}"
    if kind == "compressed.ply":
        g = {name: t.numpy() for name, t in scene().tensors().items()}
        theirs = gsply.GSData(
            means=g["means"], scales=g["log_scales"], quats=g["quats"], opacities=g["opacity_logits"], sh0=g["sh0"],
            shN=g["sh_rest"],
        )  # fmt: skip
        gsply.plywrite(path, theirs, compressed=True)
    else:
        {"ply": write_ply, "spz": write_spz, "splat": write_splat}[kind](path, scene())
    return path.read_bytes()


def check(path: Path) -> None:
    """Read as something that can be drawn, or refused in a sentence."""
    try:
        found = read_scene(path).as_tensors()
    except MacrosplatError as error:
        assert str(path) in str(error) and "\n" not in str(error) and len(str(error)) < 500
        return
    assert len(found) and all(bool(t.isfinite().all()) for t in found.tensors().values())


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("scenes")


@pytest.mark.parametrize("kind", ["ply", "compressed.ply", "spz", "splat"])
def test_damaged_files_are_read_or_refused(kind, folder):
    good = bytes_of(kind, folder)
    path = folder / f"bad.{kind}"

    @BOUNDED
    @given(damaged(good, head=min(900, len(good) - 1)))
    def of(content: bytes) -> None:
        path.write_bytes(content)
        check(path)

    of()


@BOUNDED
@given(st.data())
def test_spz_damaged_before_it_is_packed(folder, data):
    inner = gzip.decompress(bytes_of("spz", folder))
    (folder / "inner.spz").write_bytes(gzip.compress(data.draw(damaged(inner, head=HEADER.size)), 1))
    check(folder / "inner.spz")


VALUES = st.sampled_from([np.nan, np.inf, -np.inf, 3e38, -3e38, 1e-45, 1e20, 0.0])


@BOUNDED
@given(st.lists(st.tuples(st.integers(0, 29), st.integers(0, 25), VALUES), min_size=1, max_size=40))
def test_numbers_that_nothing_can_draw_are_left_out_and_counted(folder, places):
    head, mark, body = bytes_of("ply", folder).partition(b"end_header\n")
    rows = np.frombuffer(body, "<f4").reshape(30, -1).copy()
    for row, column, value in places:
        rows[row, column] = value
    (folder / "numbers.ply").write_bytes(head + mark + rows.tobytes())
    told: list[str] = []
    found = read_scene(folder / "numbers.ply", told.append).as_tensors()
    assert all(bool(t.isfinite().all()) for t in found.tensors().values())
    assert len(told) == (len(found) < 30) and (not told or told[0].startswith(f"{30 - len(found)} of the 30 "))


HEADERS = {
    "count": [b"-1", b"many", b"1.5", b"", b"0x10", b"9" * 5000, b"10" * 9, "²".encode(), b"31"],
    "property": [
        b"property float x\nproperty float x",
        b"property float",
        b"property list uchar int x",
        b"element vertex 3",
    ],
}


@pytest.mark.parametrize("new", HEADERS["count"])
def test_a_count_that_counts_nothing_is_refused(folder, new):
    (folder / "count.ply").write_bytes(bytes_of("ply", folder).replace(b"vertex 30", b"vertex " + new))
    with pytest.raises(MacrosplatError):
        read_scene(folder / "count.ply")


@pytest.mark.parametrize("new", HEADERS["property"])
def test_a_header_that_says_nonsense_is_refused(folder, new):
    (folder / "property.ply").write_bytes(bytes_of("ply", folder).replace(b"property float x", new))
    with pytest.raises(MacrosplatError):
        read_scene(folder / "property.ply")


def test_a_property_before_its_element_is_refused(folder):
    good = bytes_of("ply", folder)
    (folder / "before.ply").write_bytes(good.replace(b"element vertex", b"property float q\nelement vertex"))
    with pytest.raises(MacrosplatError, match="of no element"):
        read_scene(folder / "before.ply")


def test_a_header_with_carriage_returns_is_read(folder):
    head, mark, body = bytes_of("ply", folder).partition(b"end_header\n")
    (folder / "crlf.ply").write_bytes((head + mark).replace(b"\n", b"\r\n") + body)
    assert torch.equal(read_scene(folder / "crlf.ply").as_tensors().means, scene().means)


@pytest.mark.parametrize("kind", ["ply", "spz", "splat"])
def test_no_gaussians_are_nothing_to_show(folder, kind):
    path = folder / f"none.{kind}"
    {"ply": write_ply, "spz": write_spz, "splat": write_splat}[kind](path, scene(0))
    with pytest.raises(MacrosplatError):
        read_scene(path)


def test_an_infinite_opacity_means_opaque(folder):
    write_ply(folder / "opaque.ply", scene().with_(opacity_logits=torch.full((30,), torch.inf)))
    assert read_scene(folder / "opaque.ply").as_tensors().opacity_logits.sigmoid().min() == 1


def bomb(head: bytes, megabytes: int) -> bytes:
    squeezer = zlib.compressobj(9, wbits=31)
    first = squeezer.compress(head)
    blocks = [squeezer.compress(bytes(1 << 20)) for _ in range(megabytes)]
    return b"".join([first, *blocks, squeezer.flush()])


@pytest.mark.parametrize("count", [100, 2**31, 2**32 - 1, 50_000_000])
def test_no_more_is_inflated_than_the_header_promises(folder, count, monkeypatch):
    """The promise is kept to, and believed only as far as the file's size and the memory go."""
    from macrosplat.support import reading

    monkeypatch.setattr(reading, "available", lambda: 1e8)
    path = folder / "bomb.spz"
    path.write_bytes(bomb(HEADER.pack(MAGIC, 3, count, 0, 12, 0, 0), 64))
    with pytest.raises(MacrosplatError, match=r"promise|too large"):
        read_scene(path)


def test_pipes_devices_and_folders_are_refused_at_once(folder):
    os.mkfifo(folder / "pipe.ply")
    (folder / "folder.ply").mkdir()
    (folder / "zero.splat").symlink_to("/dev/zero")
    (folder / "loop.spz").symlink_to("loop.spz")
    began = time.monotonic()
    for name, what in {
        "pipe.ply": "a pipe",
        "folder.ply": "older|directory",
        "zero.splat": "a device",
        "loop.spz": "links",
    }.items():
        with pytest.raises(MacrosplatError, match=what):
            read_scene(folder / name)
    assert time.monotonic() - began < 30, "waited for somebody to write"


def test_splat_of_odd_scales(folder):
    rows = np.zeros(4, ROW)
    rows["scale"] = np.array([[1, 1, 1], [0, 0, 0], [-1, 1, 1], [np.nan, 1, 1]])
    (folder / "scales.splat").write_bytes(rows.tobytes())
    told: list[str] = []
    assert len(read_scene(folder / "scales.splat", told.append)) == 3 and told[0].startswith("1 of the 4 ")


@pytest.mark.parametrize("spread", [0.0, 1e-30, 1e11])
def test_the_page_of_any_scene_holds_finite_numbers(folder, spread, monkeypatch):
    from macrosplat.web import page

    monkeypatch.setattr(page, "program", lambda: gzip.compress(b""))
    g = scene()
    write_ply(folder / "far.ply", g.with_(means=g.means * spread))
    text = as_html(of_file(folder / "far.ply"))
    assert "NaN" not in text and "Infinity" not in text


assert struct.calcsize("<IIIBBBB") == HEADER.size
