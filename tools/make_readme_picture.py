"""The README's picture: a photo as it was taken beside the same photo deblurred.

    python tools/make_readme_picture.py PHOTO SHARP OUT [LEFT TOP RIGHT BOTTOM]

The box, in parts of width and height (0 to 1), shows a detail. Nothing but cropping and scaling is done to either side.
"""

import sys
from pathlib import Path

from PIL import Image, ImageOps

HEIGHT = 480  # px: two 4:3 pictures then fill the width of a README
GAP = 8


def main() -> None:
    photo, sharp = (ImageOps.exif_transpose(Image.open(path)).convert("RGB") for path in sys.argv[1:3])
    left, top, right, bottom = map(float, sys.argv[4:8]) if len(sys.argv) > 4 else (0.0, 0.0, 1.0, 1.0)
    sides = []
    for side in (photo, sharp):
        w, h = side.size
        box = (left * w, top * h, right * w, bottom * h)
        width = round(HEIGHT * (box[2] - box[0]) / (box[3] - box[1]))
        sides.append(side.resize((width, HEIGHT), Image.Resampling.LANCZOS, box=box))
    picture = Image.new("RGB", (sum(side.width for side in sides) + GAP, HEIGHT), "white")
    picture.paste(sides[0], (0, 0))
    picture.paste(sides[1], (sides[0].width + GAP, 0))
    out = Path(sys.argv[3])
    out.parent.mkdir(parents=True, exist_ok=True)
    picture.save(out, optimize=True, quality=90)  # which PNG has no use for
    print(f"{picture.width} x {picture.height} px in {out}")


if __name__ == "__main__":
    main()
