"""The campaign's newer readers: collections, rigs, masks that were made, older runs, the studio, words of the command.

In: the folder of good files of `fuzz.make_good`. Out: what `fuzz.readers` has, for these.
"""

from __future__ import annotations

import contextlib
import csv
import http.client
import io
import json
import random
import shutil
import sys
import threading
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
import making_cameras

FORMS_ELSEWHERE = ("metashape", "reality-capture", "llff")
NASTY_CELLS = (
    *("", " ", "x", "-1", "../../etc", "~nobodyatall/x", "/dev/zero", "a" * 5000, "\x07", "é" * 300, "=1+1", "'", '"'),
    *("--width", "--width 0", "--seed 1e9", "--help", "--lens nope", "--scale-mm -5", "--steps 10 --steps 20", "*"),
    *("s3://", "://", "file:///etc", "CON", ".", "..", "a/b", "\u202e", "\ufffd", "NaN", "1e400", "9" * 400, "<b>"),
)
ROWS = (
    {
        "specimen": "fly",
        "folder": "given",
        "options": "--width 96 --seed 3",
        "scale": "0.5",
        "mask": "files",
        "note": "x",
    },
    {"specimen": "moth", "folder": "capture", "options": "", "scale": "", "mask": "", "note": "y"},
)


def make(base: Path) -> None:
    """More good files beside those of `fuzz.make_good`."""
    from PIL import Image

    from macrosplat.batch.manifest import read_manifest
    from macrosplat.options import Options

    tables = base / "tables"
    tables.mkdir()
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(ROWS[0]))
    writer.writeheader()
    writer.writerows(ROWS)
    (tables / "a.csv").write_text(text.getvalue())
    lines = [ROWS[0], {**ROWS[1], "options": {"width": 96, "lens": "plain"}, "tags": ["a", {"b": 1.5}]}]
    (tables / "a.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    collection = base / "collection"
    collection.mkdir()
    # Addresses stay as they are, wherever the table lies.
    table = (tables / "a.csv").read_text().replace(",given,", ",s3://given,").replace(",capture,", ",s3://capture,")
    (collection / "a.csv").write_text(table)
    for row in read_manifest(collection / "a.csv", Options()):
        place = collection / row.key
        place.mkdir()
        state = {"specimen": row.name, "state": "done", "folder": row.folder, "options": row.words(), "seconds": 2.5}
        figures = {"photos": 6, "registered": 6, "fit_psnr": 25.0, "trust": "high", "mm_per_unit": 0.5, "seconds": 2.0}
        (place / "status.json").write_text(json.dumps(state | {"figures": figures, "thumbnail": False}))
    shutil.copytree(base / "run", collection / "fly" / "run", ignore=shutil.ignore_patterns("maps", "sharp"))
    made = shutil.copytree(base / "given", base / "made")
    (made / "made-masks").mkdir()
    for photo in sorted((made / "photos").iterdir()):
        picture = Image.new("L", (96, 72), 0)
        picture.paste(255, (20, 20, 70, 60))
        picture.save(made / "made-masks" / f"{photo.name}.png")
    (made / "made-masks" / "about.txt").write_text("by a plain backdrop")
    older = shutil.copytree(base / "run", base / "older", ignore=shutil.ignore_patterns("maps"))
    record = json.loads((older / "config.json").read_text())
    record["options"].pop("place"), record["options"]["thin"].pop("aberrations")
    (older / "config.json").write_text(json.dumps(record | {"version": 2}))
    for form in FORMS_ELSEWHERE:
        folder = base / form
        folder.mkdir()
        making_cameras.photos(folder)
        making_cameras.FORMS[form](folder, making_cameras.truth(), True)
    board = {"7": [[0, 0], [5, 0], [5, 5], [0, 5]]}
    sizes = {"family": "4X4_50", "side_mm": 3.5, "tags": {"2": 4.5}, "board": board}
    corners = [[10.0, 20.0], [30.0, 20.0], [30.0, 40.0], [10.0, 40.0]]
    seen = [{"number": n, "corners": corners, "sigma": 0.1, "blur": 1.0, "fit": 0.9} for n in (2, 7)]
    (base / "targets").mkdir()
    (base / "targets" / "sizes.json").write_text(json.dumps(sizes))
    (base / "targets" / "targets.json").write_text(json.dumps({f"{n}.jpg": seen for n in range(1, 6)}))
    rig = base / "rig"
    shutil.copytree(base / "run", rig / "run", ignore=shutil.ignore_patterns("maps", "sharp"))
    shutil.copytree(base / "given" / "photos", rig / "others")
    for n, photo in enumerate(sorted((rig / "others").iterdir())):
        photo.rename(photo.with_name(f"other-{n}.png"))
    (base / "studio" / "desk").mkdir(parents=True)
    (base / "studio" / "requests.json").write_text(json.dumps(REQUESTS))
    (base / "words").mkdir()
    (base / "words" / "words.json").write_text(json.dumps(WORDS))


# A session of the studio's page: method, path below the secret, headers, body.
REQUESTS: list[list[Any]] = [
    ["GET", "", {}, ""],
    ["GET", "state", {}, ""],
    ["POST", "upload", {}, '{"name": "moth"}'],
    ["PUT", "file/photos/a.png", {}, "no picture"],
    ["POST", "uploaded", {}, "{}"],
    ["POST", "open", {}, '{"path": "/tmp"}'],
    ["GET", "picture/photo/0", {}, ""],
    ["GET", "run/moth/moth-draft/index.html", {"Origin": "http://127.0.0.1"}, ""],
    ["POST", "continue", {}, '{"name": "moth/moth-draft"}'],
    ["POST", "clear", {"Content-Type": "application/json"}, "{}"],
]
WORDS: list[list[str]] = [
    ["reconstruct", "NOWHERE", "--out", "run", "--devices", "2", "--lens", "thin", "--thin.aberrations", "auto"],
    ["reconstruct", "NOWHERE", "--out", "run", "--cameras-from", "NOWHERE", "--place", "all", "--masks", "auto"],
    ["batch", "NOWHERE.csv", "--out", "dir", "--shard", "1/2", "--only", "a*", "--workers", "1", "--collect"],
    ["continue", "NOWHERE", "--steps", "+20", "--devices", "1"],
    ["evaluate", "NOWHERE", "--truth", "NOWHERE"],
    ["reconstruct", "NOWHERE", "--out", "run", "--scale-mm", "a.jpg:b.jpg=4", "--hold-out", "3", "--detail", "own"],
]


def damaged_csv(data: bytes, rng: random.Random) -> bytes:
    """A cell, a heading, a row or a separator becomes another."""
    rows = list(csv.reader(io.StringIO(data.decode(), newline="")))
    for _ in range(rng.randint(1, 2)):
        row = rng.choice(rows)
        what = rng.randrange(5)
        if what < 3:
            row[rng.randrange(len(row))] = rng.choice(NASTY_CELLS)
        elif what == 3:
            row.append(rng.choice(NASTY_CELLS)) if rng.random() < 0.5 else row.pop()
            row or row.append("")
        else:
            rows.insert(rng.randrange(len(rows)), list(rng.choice(rows)))
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=rng.choice(",,,;\t"), lineterminator=rng.choice(["\r\n", "\n"])).writerows(rows)
    return text.getvalue().encode(rng.choice(["utf-8"] * 6 + ["utf-16", "utf-8-sig"]), "replace")


def damaged_lines(data: bytes, rng: random.Random, damaged_json: Any) -> bytes:
    """One line of JSON lines, as any JSON."""
    lines = data.splitlines()
    which = rng.randrange(len(lines))
    lines[which] = damaged_json(lines[which], rng)
    return b"\n".join(lines)


def targets_of(folder: Path) -> None:
    """Sizes, and readings as a run keeps them: the scale that they tell."""
    import numpy as np

    from macrosplat.cameras.targets import read_sizes, scale_by
    from macrosplat.capture.read_targets import read_kept

    told = scale_by(read_kept(folder / "targets.json"), making_cameras.truth(), read_sizes(str(folder / "sizes.json")))
    assert told.mm_per_unit is None or (np.isfinite(told.mm_per_unit) and told.mm_per_unit > 0), f"scale {told}"


def manifest_of(name: str) -> Any:
    def read(folder: Path) -> None:
        from macrosplat.batch.batch import Collection
        from macrosplat.batch.manifest import read_manifest
        from macrosplat.options import Options

        specimens = read_manifest(folder / name, Options())
        for one in specimens:
            one.words()
        out = folder / "out"
        Collection(out, "title", specimens).write()
        assert {path.name for path in out.iterdir()} == {"index.html", "collection.csv"}, "other files were written"

    return read


def collection_of(folder: Path) -> None:
    from macrosplat.batch import Ways, batch
    from macrosplat.batch.state import Place
    from macrosplat.batch.work import figures_of, said

    for name in ("fly", "moth"):
        place = Place(folder / name)
        figures_of(place), said(place)
    batch(folder / "a.csv", folder, ways=Ways(collect=True))


def made_masks_of(folder: Path) -> None:
    import numpy as np

    from macrosplat.capture.made_masks import with_made_masks
    from macrosplat.capture.open import open_capture
    from macrosplat.photos.masks import read_mask

    opened, _ = with_made_masks(open_capture(folder), folder / "made-masks", lambda *_: None, lambda: None)
    for photo in opened.photos:
        if photo.mask is not None:
            assert np.asarray(read_mask(photo, 64)).shape[1] == 64


def rig_of(folder: Path) -> None:
    import numpy as np

    from macrosplat.capture.open import open_capture
    from macrosplat.options import Options
    from macrosplat.placing import of_rig
    from macrosplat.run import Run

    opened = open_capture(folder / "others")
    shutil.rmtree(folder / "new", ignore_errors=True)
    run = Run.begin(folder / "new", folder / "others", opened.photos, Options(), False, opened.found)
    opened, known = of_rig(Run(folder / "run"), run, opened)
    assert opened.cameras is not None and np.isfinite(opened.cameras.views).all(), "cameras that are not finite"
    assert known is None or known.pupil > 0 or known.pupil == 0


def studio_of(folder: Path) -> None:
    """Every request of a session, then one that has to be answered as if nothing had been."""
    from macrosplat.studio.desk import Desk
    from macrosplat.studio.server import studio_server

    desk = Desk(folder / "desk")
    serving, address = studio_server(desk)
    trouble: list[BaseException] = []
    serving.handle_error = lambda *_: trouble.append(_now())  # type: ignore[method-assign]
    threading.Thread(target=serving.serve_forever, args=(0.02,), daemon=True).start()
    host, _, secret = address.removeprefix("http://").rstrip("/").partition("/")
    before = {path for path in folder.rglob("*")}
    try:
        requests = json.loads((folder / "requests.json").read_text(errors="replace"))
    except (ValueError, RecursionError):
        requests = []
    for request in requests if isinstance(requests, list) else []:
        request = request if isinstance(request, list) else [request]
        method, path, headers, body = (*request, *("", "", {}, "")[len(request) :])[:4]
        connection = http.client.HTTPConnection(host, timeout=5)
        with contextlib.suppress(OSError, http.client.HTTPException, ValueError, TypeError, AttributeError):
            connection.request(str(method), f"/{secret}/{path}", str(body).encode("utf-8", "replace"), dict(headers))
            assert connection.getresponse().status in (*range(200, 500), 501), (
                f"{method} {path}: an error of the server's"
            )
        connection.close()
    connection = http.client.HTTPConnection(host, timeout=5)
    connection.request("GET", f"/{secret}/state")
    assert connection.getresponse().status == 200
    connection.close()
    serving.shutdown(), serving.server_close()
    mine = (ConnectionError, TimeoutError)
    for error in trouble:
        if not isinstance(error, mine):
            raise error
    made = {path.relative_to(folder).parts[0] for path in folder.rglob("*") if path not in before}
    assert made <= {"desk"}, f"written outside of the studio's folder: {made}"


def _now() -> BaseException:
    import sys

    return sys.exc_info()[1] or RuntimeError("nothing")


def words_of(folder: Path) -> None:
    """The command with the words of the file's first line: none of them has a capture, so that all are refused."""
    import os
    import sys

    from macrosplat.cli import main
    from macrosplat.support.errors import MacrosplatError

    try:
        lines = json.loads((folder / "words.json").read_text(errors="replace"))
    except (ValueError, RecursionError):
        lines = []
    os.chdir(folder)
    for line in lines if isinstance(lines, list) else [lines]:
        words = [str(word) for word in (line if isinstance(line, list) else [line])]
        if any("\0" in word for word in words):
            continue  # no system hands on such a word
        sys.argv = ["macrosplat", *words]
        try:
            code = main()
        except SystemExit as error:
            code = error.code
        assert code in (0, 2), f"exit code {code} of {words}"
    raise MacrosplatError("All of them were refused.")
