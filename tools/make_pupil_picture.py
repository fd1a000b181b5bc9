"""The picture of blades and cat's eyes in docs/lens.md: points of light out of focus, all over a frame, through a round
pupil, through seven straight blades, and through a round one that the ends of the lens clip.

    python tools/make_pupil_picture.py OUT.png
"""

import math
import sys

import numpy as np
import torch
from PIL import Image

from macrosplat.lens import cats_eye
from macrosplat.lens.blades import shaped

WIDTH, HEIGHT, RADIUS, GAP = 330, 220, 20.0, 6  # px; RADIUS of the circle of confusion
POINTS = 20_000  # of the pupil
ROUND, SEVEN, CLIPPED = (None, 0.0), (torch.tensor([7, math.radians(12), 1.0]), 0.0), (None, 0.3)


def panel(blades: torch.Tensor | None, corner: float) -> np.ndarray:
    """[HEIGHT, WIDTH] light; `corner`: pupil radii that a rim has moved there, `cats_eye`."""
    k = torch.arange(POINTS)
    reach, angle = ((k + 0.5) / POINTS).sqrt(), 2.399963 * k
    u, v = reach * angle.cos(), reach * angle.sin()
    if blades is not None:
        u, v = shaped(u, v, blades)
    away, (cosine, sine) = cats_eye.directions(WIDTH, HEIGHT, u)
    light = np.zeros((HEIGHT, WIDTH))
    for y in range(28, HEIGHT, 54):
        for x in range(30, WIDTH, 54):
            t = corner * away[y, x]
            # The cosine between a point of the pupil and the way from the middle of the frame, either sign.
            along = (u.square() + v.square() + (u.square() - v.square()) * cosine[y, x] + 2 * u * v * sine[y, x]) / 2
            seen = u.square() + v.square() + 2 * t * along.clamp_min(0).sqrt() + t * t < 1 if corner else u < 9
            at_x, at_y = (x + RADIUS * u[seen]).round().long(), (y + RADIUS * v[seen]).round().long()
            inside = (at_x >= 0) & (at_x < WIDTH) & (at_y >= 0) & (at_y < HEIGHT)
            np.add.at(light, (at_y[inside].numpy(), at_x[inside].numpy()), 1.0)
    return light


def main() -> None:
    panels = [panel(*one) for one in (ROUND, SEVEN, CLIPPED)]
    full = POINTS / (math.pi * RADIUS**2)  # of a whole pupil
    bytes_ = [np.uint8(np.clip(230 * (light / full) ** 0.5, 0, 255)) for light in panels]
    space = np.full((HEIGHT, GAP), 255, np.uint8)
    Image.fromarray(np.hstack([bytes_[0], space, bytes_[1], space, bytes_[2]])).save(sys.argv[1])


if __name__ == "__main__":
    main()
