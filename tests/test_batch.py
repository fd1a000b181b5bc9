"""A collection: the manifest, its specimens' states, the page and the table. A stand-in does the work in most tests."""

import csv
import json
import os
import signal
import stat
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from macrosplat.batch import batch
from macrosplat.batch.batch import Ways
from macrosplat.batch.manifest import read_manifest
from macrosplat.batch.page import as_html
from macrosplat.batch.state import Figures, Place, State
from macrosplat.batch.work import Task, carry_out, figures_of
from macrosplat.batch.work import said as said_of
from macrosplat.options import Options
from macrosplat.support.errors import MacrosplatError
from macrosplat.support.lock import locked

# What `macrosplat reconstruct` is to the batch: it takes its words, counts its calls, and says how it ended.
STAND_IN = """\
#!/bin/sh
folder=$1
mkdir -p "$3"
echo begun >> "$3/calls"
case $folder in
  */bad*) echo '{"event": "error", "text": "The photos are of nothing."}'; exit 2;;
  */killed*) kill -9 $$;;
  */slow*) trap 'exit 130' TERM; for i in 1 2 3 4 5 6 7 8; do sleep 0.1; done;;
esac
echo ended >> "$3/calls"
echo '{"event": "done"}'
"""


@pytest.fixture
def command(tmp_path: Path) -> tuple[str, ...]:
    path = tmp_path / "stand-in.sh"
    path.write_text(STAND_IN)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return (str(path),)


def table(path: Path, text: str) -> Path:
    path.write_text(textwrap.dedent(text), encoding="utf-8")
    return path


def states(out: Path) -> dict[str, str]:
    with (out / "collection.csv").open(newline="", encoding="utf-8") as file:
        return {row["specimen"]: row["state"] for row in csv.DictReader(file)}


def calls(out: Path, key: str) -> list[str]:
    return (out / key / "run" / "calls").read_text().split()


def test_a_row_is_read_with_its_options_and_further_fields(tmp_path: Path) -> None:
    path = table(
        tmp_path / "drawer.csv",
        """\
        specimen,folder,options,scale,mask,scientificName,catalogNumber
        NHM 1,one,--width 320 --quality draft,0.02,off,"Carabus, auratus",0017
        two,/data/two,,,,,
        """,
    )
    first, second = read_manifest(path, Options(seed=3))
    assert (first.name, first.folder) == ("NHM 1", str(tmp_path / "one"))
    assert first.options == Options(width=320, quality="draft", scale_mm="0.02", masks="off", seed=3)
    assert first.fields == {"scientificName": "Carabus, auratus", "catalogNumber": "0017"}
    assert second.folder == "/data/two" and second.options == Options(seed=3)
    words = ["--quality", "draft", "--width", "320", "--masks", "off", "--scale-mm", "0.02", "--seed", "3"]
    assert first.words() == words and first.key.startswith("NHM_1.") and second.key == "two"


def test_json_lines_hold_options_as_an_object_and_fields_of_any_kind(tmp_path: Path) -> None:
    row = {"specimen": 17, "folder": "a", "options": {"width": 96, "thin.aperture_samples": 4}, "tags": ["x", 1]}
    path = table(tmp_path / "drawer.jsonl", json.dumps(row) + "\n\n")
    (one,) = read_manifest(path, Options())
    assert one.name == "17" and one.options.width == 96 and one.options.thin.aperture_samples == "4"
    assert one.fields == {"tags": ["x", 1]}


def test_no_text_and_nobodys_folder_are_one_sentence(tmp_path: Path) -> None:
    half = table(tmp_path / "a.jsonl", '{"specimen": "a\\ud800", "folder": "b"}')
    with pytest.raises(MacrosplatError, match="row 1: it holds half characters"):
        read_manifest(half, Options())
    nobody = table(tmp_path / "a.csv", "specimen,folder\na,~nobodyatall/photos\n")
    with pytest.raises(MacrosplatError, match="no user of that name"):
        read_manifest(nobody, Options())
    scale = replace(read_manifest(table(tmp_path / "b.csv", "specimen,folder\na,b\n"), Options())[0], options=BELOW)
    assert scale.words() == ["--scale-mm=-5"]  # not an option of its own


BELOW = Options(scale_mm="-5")


@pytest.mark.parametrize("text", [b"", b"\xff", b'{"specimen": "a\xff"}', b"[" * 10**5, b'{"specimen": 1}', b"null"])
def test_a_damaged_state_is_one_sentence(tmp_path: Path, text: bytes) -> None:
    place = Place(tmp_path)
    place.status.write_bytes(text)
    with pytest.raises(MacrosplatError, match="damaged; remove it"):
        place.read("a")
    place.run.mkdir()
    for name in ("lens.json", "config.json"):
        (place.run / name).write_bytes(text)
    place.events.write_bytes(text)
    assert figures_of(place) == Figures() and said_of(place) in ({}, {"specimen": 1})


def test_a_folder_of_folders_is_a_collection(tmp_path: Path) -> None:
    for name in ("b", "a", ".hidden"):
        (tmp_path / name).mkdir()
    (tmp_path / "notes.txt").touch()
    assert [one.name for one in read_manifest(tmp_path, Options())] == ["a", "b"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("specimen,photos\na,b\n", "row 2, folder: there is no such column"),
        ("specimen,folder\n,b\n", "row 2, specimen: this is empty"),
        ("specimen,folder,options\na,b,--widht 3\n", "row 2, options: --widht 3 is nothing"),
        ("specimen,folder,options\na,b,--width 3\n", "row 2, options: --width is 3; it has to be at least 16"),
        ("specimen,folder,mask\nx,y,\na,b,purple\n", "row 3, mask: --masks purple is nothing"),
        ("specimen,folder\na,b,c\n", "row 2: it has 3 cells where the heading has 2"),
        ("specimen,folder\na,b\na,c\n", "the specimens a and a would share one folder"),
        ("specimen,folder,specimen\n", "row 1: the column specimen is there twice"),
        ("specimen,folder\n", "lists no specimen"),
        ('specimen,folder\n"a,b\n', "this is no CSV"),
    ],
)
def test_what_is_wrong_in_a_table_is_one_sentence_with_row_and_field(tmp_path: Path, text: str, said: str) -> None:
    path = table(tmp_path / "drawer.csv", text)
    with pytest.raises(MacrosplatError) as told:
        read_manifest(path, Options())
    assert str(path) in str(told.value) and said in str(told.value)


def test_each_is_done_once_and_a_failure_is_a_line(tmp_path: Path, command: tuple[str, ...]) -> None:
    path = table(tmp_path / "drawer.csv", "specimen,folder,sex\ngood,good,f\nbad,bad,\nkilled,killed,\nwell,well,m\n")
    out = tmp_path / "out"
    with pytest.raises(MacrosplatError, match=r"bad .and 1 more. failed: The photos are of nothing"):
        batch(path, out, command=command, ways=Ways(workers=2))
    assert states(out) == {"good": "done", "bad": "failed", "killed": "failed", "well": "done"}
    assert "SIGKILL" in Place(out / "killed").read("killed").sentence
    with pytest.raises(MacrosplatError):
        batch(path, out, command=command)
    assert calls(out, "good") == ["begun", "ended"] and calls(out, "bad") == ["begun"]
    with pytest.raises(MacrosplatError):
        batch(path, out, command=command, ways=Ways(retry="failed"))
    assert calls(out, "good") == ["begun", "ended"] and calls(out, "bad") == ["begun", "begun"]
    with (out / "collection.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["sex"] for row in rows] == ["f", "", "", "m"]
    page = (out / "index.html").read_text()
    assert "2 done" in page and "2 failed" in page and "The photos are of nothing" in page


def test_shards_cover_a_collection_and_patterns_choose_from_it(tmp_path: Path, command: tuple[str, ...]) -> None:
    rows = "".join(f"s{n},f{n}\n" for n in range(5))
    path, out = table(tmp_path / "drawer.csv", "specimen,folder\n" + rows), tmp_path / "out"
    batch(path, out, command=command, ways=Ways(shard="1/2"))
    assert [name for name, state in states(out).items() if state == "done"] == ["s0", "s2", "s4"]
    batch(path, out, command=command, ways=Ways(only=("s[13]",), shard="2/2"))
    assert states(out)["s3"] == "done" and states(out)["s1"] == "waiting"
    for ways, said in ((Ways(shard="3/2"), "--shard 3/2"), (Ways(only=("x",)), "--only x")):
        with pytest.raises(MacrosplatError, match=said):
            batch(path, out, command=command, ways=ways)


def test_what_was_done_with_other_options_is_refused(tmp_path: Path, command: tuple[str, ...]) -> None:
    path, out = table(tmp_path / "drawer.csv", "specimen,folder\na,b\n"), tmp_path / "out"
    batch(path, out, command=command)
    with pytest.raises(MacrosplatError, match=r"a was begun .* with no options, and is asked for .* with --width 96"):
        batch(path, out, Options(width=96), command=command)


def test_a_specimen_is_never_worked_on_twice_at_a_time(tmp_path: Path, command: tuple[str, ...]) -> None:
    task = Task("slow", tmp_path / "out" / "slow", "/nowhere/slow", (), command)
    with locked(task.place):
        assert carry_out(task, threading.Event()) is None
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(carry_out(task, threading.Event(), True))) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [state.state for state in found] == ["done"] * 3 and calls(tmp_path / "out", "slow") == ["begun", "ended"]


def test_work_goes_on_though_its_driver_is_killed_and_is_not_done_again(
    tmp_path: Path, command: tuple[str, ...]
) -> None:
    path, out = table(tmp_path / "drawer.csv", "specimen,folder\nslow,slow\n"), tmp_path / "out"
    program = "from pathlib import Path; from macrosplat.batch import batch; "
    program += f"batch(Path({str(path)!r}), Path({str(out)!r}), command={command!r})"
    driver = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.DEVNULL)
    while not (out / "slow" / "run" / "calls").exists():
        assert driver.poll() is None
        time.sleep(0.01)
    os.kill(driver.pid, signal.SIGKILL)
    driver.wait()
    assert carry_out(Task("slow", out / "slow", str(tmp_path / "slow"), (), command), threading.Event()) is None
    batch(path, out, command=command)
    assert calls(out, "slow") == ["begun", "ended"] and states(out) == {"slow": "done"}


def test_an_interrupted_specimen_goes_on(tmp_path: Path, command: tuple[str, ...]) -> None:
    task, stop = Task("slow", tmp_path / "out" / "slow", "/nowhere/slow", (), command), threading.Event()
    threading.Timer(0.3, stop.set).start()
    state = carry_out(task, stop)
    assert state is not None and state.state == "interrupted" and calls(tmp_path / "out", "slow") == ["begun"]
    state = carry_out(task, threading.Event())
    assert state is not None and (state.state, state.attempts) == ("done", 2)


def test_names_are_shown_as_text(tmp_path: Path) -> None:
    path = table(tmp_path / "drawer.csv", 'specimen,folder,note\n<script>x</script>,"a""b",<img src=x>\n')
    (one,) = read_manifest(path, Options())
    state = State(one.name, "failed", sentence="<b>no</b>", figures=Figures(trust="low", trust_because="<i>"))
    page = as_html(tmp_path, "<u>", [(one, state)])
    assert "<script" not in page and "<img src=x" not in page and "<b>no" not in page and "<i>" not in page


def test_a_card_shows_taxon_and_number(tmp_path: Path) -> None:
    text = "specimen,folder,scientificName,catalogNumber\none,a,Carabus <auratus>,17\ntwo,b,,\n"
    one, two = read_manifest(table(tmp_path / "drawer.csv", text), Options())
    assert "<p><i>Carabus &lt;auratus&gt;</i> · 17</p>" in as_html(tmp_path, "drawer", [(one, State("one"))])
    assert " · " not in as_html(tmp_path, "drawer", [(two, State("two"))])


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A local server that speaks S3."""
    server = pytest.importorskip("moto.server").ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    s3fs = pytest.importorskip("s3fs")
    server.start()
    host, port = server.get_host_and_port()
    where = {"AWS_ENDPOINT_URL": f"http://{host}:{port}", "AWS_DEFAULT_REGION": "us-east-1"}
    for name, value in (where | {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}).items():
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    s3fs.S3FileSystem().mkdir("museum")
    yield "s3://museum/drawer"
    s3fs.S3FileSystem.clear_instance_cache()
    server.stop()


@pytest.mark.parametrize("kind", ["memory", "file", "s3"])
def test_runs_and_photos_may_lie_in_an_object_store(
    tmp_path: Path, command: tuple[str, ...], kind: str, request: pytest.FixtureRequest
) -> None:
    fsspec = pytest.importorskip("fsspec")
    root = {"memory": f"memory://{tmp_path.name}", "file": f"file://{tmp_path}/store"}.get(kind)
    root = root or request.getfixturevalue("bucket")
    with fsspec.open(f"{root}/photos/one/1.jpg", "wb") as file:
        file.write(b"photo")
    path = table(tmp_path / "drawer.csv", f"specimen,folder\none,{root}/photos/one\ntwo,{root}/photos/two\n")
    with pytest.raises(MacrosplatError, match=r"two failed: .*two holds nothing"):
        batch(path, tmp_path / "a", command=command, ways=Ways(store=f"{root}/runs"))
    store, there = fsspec.core.url_to_fs(f"{root}/runs")
    assert store.exists(f"{there}/index.html") and store.exists(f"{there}/one/run/calls")
    with pytest.raises(MacrosplatError, match=r"two failed"):  # another machine
        batch(path, tmp_path / "b", command=command, ways=Ways(store=f"{root}/runs"))
    assert states(tmp_path / "b") == {"one": "done", "two": "failed"}
    assert store.cat(f"{there}/one/run/calls").split() == [b"begun", b"ended"]
