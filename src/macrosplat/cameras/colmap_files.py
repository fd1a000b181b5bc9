"""Where COLMAP models lie, and whether their files are whole: pycolmap takes what a cut file promises for granted, and
asks for as much memory.

Layouts: COLMAP's `scripts/python/read_write_model.py`. All numbers are little-endian.
"""

from __future__ import annotations

import functools
import mmap
import struct
from pathlib import Path, PurePosixPath

from macrosplat.support.colmap import pycolmap
from macrosplat.support.errors import MacrosplatError

# COLMAP's own, its graphical program's, RealityCapture's and gtsfm's, nerfstudio's, the 3DGS authors'.
PLACES = ("sparse", "", "colmap/sparse", "colmap", "distorted/sparse")
COUNT = struct.Struct("<Q")
CAMERA = struct.Struct("<IiQQ")  # id, model, width, height; then the model's parameters, doubles
IMAGE = 4 + 7 * 8 + 4  # bytes: id, rotation and shift, camera; then a name that ends in a 0, and its 2D points
RIG, SENSOR, POSE = struct.Struct("<II"), 4 + 4, 7 * 8  # id, sensors; a sensor's kind and id; rotation and shift
FRAME, FRAME_DATA = struct.Struct("<II7dI"), 4 + 4 + 8  # id, rig, rotation and shift, photos; sensor and id of each
POINT_2D = 24  # bytes: x, y, the point's id
POINT, TRACK_ENTRY = 8 + 3 * 8 + 3 + 8, 8  # bytes: id, place, colour, error; then the entries of its track


def find_models(root: Path) -> list[Path]:
    """Folders that hold a model, where programs put them: `sparse/0`, `sparse`, the root, `colmap/sparse/0`,
    `distorted/sparse/0`; of the numbered ones of a folder the one that places most photos first."""
    found: list[Path] = []
    for name in PLACES:
        base = _folder(root, name)
        if base is None:
            continue
        numbered = [one for one in _sub_folders(base) if _is_model(one)] if name.endswith("sparse") else []
        found += sorted(numbered, key=lambda one: (-placed_in(one), len(one.name), one.name))
        # Elsewhere than in sparse/ a file of such a name may be anybody's: both tell.
        whole = name.endswith("sparse") or any((base / f"images{suffix}").is_file() for suffix in (".bin", ".txt"))
        found += [base] if whole and _is_model(base) else []
    if not found:
        for folder in (root / "sparse", *(_sub_folders(root / "sparse") if _is_folder(root / "sparse") else [])):
            images = next((one for one in (folder / "images.bin", folder / "images.txt") if one.is_file()), None)
            if images is not None:
                raise MacrosplatError(
                    f"{images} is there and cameras{images.suffix} is not: copy the whole COLMAP model, or remove it "
                    "to have cameras found from the photos."
                )
    return found


def _folder(root: Path, name: str) -> Path | None:
    """The folder of a path below the capture, upper and lower case alike."""
    for part in PurePosixPath(name).parts:
        alike = [one for one in sorted(root.iterdir()) if one.name.casefold() == part and _is_folder(one)]
        if not alike:
            return None
        root = next((one for one in alike if one.name == part), alike[0])
    return root


def placed_in(folder: Path) -> int:
    """How many photos a model places, by its file alone; 0 if it cannot be read."""
    try:
        if (folder / "images.bin").is_file():
            with (folder / "images.bin").open("rb") as file:
                return struct.unpack("<Q", file.read(8))[0]
        lines = (folder / "images.txt").read_text(encoding="utf-8", errors="replace").splitlines()
        return sum(not line.startswith("#") for line in lines) // 2
    except (OSError, struct.error):
        return 0


def _is_model(folder: Path) -> bool:
    return any((folder / f"cameras{suffix}").is_file() for suffix in (".bin", ".txt"))


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # a link to itself
        return False


def _sub_folders(folder: Path) -> list[Path]:
    return [one for one in sorted(folder.iterdir()) if _is_folder(one)]


def refuse_damaged(folder: Path) -> None:
    """Read the binary files of a model from record to record.

    Raises:
        MacrosplatError: one of them ends before its last record does, or says that it holds more than it can.
    """
    skims = {"cameras": _cameras, "images": _images, "points3D": _points, "rigs": _rigs, "frames": _frames}
    for name, skim in skims.items():
        path = folder / f"{name}.bin"
        if not path.is_file():
            continue
        try:
            if path.stat().st_size == 0:
                raise ValueError
            with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                skim(data, COUNT.unpack_from(data)[0])
        except (struct.error, ValueError, IndexError, KeyError) as error:
            raise MacrosplatError(
                f"{path} cannot be read as a part of a COLMAP model: it is cut off or damaged; export the model "
                "again, or remove it to have cameras found from the photos."
            ) from error
        except OSError as error:
            raise MacrosplatError(
                f"{path} cannot be read ({error.strerror}); export it again, or remove it."
            ) from error


def refuse_unpaired(path: Path) -> None:
    """Of an images.txt: each image has two lines, the second of which, its points, is empty where there are none.

    Raises:
        MacrosplatError: these lines were left out: then every second image would be read as the points of the first.
    """
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            lines = (line.split() for line in file)
            for first in lines:
                if not first or first[0].startswith("#"):
                    continue
                second = next(lines, [])
                if len(second) % 3 == 1 and not _is_number(second[-1]):
                    raise MacrosplatError(
                        f"{path} has no line of points after that of {first[-1][:100]}; write an empty line after each "
                        "image, or export the model again."
                    )
    except OSError as error:
        raise MacrosplatError(f"{path} cannot be read ({error.strerror}); export it again, or remove it.") from error


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


@functools.cache
def _parameters() -> dict[int, int]:
    """How many parameters each of pycolmap's camera models has."""
    models = {name: model for name, model in pycolmap.CameraModelId.__members__.items() if name != "INVALID"}
    return {
        int(model): len(pycolmap.Camera.create_from_model_id(1, model, 1.0, 1, 1).params) for model in models.values()
    }


def _cameras(data: mmap.mmap, count: int) -> None:
    at = COUNT.size
    for _ in range(count):
        _, model, _, _ = CAMERA.unpack_from(data, at)
        at += CAMERA.size + 8 * _parameters()[model]
        _within(at, data)


def _images(data: mmap.mmap, count: int) -> None:
    at = COUNT.size
    for _ in range(count):
        end = data.find(b"\0", at + IMAGE)
        if end < 0:
            raise ValueError
        at = end + 1 + COUNT.size + POINT_2D * COUNT.unpack_from(data, end + 1)[0]
        _within(at, data)


def _points(data: mmap.mmap, count: int) -> None:
    at = COUNT.size
    for _ in range(count):
        at += POINT + COUNT.size + TRACK_ENTRY * COUNT.unpack_from(data, at + POINT)[0]
        _within(at, data)


def _rigs(data: mmap.mmap, count: int) -> None:
    at = COUNT.size
    for _ in range(count):
        _, sensors = RIG.unpack_from(data, at)
        at += RIG.size
        for n in range(sensors):
            at += SENSOR
            if n > 0:  # all but the first say whether their place in the rig is known, and which it is
                known = data[at]
                at += 1 + (POSE if known else 0)
            _within(at, data)


def _frames(data: mmap.mmap, count: int) -> None:
    at = COUNT.size
    for _ in range(count):
        at += FRAME.size + FRAME_DATA * FRAME.unpack_from(data, at)[-1]
        _within(at, data)


def _within(at: int, data: mmap.mmap) -> None:
    if at > len(data):
        raise ValueError
