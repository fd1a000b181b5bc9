"""The pictures of docs/method.md, from a run of `blurnet`: clarity, variance, blurred and sharp, of one photo.

    macrosplat reconstruct CAPTURE --lens blurnet --out RUN
    python tools/make_method_pictures.py RUN CAPTURE PHOTO OUT

All of them are drawn from RUN/checkpoint, as training drew them.
"""

import sys
from pathlib import Path

import torch
from PIL import Image, ImageDraw, ImageFont

from macrosplat.capture.open import open_capture
from macrosplat.lens import Sampling
from macrosplat.loaded import load_run
from macrosplat.output.maps import colour_amount
from macrosplat.photos.read import read_photo
from macrosplat.support.colour import to_bytes, to_srgb

WIDTH, GAP, TEXT = 400, 4, 15  # px


def main() -> None:
    run, capture, name, out = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], Path(sys.argv[4])
    state = load_run(run).state
    number, model = state.names.index(name), state.model
    photos = {photo.name: photo for photo in open_capture(capture, masks=False).photos}
    taken = [read_photo(photos[n], frame.width) for n, frame in zip(state.names, model.rig.frames, strict=True)]
    model.lens.look(taken, [None] * len(taken))
    with torch.no_grad():
        camera = model.camera(number)
        sharp = model.draw(camera, number)
        blurred = model.lens.photograph(lambda *_: sharp, camera, number, Sampling())
        maps = model.lens.maps(sharp, camera, number)
    pictures = {
        "the photo": taken[number],
        "clarity mask M": to_bytes(colour_amount(maps["clarity"].numpy())),
        "variance map": to_bytes(colour_amount(maps["variance"].numpy())),
        "render, blurred by it": to_bytes(to_srgb(blurred.clamp(0, 1)).numpy()),
        "render, sharp": to_bytes(to_srgb(sharp.colour.clamp(0, 1)).numpy()),
    }
    height = round(WIDTH * camera.frame.height / camera.frame.width)
    line = TEXT + 2 * GAP
    sheet = Image.new("RGB", (3 * (WIDTH + GAP) - GAP, 2 * (height + line)), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(TEXT)
    # The maps and the photo above, what is compared with the photo and what comes out below.
    for (title, pixels), (column, row) in zip(pictures.items(), ((0, 0), (1, 0), (2, 0), (0, 1), (1, 1)), strict=True):
        left, top = column * (WIDTH + GAP), row * (height + line)
        sheet.paste(Image.fromarray(pixels).resize((WIDTH, height), Image.Resampling.LANCZOS), (left, top))
        pen.text((left, top + height + GAP), title, "black", font)
    out.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(out, quality=88)
    print(f"{sheet.width} x {sheet.height} px in {out}")


if __name__ == "__main__":
    main()
