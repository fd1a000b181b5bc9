"""Deblurring first: Richardson-Lucy undoes a known blur; folders and commands by name, or one sentence."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

from macrosplat import cli
from macrosplat.capture.open import open_capture
from macrosplat.deblur import check_deblur, deblurred
from macrosplat.deblur.restormer import load_spandrel
from macrosplat.deblur.richardson_lucy import deconvolved
from macrosplat.options import Options
from macrosplat.options.baselines import Deblur
from macrosplat.support.errors import MacrosplatError
from macrosplat.support.metrics import psnr
from making_captures import write_capture
from making_training import made

needs_spandrel = pytest.mark.skipif(importlib.util.find_spec("spandrel_extra_arches") is None, reason="needs spandrel")


@pytest.fixture(scope="module")
def capture(tmp_path_factory):
    return write_capture(tmp_path_factory.mktemp("capture"), made())


def photos_of(capture):
    photos = open_capture(capture).photos
    return photos, [np.asarray(Image.open(p.path)) for p in photos]


def test_richardson_lucy_undoes_a_known_blur():
    random = np.random.default_rng(0)
    sharp = np.kron(random.uniform(0.05, 0.9, (12, 16, 3)), np.ones((6, 6, 1)))
    taken = gaussian_filter(sharp, (1.5, 1.5, 0), mode="nearest")
    before, after = psnr(taken, sharp), psnr(deconvolved(taken, 1.5, 100).clip(0, 1), sharp)
    assert after > before + 3
    np.testing.assert_allclose(deconvolved(np.full((20, 20, 3), 0.3), 1.5, 10), 0.3, atol=1e-12)  # plain stays plain


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("nowhere/at-all", "is not a folder"),
        ("cp {in}", "names no {in} and {out}"),
        ("no-such-program-here {in} {out}", "no program no-such-program-here"),
        ('cp "{in} {out}', "cannot be read as a command"),
        ("restormer", "--deblur.weights"),
    ],
)
def test_what_cannot_work_is_said_before_a_run_begins(how, words):
    with pytest.raises(MacrosplatError, match=words.replace("{", r"\{").replace("}", r"\}")):
        check_deblur(Options(deblur_first=how))


def test_missing_weights():
    with pytest.raises(MacrosplatError, match=r"no\.pth does not exist"):
        check_deblur(Options(deblur_first="restormer", deblur=Deblur(weights="no.pth")))


def test_folder(capture, tmp_path):
    photos, taken = photos_of(capture)
    options = Options(deblur_first=str(capture / "sharp"))
    out = deblurred(tmp_path, photos, taken, options)
    assert all(np.array_equal(a, b) for a, b in zip(out, made().sharp, strict=True))
    shutil.copytree(capture / "sharp", tmp_path / "some")
    (tmp_path / "some" / "3.png").unlink()
    with pytest.raises(MacrosplatError, match=r"no deblurred 3\.png \(1 of 6"):
        deblurred(tmp_path / "other", photos, taken, replace(options, deblur_first=str(tmp_path / "some")))
    Image.fromarray(made().sharp[3][:, :40]).save(tmp_path / "some" / "3.png")
    with pytest.raises(MacrosplatError, match="another shape"):
        deblurred(tmp_path / "other", photos, taken, replace(options, deblur_first=str(tmp_path / "some")))
    Image.fromarray(made().sharp[3]).resize((photos[3].width // 10, photos[3].height // 10)).save(
        tmp_path / "some" / "3.png"
    )
    with pytest.raises(MacrosplatError, match=r"3\.png is .* thumbnail"):
        deblurred(tmp_path / "other", photos, taken, replace(options, deblur_first=str(tmp_path / "some")))


def test_command(capture, tmp_path):
    photos, taken = photos_of(capture)
    code = "import shutil, sys; shutil.copytree(sys.argv[1], sys.argv[2], dirs_exist_ok=True)"
    command = f'{sys.executable} -c "{code}" {{in}} {{out}}'
    out = deblurred(tmp_path, photos, taken, Options(deblur_first=command))
    assert all(np.array_equal(a, b) for a, b in zip(out, taken, strict=True))
    failing = f"{sys.executable} -c \"raise SystemExit('out of film')\" {{in}} {{out}}"
    with pytest.raises(MacrosplatError, match="code 1: out of film"):
        deblurred(tmp_path / "other", photos, taken, Options(deblur_first=failing))
    nothing = f'{sys.executable} -c "pass" {{in}} {{out}}'
    with pytest.raises(MacrosplatError, match="6 of 6 photos are missing"):
        deblurred(tmp_path / "other", photos, taken, Options(deblur_first=nothing))


@pytest.mark.skipif(sys.platform == "win32", reason="a shell")
def test_a_tool_that_leaves_a_process_behind_is_not_waited_for(capture, tmp_path):
    photos, taken = photos_of(capture)
    tool, left = tmp_path / "tool.sh", tmp_path / "left"
    tool.write_text(f'#!/bin/sh\ncp "$1"/*.png "$2"\nsleep 60 &\necho $! > {left}\n')
    tool.chmod(0o755)
    deblurred(tmp_path / "out", photos, taken, Options(deblur_first=f"{tool} {{in}} {{out}}"))
    os.kill(int(left.read_text()), signal.SIGTERM)  # it is still there


def test_a_run_learns_from_deblurred_photos(capture, tmp_path, capsys):
    words = f"reconstruct {capture} --out {tmp_path / 'run'} --lens plain --steps 2 --width 64 --device cpu".split()
    assert cli.main([*words, "--deblur-first", "richardson-lucy", "--deblur.sigma", "2"]) == 0
    kept = sorted(p.name for p in (tmp_path / "run" / "deblurred").iterdir())
    assert kept == [f"{v}.png" for v in range(6)]
    assert cli.main([*words, "--resume", "--deblur-first", "richardson-lucy", "--deblur.sigma", "3"]) == 2
    assert "--deblur.sigma 2" in capsys.readouterr().err


def small_restormer(path: Path) -> Path:
    """Weights of a small Restormer that has learned nothing."""
    import torch

    load_spandrel()
    from spandrel_extra_arches.architectures.Restormer import Restormer  # pyright: ignore[reportMissingImports]

    torch.manual_seed(0)
    sizes = {"dim": 8, "num_blocks": [1, 1, 1, 1], "num_refinement_blocks": 1, "heads": [1, 2, 4, 8]}
    torch.save(Restormer(**sizes).state_dict(), path)
    return path


@needs_spandrel
def test_restormer_of_random_weights(capture, tmp_path):
    weights = small_restormer(tmp_path / "small.pth")
    photos, taken = photos_of(capture)
    options = Options(deblur_first="restormer", deblur=Deblur(weights=str(weights), tile=64))
    check_deblur(options)
    out = deblurred(tmp_path, photos[:1], taken[:1], options)
    assert out[0].shape == taken[0].shape and not np.array_equal(out[0], taken[0])


@needs_spandrel
def test_a_run_learns_from_what_restormer_makes(capture, tmp_path):
    weights = small_restormer(tmp_path / "small.pth")
    words = f"reconstruct {capture} --out {tmp_path / 'run'} --lens plain --steps 2 --width 64 --device cpu".split()
    assert cli.main([*words, "--deblur-first", "restormer", "--deblur.weights", str(weights)]) == 0
    kept = sorted((tmp_path / "run" / "deblurred").iterdir())
    assert [path.name for path in kept] == [f"{v}.png" for v in range(6)]
    assert (tmp_path / "run" / "sharp" / "0.png").is_file()


@needs_spandrel
def test_a_file_that_is_no_weights(tmp_path):
    (tmp_path / "note.pth").write_text("hello")
    with pytest.raises(MacrosplatError, match="cannot be read as weights"):
        check_deblur(Options(deblur_first="restormer", deblur=Deblur(weights=str(tmp_path / "note.pth"))))
