"""Kernels are compiled ahead by a second process, once, which never outlives the first."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from macrosplat.support import ahead


@pytest.fixture
def started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[subprocess.Popen[bytes]]:
    """What is started: an interpreter that waits for words."""
    processes = []
    plain = subprocess.Popen

    def start(*args: Any, **kwargs: Any) -> subprocess.Popen[bytes]:
        processes.append(plain(*args, **kwargs))
        return processes[-1]

    monkeypatch.setattr(ahead.subprocess, "Popen", start)
    monkeypatch.setattr(ahead, "PROGRAM", "code")
    monkeypatch.setattr(ahead, "CORES", 2)
    monkeypatch.setattr(ahead, "compiled_mark", lambda: tmp_path / "mark")
    return processes


def test_a_second_process_compiles_and_ends_with_the_work(started: list[subprocess.Popen[bytes]]) -> None:
    with pytest.raises(KeyboardInterrupt), ahead.compiling():
        assert started[0].poll() is None
        raise KeyboardInterrupt
    assert started[0].poll() is not None


def test_no_process_is_started_where_all_is_compiled_or_there_is_one_core(
    started: list[subprocess.Popen[bytes]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mark").touch()
    with ahead.compiling():
        pass
    (tmp_path / "mark").unlink()
    monkeypatch.setattr(ahead, "CORES", 1)
    with ahead.compiling():
        pass
    monkeypatch.setattr(ahead, "CORES", 2)
    monkeypatch.setattr(ahead.sys, "executable", "/opt/viewer/viewer")  # would show another window
    with ahead.compiling():
        pass
    assert not started
