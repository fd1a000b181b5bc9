"""Scratch folders of libraries: in memory where there is room, else on the disk, and nothing left behind."""

import os
import time

import pytest

from macrosplat.support import scratch
from macrosplat.support.colmap import disk_told
from macrosplat.support.errors import MacrosplatError
from macrosplat.support.lock import locked
from macrosplat.support.scratch import library_scratch


@pytest.fixture(autouse=True)
def memory(tmp_path, monkeypatch):
    """A folder in the place of the file system in memory, and memory to spare."""
    (tmp_path / "shm").mkdir()
    (tmp_path / "run").mkdir()
    monkeypatch.setattr(scratch, "IN_MEMORY", tmp_path / "shm")
    monkeypatch.setattr(scratch, "available", lambda: 1e12)
    return tmp_path / "shm"


def test_it_lies_in_memory_and_is_removed(tmp_path, memory):
    with library_scratch(tmp_path / "run", ".sfm.", 1e6) as made:
        assert os.path.dirname(made) == str(memory)
        (shown,) = (tmp_path / "run").glob(".sfm.*/in-memory")
        assert shown.readlink() == memory / made
    assert list(memory.iterdir()) == [] and list((tmp_path / "run").iterdir()) == []
    with pytest.raises(KeyError), library_scratch(tmp_path / "run", ".sfm.", 1e6):
        raise KeyError
    assert list(memory.iterdir()) == []


@pytest.mark.parametrize("why", ["too large", "little memory", "no such place"])
def test_else_it_lies_where_it_would(tmp_path, memory, monkeypatch, why):
    if why == "little memory":
        monkeypatch.setattr(scratch, "available", lambda: 1e6)
    elif why == "no such place":
        memory.rmdir()
    monkeypatch.setattr(scratch, "MOST", 2e6)
    with library_scratch(tmp_path / "run", ".sfm.", 3e6 if why == "too large" else 1e6) as made:
        assert os.path.dirname(made) == str(tmp_path / "run") and os.path.basename(made).startswith(".sfm.")
    assert list((tmp_path / "run").iterdir()) == []
    with pytest.raises(MacrosplatError, match="The disk is full"):
        library_scratch(tmp_path / "run", ".sfm.", 1e18).__enter__()


def test_what_a_killed_process_left_is_removed_and_what_is_in_use_is_not(tmp_path, memory):
    old = time.time() - 2 * scratch.OLD
    for name in ("macrosplat.dead", "macrosplat.alive", "macrosplat.new", "another"):
        (memory / name).mkdir()
        (memory / name / "a.db").write_bytes(b"x")
        if name != "macrosplat.new":
            os.utime(memory / name, (old, old))
    with locked(memory / "macrosplat.alive"), library_scratch(tmp_path / "run", ".sfm.", 1e6) as made:
        there = {path.name for path in memory.iterdir()} - {os.path.basename(made)}
    assert there == {"macrosplat.alive", "macrosplat.new", "another"}


@pytest.mark.parametrize("words", ["filesystem error: cannot create directory: No space left", "database factory"])
def test_a_disk_that_colmap_cannot_write_to_is_one_sentence(words):
    with pytest.raises(MacrosplatError, match=r"cannot be written.*--resume"), disk_told():
        raise RuntimeError(words)
