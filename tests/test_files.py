"""Files appear whole or not at all."""

import errno
import json

import pytest

from macrosplat.support.errors import MacrosplatError
from macrosplat.support.files import whole, write_json, write_whole


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


def test_any_other_failure_of_the_system_is_not_explained_away(tmp_path):
    def write(part):
        raise OSError(errno.EIO, "as the system says")

    with pytest.raises(OSError, match="as the system says"):
        write_whole(tmp_path / "checkpoint", write)


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
