"""The folder RUN: begun only where nothing is lost, gone on with only as it was begun."""

import json
from dataclasses import replace

import pytest

from macrosplat.capture.open import open_capture
from macrosplat.options import Options
from macrosplat.run import open_run, read_config, update_config
from macrosplat.support.errors import MacrosplatError
from making_photos import make_photos


@pytest.fixture
def photos(tmp_path):
    make_photos(tmp_path / "capture")
    return open_capture(tmp_path / "capture").photos


@pytest.fixture
def begin(tmp_path, photos):
    """open_run of RUN with a capture's photos."""

    def call(options=None, resume=False, photos=photos, run=tmp_path / "run"):
        return open_run(run, tmp_path / "capture", photos, options or Options(), resume)

    return call


def test_new_and_empty_folders_begin(begin, tmp_path):
    config = begin(Options(seed=3))
    assert config["options"]["seed"] == 3 and read_config(tmp_path / "run") == config
    (tmp_path / "empty").mkdir()
    begin(run=tmp_path / "empty")
    begin(run=tmp_path / "new" / "below", resume=True)  # nothing to resume is a beginning


def test_a_run_is_not_overwritten(begin, tmp_path):
    before = begin()
    with pytest.raises(MacrosplatError, match="holds a run already; add --resume"):
        begin()
    assert read_config(tmp_path / "run") == before


def test_a_folder_of_something_else_is_not_touched(begin, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.txt").write_text("mine")
    for resume in (False, True):
        with pytest.raises(MacrosplatError, match="holds no run"):
            begin(resume=resume)
    assert [p.name for p in (tmp_path / "run").iterdir()] == ["thesis.txt"]


def test_resume_keeps_what_became_known(begin, tmp_path):
    config = begin()
    update_config(tmp_path / "run", config, width=48, held_out=["1.jpg"])
    assert begin(resume=True)["width"] == 48
    assert begin(Options(device="cpu"), resume=True)["held_out"] == ["1.jpg"]  # where it computes is free


@pytest.mark.parametrize(
    "change", [{"steps": 10}, {"seed": 1}, {"lens": "plain"}, {"width": 24}, {"max_gaussians": 500}, {"hold_out": 2}]
)
def test_other_options_are_refused_by_name(begin, change):
    begin()
    name = next(iter(change)).replace("_", "-")
    with pytest.raises(MacrosplatError, match=f"begun with --{name} "):
        begin(Options(**change), resume=True)


def test_other_photos_are_refused(begin, photos, tmp_path):
    begin()
    for other in (photos[:-1], (replace(photos[0], width=50), *photos[1:])):
        with pytest.raises(MacrosplatError, match="a run of other photos"):
            begin(resume=True, photos=other)


def test_other_photos_of_the_same_names_and_sizes_are_refused(begin, tmp_path):
    begin()
    make_photos(tmp_path / "other", count=5)
    for n in (1, 2, 3, 4):  # the same numbers, other contents
        (tmp_path / "other" / f"{n}.jpg").write_bytes((tmp_path / "other" / f"{n % 4 + 2}.jpg").read_bytes())
    (tmp_path / "other" / "5.jpg").unlink()
    with pytest.raises(MacrosplatError, match="a run of other photos"):
        begin(resume=True, photos=open_capture(tmp_path / "other").photos)


@pytest.mark.parametrize("text", ["{", "[]", "", "\x00\x01"])
def test_damaged_configuration(begin, tmp_path, text):
    begin()
    (tmp_path / "run" / "config.json").write_text(text)
    with pytest.raises(MacrosplatError, match=r"config\.json is (damaged|not a configuration)"):
        begin(resume=True)


def test_not_a_run(tmp_path):
    with pytest.raises(MacrosplatError, match="is not a run of macrosplat"):
        read_config(tmp_path)


def test_configuration_is_plain_json(begin, tmp_path):
    begin()
    assert json.loads((tmp_path / "run" / "config.json").read_text())["options"]["lens"] == "thin"
