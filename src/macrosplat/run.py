"""The folder RUN: where everything in it lies.

In: a folder. Out: `Run`, which alone knows its files by name, and keeps its record (`manifest.py`).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path, PurePosixPath
from typing import Any, get_args

import msgspec

from macrosplat.cameras.records import Cameras
from macrosplat.cameras.transforms import read_cameras_file, write_transforms
from macrosplat.manifest import AGAIN, Manifest, flat, read_manifest
from macrosplat.options import Options, SharpFormat
from macrosplat.options.older import VERSION, added_since
from macrosplat.photos.names import is_text, listed
from macrosplat.photos.records import Photo
from macrosplat.photos.taken import difference, same_photos, taken
from macrosplat.support.errors import MacrosplatError
from macrosplat.support.files import below, write_json

# What a resumed run may change: where it computes and how results are stored do not change what is learned.
FREE = ("device", "sharp_format", "detail")
SUFFIXES: dict[SharpFormat, str] = {"png": ".png", "tiff": ".tif"}


class Run:
    """A folder RUN."""

    def __init__(self, folder: Path, manifest: Manifest | None = None, read_only: bool = False) -> None:
        """Args: read_only: what becomes known stays in memory; for who looks on while another process writes."""
        self.folder, self._read_only = folder, read_only
        self._manifest = manifest
        self.other_masks: tuple[str, ...] = ()  # names of photos whose masks changed since the run was begun

    @staticmethod
    def begin(
        folder: Path,
        capture: Path,
        photos: tuple[Photo, ...],
        options: Options,
        resume: bool,
        found: Sequence[str] = (),
    ) -> Run:
        """Begin a run, or check that it may be gone on with.

        Args:
            found: names of all photos of the capture, as `Capture.found`.

        Raises:
            MacrosplatError: RUN holds something and `resume` is off; or it is a run of other photos or options.
        """
        if not is_text(str(folder)):
            raise MacrosplatError(
                f"{str(folder)!r} is no text (not UTF-8), and other programs write names as text; choose another --out."
            )
        run, asked = Run(folder), taken(capture, photos)
        # Of a run that ended before anything was done there is the record alone: it may begin with other options.
        begun = [path.name for path in folder.iterdir()] if folder.is_dir() else []
        if not run.manifest_file.is_file() or (not resume and begun == [run.manifest_file.name]):
            if begun and begun != [run.manifest_file.name]:
                raise MacrosplatError(
                    f"{folder} exists and holds no run of macrosplat; give --out a new or an empty folder."
                )
            run._write(
                Manifest(
                    version=VERSION,
                    capture=str(capture.resolve()),
                    photos=asked,
                    found=tuple(found),
                    options=options,
                    command=tuple(sys.argv),
                )
            )
            return run
        if not resume:
            raise MacrosplatError(
                f"{folder} holds a run already; add --resume to go on with it, or choose another --out."
            )
        if not same_photos(run.manifest.photos, asked):
            which = difference(run.manifest.photos, asked) or run.manifest.capture
            raise MacrosplatError(
                f"{folder} is a run of other photos ({which}); give --resume the same capture, or choose another --out."
            )
        others = sorted(set(run.manifest.found) ^ set(found))
        if others and run.manifest.found:
            raise MacrosplatError(
                f"{capture} holds other photos than when {folder} was begun ({listed(others)}); put it back as it was, "
                "or choose another --out."
            )
        options = run._as_begun(options)
        run.refuse_other_options(options)
        of = {photo.name: photo.mask for photo in run.manifest.photos}
        run.other_masks = tuple(photo.name for photo in asked if photo.mask != of[photo.name])
        run.update(options=options)
        return run

    def check_whole(self, capture: Path, photos: Sequence[Photo]) -> None:
        """Check that RUN and the photos are those that the run was begun with, before the results are written.

        Raises:
            MacrosplatError: somebody has moved RUN meanwhile, or has replaced or removed photos.
        """
        if not self.sparse.is_dir():
            raise MacrosplatError(
                f"{self.folder} was moved or removed while it was being written; put it back in its place, and go on "
                f"with: macrosplat continue {self.folder}"
            )
        gone = [photo.name for photo in photos if not photo.path.is_file()]
        changed = "gone: " + listed(gone) if gone else difference(self.manifest.photos, taken(capture, tuple(photos)))
        if changed:
            raise MacrosplatError(
                f"Photos of {capture} are not what they were when {self.folder} was begun ({changed}); put them back, "
                f"and go on with: macrosplat continue {self.folder}"
            )

    @property
    def manifest(self) -> Manifest:
        """What stands in `config.json`.

        Raises:
            MacrosplatError: there is none, or it is damaged.
        """
        if self._manifest is None:
            self._manifest = read_manifest(self.manifest_file)
        return self._manifest

    def update(self, **found: Any) -> None:
        """Add what became known on the way (width, camera_source, held_out, ...)."""
        self._write(msgspec.structs.replace(self.manifest, **found))

    def _write(self, manifest: Manifest) -> None:
        if not self._read_only:
            write_json(self.manifest_file, msgspec.to_builtins(manifest))
        self._manifest = manifest

    def _as_begun(self, asked: Options) -> Options:
        """`asked`, but options younger than this run, where nobody chose them, stay what it began with."""
        ours, unasked = flat(asdict(self.manifest.options)), flat(asdict(Options()))
        for name in added_since(self.manifest.version):
            owner, _, inner = name.rpartition(".")
            if flat(asdict(asked))[name] == unasked[name]:
                change = {inner: ours[name]}
                asked = replace(asked, **({owner: replace(getattr(asked, owner), **change)} if owner else change))
        return asked

    def refuse_other_options(self, asked: Options) -> None:
        """Check that the run was begun with the options that are asked for now.

        Raises:
            MacrosplatError: it was not; says which option differs.
        """
        before = flat(asdict(self.manifest.options))
        for name, value in flat(asdict(asked)).items():
            if name not in FREE and before[name] != value:
                raise MacrosplatError(
                    f"{self.folder} was begun with --{name.replace('_', '-')} {before[name]} and cannot go on with "
                    f"{value}; give the same options, or choose another --out."
                )

    # How it was made.

    @property
    def manifest_file(self) -> Path:
        return self.folder / "config.json"

    @property
    def log(self) -> Path:
        return self.folder / "log.jsonl"

    @property
    def preview(self) -> Path:
        """The scene as it is while it is being learned (`live/preview.py`); gone when the run ends."""
        return self.folder / "preview.jpg"

    @property
    def checkpoint(self) -> Path:
        return self.folder / "checkpoint"

    @property
    def sparse(self) -> Path:
        """The COLMAP model of the cameras as training began with them."""
        return self.folder / "sparse" / "0"

    @property
    def scratch(self) -> Path:
        """What finding the cameras keeps on the way."""
        return self.folder / "sfm"

    @property
    def placing(self) -> Path:
        """The run of its own that learns a scene by which photos are placed; removed when they are."""
        return self.folder / "placing"

    @property
    def masks(self) -> Path:
        """The masks that were made where the capture has none."""
        return self.folder / "masks"

    @property
    def targets(self) -> Path:
        """The coded targets that were read in the photos."""
        return self.folder / "targets.json"

    @property
    def target_sizes(self) -> Path:
        """What --targets said of their sizes."""
        return self.folder / "target_sizes.json"

    @property
    def deblurred(self) -> Path:
        """The photos as `--deblur-first` made them."""
        return self.folder / "deblurred"

    # What it came to.

    @property
    def sharp_folder(self) -> Path:
        return self.folder / "sharp"

    def sharp(self, name: str, format: SharpFormat | None = None) -> Path:
        """Where the deblurred photo `name` (`Photo.name`) lies, or is to lie; `format` None: whichever there is.

        Raises:
            MacrosplatError: the name leads out of RUN.
        """
        stem = PurePosixPath(name).with_suffix("")
        paths = {kind: below(self.sharp_folder, f"{stem}{SUFFIXES[kind]}") for kind in get_args(SharpFormat)}
        if format is not None:
            return paths[format]
        return next((path for path in paths.values() if path.is_file()), paths["png"])

    @property
    def scene(self) -> Path:
        return self.folder / "scene.ply"

    @property
    def transforms(self) -> Path:
        """The cameras as found, in the size of the photos, with their distortion; they name the deblurred photos."""
        return self.folder / "transforms.json"

    @property
    def held_out(self) -> Path:
        """The cameras of photos that were not trained on; they name the photos as taken."""
        return self.folder / "held_out.json"

    @property
    def lens(self) -> Path:
        return self.folder / "lens.json"

    @property
    def coverage(self) -> Path:
        return self.folder / "coverage.json"

    @property
    def coverage_scene(self) -> Path:
        return self.folder / "coverage.ply"

    @property
    def maps(self) -> Path:
        return self.folder / "maps"

    @property
    def maps_index(self) -> Path:
        return self.maps / "maps.json"

    def map(self, kind: str, name: str) -> Path:
        """A picture of one kind (depth, coc_colour, ...) of a photo."""
        return below(self.maps / kind, f"{PurePosixPath(name).with_suffix('')}.png")

    @property
    def page(self) -> Path:
        return self.folder / "index.html"

    def check_scene(self) -> None:
        """Refuse what wants a 3D scene of a run that makes none.

        Raises:
            MacrosplatError: it is one stack of slices, or no run.
        """
        if self.manifest.stack is not None:
            raise MacrosplatError(
                f"{self.folder} is a stack of one pose, which makes no 3D scene and no cameras: there are {self.page}, "
                f"{self.sharp_folder} and {self.maps}."
            )

    # What others make of it.

    @property
    def evaluation(self) -> Path:
        return self.folder / "evaluation.json"

    @property
    def cell(self) -> Path:
        """Of a comparison: what the run took."""
        return self.folder / "cell.json"

    def novel(self, name: str) -> Path:
        """Of a comparison: a view that was compared."""
        return below(self.folder / "novel", name).with_suffix(".png")

    # Names in it point at what is there.

    def taken(self, name: str) -> Path | None:
        """The photo as taken; None where the capture is no longer there.

        Raises:
            MacrosplatError: the run has no such photo.
        """
        for photo in self.manifest.photos:
            if photo.name == name:
                path = Path(self.manifest.capture) / photo.path
                return path if path.is_file() else None
        raise MacrosplatError(f"{self.manifest_file} knows no photo {name}; the file was changed by hand.")

    def write_cameras(self, cameras: Cameras) -> None:
        """Write `transforms.json`, once the deblurred photos are there."""
        names = [self.sharp(name).relative_to(self.folder).as_posix() for name in cameras.names]
        write_transforms(self.transforms, replace(cameras, names=tuple(names)))

    def write_held_out(self, cameras: Cameras) -> None:
        """Write `held_out.json`."""
        paths = [self.taken(name) or Path(name) for name in cameras.names]
        names = [Path(os.path.relpath(path, self.folder.resolve())).as_posix() for path in paths]
        write_transforms(self.held_out, replace(cameras, names=tuple(names)))

    def cameras(self) -> Cameras:
        """The cameras as found, by the names of their photos, in the size of the photos.

        Raises:
            MacrosplatError: RUN is not finished, or the file names what is no photo of it.
        """
        found, names = read_cameras_file(self.transforms, as_taken=True), {}
        for photo in self.manifest.photos:
            path = self.sharp(photo.name, "png").relative_to(self.folder).with_suffix("")
            names[path.as_posix()] = photo.name
        of = [names.get(PurePosixPath(name).with_suffix("").as_posix()) for name in found.names]
        for name, photo in zip(found.names, of, strict=True):
            if photo is None:
                raise MacrosplatError(f"{self.transforms} names {name}, which is no photo of this run; {AGAIN}.")
        return replace(found, names=tuple(str(photo) for photo in of))
