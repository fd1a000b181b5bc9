"""Colours by code points, against the values that BT.2100 and BT.2408 give."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from macrosplat.photos.cicp import CodePoints, code_points, profile_of
from macrosplat.photos.decode import decode
from macrosplat.photos.inspected import inspect

GREY = np.full((8, 8, 3), 148, np.uint8)  # 58 % of the signal: PQ's reference white


def as_png(path: Path, primaries: int, transfer: int) -> Path:
    Image.fromarray(GREY).save(path)
    data = path.read_bytes()
    body = b"cICP" + bytes([primaries, transfer, 0, 1])
    chunk = struct.pack(">I", 4) + body + struct.pack(">I", zlib.crc32(body))
    path.write_bytes(data[:33] + chunk + data[33:])  # behind the header
    return path


@pytest.mark.parametrize(
    ("transfer", "signal", "light"),
    [(16, 0.5806, 1.0), (16, 0.508, 100 / 203), (18, 0.75, 1.0), (18, 0.38, 0.1816), (8, 0.3, 0.3)],
)
def test_curves_have_their_reference_levels(transfer: int, signal: float, light: float) -> None:
    """BT.2408: reference white is 58 % in PQ and 75 % in HLG, a grey card 38 % in both (26 cd / m^2 in PQ)."""
    profile = profile_of(CodePoints(9, transfer))
    assert profile is not None
    assert profile.curves[0, round(signal * 65535)] == pytest.approx(light, rel=0.01)
    np.testing.assert_allclose(profile.matrix.sum(1), 1, atol=1e-4)  # white stays white


def test_a_png_in_pq_is_read_as_light_and_said(tmp_path: Path) -> None:
    path = as_png(tmp_path / "a.png", 9, 16)
    assert code_points(path) == (9, 16)
    np.testing.assert_allclose(decode(path), 1, atol=0.02)
    assert "HDR (PQ)" in (inspect(path).remark or "")


@pytest.mark.parametrize(("primaries", "transfer"), [(1, 13), (1, 1), (2, 2)])
def test_srgb_in_other_words_stays_bytes(tmp_path: Path, primaries: int, transfer: int) -> None:
    assert (decode(as_png(tmp_path / "a.png", primaries, transfer)) == GREY).all()


def test_heif_tells_its_colours(tmp_path: Path) -> None:
    heif = pytest.importorskip("pillow_heif")
    for primaries, transfer in ((12, 13), (9, 18)):
        colours = np.full((16, 16, 3), (200, 90, 60), np.uint8)
        points = {"color_primaries": primaries, "transfer_characteristics": transfer, "matrix_coefficients": 1}
        picture = heif.from_pillow(Image.fromarray(colours))
        picture.save(str(tmp_path / "a.hif"), quality=100, chroma=444, save_nclx_profile=True, **points)
        assert code_points(tmp_path / "a.hif") == (primaries, transfer)
        profile = profile_of(CodePoints(primaries, transfer))
        assert profile is not None
        light = np.array([profile.curves[0, level * 257] for level in (200, 90, 60)]) @ profile.matrix.T
        np.testing.assert_allclose(decode(tmp_path / "a.hif")[4, 4], np.clip(light, 0, 1), atol=0.05)
