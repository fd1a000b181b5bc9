"""A run's cameras with its *sharp* photos, for programs that train or measure from photos: COLMAP, nerfstudio.

In: a finished RUN. Out: a folder with images/ and sparse/0, or with images/, transforms.json and sparse_pc.ply.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from macrosplat.cameras.colmap import load_model, write_colmap
from macrosplat.cameras.records import Cameras, Distortion, SparsePoints
from macrosplat.cameras.transforms import write_transforms
from macrosplat.cameras.undistort import pinhole_of, undistort
from macrosplat.export.point_file import write_points
from macrosplat.output.sharp import write_picture
from macrosplat.photos.decode import decode
from macrosplat.photos.metadata import read_metadata
from macrosplat.run import Run
from macrosplat.support.colmap import pycolmap
from macrosplat.support.colour import to_srgb
from macrosplat.support.errors import MacrosplatError
from macrosplat.support.files import below, only_ours, write_whole

# The files of a COLMAP model.
MODEL = ("cameras", "images", "points3D", "rigs", "frames")


def write_colmap_folder(run: Path, out: Path) -> None:
    """`out/images` and `out/sparse/0`, a binary COLMAP model."""
    cameras = _with_photos(run, out, [f"sparse/0/{name}.bin" for name in MODEL])
    write_colmap(out / "sparse" / "0", cameras, sparse_points(run, cameras))


def write_nerfstudio_folder(run: Path, out: Path) -> None:
    """`out/images`, `out/transforms.json` and the points as `out/sparse_pc.ply`."""
    cameras = _with_photos(run, out, ["transforms.json", "sparse_pc.ply"])
    points = sparse_points(run, cameras)
    write_points(out / "sparse_pc.ply", points.xyz, points.rgb)
    write_transforms(out / "transforms.json", cameras, {"ply_file_path": "sparse_pc.ply"}, folder="images")


def sparse_points(run: Path, cameras: Cameras) -> SparsePoints:
    """The sparse points of RUN as undistorted photos show them, matched by the photos' names without suffix."""
    model = load_model(Run(run).sparse)
    index = {PurePosixPath(name).with_suffix(""): i for i, name in enumerate(cameras.names)}
    xyz, rgb, point, photo, px = [], [], [], [], []
    for found in model.points3D.values():
        for element in found.track.elements:
            image = model.images[element.image_id]
            i = index.get(PurePosixPath(image.name).with_suffix(""))
            if i is None:
                continue
            camera = model.cameras[image.camera_id]
            scale = cameras.sizes[i] / (camera.width, camera.height)
            point.append(len(xyz))
            photo.append(i)
            px.append(_straight(camera, image.points2D[element.point2D_idx].xy) * scale)
        xyz.append(found.xyz)
        rgb.append(found.color)
    return SparsePoints(
        np.array(xyz, np.float64).reshape(-1, 3),
        np.array(rgb, np.uint8).reshape(-1, 3),
        np.array(point, np.int64),
        np.array(photo, np.int64),
        np.array(px, np.float64).reshape(-1, 2),
    )


def _straight(camera: pycolmap.Camera, px: NDArray[np.float64]) -> NDArray[np.float64]:
    """[2] px of a photo as taken to px of the undistorted one."""
    lens = Distortion(camera.model.name, tuple(camera.params), camera.width, camera.height)
    if lens.model == "PINHOLE":
        return px
    pinhole = pinhole_of(lens)
    return np.asarray(camera.cam_from_img(px))[:2] * pinhole[:2] + pinhole[2:]


def _with_photos(run: Path, out: Path, besides: Sequence[str]) -> Cameras:
    """The sharp photos, undistorted, in `out/images`; their pinholes, of that size.

    Args:
        besides: what else is going to be written to `out`.

    Raises:
        MacrosplatError: RUN is not finished, or `out` holds something else.
    """
    cameras = Run(run).cameras()
    taken = cameras.names
    pictures = [below(out / "images", name).with_suffix(".png").relative_to(out).as_posix() for name in taken]
    only_ours(out, {*pictures, *besides}.__contains__)
    names, sizes = [], []
    for name, lens in zip(taken, cameras.distortion, strict=True):
        names.append(str(PurePosixPath(name).with_suffix(".png")))
        sizes.append(copy_sharp(Run(run), name, out / "images" / names[-1], lens))
    size = np.array(sizes, np.int64)
    factor = (size / cameras.sizes)[:, [0, 1, 0, 1]]
    intrinsics = cameras.intrinsics * factor
    return replace(cameras, names=tuple(names), sizes=size, intrinsics=intrinsics, distortion=())


def copy_sharp(run: Run, name: str, target: Path, distortion: Distortion | None = None) -> tuple[int, int]:
    """The deblurred photo `name`, undistorted, as 8 bit PNG in sRGB, EXIF and all; its size (width, height).

    Programs that train from photos look at no colour profile, and some read no TIFF of 16 bits.

    Raises:
        MacrosplatError: the run is not finished, or the picture is damaged.
    """
    source = run.sharp(name)
    if not source.is_file():
        raise MacrosplatError(
            f"{run.folder} lacks the sharp photo {source}: the run is not finished; go on with --resume."
        )
    try:
        carried = read_metadata(source)
        pixels = decode(source)
    except Exception as error:  # whatever a decoder raises
        raise MacrosplatError(
            f"{source} is damaged ({error}); go on with --resume to have it written again."
        ) from error
    if source.suffix == ".png" and carried.profile() is None and distortion is None:
        write_whole(target, lambda part: shutil.copyfile(source, part))
        return pixels.shape[1], pixels.shape[0]
    srgb = pixels / 255 if pixels.dtype == np.uint8 else to_srgb(pixels)
    if distortion is not None:
        srgb = undistort(np.asarray(srgb, np.float32), distortion)
    write_picture(target, srgb, replace(carried, icc=None))
    return pixels.shape[1], pixels.shape[0]
