"""The page in headless Chromium, from disk and without a network: it draws, moves its focus, wipes, and asks nobody."""

from __future__ import annotations

import importlib.resources
import io
import threading
import urllib.error
import urllib.request
from pathlib import Path
from shutil import which

import numpy as np
import pytest
import torch
from PIL import Image
from playwright.sync_api import sync_playwright

from macrosplat.capture.records import Cameras
from macrosplat.output.lens_report import LensReport
from macrosplat.output.ply import write_ply
from macrosplat.scene.gaussians import Gaussians
from macrosplat.web.page import LARGEST, Shown, as_html
from macrosplat.web.serve import server

# Where Debian and Ubuntu put it.
CHROMIUM = next((found for name in ("chromium", "chromium-browser", "google-chrome") if (found := which(name))), None)
PROGRAM = importlib.resources.files("macrosplat.web") / "bundle.js.gz"
FLAGS = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist"]


def board() -> Gaussians:
    """Two cards of red and green stripes, 90 and 110 away, left and right."""
    y, x = torch.meshgrid(torch.linspace(-8, 8, 40), torch.linspace(-10, 10, 50), indexing="ij")
    depth = torch.where(x < 0, 90.0, 110.0)
    means = torch.stack([x * depth / 100, y * depth / 100, depth], -1).reshape(-1, 3)
    stripe = (torch.arange(50) % 4 < 2).float().repeat(40)
    colour = torch.stack([stripe, 1 - stripe, torch.zeros(2000)], 1)
    quats = torch.tensor([[1.0, 0, 0, 0]]).repeat(2000, 1)
    sh0 = (colour - 0.5) / 0.28209479177387814
    return Gaussians(means, torch.full((2000, 3), -1.5), quats, torch.full((2000,), 4.0), sh0, torch.zeros(2000, 0, 3))


def shown(folder: Path) -> Shown:
    for name, level in {"before": 60, "after": 200}.items():
        Image.new("RGB", (64, 48), (level, level, level)).save(folder / f"{name}.png")
    cameras = Cameras(("a.png",), np.eye(4)[None], np.array([[600.0, 600, 160, 120]]), np.array([[320, 240]]), "sfm")
    return Shown(
        "A board <1>",
        board(),
        cameras,
        LensReport(6.0, {"a.png": 90.0}, 0.3, 600.0),
        before=(folder / "before.png",),
        after=(folder / "after.png",),
        circles=(None,),
    )


def detail(png: bytes) -> tuple[float, float]:
    """How much the stripes vary from pixel to pixel, left and right."""
    pixels = np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(float)
    change = np.abs(np.diff(pixels, axis=1)).mean((0, 2))
    return float(change[: len(change) // 2].mean()), float(change[len(change) // 2 :].mean())


bundled = pytest.mark.skipif(not PROGRAM.is_file(), reason="built without a network: the page's program is missing")
browsable = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")


@bundled
@browsable
def test_the_page_opens_from_disk_without_a_network(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text(as_html(shown(tmp_path)), encoding="utf-8")
    assert (tmp_path / "index.html").stat().st_size < LARGEST
    said: list[str] = []
    asked: list[str] = []
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_context(offline=True, viewport={"width": 500, "height": 700}).new_page()
        page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto((tmp_path / "index.html").as_uri())
        page.wait_for_selector("#view[data-loaded=yes]")

        def picture() -> bytes:
            page.wait_for_timeout(1000)
            page.wait_for_selector("#view[data-ready=yes]")
            return page.locator("#view canvas").screenshot()

        sharp = detail(picture())
        page.locator("#taken").click()
        near = detail(picture())
        box = page.locator("#view canvas").bounding_box()
        assert box is not None
        page.mouse.click(box["x"] + 0.65 * box["width"], box["y"] + 0.5 * box["height"])
        far = detail(picture())
        focus = page.evaluate("macrosplat.lens.focus")
        wiper = page.locator(".wiper input")
        wiper.focus()
        page.keyboard.press("Home")
        at = page.locator(".wiper").evaluate("wiper => wiper.style.getPropertyValue('--at')")
        too_wide = page.evaluate("document.documentElement.scrollWidth > innerWidth")
        browser.close()
    assert min(sharp) > 2  # the stripes are there: without them it is 0
    assert near[0] > 0.8 * sharp[0] and near[1] < 0.7 * sharp[1]
    assert far[1] > 0.8 * sharp[1] and far[0] < 0.7 * sharp[0]
    assert focus == pytest.approx(110, abs=2)
    assert at == "0%"
    assert not too_wide
    assert not said
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []


@bundled
def test_a_foreign_scene_is_served_to_this_machine_only(tmp_path: Path) -> None:
    write_ply(tmp_path / "a.ply", board())
    with server(tmp_path / "a.ply") as serving:
        threading.Thread(target=serving.serve_forever, daemon=True).start()
        host, port = serving.server_address[:2]
        assert host == "127.0.0.1"
        assert b"a.ply" in urllib.request.urlopen(f"http://127.0.0.1:{port}/").read()
        strange = urllib.request.Request(f"http://127.0.0.1:{port}/", headers={"Host": "elsewhere.example"})
        with pytest.raises(urllib.error.HTTPError):
            urllib.request.urlopen(strange)
        serving.shutdown()
