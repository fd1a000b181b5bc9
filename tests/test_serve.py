"""The server of `view`: this machine and its own pages only, one address, and no trouble from who asks badly."""

from __future__ import annotations

import gzip
import http.client
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import torch

from macrosplat.cli import main
from macrosplat.scene.formats.ply import write_ply
from macrosplat.scene.gaussians import Gaussians
from macrosplat.support.local import allowed
from macrosplat.web import page, serve


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(page, "program", lambda: gzip.compress(b""))
    means = torch.linspace(-1, 1, 30).reshape(10, 3)
    flat = torch.zeros(10, 3)
    write_ply(
        tmp_path / "a.ply",
        Gaussians(means, flat - 3, torch.eye(4)[:1].repeat(10, 1), flat[:, 0], flat, flat[:, None][:, :0]),
    )
    return tmp_path / "a.ply"


@pytest.fixture
def port(scene: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    monkeypatch.setattr(serve, "PATIENCE", 2.0)
    with serve.server(scene) as serving:
        threading.Thread(target=serving.serve_forever, args=(0.05,), daemon=True).start()
        assert serving.server_address[0] == "127.0.0.1"
        yield serving.server_address[1]
        serving.shutdown()


def asked(port: int, path: str = "/", method: str = "GET", **headers: str) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.putrequest(method, path, skip_host="Host" in headers)
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.endheaders()
    return connection.getresponse()


def test_the_page_comes_with_its_policy(port: int) -> None:
    answer = asked(port)
    assert answer.status == 200 and b"a.ply" in answer.read()
    policy = answer.headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in policy and "form-action 'none'" in policy
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"


@pytest.mark.parametrize(
    "host", ["elsewhere.example", "127.0.0.1.elsewhere.example", "", "[::1", "127.0.0.1@evil.example", "0.0.0.0"]
)
def test_a_foreign_host_is_refused(port: int, host: str) -> None:
    assert asked(port, Host=host).status == 403


@pytest.mark.parametrize(
    "origin", ["http://elsewhere.example", "null", "file://", "http://127.0.0.1.elsewhere.example", "http://["]
)
def test_a_foreign_origin_is_refused(port: int, origin: str) -> None:
    assert asked(port, Origin=origin).status == 403


def test_this_machine_is_let_in_by_both_its_names_and_any_port() -> None:
    assert allowed("127.0.0.1:80", None) and allowed("localhost", "http://127.0.0.1:9000")
    assert not allowed(None, None)


@pytest.mark.parametrize(
    "path",
    [
        "/../../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/index.html",
        "/?x",
        "/\\..\\x",
        "http://elsewhere.example/",
    ],
)
def test_there_is_one_address(port: int, path: str) -> None:
    assert asked(port, path).status in (403, 404)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT", "<script>"])
def test_nothing_but_reading(port: int, method: str) -> None:
    assert asked(port, method=method).status in (400, 501)


OVERSIZED = {
    "address": b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    "header": b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"x" * 100_000 + b"\r\n\r\n",
    "headers": b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n" + b"".join(b"X%d: x\r\n" % n for n in range(5000)) + b"\r\n",
    "words": b"\0\xff" * 1000 + b"\r\n\r\n",
}


@pytest.mark.parametrize("kind", OVERSIZED)
def test_oversized_requests_are_refused(port: int, kind: str) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as one:
        one.sendall(OVERSIZED[kind])
        assert one.recv(100).split()[1:2] != [b"200"]
    assert asked(port).status == 200


def test_200_idle_connections_do_not_keep_others_out_and_are_let_go(port: int, capfd: pytest.CaptureFixture) -> None:
    with ExitStack() as stack:
        idle = [stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10)) for _ in range(200)]
        for one in idle[::2]:
            one.sendall(b"GET / HTTP/1.1\r\nHost: 127")
        assert asked(port).status == 200
        began = time.monotonic()
        assert all(one.recv(1) == b"" for one in idle)  # closed by the server
        assert time.monotonic() - began < 60
    assert capfd.readouterr() == ("", "")


def test_who_hangs_up_early_is_not_talked_about(port: int, capfd: pytest.CaptureFixture) -> None:
    for _ in range(5):
        with socket.create_connection(("127.0.0.1", port)) as one:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # closes with a reset
            one.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    assert asked(port).status == 200
    assert capfd.readouterr() == ("", "")


def test_a_port_in_use_is_one_sentence(scene: Path, capsys: pytest.CaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        number = busy.getsockname()[1]
        assert main(["view", str(scene), "--port", str(number)]) == 2
    assert capsys.readouterr().err == f"macrosplat: Port {number} is in use; give --port another, or leave it out.\n"


@pytest.mark.parametrize("number", ["-1", "65536", "99999999999999999999"])
def test_a_port_that_is_none_is_one_sentence(scene: Path, number: str, capsys: pytest.CaptureFixture) -> None:
    assert main(["view", str(scene), "--port", number]) == 2
    assert capsys.readouterr().err.count("macrosplat: ") == 1
