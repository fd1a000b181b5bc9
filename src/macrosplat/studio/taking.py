"""What one can take away of a finished run: each made by `macrosplat export`, a process of its own, when asked for.

In: a run. Out: what there is of it, what is being made, and the files.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from macrosplat.run import Run
from macrosplat.studio.job import Job
from macrosplat.support.errors import MacrosplatError
from macrosplat.support.reading import readable


@dataclass(frozen=True)
class Thing:
    """One file that people take away."""

    label: str
    about: str
    file: str  # below RUN
    words: tuple[str, ...] = ()  # of `macrosplat export RUN`; none: it is there already


THINGS: dict[str, Thing] = {
    "zip": Thing("Everything", "the page, sharp photos, scene, lens and cameras, to pass on", "share.zip", ("zip",)),
    "mesh": Thing("Mesh", "of the object with its colours, for measuring (PLY)", "mesh.ply", ("mesh",)),
    "textured": Thing("Mesh with texture", "for Blender, slides and the web (GLB)", "mesh.glb", ("mesh", "--texture")),
    "print": Thing("Mesh to print", "closed, in mm (STL)", "mesh.stl", ("mesh", "--watertight")),
    "film": Thing("Film", "round the object, sharp, 8 s (MP4)", "orbit.mp4", ("video",)),
    "focus": Thing("Film of the focus", "going through the object (MP4)", "focus.mp4", ("video", "--path=focus-pull")),
    "points": Thing("Points", "of the surface, with normals (PLY)", "points.ply", ("points",)),
    "scene": Thing("Splats", "for every viewer (PLY)", "scene.ply"),
    "sog": Thing("Splats, small", "for the web: SuperSplat, PlayCanvas (SOG)", "scene.sog", ("sog",)),
    "spz": Thing("Splats, small", "for phones and Niantic's viewers (SPZ)", "scene.spz", ("spz",)),
}


class Taking:
    """The things of one run."""

    def __init__(self, run: Run, name: str) -> None:
        self.run, self.name = run, name
        self._job: Job | None = None
        self._what = ""

    @property
    def running(self) -> bool:
        return self._job is not None and self._job.running

    def make(self, what: str) -> None:
        """Begin to make one.

        Raises:
            MacrosplatError: there is none of that name, or the run has no scene.
        """
        thing = _thing(what)
        if not self.run.scene.is_file():
            raise MacrosplatError(f"{self.name} has no scene to export.")
        if thing.words:
            words = [
                "export",
                str(self.run.folder),
                "--format",
                *thing.words,
                "--out",
                str(self.run.folder / thing.file),
                "--json",
            ]
            self._job, self._what = Job(words, self.run.folder), what

    def stop(self) -> None:
        if self._job is not None:
            self._job.stop()

    def wait(self) -> None:
        if self._job is not None:
            self._job.wait()

    def state(self) -> dict[str, Any]:
        """For JSON."""
        making = self._job.state() if self._job is not None else None
        return {
            "name": self.name,
            "running": self.running,
            "things": [
                {
                    "what": what,
                    "label": thing.label,
                    "about": thing.about,
                    "file": thing.file,
                    "bytes": self._size(what),
                    "making": making if what == self._what else None,
                }
                for what, thing in THINGS.items()
            ],
        }

    def file(self, what: str) -> Path:
        """A thing that is there.

        Raises:
            MacrosplatError: it is not, or not yet.
        """
        if self._size(what) is None:
            raise MacrosplatError(f"{_thing(what).label} is not made yet.")
        return self.run.folder / _thing(what).file

    def _size(self, what: str) -> int | None:
        """Bytes of what was made of the scene as it is; None where there is none of it."""
        path, scene = self.run.folder / _thing(what).file, self.run.scene
        with readable(path):
            # A link may lead out of the run, which may have come from anybody.
            if path.is_symlink() or not path.is_file() or not scene.is_file() or (self.running and what == self._what):
                return None
            status = path.stat()
            return status.st_size if status.st_mtime >= scene.stat().st_mtime else None


def _thing(what: str) -> Thing:
    if what not in THINGS:
        raise MacrosplatError(f"There is no export {what[:40]}.")
    return THINGS[what]
