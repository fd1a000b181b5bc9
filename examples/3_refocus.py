"""A photo taken again: the sharp scene of a finished run through another aperture, focused elsewhere.

python examples/3_refocus.py RUN [OUT] [APERTURE]

APERTURE is relative to the pupil that was found (default 2: twice as wide). The focus goes from front to back.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import macrosplat
from macrosplat.lens import Sampling
from macrosplat.support.colour import to_srgb

PHOTO = 0  # which photo's camera
STEPS = 5  # focus distances
SAMPLES = 4  # of the aperture: a lens sees round the edges of near things


@torch.no_grad()
def main() -> None:
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    run_folder = Path(sys.argv[1])
    out = Path(sys.argv[2]) if len(sys.argv) > 2 else run_folder / "refocused"
    aperture = float(sys.argv[3]) if len(sys.argv) > 3 else 2.0

    model = macrosplat.load_run(run_folder).state.model
    camera, lens = model.camera(PHOTO), model.estimate()
    if lens is None:
        sys.exit(f"{run_folder} was made with --lens {model.lens.name}, which has no aperture.")

    seen = model.draw(camera, PHOTO)
    depths = seen.depth[seen.alpha > 0.5].numpy()
    out.mkdir(parents=True, exist_ok=True)
    for i, focus in enumerate(np.percentile(depths, np.linspace(5, 95, STEPS))):
        pupil = aperture * lens.pupil_diameter
        taken = model.refocused(camera, pupil, float(focus), Sampling(SAMPLES), PHOTO, lens.sigma0_px)
        Image.fromarray(np.rint(255 * to_srgb(taken.clamp(0, 1)).numpy()).astype(np.uint8)).save(out / f"{i}.png")
        print(f"focused at {focus:.4g} (scene units): {out / f'{i}.png'}")


if __name__ == "__main__":
    try:
        main()
    except macrosplat.MacrosplatError as error:  # one sentence: what is wrong with which file
        sys.exit(str(error))
