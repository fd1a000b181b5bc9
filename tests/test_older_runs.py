"""A RUN that an older version wrote is read as what it was; what this version writes is whole."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from macrosplat.capture.open import open_capture
from macrosplat.manifest import flat, read_manifest
from macrosplat.options import Options
from macrosplat.options.older import ADDED, OLDEST, VERSION, added_since
from macrosplat.options.thin import Thin
from macrosplat.run import Run
from macrosplat.support.errors import MacrosplatError
from making_photos import make_photos

RECORDS = Path(__file__).parent / "runs"  # config.json as each version wrote it


def written(folder: Path, record: dict) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(record))
    return folder / "config.json"


def record_of(version: int) -> dict:
    return json.loads((RECORDS / f"config_{version}.json").read_text())


@pytest.mark.parametrize("version", range(OLDEST, VERSION + 1))
def test_every_version_is_read(tmp_path, version):
    record = record_of(version)
    path = written(tmp_path / "run", record)
    found = read_manifest(path)
    had = flat(record["options"])
    assert had.items() <= flat(asdict(found.options)).items()
    for name, value in added_since(version).items():
        assert name not in had and flat(asdict(found.options))[name] == value
    # What is written again stands by itself.
    Run(path.parent).update(width=80)
    assert read_manifest(path) == type(found)(
        **{**{f: getattr(found, f) for f in found.__struct_fields__}, "width": 80}
    )


def test_an_option_more_is_a_version_more():
    """Who adds an option says in `options/older.py` what was done before, and keeps a record of the new version."""
    assert flat(asdict(Options())).keys() == flat(record_of(VERSION)["options"]).keys()
    names = flat(record_of(OLDEST)["options"]).keys()
    for version in range(OLDEST + 1, VERSION + 1):
        names |= ADDED[version].keys()
        assert names == flat(record_of(version)["options"]).keys()


@pytest.mark.parametrize("version", range(OLDEST, VERSION + 1))
def test_what_was_always_there_may_not_be_missing(tmp_path, version):
    record = record_of(version)
    for name in {"lens", "seed"} | ({"place"} if version == VERSION else set()):
        less = {key: value for key, value in record["options"].items() if key != name}
        with pytest.raises(MacrosplatError, match=rf"options\.{name} is missing"):
            read_manifest(written(tmp_path / "run", record | {"options": less}))


@pytest.mark.parametrize("version", [VERSION + 1, OLDEST - 1, True, "3", None, 1e400])
def test_versions_that_nobody_knows(tmp_path, version):
    with pytest.raises(
        MacrosplatError, match="a newer version" if version == VERSION + 1 else "another version|no number"
    ):
        read_manifest(written(tmp_path / "run", record_of(VERSION) | {"version": version}))


def test_resume_goes_on_as_it_was_begun(tmp_path):
    make_photos(tmp_path / "capture")
    photos = open_capture(tmp_path / "capture").photos

    def resume(options):
        return Run.begin(tmp_path / "run", tmp_path / "capture", photos, options, True).manifest.options

    Run.begin(tmp_path / "run", tmp_path / "capture", photos, Options(), False)
    record = json.loads((tmp_path / "run" / "config.json").read_text())
    del record["options"]["place"], record["options"]["thin"]["aberrations"]
    written(tmp_path / "run", record | {"version": 2})
    found = resume(Options())
    assert found == replace(Options(), place="off", thin=Thin(aberrations="off"))
    assert resume(Options()) == found  # and once more, as written
    with pytest.raises(MacrosplatError, match="begun with --place off and cannot go on with all"):
        resume(Options(place="all"))
