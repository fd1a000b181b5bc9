"""The README's picture of a run's page: a screenshot, refocused by a click on the scene.

    python tools/make_page_picture.py RUN OUT.jpg [PHOTO X Y]

PHOTO is the number of the photo whose view is shown, X and Y the parts of the scene's width and height (0 to 1) that
are clicked. Needs Chromium and playwright; nothing is done to the picture but cropping below the controls.
"""

import io
import sys
from pathlib import Path

from PIL import Image

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from making_pages import opened

WIDTH, HEIGHT = 1000, 860  # px of the window: what a README shows without scaling
QUALITY = 85


def main() -> None:
    run, out = Path(sys.argv[1]), Path(sys.argv[2])
    photo, x, y = sys.argv[3:6] if len(sys.argv) > 5 else ("0", "0.5", "0.5")
    with opened(WIDTH, HEIGHT) as browser:
        browser.open((run / "index.html").resolve())
        page = browser.page
        page.locator("#photo").select_option(photo)
        browser.picture()
        box = page.locator("#view canvas").bounding_box()
        assert box is not None
        page.mouse.click(box["x"] + float(x) * box["width"], box["y"] + float(y) * box["height"])
        page.mouse.move(0, 0)
        page.wait_for_timeout(2000)  # the ring at the click has faded
        browser.picture()
        picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
        below = page.locator("h2").first.bounding_box()
    assert below is not None
    picture.crop((0, 0, picture.width, min(picture.height, int(below["y"])))).save(out, quality=QUALITY, optimize=True)
    print(f"{out}: {out.stat().st_size // 1000} kB")


if __name__ == "__main__":
    main()
