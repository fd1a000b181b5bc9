"""Of a run with as many different intrinsics as photos: the share of steps that replay a recorded CUDA graph.

    python benchmarks/replays.py DIR [--photos 200] [--steps 4000]

DIR gets a made-up capture (a bumpy sheet, 96 x 72 px, each photo with a focal length and a principal point of its own)
and the run. A step is a replay if nothing had to be launched from Python or recorded for it.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import torch

from macrosplat import Options, reconstruct
from macrosplat.cameras.records import Cameras
from macrosplat.lens import LensStart, Sampling
from macrosplat.lens.thin import ThinLens
from macrosplat.support.colour import to_bytes, to_srgb
from macrosplat.train.graphs import Graphs

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
import making_captures as made

WARM_UP = 0.1  # share of the steps


@torch.no_grad()
def write(folder: Path, photos: int) -> int:
    """The capture; how many different intrinsics it has."""
    base, numbers = made.make_cameras(photos), np.arange(photos)
    intrinsics = base.intrinsics * (1 + 0.0002 * numbers[:, None]) + 0.01 * numbers[:, None] * [0, 0, 1, -1] / photos
    cameras = Cameras(base.names, base.views, intrinsics, base.sizes, base.source)
    scene = made.make_scene()
    focus = tuple(made.DISTANCE + 0.4 * float(np.sin(2.0 * n)) for n in range(photos))
    lens = ThinLens(LensStart(made.PUPIL, focus, (1.0,) * photos, sigma0=0.3, width=made.WIDTH))
    draw, taken = made.drawing(scene), []
    for n in range(photos):
        camera = made.pinhole_of(cameras, n).at(torch.tensor(cameras.views[n], dtype=torch.float32))
        light = lens.photograph(draw, camera, n, Sampling(4))
        taken.append(to_bytes(to_srgb(light.clamp(0, 1)).numpy()))
    points = made.observe(scene.means.numpy(), cameras, taken)
    made.write_capture(folder, made.Made(scene, cameras, points, taken, taken, made.PUPIL, focus))
    return len(np.unique(intrinsics, axis=0))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--photos", type=int, default=200)
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--device", default="cuda")
    asked = parser.parse_args()
    different = write(asked.folder / "capture", asked.photos)
    step, take, recorded = Graphs.step, Graphs._take, []
    replays: dict[int, bool] = {}  # by the number of the step

    def counted_take(self, *args):
        recorded.append(True)
        return take(self, *args)

    def counted_step(self, *args):
        recorded.clear()
        loss = step(self, *args)
        if self._training.schedule.steps == asked.steps:  # not those of the pilots
            replays[self._training.done] = not recorded
        return loss

    Graphs._take, Graphs.step = counted_take, counted_step  # type: ignore[method-assign]
    options = Options(steps=asked.steps, width=made.WIDTH, device=asked.device)
    reconstruct(asked.folder / "capture", asked.folder / "run", options)
    after = [replay for number, replay in replays.items() if number >= WARM_UP * asked.steps]
    print(f"{asked.photos} photos, {different} different intrinsics, {len(replays)} steps")
    print(f"replays: {np.mean(list(replays.values())):.1%} of all steps, {np.mean(after):.1%} after the first tenth")


if __name__ == "__main__":
    main()
