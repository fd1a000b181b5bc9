"""A film: once round the object while the focus goes from its nearest to its farthest part and back.

In: a finished RUN. Out: MP4 (H.264), written by ffmpeg, which the package imageio-ffmpeg brings along.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from numpy.typing import NDArray

from macrosplat.export.orbit import orbit, pivot_of
from macrosplat.export.refocus import Refocus, load_refocus
from macrosplat.render import Camera
from macrosplat.support.errors import MacrosplatError
from macrosplat.support.files import whole
from macrosplat.support.progress import Progress

SECONDS, FPS = 10, 24
PULLS = 2  # times that the focus goes to the far end and back
LONGEST = 1280  # px, of the longer side
# Without the matrix players take small films for BT.601 and large ones for BT.709, and colours shift between the two.
COLOURS = (
    "scale=out_color_matrix=bt709:out_range=tv,"
    "setparams=colorspace=bt709:color_primaries=bt709:color_trc=bt709:range=tv"
)


def write_video(run: Path, out: Path, seconds: float = SECONDS) -> None:
    """Write the film, whole or not at all.

    Raises:
        MacrosplatError: RUN is not finished, imageio-ffmpeg is missing, or ffmpeg fails.
    """
    if out.suffix.lower() != ".mp4":
        raise MacrosplatError(f"A video is written as .mp4, not as {out}; give --out that suffix.")
    ffmpeg = _ffmpeg()
    with Progress() as progress:
        refocus = load_refocus(run, progress)
        camera = film_size(refocus.state.model.cameras()[0])
        frames = max(2, round(seconds * FPS))
        progress.stage("filming", frames)
        with whole(out) as part:
            settings = {
                "fps": FPS,
                "codec": "libx264",
                "pix_fmt_out": "yuv420p",
                "quality": None,
                "macro_block_size": 2,
            }
            settings["output_params"] = ["-vf", COLOURS, "-crf", "18", "-movflags", "+faststart"]
            writer = ffmpeg.write_frames(str(part), (camera.frame.width, camera.frame.height), **settings)
            try:
                writer.send(None)
                for frame in film(refocus, camera, frames):
                    writer.send(np.ascontiguousarray(frame))
                    progress.advance()
            except OSError as error:
                raise MacrosplatError(
                    f"ffmpeg could not write {out} ({str(error).strip().splitlines()[-1]})."
                ) from error
            finally:
                writer.close()


def film(refocus: Refocus, camera: Camera, frames: int) -> Iterator[NDArray[np.uint8]]:
    """The frames [H, W, 3], 8 bit sRGB."""
    model = refocus.state.model
    views = np.stack([taken.view.numpy() for taken in model.cameras()]).astype(np.float64)
    pivot = pivot_of(views, model.rig.pivot_depth.numpy())
    # The near end and the far end change with the view: where they were in a few views, in between by interpolation.
    path = orbit(views, pivot, frames)
    asked = np.unique(np.linspace(0, frames - 1, min(frames, 12)).round().astype(int))
    ends = np.array([refocus.depths(camera.at(torch.tensor(path[n], dtype=torch.float32))) for n in asked])
    near, far = (np.interp(np.arange(frames), asked, 1 / ends[:, k]) for k in (0, 1))
    share = 0.5 - 0.5 * np.cos(2 * np.pi * PULLS * np.arange(frames) / frames)
    for view, focus in zip(path, 1 / (near + share * (far - near)), strict=True):
        yield refocus.taken(camera.at(torch.tensor(view, dtype=torch.float32)), None, float(focus))


def film_size(camera: Camera) -> Camera:
    """A photo's camera with its axis in the middle, no larger than a film, both sides even as H.264 wants them."""
    sides = camera.frame.width, camera.frame.height
    factor = min(1.0, LONGEST / max(sides))
    width, height = (max(2, 2 * round(side * factor / 2)) for side in sides)
    camera = camera.scaled(width, height)
    middle = camera.intrinsics.new_tensor([width / 2, height / 2])
    return replace(camera, intrinsics=torch.cat([camera.intrinsics[:2], middle]))


def _ffmpeg() -> ModuleType:
    try:
        return importlib.import_module("imageio_ffmpeg")
    except ImportError as error:
        raise MacrosplatError(
            "A video needs imageio-ffmpeg; install it with: pip install 'macrosplat[video]'."
        ) from error
