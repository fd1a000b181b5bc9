"""Options out of all bounds are refused in one sentence before anything is begun."""

from __future__ import annotations

from pathlib import Path

import pytest

from macrosplat.cli import main


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
