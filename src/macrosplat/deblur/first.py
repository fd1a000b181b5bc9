"""Which deblurrer `--deblur-first` means, and its photos kept in the run."""

from __future__ import annotations

import math
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from macrosplat.deblur.richardson_lucy import richardson_lucy
from macrosplat.deblur.stacker import stacked
from macrosplat.options import Options
from macrosplat.photos.find import find_photos
from macrosplat.photos.read import read_photo
from macrosplat.photos.records import Photo
from macrosplat.support.errors import MacrosplatError
from macrosplat.support.files import below, expanded, write_whole

SMALLEST = 8  # a deblurred photo may be that much smaller than its photo; less is a thumbnail

Pixels = NDArray[np.uint8]  # [H, W, 3] sRGB


NO_STACKS = "--deblur-first stack joins the slices of focus brackets, and there are none here."


def check_deblur(options: Options, photos: Sequence[Photo] | None = None) -> None:
    """Refuse what cannot work before a run is begun; photos: None where nobody knows them yet.

    Raises:
        MacrosplatError: no such folder, command, package or file of weights; no focus brackets.
    """
    how = options.deblur_first
    if how == "stack" and photos is not None and all(photo.pose is None for photo in photos):
        raise MacrosplatError(NO_STACKS)
    if how in ("none", "richardson-lucy", "stack"):
        return
    if how == "restormer":
        from macrosplat.deblur.restormer import load_restormer

        load_restormer(options.deblur.weights)
    elif is_command(how):
        if "{in}" not in how or "{out}" not in how:
            raise MacrosplatError(f'--deblur-first "{how}" names no {{in}} and {{out}}: a command needs both folders.')
        if shutil.which(_words(how)[0]) is None:
            raise MacrosplatError(f'--deblur-first "{how}": there is no program {_words(how)[0]}; check its name.')
    elif not expanded(how).is_dir():
        raise MacrosplatError(
            f"--deblur-first {how} is not a folder; it takes none, richardson-lucy, restormer, stack, a folder of "
            'deblurred photos, or a "COMMAND {in} {out}".'
        )


def is_command(how: str) -> bool:
    return "{in}" in how or "{out}" in how


def deblurred(folder: Path, photos: Sequence[Photo], taken: Sequence[Pixels], options: Options) -> list[Pixels]:
    """The photos as `--deblur-first` makes them; kept in `folder`, and from there where that is whole.

    Raises:
        MacrosplatError: a deblurrer failed, or left a photo out.
    """
    if options.deblur_first == "none":
        return list(taken)
    kept = [below(folder, photo.name).with_suffix(".png") for photo in photos]
    if not all(path.is_file() for path in kept):
        for path, pixels in zip(kept, _made(photos, taken, options), strict=True):
            write_whole(path, Image.fromarray(pixels).save)
    out = []
    for path, before in zip(kept, taken, strict=True):
        try:
            with Image.open(path) as picture:
                out.append(np.asarray(picture.convert("RGB")).copy())
        except (OSError, ValueError, SyntaxError) as error:
            raise MacrosplatError(f"{path} is damaged; remove {path.parent} and go on.") from error
        if out[-1].shape != before.shape:
            raise MacrosplatError(f"{path} has another size than its photo; remove {path.parent} and go on.")
    return out


def _made(photos: Sequence[Photo], taken: Sequence[Pixels], options: Options) -> list[Pixels]:
    how, chosen = options.deblur_first, options.deblur
    if how == "richardson-lucy":
        return [richardson_lucy(photo, chosen.sigma, chosen.iterations) for photo in taken]
    if how == "stack":
        if all(photo.pose is None for photo in photos):
            raise MacrosplatError(NO_STACKS)
        return stacked(photos, taken)
    if how == "restormer":
        from macrosplat.deblur.restormer import load_restormer, restore

        network = load_restormer(chosen.weights)
        return [restore(network, photo, chosen.tile) for photo in taken]
    if is_command(how):
        return _by_command(how, photos, taken)
    return _from_folder(expanded(how), photos, taken, SMALLEST)


def _by_command(command: str, photos: Sequence[Photo], taken: Sequence[Pixels]) -> list[Pixels]:
    with tempfile.TemporaryDirectory(prefix="macrosplat-") as scratch:
        folders = {name: Path(scratch) / name for name in ("in", "out")}
        for folder in folders.values():
            folder.mkdir()
        for photo, pixels in zip(photos, taken, strict=True):
            path = folders["in"] / PurePosixPath(photo.name).with_suffix(".png")
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path)
        words = [
            word.replace("{in}", str(folders["in"])).replace("{out}", str(folders["out"])) for word in _words(command)
        ]
        # Into files: a pipe ends only with the last process that holds it, which may be one that the tool left behind.
        said = [Path(scratch) / name for name in ("stderr", "stdout")]
        try:
            with said[0].open("wb") as stderr, said[1].open("wb") as stdout:
                done = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr)
        except OSError as error:
            raise MacrosplatError(f'--deblur-first "{command}" cannot be run ({error.strerror}).') from error
        if done.returncode != 0:
            texts = (path.read_text(errors="replace").strip() for path in said)
            last = (next(filter(None, texts), "") or "it said nothing").splitlines()[-1]
            raise MacrosplatError(f'--deblur-first "{command}" ended with code {done.returncode}: {last}')
        return _from_folder(folders["out"], photos, taken)


def _from_folder(
    folder: Path, photos: Sequence[Photo], taken: Sequence[Pixels], smallest: float = math.inf
) -> list[Pixels]:
    """The photos of a folder by name (suffixes aside), brought to the training size.

    Args:
        smallest: how many times smaller than its photo each may be (a tool is given photos of the training size).
    """
    there = {}
    if any(folder.iterdir()):
        there = {
            PurePosixPath(p.name).with_suffix(""): p for p in find_photos(folder, masks=False, folder=folder).photos
        }
    missing = [photo.name for photo in photos if PurePosixPath(photo.name).with_suffix("") not in there]
    if missing:
        raise MacrosplatError(
            f"{folder} holds no deblurred {missing[0]} ({len(missing)} of {len(photos)} photos are missing); "
            "every photo needs one of the same name."
        )
    out = []
    for photo, before in zip(photos, taken, strict=True):
        other = there[PurePosixPath(photo.name).with_suffix("")]
        if max(other.width, other.height) * smallest < max(photo.width, photo.height):
            raise MacrosplatError(
                f"{other.path} is {other.width} x {other.height} px where {photo.name} has {photo.width} x "
                f"{photo.height}: it looks like a thumbnail; give deblurred photos of their photos' size."
            )
        pixels = read_photo(other, before.shape[1])
        if pixels.shape != before.shape:
            raise MacrosplatError(
                f"{other.path} is {other.width} x {other.height} px, too small or of another shape than {photo.name}; "
                f"at least {before.shape[1]} x {before.shape[0]} are needed."
            )
        out.append(pixels)
    return out


def _words(command: str) -> list[str]:
    try:
        return shlex.split(command)
    except ValueError as error:
        raise MacrosplatError(f'--deblur-first "{command}" cannot be read as a command ({error}).') from error
