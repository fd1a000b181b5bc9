"""The folder RUN: begun only where nothing is lost, gone on with only as it was begun."""

import json
from dataclasses import replace

import numpy as np
import pytest

from macrosplat.cameras.records import Cameras
from macrosplat.capture.open import open_capture
from macrosplat.options import Options
from macrosplat.run import Run
from macrosplat.support.errors import MacrosplatError
from making_photos import make_photos


@pytest.fixture
def photos(tmp_path):
    make_photos(tmp_path / "capture")
    return open_capture(tmp_path / "capture").photos


@pytest.fixture
def begin(tmp_path, photos):
    """`Run.begin` of RUN with a capture's photos."""

    def call(options=None, resume=False, photos=photos, run=tmp_path / "run"):
        return Run.begin(run, tmp_path / "capture", photos, options or Options(), resume)

    return call


def test_new_and_empty_folders_begin(begin, tmp_path):
    run = begin(Options(seed=3))
    assert run.manifest.options.seed == 3 and Run(tmp_path / "run").manifest == run.manifest
    (tmp_path / "empty").mkdir()
    begin(run=tmp_path / "empty")
    begin(run=tmp_path / "new" / "below", resume=True)  # nothing to resume is a beginning


def test_a_run_is_not_overwritten(begin, tmp_path):
    before = begin()
    before.sparse.mkdir(parents=True)
    with pytest.raises(MacrosplatError, match="holds a run already; add --resume"):
        begin()
    assert Run(tmp_path / "run").manifest == before.manifest


def test_a_run_that_ended_before_anything_was_done_begins_anew(begin, tmp_path):
    begin(Options(seed=1))
    assert begin(Options(seed=2)).manifest.options.seed == 2 == Run(tmp_path / "run").manifest.options.seed


def test_a_folder_of_something_else_is_not_touched(begin, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.txt").write_text("mine")
    for resume in (False, True):
        with pytest.raises(MacrosplatError, match="holds no run"):
            begin(resume=resume)
    assert [p.name for p in (tmp_path / "run").iterdir()] == ["thesis.txt"]


def test_resume_keeps_what_became_known(begin, tmp_path):
    begin().update(width=48, held_out=("1.jpg",))
    assert begin(resume=True).manifest.width == 48
    again = begin(
        Options(device="cpu", sharp_format="tiff"), resume=True
    )  # where it computes and what it writes is free
    assert again.manifest.held_out == ("1.jpg",) and Run(tmp_path / "run").manifest.options.sharp_format == "tiff"


@pytest.mark.parametrize(
    "change", [{"steps": 10}, {"seed": 1}, {"lens": "plain"}, {"width": 24}, {"max_gaussians": 500}, {"hold_out": 2}]
)
def test_other_options_are_refused_by_name(begin, change):
    begin()
    name = next(iter(change)).replace("_", "-")
    with pytest.raises(MacrosplatError, match=f"begun with --{name} "):
        begin(Options(**change), resume=True)


def test_a_photo_of_as_many_bytes_is_another_photo(begin, photos):
    begin()
    mask = photos[0].path.with_name("mask.png")
    mask.write_bytes(b"a")
    masked = (replace(photos[0], mask=mask), *photos[1:])
    assert begin(resume=True, photos=masked).other_masks == (photos[0].name,)
    assert begin(resume=True).other_masks == ()
    data = bytearray(photos[1].path.read_bytes())
    data[-3] ^= 1
    photos[1].path.write_bytes(data)
    with pytest.raises(MacrosplatError, match=rf"changed since: {photos[1].name}\)"):
        begin(resume=True)


def test_a_photo_more_is_another_capture_though_it_is_left_out(photos, tmp_path):
    def begin(found):
        return Run.begin(tmp_path / "run", tmp_path / "capture", photos, Options(), True, found)

    begin(["1.jpg", "2.jpg"])
    begin(["2.jpg", "1.jpg"])
    with pytest.raises(MacrosplatError, match=r"holds other photos than when .* \(3\.jpg\)"):
        begin(["1.jpg", "2.jpg", "3.jpg"])


def test_a_copy_of_the_capture_is_the_same_capture(begin, photos, tmp_path):
    begin()
    copied = tuple(replace(photo, path=tmp_path / "moved" / photo.path.name) for photo in photos)
    (tmp_path / "moved").mkdir()
    for photo, copy in zip(photos, copied, strict=True):
        copy.path.write_bytes(photo.path.read_bytes())
    begin(resume=True, photos=copied)


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
    with pytest.raises(MacrosplatError, match=r"config\.json .*(is not JSON|not a configuration)"):
        begin(resume=True)


def test_not_a_run(tmp_path):
    with pytest.raises(MacrosplatError, match="is not a run of macrosplat"):
        _ = Run(tmp_path).manifest


def test_configuration_is_plain_json(begin, tmp_path):
    begin()
    assert json.loads((tmp_path / "run" / "config.json").read_text())["options"]["lens"] == "thin"


def change(path, edit):
    """Edit `config.json` as a text editor would."""
    found = json.loads(path.read_text())
    edit(found)
    path.write_text(json.dumps(found))


TAMPERED = {
    "a missing entry": (lambda c: c.pop("photos"), "photos"),
    "a missing option": (lambda c: c["options"].pop("seed"), r"options\.seed is missing"),
    "a missing option of a lens": (
        lambda c: c["options"]["blurnet"].pop("layers"),
        r"blurnet\.layers is missing",
    ),
    "text for a number": (lambda c: c.update(width="wide"), "width: expected a whole number"),
    "a number for text": (lambda c: c["photos"][1].update(name=3), r"photos\[1\]\.name: expected text"),
    "a list for an object": (lambda c: c.update(options=[]), "options: expected an object"),
    "an unknown lens": (lambda c: c["options"].update(lens="sigma"), r"options\.lens"),
    "an option out of bounds": (lambda c: c["options"].update(steps=-3), "--steps is -3"),
    "no number": (lambda c: c.update(seconds=float("nan")), "seconds is nan"),
    "an infinite gain": (
        lambda c: c.update(exposure_stops={"1.jpg": [0, 0, float("inf")]}),
        r"stops\.1\.jpg\[2\] is inf",
    ),
    "a name that leads out": (lambda c: c["photos"][0].update(name="../../.bashrc"), "is no name of a file"),
    "an absolute name": (lambda c: c["photos"][0].update(name="/etc/passwd"), "is no name of a file"),
    "a stack that leads out": (lambda c: c.update(stack="../x"), "is no name of a file"),
    "another version": (lambda c: c.update(version=0), "another version"),
    "no version": (lambda c: c.pop("version"), "another version"),
}


@pytest.mark.parametrize("what", TAMPERED)
def test_what_was_changed_by_hand_is_refused_in_a_sentence(begin, tmp_path, what):
    begin()
    edit, words = TAMPERED[what]
    change(tmp_path / "run" / "config.json", edit)
    with pytest.raises(MacrosplatError, match=words) as caught:
        _ = Run(tmp_path / "run").manifest
    assert "\n" not in str(caught.value)


def test_names_point_at_what_is_there(tmp_path):
    """Photos anywhere: the run finds them, and its own files name files that exist."""
    make_photos(tmp_path / "elsewhere" / "day1")
    (tmp_path / "capture").mkdir()
    photos = open_capture(tmp_path / "elsewhere" / "day1").photos
    run = Run.begin(tmp_path / "run", tmp_path / "capture", photos, Options(), resume=False)
    run.update(held_out=(photos[0].name,))
    assert run.taken(photos[1].name) == photos[1].path.resolve()
    with pytest.raises(MacrosplatError, match="knows no photo 77"):
        run.taken("77.jpg")
    sizes = np.array([(photo.width, photo.height) for photo in photos])
    count = len(photos)
    cameras = Cameras(
        tuple(photo.name for photo in photos),
        np.tile(np.eye(4), (count, 1, 1)),
        np.tile([100.0, 100, sizes[0, 0] / 2, sizes[0, 1] / 2], (count, 1)),
        sizes,
        "sfm",
    )
    for n, photo in enumerate(photos):
        path = run.sharp(photo.name, "tiff" if n == 1 else "png")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    run.write_cameras(cameras)
    run.write_held_out(cameras.select([photos[0].name]))
    for path in (run.transforms, run.held_out):
        for frame in json.loads(path.read_text())["frames"]:
            assert (path.parent / frame["file_path"]).is_file(), frame
    assert Run(run.folder).cameras().names == cameras.names
    change(run.transforms, lambda found: found["frames"][0].update(file_path="sharp/77.png"))
    with pytest.raises(MacrosplatError, match=r"names sharp/77\.png, which is no photo"):
        Run(run.folder).cameras()


def test_a_run_that_is_a_link_lies_where_it_leads(begin, tmp_path):
    (tmp_path / "large-disk").mkdir()
    (tmp_path / "run").symlink_to("large-disk")
    begin()
    assert (tmp_path / "run").is_symlink() and (tmp_path / "large-disk" / "config.json").is_file()
    assert begin(resume=True).manifest == begin(resume=True).manifest


def test_what_changes_while_a_run_goes_on_is_named(begin, tmp_path, photos):
    """Before results are made of them; as long as they are the same nothing is said."""
    run, capture = begin(), tmp_path / "capture"
    with pytest.raises(MacrosplatError, match="moved or removed"):
        run.check_whole(capture, photos)
    run.sparse.mkdir(parents=True)
    run.check_whole(capture, photos)
    kept = photos[1].path.read_bytes()
    photos[1].path.write_bytes(photos[2].path.read_bytes())
    with pytest.raises(MacrosplatError, match=r"changed since: 2\.jpg\); put them back, .* continue"):
        run.check_whole(capture, photos)
    photos[1].path.unlink()
    with pytest.raises(MacrosplatError, match=r"gone: 2\.jpg"):
        run.check_whole(capture, photos)
    photos[1].path.write_bytes(kept)
    run.check_whole(capture, photos)
