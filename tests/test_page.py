"""The page in headless Chromium, from disk and without a network: it draws, moves its focus, wipes, and asks nobody."""

from __future__ import annotations

import base64
import dataclasses
import re
import threading
import urllib.error
import urllib.request
from pathlib import Path

import gsply
import numpy as np
import pytest
import torch
from axe_playwright_python.sync_playwright import Axe
from PIL import Image

from macrosplat import demo
from macrosplat.cameras.records import Cameras
from macrosplat.evaluate.means import Means
from macrosplat.output.lens_report import LensReport
from macrosplat.output.millimetres import Scale
from macrosplat.render import Pinhole, render
from macrosplat.scene.formats.ply import write_ply
from macrosplat.scene.gaussians import Gaussians
from macrosplat.web.page import LARGEST, Shown, _widest, as_html, of_file
from macrosplat.web.serve import server
from making_pages import browsable, bundled, opened
from making_runs import begun


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


MADE = {"seconds": 90.0, "machine": "a machine"}


def shown(folder: Path) -> Shown:
    for name, level in {"before": 60, "after": 200, "circles": 128}.items():
        Image.new("RGB", (64, 48), (level, level, level)).save(folder / f"{name}.png")
    cameras = Cameras(("a.png",), np.eye(4)[None], np.array([[600.0, 600, 160, 120]]), np.array([[320, 240]]), "sfm")
    return Shown(
        "A board <1>",
        board(),
        cameras,
        LensReport(6.0, {"a.png": 90.0}, 0.3, 600.0),
        before=(folder / "before.png",),
        after=(folder / "after.png",),
        circles=(folder / "circles.png",),
        blur=(12.0,),
        coverage=board().with_(sh0=torch.tensor([[-1.5, -1.5, 1.5]]).repeat(2000, 1)),
        made=begun(folder, ["a.png"], command=("/bin/macrosplat", "reconstruct", "it"), **MADE).manifest,
        evaluation={"deblurred photos": Means({"psnr": 26.9, "ssim": 0.7, "flip": 0.1})},
    )


def detail(picture: np.ndarray) -> tuple[float, float]:
    """How much the stripes vary from pixel to pixel, left and right."""
    change = np.abs(np.diff(picture, axis=1)).mean((0, 2))
    return float(change[: len(change) // 2].mean()), float(change[len(change) // 2 :].mean())


def test_blur_is_told_in_pixels_of_the_photo(tmp_path: Path) -> None:
    Image.new("RGB", (100, 75)).save(tmp_path / "map.png")
    (tmp_path / "damaged.png").write_bytes(b"")
    assert _widest(tmp_path / "map.png", 5 / 65535, 400) == pytest.approx(2 * 5 * 4)
    assert _widest(tmp_path / "damaged.png", 5 / 65535, 400) is None


@bundled
@browsable
def test_the_page_opens_from_disk_without_a_network(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text(as_html(shown(tmp_path)), encoding="utf-8")
    with opened(500, 700) as browser:
        page = browser.page
        browser.open(tmp_path / "index.html")
        sharp = detail(browser.picture())
        page.locator("#taken").click()
        near = detail(browser.picture())
        box = page.locator("#view canvas").bounding_box()
        assert box is not None
        page.mouse.click(box["x"] + 0.65 * box["width"], box["y"] + 0.5 * box["height"])
        far = detail(browser.picture())
        focus = page.evaluate("macrosplat.lens.focus")
        waiting = page.evaluate("() => { document.getElementById('coverage').click(); return busy.textContent; }")
        covered = browser.picture()
        page.wait_for_selector("#busy", state="hidden")
        covered = covered[len(covered) // 2, len(covered[0]) // 3]
        page.locator("#coverage").click()
        page.locator("#view canvas").focus()
        page.keyboard.press("ArrowLeft")
        turned = page.evaluate("macrosplat.camera.position.toArray()")
        page.locator("#back").click()
        back = page.evaluate("macrosplat.camera.position.toArray()")
        wiper = page.locator(".photos .wiper input")
        wiper.focus()
        page.keyboard.press("Home")
        at = page.locator(".photos .wiper").evaluate("wiper => wiper.style.getPropertyValue('--at')")
        said = wiper.get_attribute("aria-valuetext")
        page.locator("#circles").click()
        rights = [page.locator(f".photos .wiper .{side}").is_visible() for side in ("sharp", "circle")]
        too_wide = page.evaluate("document.documentElement.scrollWidth > innerWidth")
        text = page.locator("main").inner_text()
    assert min(sharp) > 2  # the stripes are there: without them it is 0
    assert near[0] > 0.8 * sharp[0] and near[1] < 0.7 * sharp[1]
    assert far[1] > 0.8 * sharp[1] and far[0] < 0.7 * sharp[0]
    assert focus == pytest.approx(110, abs=2)
    assert "coverage" in waiting  # said while it is made, which takes seconds without a graphics card
    assert covered[2] > 2 * covered[:2].max()  # blue
    assert np.linalg.norm(turned) > 1 and np.linalg.norm(back) < 1e-3
    assert at == "0%" and said == "all sharp" and rights == [False, True]
    assert not too_wide
    for words in (
        "focused at 90 scene units, blur up to 12 px",
        "Entrance pupil",
        "26.90",
        "macrosplat reconstruct it",
    ):
        assert words in text
    assert browser.said == []
    assert [url for url in browser.asked if not url.startswith(("file:", "data:", "blob:"))] == []


@bundled
@browsable
def test_modes_lens_and_ruler_say_what_is_true(tmp_path: Path) -> None:
    one = dataclasses.replace(
        shown(tmp_path),
        lens=LensReport(
            6.0, {"a.png": 90.0}, 0.3, 600.0, mm_per_unit=2.0, focal_mm=60.0, scale=Scale(2.0, "EXIF", 0.05)
        ),
    )
    (tmp_path / "index.html").write_text(as_html(one), encoding="utf-8")
    with opened(500, 700) as browser:
        page = browser.page
        browser.open(tmp_path / "index.html")

        def pressed() -> list[str]:
            return [m for m in ("sharp", "taken", "coverage") if page.get_attribute(f"#{m}", "aria-pressed") == "true"]

        modes = [pressed()]
        page.locator("#taken").click()
        modes.append(pressed())
        number = page.get_attribute("#aperture", "aria-valuetext")
        deep = page.inner_text("#depth")
        page.locator("#aperture").fill("50")
        modes.append(pressed())
        wider = page.get_attribute("#aperture", "aria-valuetext")
        page.locator("#coverage").click()
        modes.append(pressed())
        covered = detail(browser.picture())
        page.locator("#sharp").click()
        browser.picture()
        # The left card is 90 away: 0.2 of the half width (160 px) there is 4.8 units.
        page.locator("#ruler").click()
        page.evaluate("macrosplat.point({x: -0.3, y: 0}, 0, 0)")
        page.evaluate("macrosplat.point({x: -0.1, y: 0}, 0, 0)")
        measured = page.inner_text("#measured")
        result = page.evaluate("macrosplat.ruler.result()")
        bar = page.evaluate("macrosplat.ruler.bar()")
        with page.expect_download() as download:
            page.locator("#save").click()
        download.value.save_as(tmp_path / "saved.png")
        axe = Axe().run(page)
    assert modes == [["sharp"], ["taken"], [], ["coverage"]]
    assert number == "f/5.0" and wider != number and float((wider or "f/0").removeprefix("f/")) < 5
    # 1 / (1 / 90 -+ 2 / (6 * 600)), in mm.
    assert "Depth of field 18 mm: sharp from 171.4 mm to 189.5 mm" in deep
    assert max(covered) < 1  # one colour: no stripes, and nothing that an aperture blurs
    assert result["length"] == pytest.approx(9.6, rel=0.02) and "± " in measured and "mm" in measured
    assert 0.48 <= result["uncertainty"] < 1.0  # 5 % of 9.6 mm, and what a click is off
    # At the middle, 100 away, a mm is 3 px of the photo and as many of the page's as it is larger.
    assert bar["length"] / float(bar["text"].split()[0]) == pytest.approx(3.0 * (500 - 32) / 320, rel=0.1)
    picture = Image.open(tmp_path / "saved.png").convert("L")
    assert max(picture.size) == 2400
    # Where the surface was measured, between the two circles: the line, white.
    k = picture.width / 468
    across = np.asarray(picture)[:, round(0.4 * 468 * k)]
    assert (across[round(0.3 * picture.height) : round(0.7 * picture.height)] > 250).sum() >= k
    assert axe.response["violations"] == [], axe.generate_report()


@bundled
@browsable
def test_the_surroundings_come_and_go(tmp_path: Path) -> None:
    # Three cameras that have the left card in the frame; the right one is in that of the first alone.
    views = np.tile(np.eye(4), (3, 1, 1))
    k = np.array([[600.0, 600, 160, 120], [600.0, 600, 280, 120], [600.0, 600, 280, 120]])
    cameras = Cameras(("a.png", "b.png", "c.png"), views, k, np.tile([[320, 240]], (3, 1)), "sfm")
    scene = board()
    right = scene.means[:, 0] > 0
    scene = scene.with_(means=torch.where(right[:, None], scene.means + torch.tensor([14.0, 0, 0]), scene.means))
    (tmp_path / "index.html").write_text(as_html(Shown("two", scene, cameras)), encoding="utf-8")
    with opened(500, 700) as browser:
        browser.open(tmp_path / "index.html")
        seen = [detail(browser.picture())]
        for _ in range(2):
            browser.page.locator("#around").click()
            seen.append(detail(browser.picture()))
    assert seen[0][1] < 0.3 < 1 < seen[1][1] and seen[2][1] < 0.3
    assert min(one[0] for one in seen) > 1


@bundled
@browsable
def test_200_photos_open_at_once_with_native_files_beside(tmp_path: Path) -> None:
    one = shown(tmp_path)
    make = np.random.default_rng(0)
    files = []
    for n in range(8):
        files.append(tmp_path / f"{n}.jpg")
        Image.fromarray(make.integers(0, 255, (600, 800, 3), np.uint8)).save(files[-1], quality=95)
    files = (files * 25)[:200]
    cameras = Cameras(
        tuple(f"{k:03}.jpg" for k in range(200)),
        np.tile(one.cameras.views, (200, 1, 1)),
        np.tile(one.cameras.intrinsics * [2.5, 2.5, 2.5, 2.5], (200, 1)),
        np.tile([[800, 600]], (200, 1)),
        "sfm",
    )
    many = Shown("many", one.scene, cameras, before=tuple(files), after=tuple(files))
    text = as_html(many, tmp_path, write=True)
    (tmp_path / "index.html").write_text(text, encoding="utf-8")
    assert len(text.encode()) <= LARGEST
    assert len(list((tmp_path / "page" / "taken").glob("*.jpg"))) == 200
    assert (tmp_path / "page" / "taken" / "001.jpg").read_bytes() == files[1].read_bytes()
    with opened(1000, 700) as browser:
        browser.open(tmp_path / "index.html")
        loaded = browser.page.evaluate("document.querySelectorAll('.photos img[src]').length")
        browser.page.locator("[data-large]").nth(3).click()
        browser.page.wait_for_selector("#large-size:has-text('800 × 600 px')")
        scale = browser.page.evaluate("document.querySelector('#large-wiper img').getBoundingClientRect().width")
        browser.page.locator("#large-next").click()
        name = browser.page.inner_text("#large-name")
        browser.page.locator("#large-close").click()
        heap = browser.page.evaluate("performance.memory.usedJSHeapSize")
    assert 0 < loaded < 60
    assert scale == 800 and name == "004.jpg"
    assert heap < 150e6
    assert browser.said == []


@bundled
@browsable
@pytest.mark.parametrize("kind", ["spz", "ply"])
def test_spark_shows_what_macrosplat_renders(tmp_path: Path, kind: str) -> None:
    make = torch.Generator().manual_seed(3)

    def uniform(*shape: int) -> torch.Tensor:
        return 2 * torch.rand(*shape, generator=make) - 1

    # A cloud of all colours and opacities, large and small, whose colours change with the direction.
    means = uniform(600, 3) * torch.tensor([14.0, 10.0, 10.0]) + torch.tensor([0.0, 0.0, 100.0])
    quats = torch.nn.functional.normalize(uniform(600, 4), dim=1)
    sh0, rest = 1.5 * uniform(600, 3), 0.2 * uniform(600, 8, 3)
    scene = Gaussians(means, 0.2 + 0.8 * uniform(600, 3), quats, 3 * uniform(600), sh0, rest)
    cameras = Cameras(("a.png",), np.eye(4)[None], np.array([[900.0, 900, 160, 120]]), np.array([[320, 240]]), "sfm")
    backdrop = (0.25, 0.5, 0.75)
    text = as_html(Shown("cloud", scene, cameras, backdrop=backdrop))
    if kind == "ply":
        write_ply(tmp_path / "a.ply", scene)
        content = base64.b64encode((tmp_path / "a.ply").read_bytes()).decode()
        text = re.sub('(?<=data-kind=")spz">[^<]*', lambda _: f'ply">{content}', text, count=1)
    (tmp_path / "index.html").write_text(text, encoding="utf-8")
    with opened(320 + 32, 600) as browser:
        browser.open(tmp_path / "index.html")
        found = browser.picture()
    seen = render(scene, Pinhole(900, 900, 160, 120, 320, 240).at(torch.eye(4))).over(torch.tensor(backdrop))[0]
    wanted = 255 * seen.clamp(0, 1).numpy()
    assert found.shape == wanted.shape and wanted.std() > 20
    assert np.abs(found.mean((0, 1)) - wanted.mean((0, 1))).max() < 0.01 * 255
    # Pixel by pixel: SPZ keeps sizes to 6 % and harmonics to 1/16.
    assert np.abs(found - wanted).mean() < 0.015 * 255


@bundled
def test_a_page_of_100000_gaussians_and_many_photos_can_be_mailed(tmp_path: Path) -> None:
    make = torch.Generator().manual_seed(5)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=make)

    n = 100_000
    # As wide spread as those of the fruit fly: opacities 1.6, scales 1.1, harmonics 0.05.
    sh0, rest = normal(n, 3), 0.05 * normal(n, 8, 3)
    scene = Gaussians(20 * normal(n, 3), 1.1 * normal(n, 3) - 3, normal(n, 4), 1.6 * normal(n), sh0, rest)
    one, files = shown(tmp_path), tuple(sorted((demo.FOLDER / "photos").glob("*.jpg"))[:8])
    count = len(files)
    cameras = Cameras(
        tuple(f"{k}.png" for k in range(count)),
        np.tile(one.cameras.views, (count, 1, 1)),
        np.tile(one.cameras.intrinsics, (count, 1)),
        np.tile(one.cameras.sizes, (count, 1)),
        "sfm",
    )
    page = as_html(Shown("large", scene, cameras, coverage=scene, before=files, after=files, circles=files))
    assert len(page.encode()) < LARGEST


@bundled
@pytest.mark.parametrize("name", ["a.ply", "a.compressed.ply", "a.spz"])
def test_scenes_that_another_program_wrote_are_shown(tmp_path: Path, name: str) -> None:
    write_ply(tmp_path / "own.ply", board())
    theirs = gsply.plyread(tmp_path / "own.ply")
    if name.endswith(".spz"):  # gsply writes the axes that it is given: SPZ's are right, up, back
        theirs = dataclasses.replace(theirs, means=np.ascontiguousarray(theirs.means * np.float32([1, -1, -1])))
        gsply.write_spz(tmp_path / name, theirs)
    else:
        gsply.plywrite(tmp_path / name, theirs, compressed="compressed" in name)
    found = of_file(tmp_path / name).scene
    off = (found.means[:, None] - board().means[None]).norm(dim=2)
    order = off.argmin(1)
    assert len(order.unique()) == 2000 and off.min(1).values.max() < 0.05
    assert (found.sh0 - board().sh0[order]).abs().max() < 0.03
    assert f"<h1>{name}</h1>" in as_html(of_file(tmp_path / name))


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


@bundled
@browsable
def test_markup_that_got_onto_the_page_runs_nothing(tmp_path: Path) -> None:
    text = as_html(shown(tmp_path))
    evil = '<script>window.evil = 1</script><img src="data:," onerror="window.evil = 2">'
    (tmp_path / "page.html").write_text(text.replace("<main>", f"<main>{evil}"), encoding="utf-8")
    with opened(400, 600) as one:
        one.open(tmp_path / "page.html")
        assert one.page.evaluate("window.evil") is None
