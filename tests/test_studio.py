"""The studio: who may talk to it, what it takes, and the way from a dropped folder to a finished page in a browser."""

from __future__ import annotations

import contextlib
import http.client
import io
import json
import os
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import Page, sync_playwright
from scipy.ndimage import gaussian_filter

from macrosplat.photos.records import Photo
from macrosplat.scene.formats.read import read_scene
from macrosplat.studio.desk import Desk
from macrosplat.studio.job import Job
from macrosplat.studio.looking import sharp_parts
from macrosplat.studio.server import studio_server
from making_captures import make, write_capture
from making_pages import CHROMIUM, FLAGS, browsable, bundled
from making_photos import save


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path / "studio")


@pytest.fixture
def address(desk: Desk) -> Iterator[str]:
    serving, address = studio_server(desk)
    with serving:
        threading.Thread(target=serving.serve_forever, args=(0.05,), daemon=True).start()
        yield address
        serving.shutdown()


def asked(address: str, path: str, method: str = "GET", body: bytes = b"", **headers: str) -> tuple[int, bytes]:
    host, _, secret = address.removeprefix("http://").rstrip("/").partition("/")
    connection = http.client.HTTPConnection(host, timeout=10)
    connection.request(method, path.replace("SECRET", secret), body, headers)
    answer = connection.getresponse()
    return answer.status, answer.read()


def said(answer: tuple[int, bytes]) -> str:
    return json.loads(answer[1]).get("error", "")


def test_only_who_knows_the_secret_and_comes_from_here_is_answered(address: str) -> None:
    assert asked(address, "/SECRET/")[0] == 200
    for path in ("/", "/state", "/x/state", "/SECRETx/state", "/%00/state"):
        assert asked(address, path)[0] == 403
    for headers in ({"Host": "evil.example"}, {"Origin": "http://evil.example"}, {"Origin": "null"}):
        for method, path in (("GET", "/SECRET/state"), ("POST", "/SECRET/open"), ("PUT", "/SECRET/file/a.jpg")):
            assert asked(address, path, method, b"{}", **headers)[0] == 403
    for path in (
        "/SECRET/../../etc/passwd",
        "/SECRET/run/../../x/index.html",
        "/SECRET/picture/photo/0",
        "/SECRET/%ff",
    ):
        assert asked(address, path)[0] == 404


def test_files_go_below_the_capture_only_and_are_photos_or_cameras(desk: Desk, address: str) -> None:
    assert "Drop a folder" in said(asked(address, "/SECRET/file/a.jpg", "PUT", b"x"))
    assert said(asked(address, "/SECRET/upload", "POST", b'{"name": "../../My beetle?"}')) == ""
    for name in (
        "../a.jpg",
        "%2e%2e/%2e%2e/a.jpg",
        "/etc/a.jpg",
        ".hidden.jpg",
        "a/.b/c.png",
        "a.html",
        "a",
        "a.jpg%00",
    ):
        status, _ = asked(address, f"/SECRET/file/{name}", "PUT", b"x")
        assert status == 400, name
    assert asked(address, "/SECRET/file/photos/b%20%C3%A9.jpg", "PUT", b"123")[0] == 200
    assert asked(address, "/SECRET/file/c.jpg", "PUT", b"")[0] == 400
    found = [path.relative_to(desk.folder).as_posix() for path in desk.folder.rglob("*") if path.is_file()]
    assert found == ["My-beetle/capture/photos/b é.jpg"]
    assert (
        said(asked(address, "/SECRET/start", "POST", b'{"quality": "draft"}'))
        == "There are no photos yet; drop a folder first."
    )
    for body in (b"[]", b"{", b'{"path": 3}', b"x" * 20_000):
        assert said(asked(address, "/SECRET/open", "POST", body))
    assert "not a folder" in said(asked(address, "/SECRET/open", "POST", b'{"path": "/nowhere"}'))
    assert said(asked(address, "/SECRET/open", "POST", b"{}")) == "'path' is missing."
    assert said(asked(address, "/SECRET/stop", "POST", b"{}")) == "Nothing is running."


def test_idle_and_oversized_askers_do_not_keep_others_out(desk: Desk, address: str) -> None:
    host, _, secret = address.removeprefix("http://").rstrip("/").partition("/")
    where = (host.partition(":")[0], int(host.partition(":")[2]))
    with contextlib.ExitStack() as stack:
        idle = [stack.enter_context(socket.create_connection(where, timeout=10)) for _ in range(200)]
        for one in idle[::2]:
            one.sendall(
                b"POST /" + secret.encode() + b"/open HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 99\r\n\r\n{"
            )
        with socket.create_connection(where, timeout=10) as one:
            one.sendall(
                b"POST /" + secret.encode() + b"/open HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 999999999\r\n\r\n"
            )
            assert b"too long" in one.recv(1000) + one.recv(1000)
        with socket.create_connection(where, timeout=10) as one:
            one.sendall(b"GET /" + secret.encode() + b"/" + b"x" * 100_000 + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            assert one.recv(100).split()[1:2] == [b"414"]
        assert asked(address, "/SECRET/state")[0] == 200


def test_names_of_any_length_are_answered(desk: Desk, address: str) -> None:
    for path in (f"run/{'x' * 5000}/index.html", f"picture/photo/{'9' * 5000}", f"picture/{'x' * 5000}/0"):
        assert asked(address, f"/SECRET/{path}")[0] == 404
    for deed, words in {"continue": {"name": "x" * 5000}, "open": {"path": "/" + "x" * 5000}}.items():
        answer = asked(address, f"/SECRET/{deed}", "POST", json.dumps(words).encode())
        assert answer[0] == 400 and said(answer)


def test_a_folder_without_photos_is_said(desk: Desk, tmp_path: Path) -> None:
    desk.open(str(tmp_path))
    while desk.state()["looking"]:
        time.sleep(0.02)
    assert "no photos" in desk.state()["said"] and desk.state()["capture"] is None


def test_what_is_sharp_stays_bright(tmp_path: Path) -> None:
    """Left half texture in focus, right half the same texture blurred by 4 px."""
    texture = gaussian_filter(np.random.default_rng(0).uniform(0, 255, (360, 480, 3)), (0.8, 0.8, 0))
    texture = (texture - texture.mean()) * 2 + 128
    soft = gaussian_filter(texture, (4, 4, 0))
    texture[:, 240:] = 128 + 3 * (soft[:, 240:] - 128)
    pixels = texture.clip(0, 255).astype(np.uint8)
    save(tmp_path / "a.png", pixels)
    content, share = sharp_parts(Photo("a.png", tmp_path / "a.png", 480, 360))
    (tmp_path / "shown.jpg").write_bytes(content)
    shown = np.asarray(Image.open(tmp_path / "shown.jpg")).astype(float)
    left, right = (shown[:, part].mean() / pixels[:, part].mean() for part in (slice(20, 220), slice(260, 460)))
    assert left > 0.85 and right < 0.4 and 0.35 < share < 0.65


def test_grain_is_nothing_in_focus(tmp_path: Path) -> None:
    """Left half blurred texture with grain as a JPEG has it, right half the texture in focus with the same grain."""
    chance = np.random.default_rng(1)
    texture = gaussian_filter(chance.uniform(0, 255, (480, 640, 3)), (0.8, 0.8, 0))
    texture[:, :320] = 128 + 5 * (gaussian_filter(texture, (6, 6, 0))[:, :320] - 128)
    grain = gaussian_filter(chance.normal(0, 1, (480, 640, 1)), (0.8, 0.8, 0))
    pixels = (texture + 3 * grain / grain.std()).clip(0, 255).astype(np.uint8)
    save(tmp_path / "a.jpg", pixels)
    content, share = sharp_parts(Photo("a.jpg", tmp_path / "a.jpg", 640, 480))
    shown = np.asarray(Image.open(io.BytesIO(content))).astype(float)
    assert shown[:, 20:220].mean() < 45 and shown[:, 260:460].mean() > 100 and 0.4 < share < 0.6


def test_events_become_a_state(tmp_path: Path) -> None:
    job = Job(["--version"], tmp_path)
    job.wait(60)
    for event in (
        {"event": "stage", "stage": "training", "done": 0, "total": 10},
        {
            "event": "progress",
            "stage": "training",
            "done": 5,
            "total": 10,
            "per_second": 2,
            "seconds_left": 3,
            "psnr": 20.0,
        },
        {"event": "note", "text": "Something."},
        {"event": "error", "text": "No."},
    ):
        job.take(event)
    state = job.state()
    assert (state["stage"], state["done"], state["total"], state["left"]) == ("training", 5, 10, 3)
    assert state["curve"] == [(5, 20.0)] and state["notes"] == ["Something."]
    assert (state["ended"], state["said"]) == ("error", "No.")


def test_a_process_that_fails_says_why(tmp_path: Path) -> None:
    job = Job(["reconstruct", "photos", "--qualty", "draft"], tmp_path)
    job.wait(60)
    state = job.state()
    assert state["ended"] == "error" and "exit code 2" in state["said"] and "did you mean --quality" in state["said"]
    assert not state["kept"]


def test_only_files_that_were_made_of_a_finished_run_are_taken_away(desk: Desk, address: str, tmp_path: Path) -> None:
    run = desk.folder / "a" / "a-draft"
    run.mkdir(parents=True)
    (run / "config.json").write_text("{}")
    assert said(asked(address, "/SECRET/take-away", "POST", b'{"name": "../a"}'))
    assert asked(address, "/SECRET/take-away", "POST", b'{"name": "a/a-draft"}')[0] == 200
    assert "no scene" in said(asked(address, "/SECRET/make", "POST", b'{"what": "spz"}'))
    assert "no export" in said(asked(address, "/SECRET/make", "POST", b'{"what": "../x"}'))
    (run / "scene.ply").write_bytes(b"ply")
    (run / "mesh.ply").symlink_to(tmp_path)
    (run / "scene.spz").symlink_to(run / "config.json")
    (run / "points.ply").write_bytes(b"of an older scene")
    os.utime(run / "points.ply", (0, 0))
    for what in ("mesh", "spz", "points", "sog", "config.json", "..%2fconfig.json"):
        assert asked(address, f"/SECRET/taken/{what}/x")[0] == 404, what
    assert asked(address, "/SECRET/taken/scene/scene.ply") == (200, b"ply")
    things = {thing["what"]: thing["bytes"] for thing in desk.state()["taking"]["things"]}
    assert things["scene"] == 3 and things["mesh"] is None and things["spz"] is None


@browsable
@bundled
def test_from_a_folder_to_its_page_in_a_browser(desk: Desk, address: str, tmp_path: Path, monkeypatch) -> None:
    """Photos are chosen, looked at, reconstructed; the run is stopped, its result opened, and gone on with."""
    capture = write_capture(tmp_path / "sheet", make(4))
    (capture / "clip.mov").write_bytes(b"x")
    (capture / "empty.jpg").touch()
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page()
        errors: list[str] = []
        page.on("console", lambda m: errors.append(m.text) if m.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(address)
        dropped(page, "notes.txt")
        page.wait_for_selector("#said:not([hidden])")  # cameras of nothing: no photos
        page.set_input_files("#folder", capture)
        page.wait_for_selector("#capture:not([hidden])")
        assert page.inner_text("#capture-head") == "sheet" and "4 photos" in page.inner_text("#about")
        assert "cameras given" in page.inner_text("#about")
        assert page.inner_text("#said").startswith("Not taken") and "clip.mov" in page.inner_text("#said")
        assert "empty.jpg" in page.inner_text("#said")
        page.click("[data-kind=sharp]")
        page.wait_for_selector(".share:has-text('% in focus')")
        assert page.eval_on_selector_all("#grid img", "all => all.every(img => img.naturalWidth > 0)")
        assert Axe().run(page).violations_count == 0
        page.click("#start")
        page.wait_for_selector("#preview:not([hidden])", timeout=60_000)
        while not page.eval_on_selector("#preview img", "img => img.naturalWidth"):
            page.wait_for_timeout(50)
        assert Axe().run(page).violations_count == 0
        page.click("#stop")
        page.wait_for_selector("#ended:not([hidden])", timeout=60_000)
        assert "Stopped early" in page.inner_text("#outcome") and "4 photos, sharp" in page.inner_text("#outcome")
        with page.context.expect_page() as opened:
            page.click("#open")
        result = opened.value
        result.on("console", lambda m: errors.append(m.text) if m.type in ("error", "warning") else None)
        result.wait_for_selector("#view[data-loaded=yes]")
        assert result.evaluate("self.origin") == "null"
        result.close()
        page.click("#take")
        page.click("[aria-label='Make Splats, small'] >> nth=-1")
        with page.expect_download() as saved:
            page.click("[aria-label$='scene.spz']:visible", timeout=60_000)
        assert saved.value.suggested_filename == "sheet-draft-scene.spz"
        assert len(read_scene(shutil.copy(saved.value.path(), tmp_path / "a.spz"))) > 100
        assert Axe().run(page).violations_count == 0
        page.click("#again")
        page.wait_for_selector("#earlier:not([hidden])")
        assert "stopped early" in page.inner_text("#runs")
        assert [one for one in errors if "WebGL" not in one and "GPU stall" not in one] == []
        browser.close()
    assert desk.job is None and (desk.folder / "sheet" / "sheet-draft" / "index.html").is_file()
    assert not (desk.folder / "sheet" / "sheet-draft" / "preview.jpg").exists()


@browsable
def test_the_page_of_a_run_that_came_from_somebody_cannot_speak_to_the_studio(desk: Desk, address: str) -> None:
    """Its script may run, and show its pictures; it neither reads the studio's state nor gives orders."""
    run = desk.folder / "sent" / "sent-draft"
    (run / "page" / "taken").mkdir(parents=True)
    (run / "config.json").write_text("{}")
    save(run / "page" / "taken" / "a.jpg", np.zeros((8, 8, 3), np.uint8))
    attack = """<body><img id=own src="page/taken/a.jpg"><script>
        window.heard = {};
        const ask = (name, path, how) => fetch(path, how).then((a) => a.text(), (e) => "refused")
            .then((text) => { heard[name] = text; });
        const send = { method: "POST", body: "{}", mode: "no-cors" };
        const beacon = navigator.sendBeacon("../../../clear", "{}");
        let stored; try { localStorage.x = 1; stored = "kept"; } catch { stored = "refused"; }
        window.done = Promise.all([ask("state", "../../../state"), ask("clear", "../../../clear", send),
            ask("elsewhere", "http://127.0.0.1:9/", { mode: "no-cors" })]).then(() => ({ ...heard, stored }));
    </script>"""
    (run / "index.html").write_text(attack)
    desk.begin_upload("kept")
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page()
        page.goto(f"{address}run/sent/sent-draft/index.html")
        heard = page.evaluate("done")
        assert page.eval_on_selector("#own", "img => img.naturalWidth") == 8
        browser.close()
    assert heard == dict.fromkeys(("state", "clear", "elsewhere", "stored"), "refused")
    desk.end_upload()  # nothing was cleared


def dropped(page: Page, name: str) -> None:
    """A file falls on the page."""
    page.evaluate(
        """(name) => {
            const data = new DataTransfer();
            data.items.add(new File(["x"], name));
            document.body.dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true }));
        }""",
        name,
    )
