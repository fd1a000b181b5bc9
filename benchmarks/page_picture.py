"""How far the page of a run, drawn by Spark in Chromium, is from macrosplat's own renders of the same views.

    python benchmarks/page_picture.py RUN [PHOTOS]

For SPZ (as the page holds the scene) and PLY, over some photos' views: difference of the mean colours and mean absolute
difference of the pixels, in % of white; PSNR. Against scene.ply drawn by macrosplat's rasterizer before the page's
backdrop, and against RUN/sharp, which has the backdrop of each photo. Needs Chromium and playwright.
"""

from __future__ import annotations

import base64
import re
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from macrosplat.render import Pinhole, render
from macrosplat.scene.formats.ply import read_ply
from macrosplat.web.page import as_html, of_run
from making_pages import opened

MARGIN = 32  # px of the page left and right of the scene


def main() -> None:
    run, count = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 4
    shown, scene = of_run(run), read_ply(run / "scene.ply")
    page = as_html(shown)
    ply = base64.b64encode((run / "scene.ply").read_bytes()).decode()
    pages = {"spz": page, "ply": re.sub('(?<=data-kind=")spz">[^<]*', lambda _: f'ply">{ply}', page, count=1)}
    chosen = np.linspace(0, len(shown.cameras) - 1, count).astype(int).tolist()
    sharps = [np.asarray(Image.open(run / "sharp" / f"{Path(n).stem}.png").convert("RGB")) for n in shown.cameras.names]
    height, width = sharps[0].shape[:2]
    for kind, text in pages.items():
        with tempfile.TemporaryDirectory() as folder, opened(width + MARGIN, 3 * height) as browser:
            path = Path(folder) / "index.html"
            path.write_text(text, encoding="utf-8")
            browser.open(path)
            for photo in chosen:
                browser.page.evaluate(f"macrosplat.photo({photo})")
                found = browser.picture()
                pinhole = Pinhole(*map(float, shown.cameras.intrinsics[photo]), *map(int, shown.cameras.sizes[photo]))
                view = torch.tensor(shown.cameras.views[photo], dtype=torch.float32)
                drawn = render(scene, pinhole.scaled(width, height).at(view)).over(torch.tensor(shown.backdrop))[0]
                own = 255 * drawn.clamp(0, 1).numpy()
                for name, wanted in (("our render of scene.ply", own), ("sharp photo", sharps[photo].astype(float))):
                    colour = 100 / 255 * np.abs(found.mean((0, 1)) - wanted.mean((0, 1))).max()
                    pixels = 100 / 255 * np.abs(found - wanted).mean()
                    psnr = 10 * np.log10(255**2 / np.square(found - wanted).mean())
                    print(
                        f"{kind} {shown.cameras.names[photo]} against {name}: mean colour {colour:.2f} %, "
                        f"pixels {pixels:.2f} %, {psnr:.1f} dB"
                    )


if __name__ == "__main__":
    main()
