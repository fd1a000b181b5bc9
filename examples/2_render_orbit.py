"""Sharp views of a finished run from a camera that swings around the object.

python examples/2_render_orbit.py RUN [OUT] [VIEWS]

The first photo's camera is turned about the point in the middle of its frame.
"""

import json
import sys
from pathlib import Path

import numpy as np
from PIL import Image

import macrosplat
from macrosplat.cameras.transforms import read_cameras_file

SWING = 20.0  # degrees to either side: further round, other photos have seen more


def turned(view: np.ndarray, pivot_depth: float, degrees: float) -> np.ndarray:
    """The view [4, 4] with its camera moved around a point straight ahead, about the frame's vertical."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    turn = np.array([[c, 0, s, 0], [0, 1, 0, 0], [-s, 0, c, 0], [0, 0, 0, 1]])
    pivot = np.eye(4)
    pivot[2, 3] = pivot_depth
    return pivot @ turn @ np.linalg.inv(pivot) @ view


def main() -> None:
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    run_folder = Path(sys.argv[1])
    out = Path(sys.argv[2]) if len(sys.argv) > 2 else run_folder / "orbit"
    views = int(sys.argv[3]) if len(sys.argv) > 3 else 24

    run = macrosplat.load_run(run_folder)
    cameras = read_cameras_file(run_folder / "transforms.json")
    camera = run.state.model.cameras()[0]
    intrinsics, size = camera.intrinsics.numpy(), (camera.frame.width, camera.frame.height)
    # Where the photos are focused is where the object is.
    lens = json.loads((run_folder / "lens.json").read_text())
    distance = float(np.median([photo["focus_distance"]["scene_units"] for photo in lens["photos"]]))

    out.mkdir(parents=True, exist_ok=True)
    for i in range(views):
        degrees = SWING * np.sin(2 * np.pi * i / views)
        srgb = run.render(turned(cameras.views[0], distance, degrees), intrinsics, size)
        Image.fromarray(np.rint(255 * srgb).astype(np.uint8)).save(out / f"{i:03}.png")
    print(f"{views} views in {out}")


if __name__ == "__main__":
    try:
        main()
    except macrosplat.MacrosplatError as error:  # one sentence: what is wrong with which file
        sys.exit(str(error))
