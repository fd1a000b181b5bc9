"""Finished runs: RUN in, sharp views from any camera out, and the comparison with a truth folder."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from macrosplat.cameras.records import Cameras
from macrosplat.cameras.transforms import read_cameras_file
from macrosplat.output.sharp import write_png
from macrosplat.render import Camera
from macrosplat.run import Run
from macrosplat.support.colour import to_srgb
from macrosplat.support.errors import MacrosplatError
from macrosplat.support.memory import available
from macrosplat.support.progress import Progress
from macrosplat.train import checkpoint
from macrosplat.train.checkpoint import Checkpoint

if TYPE_CHECKING:
    from macrosplat.evaluate.evaluate import Keep
    from macrosplat.evaluate.lpips import Lpips
# Bytes per pixel while a view is drawn (colour, alpha and depth in float32, sRGB in float64, PNG), as measured.
PER_PIXEL = 120
LONGEST_SIDE = 65535  # px: pictures of more are read by few programs


@dataclass(frozen=True)
class LoadedRun:
    """A run as it stands, for drawing."""

    folder: Path
    state: Checkpoint

    @torch.no_grad()
    def render(
        self, view: NDArray[np.float64], intrinsics: NDArray[np.float64], size: tuple[int, int]
    ) -> NDArray[np.float32]:
        """A sharp view.

        Args:
            view: [4, 4] world to camera, OpenCV axes, in the run's coordinates.
            intrinsics: [4] fx, fy, cx, cy in px. size: (width, height) in px.

        Returns:
            [H, W, 3] sRGB in [0, 1].
        """
        model = self.state.model
        frame = replace(model.rig.frames[0], width=size[0], height=size[1])
        here = model.gaussians.means
        light = model.sharp(Camera(torch.tensor(view).to(here), torch.tensor(intrinsics).to(here), frame))
        return to_srgb(light.clamp(0, 1)).cpu().numpy()

    @torch.no_grad()
    def photo(self, name: str) -> NDArray[np.float32] | None:
        """[h, w, 3] sRGB in [0, 1]: the scene as a photo shows it, at the training size; None: there is no such photo.

        Args:
            name: of the photo, whatever its suffix.
        """
        names = [PurePosixPath(known).with_suffix("") for known in self.state.names]
        wanted = PurePosixPath(name).with_suffix("")
        if wanted not in names:
            return None
        v, model = names.index(wanted), self.state.model
        return to_srgb(model.sharp(model.camera(v), v).clamp(0, 1)).cpu().numpy()


def load_run(run: Path, device: torch.device | None = None) -> LoadedRun:
    """Load what `reconstruct` wrote (or is writing: the last checkpoint counts).

    Args:
        device: where to draw; None: the CPU.

    Raises:
        MacrosplatError: RUN holds no run, or one that is damaged.
    """
    if Run(run).manifest_file.is_file():
        Run(run).check_scene()
    state = checkpoint.load(Run(run).checkpoint)
    if device is not None:
        state.model.to(device)
    return LoadedRun(run, state)


def render_cameras(run: Path, cameras_file: Path, out: Path, device: torch.device | None = None) -> list[Path]:
    """Draw every camera of a transforms.json into `out`, as PNG named after its file_path.

    Args:
        device: where to draw; None: the CPU.
    """
    cameras, loaded = read_cameras_file(cameras_file), load_run(run, device)
    names = [_file_name(cameras_file, name) for name in cameras.names]
    if len(set(names)) < len(names):
        raise MacrosplatError(f"{cameras_file} names two views alike; give each file_path another file name.")
    _check_room(cameras_file, cameras)
    written = []
    with Progress() as progress:
        progress.stage("rendering", len(cameras))
        for i, name in enumerate(names):
            width, height = (int(side) for side in cameras.sizes[i])
            write_png(out / name, loaded.render(cameras.views[i], cameras.intrinsics[i], (width, height)))
            written.append(out / name)
            progress.advance()
    return written


def _file_name(cameras_file: Path, view: str) -> str:
    """What the picture of a view is called: the last part of its `file_path`, as PNG."""
    name = PurePosixPath(view.replace("\\", "/")).name
    if name in ("", ".", "..") or "\0" in name:
        raise MacrosplatError(f"{cameras_file} has a file_path that is no file's name ({view!r}); give each view one.")
    return PurePosixPath(name).with_suffix(".png").name


def _check_room(cameras_file: Path, cameras: Cameras) -> None:
    """Refuse views that do not fit into memory before the first is drawn.

    Raises:
        MacrosplatError: more is needed than is free.
    """
    largest = cameras.sizes[np.argmax(cameras.sizes.astype(np.float64).prod(1))]
    needed, there = PER_PIXEL * float(largest[0]) * float(largest[1]), available()
    if max(largest) > LONGEST_SIDE or (there is not None and needed > there):
        free = "" if there is None else f", and {there / 1e9:.1f} GB are free"
        raise MacrosplatError(
            f"{cameras_file} asks for a view of {largest[0]} x {largest[1]} px, which takes about "
            f"{needed / 1e9:.1f} GB of memory{free}; make w and h smaller, and the focal length with them."
        )


def evaluate(
    run: Path,
    truth: Path,
    device: torch.device | None = None,
    lpips: Lpips | None = None,
    keep: Keep | None = None,
) -> str:
    """Compare RUN with a truth folder; writes RUN/evaluation.json and returns the table.

    Args:
        device: where views are drawn; None: the CPU.
        lpips: the network of a further figure (`load_lpips`).
        keep: is handed every picture that was compared.
    """
    from macrosplat.evaluate.evaluate import evaluate_run
    from macrosplat.evaluate.report import as_text

    loaded = load_run(run, device)
    with Progress() as progress:
        found = evaluate_run(run, truth, loaded.render, progress, lpips=lpips, keep=keep, render_photo=loaded.photo)
    return as_text(found)
