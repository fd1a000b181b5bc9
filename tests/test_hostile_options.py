"""Options out of all bounds are refused in one sentence before anything is begun."""

from __future__ import annotations

from pathlib import Path

import pytest

from macrosplat.cli import main
from macrosplat.options import Options
from macrosplat.options.baselines import Blurnet, Deblur
from macrosplat.options.thin import Thin
from macrosplat.support.errors import MacrosplatError
from making_photos import make_photos


@pytest.mark.parametrize(
    "words",
    [
        ["--scale-mm", "1e-300"],
        ["--scale-mm", "1e300"],
        ["--scale-mm", "a.jpg:b.jpg=1e-20"],
        ["--seed", str(2**63)],
        ["--seed", str(2**64)],
        ["--steps", str(10**12)],
        ["--width", str(10**20)],
        ["--max-gaussians", str(10**20)],
    ],
)
def test_options_beyond_all_bounds(words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "capture").mkdir()
    assert main(["reconstruct", str(tmp_path / "capture"), "--out", str(tmp_path / "run"), *words]) == 2
    assert capsys.readouterr().err.count("macrosplat: ") == 1 and not (tmp_path / "run").exists()


@pytest.mark.parametrize("path", ["~nobodyatall/x", "\0", "x" * 300, "", "/dev/null"])
def test_captures_that_are_no_folder(path: str, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["reconstruct", path, "--out", str(tmp_path / "run")]) == 2
    assert capsys.readouterr().err.count("macrosplat: ") == 1 and not (tmp_path / "run").exists()


@pytest.mark.parametrize("option", ["--profile", "--figures"])
def test_bench_looks_at_its_files_first(option: str, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["bench", "--device", "cpu", option, str(tmp_path / "missing" / "x")]) == 2
    assert "does not exist" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (Options(lens="plain", thin=Thin(aperture_samples="4")), "--thin.aperture-samples is of --lens thin"),
        (Options(blurnet=Blurnet(depth="raw")), "--blurnet.depth is of --lens blurnet"),
        (Options(deblur=Deblur(weights="x")), "--deblur.weights is of --deblur-first restormer"),
        (Options(deblur_first="restormer", deblur=Deblur(sigma=2)), "--deblur.sigma is of --deblur-first rich"),
    ],
)
def test_options_that_would_have_no_effect(options: Options, said: str) -> None:
    with pytest.raises(MacrosplatError, match=said):
        options.check_used()


def test_options_of_what_was_chosen() -> None:
    Options().check_used()
    Options(lens="blurnet", blurnet=Blurnet(depth="raw")).check_used()
    Options(deblur_first="richardson-lucy", deblur=Deblur(sigma=2)).check_used()


def test_what_cannot_work_with_these_photos_is_said_before_a_run_is_begun(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    make_photos(tmp_path / "capture", 4)
    for words, said in (
        (["--scale-mm", "1.jpg:9.jpg=40"], "names 9.jpg, which is no photo"),
        (["--scale-mm", "1.jpg:1=40"], "names 1.jpg twice"),
        (["--deblur-first", "stack"], "there are none here"),
        (["--lens", "plain", "--thin.aberrations", "off"], "leave out one"),
    ):
        assert main(["reconstruct", str(tmp_path / "capture"), "--out", str(tmp_path / "run"), *words]) == 2
        assert said in capsys.readouterr().err and not (tmp_path / "run").exists()
