"""The commands of README and docs, run one after the other in one folder, as a reader types them, with little work.

What asks for several GPUs, waits for a browser or takes minutes is run by the tests that ELSEWHERE names.
"""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

import pytest

from macrosplat import cli
from macrosplat.output import finish
from making_captures import write_capture
from making_training import made
from test_docs import EVERY

LITTLE = ["--steps", "4", "--max-gaussians", "300", "--width", "48", "--device", "cpu"]
CAPTURES = ("my_photos", "CAPTURE", "second")
# Commands by their first words; where a line has an option that is named, that is what sends it elsewhere.
ELSEWHERE = {
    ("studio",): "test_studio.py",
    ("view",): "test_serve.py",
    ("demo",): "test_cli.py",
    ("bench",): "test_bench.py",
    ("compare",): "test_compare.py",
    ("reconstruct", "--live"): "test_live.py",
    ("reconstruct", "--devices"): "test_devices.py",
    ("reconstruct", "--targets"): "test_coded_targets.py",
}
LINES = sorted({line for _, line, complete in EVERY if complete})


def elsewhere(words: list[str]) -> str | None:
    return next((test for named, test in ELSEWHERE.items() if words[0] == named[0] and set(named) <= set(words)), None)


def test_the_tests_that_run_the_other_commands_are_there() -> None:
    for test in ELSEWHERE.values():
        assert (Path(__file__).parent / test).is_file(), test


def test_what_is_to_be_typed_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    """First what makes runs, then what reads them; each ends well and leaves what it names."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(finish, "VIEWER_STEPS", 1)
    for name in CAPTURES:
        write_capture(tmp_path / name, made())
    (tmp_path / "drawer.csv").write_text("specimen,folder\nbeetle,CAPTURE\n")
    assert cli.main(["reconstruct", "CAPTURE", "--out", "first_run", *LITTLE]) == 0
    makes = ("reconstruct", "batch")
    done: set[str] = set()
    for line in sorted(LINES, key=lambda one: shlex.split(one)[1] not in makes):
        words = shlex.split(line)[1:]
        if elsewhere(words):
            continue
        if words[0] in makes:
            words += LITTLE
        out = Path(words[words.index("--out") + 1]) if "--out" in words else None
        if words[0] == "reconstruct":
            assert out is not None
            shutil.rmtree(out, ignore_errors=True)  # pages may begin with the same name
        assert cli.main(words) == 0, f"{line}: {capsys.readouterr().err}"
        assert out is None or out.exists(), f"{line} left no {out}"
        done.add(words[0])
    assert {"reconstruct", "batch", "list", "export", "evaluate", "targets"} <= done
