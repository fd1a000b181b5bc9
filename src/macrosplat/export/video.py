"""A film: round the object, sharp; or from where a photo was taken, while the focus goes through it and back.

In: a finished RUN. Out: MP4 (H.264), written by ffmpeg, which the package imageio-ffmpeg brings along.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from macrosplat.export.focus_pull import FocusPull
from macrosplat.export.orbit import orbit, pivot_of
from macrosplat.export.refocus import Refocus, as_bytes, load_refocus
from macrosplat.render import Camera
from macrosplat.support.errors import MacrosplatError
from macrosplat.support.extras import install
from macrosplat.support.files import whole
from macrosplat.support.progress import Face, Progress

Way = Literal["orbit", "turntable", "focus-pull"]
SECONDS, FPS = 8.0, 24
SIZE = (1920, 1080)
KEPT = 1 << 30  # bytes of pictures that are shown twice
# Without the matrix players take small films for BT.601 and large ones for BT.709, and colours shift between the two.
COLOURS = (
    "scale=out_color_matrix=bt709:out_range=tv,"
    "setparams=colorspace=bt709:color_primaries=bt709:color_trc=bt709:range=tv"
)


def write_video(
    run: Path,
    out: Path,
    seconds: float = SECONDS,
    size: tuple[int, int] = SIZE,
    way: Way = "orbit",
    shown: Sequence[Face] = (),
) -> None:
    """Write the film atomically.

    Args:
        size: width and height, px.
        way: `orbit`: round the object as far as the photos go, there and back where they leave a gap; `turntable`: once
            round it, whatever there is to be seen; `focus-pull`: from where the first photo was taken, the focus goes
            to the farthest part and back.

    Raises:
        MacrosplatError: RUN is not finished, imageio-ffmpeg is missing, or ffmpeg fails.
    """
    if out.suffix.lower() != ".mp4":
        raise MacrosplatError(f"A video is written as .mp4, not as {out}; give --out that suffix.")
    ffmpeg = _ffmpeg()
    with Progress(more=shown) as progress:
        refocus = load_refocus(run, progress)
        camera = film_size(refocus.state.model.cameras()[0], size)
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
                for frame in film(refocus, camera, frames, way):
                    writer.send(np.ascontiguousarray(frame))
                    progress.advance()
            except OSError as error:
                raise MacrosplatError(
                    f"ffmpeg could not write {out} ({str(error).strip().splitlines()[-1]})."
                ) from error
            finally:
                writer.close()


def film(refocus: Refocus, camera: Camera, frames: int, way: Way = "orbit") -> Iterator[NDArray[np.uint8]]:
    """The frames [H, W, 3], 8 bit sRGB."""
    model = refocus.state.model
    views = np.stack([taken.view.numpy() for taken in model.cameras()]).astype(np.float64)
    if way == "focus-pull":
        camera = camera.at(torch.tensor(views[0], dtype=torch.float32))
        yield from _focus_pull(refocus, camera, frames)
        return
    pivot = pivot_of(views, model.rig.pivot_depth.numpy())
    for view in orbit(views, pivot, frames, all_round=way == "turntable"):
        yield refocus.sharp(camera.at(torch.tensor(view, dtype=torch.float32)), None)


def _focus_pull(refocus: Refocus, camera: Camera, frames: int) -> Iterator[NDArray[np.uint8]]:
    near, far = refocus.depths(camera)
    pull = FocusPull(refocus, camera, near, far)
    kept: dict[int, NDArray[np.uint8]] = {}  # the way back shows the same pictures
    most = KEPT // (3 * camera.frame.width * camera.frame.height)
    for n in range(frames):
        same = min(n, frames - n)
        if same in kept:
            yield kept.pop(same)
            continue
        share = 0.5 - 0.5 * np.cos(2 * np.pi * same / frames)
        picture = as_bytes(pull.picture(float(1 / (1 / near + share * (1 / far - 1 / near)))))
        if 0 < n < frames / 2 and len(kept) < most:
            kept[same] = picture
        yield picture


def film_size(camera: Camera, size: tuple[int, int] = SIZE) -> Camera:
    """A camera of that size that sees all that the photo's camera sees, with its axis in the middle."""
    width, height = size
    factor = min(width / camera.frame.width, height / camera.frame.height)
    middle = camera.intrinsics.new_tensor([width / 2, height / 2])
    frame = replace(camera.frame, width=width, height=height)
    return replace(camera, intrinsics=torch.cat([factor * camera.intrinsics[:2], middle]), frame=frame)


def size_of(text: str) -> tuple[int, int]:
    """`1080p`, or width x height.

    Raises:
        MacrosplatError: it is neither, or not what H.264 takes (even, and at most 8192).
    """
    lines = {"720p": (1280, 720), "1080p": SIZE, "1440p": (2560, 1440), "2160p": (3840, 2160), "4k": (3840, 2160)}
    if text.lower() in lines:
        return lines[text.lower()]
    width, _, height = text.lower().partition("x")
    if not (width.isdecimal() and height.isdecimal()):
        raise MacrosplatError(f"--size {text} cannot be read; give 1080p, 720p, 4k, or width x height (1280x960).")
    size = int(width), int(height)
    if any(side % 2 or not 16 <= side <= 8192 for side in size):
        raise MacrosplatError(f"--size {text}: both sides have to be even, 16 to 8192.")
    return size


def _ffmpeg() -> ModuleType:
    try:
        return importlib.import_module("imageio_ffmpeg")
    except ImportError as error:
        raise MacrosplatError(f"A video needs imageio-ffmpeg; install it with: {install('video')}.") from error
