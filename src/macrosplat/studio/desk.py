"""What one person has before them: a capture that is looked at, and the run that is made of it.

In: what the page asks for. Out: its state as JSON, pictures as bytes. All captures and runs lie below one folder:
`NAME/capture` what was dropped, `NAME/NAME-QUALITY` the runs.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import lru_cache
from io import BufferedIOBase
from pathlib import Path, PurePosixPath
from typing import Any, cast, get_args

from macrosplat.brackets.recognise import poses_of
from macrosplat.capture.open import open_capture
from macrosplat.capture.records import Capture
from macrosplat.options import Options, Quality
from macrosplat.output.listing import found_runs
from macrosplat.photos.kinds import SUFFIXES
from macrosplat.run import Run
from macrosplat.studio.job import Job
from macrosplat.studio.looking import masked, sharp_parts, small
from macrosplat.studio.taking import Taking
from macrosplat.support.errors import MacrosplatError
from macrosplat.support.files import below, expanded, whole, written
from macrosplat.support.reading import readable
from macrosplat.train.expected import expected

# What a capture may hold besides photos: cameras of other programs.
OTHERS = frozenset({".json", ".txt", ".bin", ".xml", ".csv", ".npy", ".ply", ".db", ".gif"})
LARGEST = 2 << 30  # bytes of one file
BLOCK = 1 << 20  # bytes that are read at once
RUNS_SHOWN = 12
KINDS = ("photo", "sharp", "mask")


class Desk:
    """Asked by several threads at once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.job: Job | None = None
        self.taking: Taking | None = None
        self._lock = threading.RLock()
        self._capture: Capture | None = None
        self._uploads: Path | None = None
        self._name = ""
        self._looking = False
        self._said = ""  # why a capture could not be opened
        self._expected: dict[str, dict[str, float]] = {}
        self._shares: list[float | None] = []
        self._pool = ThreadPoolExecutor(2)
        self._pictures: Callable[[int, str], bytes] = self._picture

    # What the page sees.

    def state(self) -> dict[str, Any]:
        with self._lock:
            return {
                "looking": self._looking,
                "said": self._said,
                "capture": None if self._capture is None else self._as_json(self._capture),
                "run": None if self.job is None else self.job.state() | self._result(self.job.folder),
                "taking": None if self.taking is None else self.taking.state(),
                "runs": [] if self.job is not None and self.job.running else self._runs(),
                "folder": _text(self.folder.resolve()),
            }

    def picture(self, number: int, kind: str) -> bytes:
        """JPEG of a photo: `photo`, `sharp` or `mask`.

        Raises:
            MacrosplatError: there is none, or it cannot be read.
        """
        return self._pictures(number, kind)

    def preview(self) -> bytes | None:
        """JPEG of what is being learned."""
        return None if self.job is None else _read(Run(self.job.folder).preview)

    # What the page does.

    def begin_upload(self, name: str) -> None:
        """Photos will come, of a capture called so."""
        with self._lock:
            self._refuse_while_running()
            self._forget()
            self._name = _slug(name)
            self._uploads = _free(self.folder / self._name) / "capture"
            self._name = self._uploads.parent.name
            with written(self._uploads):
                self._uploads.mkdir(parents=True)

    def take(self, name: str, size: int, content: BufferedIOBase) -> None:
        """One file of it, of `size` bytes.

        Raises:
            MacrosplatError: no upload was begun, the name leads elsewhere, or it is no photo and no cameras.
        """
        if self._uploads is None:
            raise MacrosplatError("Drop a folder first.")
        path = below(self._uploads, name)
        if path.suffix.lower() not in SUFFIXES | OTHERS or any(
            part.startswith(".") for part in PurePosixPath(name).parts
        ):
            raise MacrosplatError(f"{name} is neither a photo nor cameras of one.")
        if not 0 < size <= LARGEST:
            raise MacrosplatError(f"{name} is too large ({size / 1e9:.1f} GB), or empty.")
        with written(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        with whole(path) as part, part.open("wb") as file:
            while size:
                block = content.read(min(size, BLOCK))
                if not block:
                    raise MacrosplatError(f"{name} did not arrive whole; drop the folder again.")
                file.write(block)
                size -= len(block)

    def end_upload(self) -> None:
        """All is there: look at it."""
        if self._uploads is None:
            raise MacrosplatError("Drop a folder first.")
        self._look(self._uploads)

    def open(self, path: str) -> None:
        """Look at a folder of this machine."""
        if not path.strip():
            raise MacrosplatError("Type the path of a folder of photos.")
        root = expanded(path.strip())
        with readable(root):
            there = root.is_dir()
        if not there:
            raise MacrosplatError(f"{root} is not a folder.")
        with self._lock:
            self._refuse_while_running()
            self._forget()
            self._name = _slug(root.resolve().name)
        self._look(root)

    def start(self, quality: str, width: str = "", scale: str = "") -> None:
        """Reconstruct what lies on the desk."""
        with self._lock:
            self._refuse_while_running()
            if self._capture is None:
                raise MacrosplatError("There are no photos yet; drop a folder first.")
            if quality not in get_args(Quality):
                raise MacrosplatError(f"There is no quality {quality}.")
            out = _free(self.folder / self._name / f"{self._name}-{quality}")
            words = [
                f"--{name}={value.strip()}" for name, value in (("width", width), ("scale-mm", scale)) if value.strip()
            ]
            self.job = Job(
                ["reconstruct", str(self._capture.root), "--out", str(out), "--quality", quality, *words, *ALWAYS], out
            )
            self.taking = None

    def go_on(self, name: str) -> None:
        """Go on with a run that was stopped or interrupted."""
        with self._lock:
            self._refuse_while_running()
            run = self._run(name)
            self.job, self.taking = Job(["continue", str(run.folder), *ALWAYS], run.folder), None

    def stop(self) -> None:
        with self._lock:
            if self.job is None or not self.job.running:
                raise MacrosplatError("Nothing is running.")
            self.job.stop()

    def take_away(self, name: str) -> None:
        """Show what there is to be taken away of a finished run; an empty name puts it aside."""
        with self._lock:
            self._refuse_while_running()
            self.taking = Taking(self._run(name), name) if name else None

    def make(self, what: str) -> None:
        """Make one of these things."""
        with self._lock:
            self._refuse_while_running()
            if self.taking is None:
                raise MacrosplatError("Choose a run first.")
            self.taking.make(what)

    def stop_making(self) -> None:
        with self._lock:
            if self.taking is not None:
                self.taking.stop()

    def made(self, what: str) -> Path:
        """The file of one of them.

        Raises:
            MacrosplatError: it is not there.
        """
        if self.taking is None:
            raise MacrosplatError("Choose a run first.")
        return self.taking.file(what)

    def clear(self) -> None:
        """Back to an empty desk."""
        with self._lock:
            self._refuse_while_running()
            self._forget()

    def result(self, name: str) -> Run:
        """A run below the studio's folder.

        Raises:
            MacrosplatError: there is none of that name.
        """
        return self._run(name)

    # Inside.

    def _look(self, root: Path) -> None:
        with self._lock:
            self._looking, self._said = True, ""
        threading.Thread(target=self._open, args=(root,), daemon=True).start()

    def _open(self, root: Path) -> None:
        try:
            capture = open_capture(root)
            known, sizes = capture.cameras is not None, [(photo.width, photo.height) for photo in capture.photos]
            pointed = capture.points is not None and len(capture.points) > 0
            found = {quality: asdict(expected(sizes, Options(quality=cast(Quality, quality)), known, None, pointed))
                     for quality in get_args(Quality)}  # fmt: skip
        except (MacrosplatError, MemoryError, OSError) as error:
            with self._lock:
                self._looking, self._said = False, str(error)
            return
        with self._lock:
            self._capture, self._expected = capture, found
            self._shares = [None] * len(capture.photos)
            self._pictures = lru_cache(maxsize=1024)(self._picture)
            self._looking = False

    def _picture(self, number: int, kind: str) -> bytes:
        capture = self._capture
        if capture is None or not 0 <= number < len(capture.photos):
            raise MacrosplatError("There is no such photo.")
        if kind not in KINDS:
            raise MacrosplatError(f"There is no picture of kind {kind}.")
        photo = capture.photos[number]
        if kind == "sharp":
            content, share = self._pool.submit(sharp_parts, photo).result()
            if self._capture is capture:
                self._shares[number] = share
            return content
        return self._pool.submit({"photo": small, "mask": masked}[kind], photo).result()

    def _as_json(self, capture: Capture) -> dict[str, Any]:
        photos = [
            {
                "name": _text(photo.name),
                "size": [photo.width, photo.height],
                "f": photo.exif.f_number,
                "mask": photo.mask is not None,
                "sharp": share,
            }
            for photo, share in zip(capture.photos, self._shares, strict=True)
        ]
        return {
            "name": self._name,
            "folder": _text(capture.root),
            "photos": photos,
            "poses": len(poses_of(capture.photos)),
            "masks": sum(photo.mask is not None for photo in capture.photos),
            "cameras": capture.cameras is not None,
            "notes": list(capture.notes),
            "expected": self._expected,
        }

    def _result(self, folder: Path) -> dict[str, Any]:
        run = Run(folder)
        name = _text(folder.relative_to(self.folder).as_posix())
        return {
            "name": name,
            "page": run.page.is_file(),
            "scene": run.scene.is_file(),
            "preview": run.preview.is_file(),
        }

    def _runs(self) -> list[dict[str, Any]]:
        """The latest first."""
        if not self.folder.is_dir():
            return []
        rows = []
        for run in found_runs(self.folder):
            if run.folder == self.folder:
                continue
            try:
                made = run.manifest
            except MacrosplatError:
                continue
            rows.append(
                {
                    "name": _text(run.folder.relative_to(self.folder).as_posix()),
                    "photos": len(made.photos),
                    "quality": made.options.quality,
                    "finished": made.summary is not None or made.stack is not None,
                    "scene": run.scene.is_file(),
                    "early": made.summary is not None and made.summary.steps < (made.planned or 0),
                    "page": run.page.is_file(),
                    "when": run.manifest_file.stat().st_mtime,
                }
            )
        return sorted(rows, key=lambda row: -row["when"])[:RUNS_SHOWN]

    def _run(self, name: str) -> Run:
        run = Run(below(self.folder, name))
        with readable(run.folder):  # a name may be too long for a path
            if not run.manifest_file.is_file():
                raise MacrosplatError(f"{run.folder} is no run.")
        return run

    def _refuse_while_running(self) -> None:
        if self.job is not None and self.job.running:
            raise MacrosplatError("A run is going on; stop it first, or wait until it is done.")
        if self.taking is not None and self.taking.running:
            raise MacrosplatError("Something is being exported; stop it first, or wait until it is done.")

    def _forget(self) -> None:
        self._capture, self._uploads, self._said, self._expected = None, None, "", {}
        self.job = self.taking = None

    def close(self, say: Callable[[str], None]) -> None:
        """Let a run that goes on write the results of what there is; what is being exported is left."""
        if self.taking is not None and self.taking.running:
            self.taking.stop()
            self.taking.wait()
        if self.job is not None and self.job.running:
            self.job.stop()
            say("The run writes the results of what there is; Ctrl-C once more leaves it to that.")
            self.job.wait()


ALWAYS = ("--json", "--finish", "--preview")


def _slug(name: str) -> str:
    return re.sub(r"[^\w.-]+", "-", name).strip("-._")[:60] or "photos"


def _free(path: Path) -> Path:
    """`path`, or with a number that nothing has yet."""
    n, found = 2, path
    while os.path.lexists(found):
        found, n = path.with_name(f"{path.name}-{n}"), n + 1
    return found


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def _text(path: object) -> str:
    return os.fsencode(str(path)).decode("utf-8", "replace")
