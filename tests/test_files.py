"""Files are written atomically: they appear whole or not at all."""

import errno
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from macrosplat.support import files
from macrosplat.support.errors import MacrosplatError
from macrosplat.support.files import (
    below,
    no_strangers_beside,
    only_ours,
    room_on_disk,
    scratch_in,
    sweep,
    whole,
    whole_folder,
    write_json,
    write_whole,
)
from macrosplat.support.lock import locked


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_under_its_name_only_and_the_folder_is_made(tmp_path):
    target = tmp_path / "maps" / "photo.png"
    with whole(target) as part:
        part.write_bytes(b"pixels")
        assert not target.exists()
        assert part.suffix == ".png"  # encoders choose the format by it
    assert names(target.parent) == ["photo.png"]
    assert target.read_bytes() == b"pixels"


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, SystemExit, ValueError])
def test_an_interrupted_write_leaves_the_old_file_and_nothing_else(tmp_path, interruption):
    target = tmp_path / "scene.ply"
    target.write_text("old")
    with pytest.raises(interruption), whole(target) as part:
        part.write_text("half of the n")
        raise interruption
    assert names(tmp_path) == ["scene.ply"]
    assert target.read_text() == "old"


@pytest.mark.parametrize(
    ("number", "sentence"),
    [(errno.ENOSPC, "disk is full"), (errno.EDQUOT, "disk is full"), (errno.EROFS, "cannot be written")],
)
def test_a_full_or_read_only_disk_is_one_sentence_that_names_the_file(tmp_path, number, sentence):
    target = tmp_path / "checkpoint"
    target.write_text("old")

    def write(part):
        part.write_text("half")
        raise OSError(number, "as the system says")

    with pytest.raises(MacrosplatError, match=sentence) as caught:
        write_whole(target, write)
    assert str(target) in str(caught.value)
    assert names(tmp_path) == ["checkpoint"]
    assert target.read_text() == "old"


@pytest.mark.parametrize("number", sorted(errno.errorcode))
def test_every_failure_of_the_system_is_one_sentence(tmp_path, number):
    def write(part):
        raise OSError(number, "as the system says")

    with pytest.raises(MacrosplatError) as caught:
        write_whole(tmp_path / "checkpoint", write)
    assert str(tmp_path / "checkpoint") in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["x" * 300, "a\0b", "\ud800", "x/" * 3000])
def test_a_name_that_no_file_can_have_is_one_sentence(tmp_path, name):
    with pytest.raises(MacrosplatError, match="choose another --out"):
        write_json(tmp_path / name, {})
    assert names(tmp_path) == [] or name.startswith("x/")


def test_the_longest_name_can_be_written(tmp_path):
    write_json(tmp_path / ("x" * 250 + ".json"), {})
    assert names(tmp_path) == ["x" * 250 + ".json"]


def test_a_sweep_takes_what_killed_processes_left_and_nothing_else(tmp_path):
    for name in (".scene.123.part.ply", ".checkpoint.9.part", "sharp/.a.b.77.part.png", ".mine.part", "a.1.part", ".x"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    for name in ("sparse/.0.12.part", "sparse/.0.12.old", "sfm/.sfm.ab12_3"):
        (tmp_path / name / "inner").mkdir(parents=True)
    sweep(tmp_path)
    left = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())
    assert left == [".mine.part", ".x", "a.1.part"]
    assert names(tmp_path / "sparse") == names(tmp_path / "sfm") == []


@pytest.mark.parametrize("name", ["../a.png", "a/../../b", "/etc/passwd", "", ".", "a\0b", "photos/../../../x.jpg"])
def test_a_name_from_a_file_does_not_lead_out_of_its_folder(tmp_path, name):
    with pytest.raises(MacrosplatError, match="no name of a file"):
        below(tmp_path, name)
    assert below(tmp_path, "rows/..a/b.png") == tmp_path / "rows/..a/b.png"


def test_a_folder_that_holds_something_else_is_not_written_to(tmp_path):
    only_ours(tmp_path / "new", {"a.png"}.__contains__)
    (tmp_path / "images").mkdir()
    (tmp_path / "images/a.png").write_text("")
    only_ours(tmp_path, {"images/a.png"}.__contains__)
    (tmp_path / "images/mine.txt").write_text("")
    with pytest.raises(MacrosplatError, match=r"images/mine\.txt"):
        only_ours(tmp_path, {"images/a.png"}.__contains__)


def test_a_scratch_folder_that_cannot_be_removed_is_left_to_the_sweep(tmp_path, monkeypatch):
    def refused(*_, **more):
        raise PermissionError(errno.EACCES, "not allowed")

    with scratch_in(tmp_path, ".sfm.") as made:
        Path(made, "a.png").write_text("")
    assert list(tmp_path.iterdir()) == []
    with monkeypatch.context() as patch, scratch_in(tmp_path, ".sfm.") as made:
        patch.setattr(os, "rmdir", refused)
        Path(made, "a.png").write_text("")
    sweep(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_file_beside_is_not_replaced_by_the_way(tmp_path):
    no_strangers_beside(tmp_path / "001.obj", (".mtl", ".jpg"))
    (tmp_path / "001.jpg").write_text("a photo")
    with pytest.raises(MacrosplatError, match=r"001\.jpg"):
        no_strangers_beside(tmp_path / "001.obj", (".mtl", ".jpg"))
    (tmp_path / "001.obj").write_text("")  # both were written before
    no_strangers_beside(tmp_path / "001.obj", (".mtl", ".jpg"))


def test_a_folder_takes_its_place_whole_or_not_at_all(tmp_path):
    (tmp_path / "0").mkdir()
    (tmp_path / "0/old").write_text("")
    with pytest.raises(KeyboardInterrupt), whole_folder(tmp_path / "0") as part:
        (part / "new").write_text("")
        raise KeyboardInterrupt
    assert names(tmp_path / "0") == ["old"]
    with whole_folder(tmp_path / "0") as part:
        (part / "new").write_text("")
    assert names(tmp_path / "0") == ["new"] and names(tmp_path) == ["0"]


def test_one_process_at_a_time(tmp_path):
    code = "from macrosplat.support.lock import locked\nfrom pathlib import Path\n"
    code += f"with locked(Path({str(tmp_path)!r})): pass"
    with locked(tmp_path):
        other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert other.returncode != 0 and "another macrosplat" in other.stderr
    assert names(tmp_path) == []
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_a_folder_that_is_a_file_is_one_sentence(tmp_path):
    (tmp_path / "run").write_text("a file")
    with pytest.raises(MacrosplatError, match="run"):
        write_json(tmp_path / "run" / "config.json", {})


def test_json_is_read_back_and_nan_is_refused(tmp_path):
    write_json(tmp_path / "lens.json", {"d0": [1.5, 2.0], "unit": "mm"})
    assert json.loads((tmp_path / "lens.json").read_text()) == {"d0": [1.5, 2.0], "unit": "mm"}
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "lens.json", {"d0": float("nan")})
    assert names(tmp_path) == ["lens.json"]


def test_a_disk_without_room_is_one_sentence(tmp_path):
    room_on_disk(tmp_path, 1)
    room_on_disk(tmp_path / "missing", 1e30)  # whoever makes the folder will see
    with pytest.raises(MacrosplatError, match=r"The disk is full: .* free some space"):
        room_on_disk(tmp_path, 1e18)


def test_large_pictures_do_not_wait_in_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "WAITING", 1000)
    lock, held, most = threading.Lock(), [0], [0]

    def write(picture: np.ndarray) -> None:
        time.sleep(0.01)
        with lock:
            held[0] -= picture.nbytes

    with files.Writers() as writers:
        for size in (400, 400, 400, 3000, 400):
            picture = np.zeros(size, np.uint8)
            writers.add(write, picture)
            with lock:
                held[0] += size
                most[0] = max(most[0], held[0])
    assert most[0] <= 3000 and held[0] == 0
