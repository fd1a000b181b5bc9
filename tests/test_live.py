"""The live view: a page that shows the training and stops it, on this machine only, and that changes nothing of it."""

from __future__ import annotations

import importlib.util
import io
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import viser
from PIL import Image
from playwright.sync_api import sync_playwright
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from macrosplat import pipeline
from macrosplat.live import After, LiveView
from macrosplat.live import view as view_module
from macrosplat.live.after import ENDED, RESULT
from macrosplat.live.draw import Look, picture, pinhole_of
from macrosplat.live.pace import LEAST_STILL, SHARE_MOVING, SHARE_STILL, Pace
from macrosplat.options import Options
from macrosplat.support.errors import MacrosplatError
from macrosplat.support.events import Events
from macrosplat.train import checkpoint
from making_captures import HEIGHT, WIDTH, write_capture
from making_pages import CHROMIUM, FLAGS, browsable
from making_training import made, make_trainer

NAMES = tuple(f"{n}.png" for n in range(6))
NOWHERE = After(Path("nowhere") / "index.html", dict)
AHEAD = (1.0, 0.0, 0.0, 0.0)


class Visitor:
    """Stands somewhere else at every look."""

    def __init__(self) -> None:
        self.pictures: list[np.ndarray] = []
        self.scene = SimpleNamespace(set_background_image=lambda pixels, **_: self.pictures.append(pixels))

    @property
    def camera(self) -> SimpleNamespace:
        x = 0.01 * len(self.pictures)
        return SimpleNamespace(position=np.array([x, 0, -6.0]), wxyz=np.array(AHEAD), fov=0.3, aspect=1.5)


def test_training_comes_out_the_same_to_the_bit_with_a_visitor(monkeypatch):
    alone, _ = make_trainer(40, refine_poses=True)
    for _ in range(40):
        alone.step()
    watched, _ = make_trainer(40, refine_poses=True)
    visitor = Visitor()
    monkeypatch.setattr(Pace, "pixels", lambda *_: 1.0)
    monkeypatch.setattr(view_module, "PIXELS_LEAST", 5000)
    with LiveView(watched, NAMES, 0, lambda _: None, NOWHERE) as view:
        monkeypatch.setattr(view._server, "get_clients", lambda: {0: visitor})
        for n in range(40):
            watched.step()
            view._panel.kind = ("sharp", "blurred", "split")[n % 3]
            assert not view.between_steps({"loss": 0.1, "psnr": 20.0} if n % 10 == 0 else {}, lambda: False)
    assert len(visitor.pictures) == 40 and min(p.std() for p in visitor.pictures) > 5
    here, there = alone.model.parameters(), watched.model.parameters()
    assert [name for name in here if not torch.equal(here[name], there[name])] == []
    for kind in ("first", "second"):
        moments, others = getattr(alone.adam, kind), getattr(watched.adam, kind)
        assert [name for name in moments if not torch.equal(moments[name], others[name])] == []


def test_pictures_show_what_the_camera_of_a_photo_saw():
    trainer, _ = make_trainer(10, scene=made().scene)
    trainer.model.backdrop.grids.data.fill_(0.25)
    view = made().cameras.views[2]
    w = np.sqrt(1 + np.trace(view[:3, :3])) / 2
    skew = view[:3, :3].T - view[:3, :3]
    turn = (w, *(np.array([skew[2, 1], skew[0, 2], skew[1, 0]]) / (4 * w)))
    fov = 2 * np.arctan(HEIGHT / 2 / made().cameras.intrinsics[2, 1])
    position = -view[:3, :3].T @ view[:3, 3]

    def seen(kind):
        look = Look(tuple(position), turn, fov, WIDTH / HEIGHT, kind, 1.0, made().focus[2])
        np.testing.assert_allclose(look.view(), view, atol=1e-9)
        return picture(trainer.model, look, pinhole_of(look, WIDTH * HEIGHT, 1.0), made().pupil, 0.3).astype(float)

    sharp, blurred, split = (seen(kind) for kind in ("sharp", "blurred", "split"))
    assert np.abs(sharp - made().sharp[2]).max() <= 1
    # Through the centre of the pupil only: near the photo, which was made through 12 points of it.
    photo = made().photos[2].astype(float)
    assert np.abs(blurred - photo).mean() < 0.4 * np.abs(sharp - photo).mean()
    half = WIDTH // 2
    assert np.array_equal(split[:, : half - 1], blurred[:, : half - 1])
    assert np.array_equal(split[:, half + 1 :], sharp[:, half + 1 :])


def spent(pace: Pace, looks, cost: float, until: float) -> float:
    """The share of the time that pictures take which cost `cost` seconds each."""
    now = total = 0.0
    step = 0
    while now < until:
        step, now = step + 1, now + 0.01
        share = pace.pixels(looks(now), step, now, False)
        if share:
            pace.drew(share, step, now, now + cost)
            now, total = now + cost, total + cost
    return total / now


def test_looking_costs_little():
    still = Look((0, 0, 0), AHEAD, 1, 1, "sharp", 1, 1)
    assert 0.5 * SHARE_STILL < spent(Pace(), lambda _: still, 0.2, 200) < 1.1 * SHARE_STILL
    assert spent(Pace(), lambda _: still, 0.002, 200) < 1.1 * 0.002 / LEAST_STILL
    moving = spent(Pace(), lambda now: Look((now, 0, 0), AHEAD, 1, 1, "sharp", 1, 1), 0.1, 20)
    assert 0.5 * SHARE_MOVING < moving < 1.1 * SHARE_MOVING


def test_who_stops_moving_gets_a_whole_picture_and_while_paused_no_other():
    pace, looks = Pace(), [Look((x, 0, 0), AHEAD, 1, 1, "sharp", 1, 1) for x in (0.0, 1.0)]
    found = []
    for n in range(100):
        now = n / 10
        share = pace.pixels(looks[n >= 10], 7, now, True)
        if share:
            found.append(share)
            pace.drew(share, 7, now, now)
    assert found == [1.0, 0.25, 1.0]


def test_only_pages_of_this_machine_may_talk_to_it(capsys):
    trainer, _ = make_trainer(10)
    with LiveView(trainer, NAMES, 0, lambda _: None, NOWHERE) as view:
        assert view._server.get_host() == "127.0.0.1"
        assert view._server.request_share_url() is None and view._server._share_tunnel is None
        address = view.address.replace("http", "ws")
        version = [f"viser-v{viser.__version__}"]

        heard: list[object] = []
        view._server._websock_server.on_client_connect(heard.append)

        def let_in(origin: str | None, host: str | None = None) -> bool:
            headers = {} if host is None else {"Host": host}
            try:
                with connect(address, origin=origin, additional_headers=headers, subprotocols=version) as socket:  # type: ignore[arg-type]
                    socket.recv(timeout=5)
                    return True
            except InvalidStatus as error:
                assert error.response.status_code == 403
                return False

        for origin in ("http://elsewhere.example", "null", "http://127.0.0.1.elsewhere.example", "http://[::1"):
            assert not let_in(origin)
        # In the handshake: nothing that a stranger sends along is looked at.
        assert heard == []
        assert let_in(None) and let_in("http://localhost:9000") and len(heard) == 2
        for origin, wanted in (("http://elsewhere.example", 403), (None, 200)):
            request = urllib.request.Request(view.address, headers={"Origin": origin} if origin else {})
            try:
                with urllib.request.urlopen(request) as answer:
                    assert (answer.status, "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]) == (
                        wanted,
                        True,
                    )
            except urllib.error.HTTPError as error:
                assert error.code == wanted
        rebound = urllib.request.Request(view.address, headers={"Host": "elsewhere.example"})
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(rebound)
    assert capsys.readouterr().out == ""


def test_without_viser_one_sentence_before_the_work(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(MacrosplatError, match=r"pip install 'macrosplat\[live\]'"):
        pipeline.reconstruct(tmp_path, tmp_path / "run", Options(device="cpu"), live=0)
    assert not (tmp_path / "run").exists()


def test_what_the_page_becomes(tmp_path: Path) -> None:
    page, picture = tmp_path / "index.html", tmp_path / "page" / "sharp" / "a b.jpg"
    after = After(page, lambda: {"page/sharp/a b.jpg": picture})
    assert after.answer(RESULT) is None and after.answer("/") is None and after.end(False) == ENDED
    told = after.answer(ENDED)
    assert told is not None and f"macrosplat continue {tmp_path}".encode() in told.content
    page.write_bytes(b"all of it")
    picture.parent.mkdir(parents=True)
    picture.write_bytes(b"jpeg")
    assert after.end(True) == RESULT
    found = [after.answer(path) for path in (RESULT, f"{RESULT}page/sharp/a%20b.jpg", f"{RESULT}page/../index.html")]
    assert [answer and answer.content for answer in found] == [b"all of it", b"jpeg", None]
    after.wait(2, 0.0)


@browsable
def test_the_page_shows_pauses_and_stops_a_training(tmp_path: Path) -> None:
    capture, out, told = write_capture(tmp_path / "capture", made()), tmp_path / "run", io.StringIO()
    options = Options(steps=10**6, max_gaussians=1000, width=64, device="cpu")
    ended: list[BaseException] = []

    def train() -> None:
        try:
            pipeline.reconstruct(capture, out, options, live=0, shown=(Events(told),))
        except BaseException as error:
            ended.append(error)

    training = threading.Thread(target=train)
    training.start()
    try:
        while "http" not in told.getvalue() and training.is_alive():
            time.sleep(0.1)
        address = "http" + told.getvalue().split("http")[1].split('"')[0]
        asked: list[str] = []
        with sync_playwright() as play:
            page = play.chromium.launch(executable_path=CHROMIUM, args=FLAGS).new_page()
            page.on("request", lambda request: asked.append(request.url))
            page.goto(address)
            page.get_by_role("button", name="Pause").click(timeout=30_000)
            page.get_by_text("Paused at step").wait_for()
            page.wait_for_timeout(500)
            shot = np.asarray(Image.open(io.BytesIO(page.screenshot())).convert("RGB")).astype(float)
            page.get_by_role("button", name="Stop and save").click()
            # The page becomes the result, and asks nobody when the program has gone.
            page.wait_for_url("**/result/", timeout=120_000)
            training.join(30)
            page.wait_for_selector("#view[data-loaded=yes]")
            before = len(asked)
            page.wait_for_timeout(500)
            assert [url for url in asked[before:] if not url.startswith(("data:", "blob:"))] == []
    finally:
        if training.is_alive():
            raise AssertionError("the page did not stop the training")
    assert ended == []  # its results are there, as of the step that it was stopped at
    assert all((out / name).exists() for name in ("sharp/0.png", "scene.ply", "index.html"))
    assert checkpoint.load(out / "checkpoint").done > 0
    # The left half is the picture, beside the panel: coloured spots, where there would be white without it.
    left = shot[:, : shot.shape[1] // 2]
    assert left.std((0, 1)).min() > 8 and np.ptp(left, 2).mean() > 8
    assert [url for url in asked if not url.startswith((address, "data:", "blob:"))] == []
