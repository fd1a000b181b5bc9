"""The page of a run, or of any scene file, in the browser of this machine: served on 127.0.0.1, to nobody else."""

from __future__ import annotations

import contextlib
import errno
import os
import webbrowser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from macrosplat.support.errors import MacrosplatError
from macrosplat.support.local import HOST, allowed
from macrosplat.web.gallery import linked
from macrosplat.web.page import as_html, html_of_run, of_file

PATIENCE = 10.0  # s that a connection may say nothing: a browser asks at once
# Sent along with the page, whose own policy (see `page`) says what it may load. No other page may hold it in a frame,
# read it, or take it for something else than it is.
HEADERS = {
    "Content-Security-Policy": "frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


class Server(ThreadingHTTPServer):
    """Answers on this machine; who hangs up in the middle is nobody's trouble."""

    daemon_threads = True  # an idle connection does not keep the program
    request_queue_size = 128  # that wait to be accepted: browsers open several at once

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that broke, or fell silent; there is nobody to tell."""


def server(path: Path, port: int = 0) -> ThreadingHTTPServer:
    """A server of the page, not yet serving; port 0 takes a free one.

    Raises:
        MacrosplatError: `path` is neither a finished run nor a scene that can be read, the page cannot be made, or the
            port is taken.
    """
    if not 0 <= port <= 65535:
        raise MacrosplatError(f"Port {port} is none: they go from 0 (a free one) to 65535.")
    text = html_of_run(path) if path.is_dir() else as_html(of_file(path))
    page = text.encode("utf-8", "replace")
    beside = linked(path) if path.is_dir() else {}

    class Page(BaseHTTPRequestHandler):
        timeout = PATIENCE

        def do_GET(self) -> None:
            if not allowed(self.headers.get("Host"), self.headers.get("Origin")):
                self.send_error(403)
                return
            # Of the folder only what the page itself shows, by the names that it has for it.
            file = beside.get(unquote(self.path).removeprefix("/"))
            if self.path == "/":
                self.answer(page, "text/html; charset=utf-8")
            elif file is not None and file.is_file():
                self.answer(file.read_bytes(), "image/jpeg")
            else:
                self.send_error(404)

        def answer(self, content: bytes, kind: str) -> None:
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            for name, value in HEADERS.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def version_string(self) -> str:
            return "macrosplat"

        def log_message(self, format: str, *args: object) -> None:
            pass

    try:
        return Server((HOST, port), Page)
    except OSError as error:
        why = "is in use" if error.errno == errno.EADDRINUSE else f"cannot be used ({error.strerror or error})"
        raise MacrosplatError(f"Port {port} {why}; give --port another, or leave it out.") from error


def view(path: Path, port: int = 0) -> None:
    """Serve until interrupted, and open the browser."""
    with server(path, port) as serving:
        address = f"http://{HOST}:{serving.server_address[1]}/"
        shown = os.fsencode(path).decode("utf-8", "replace")
        print(f"{shown} is shown at {address} until Ctrl-C.", flush=True)
        webbrowser.open(address)
        with contextlib.suppress(KeyboardInterrupt):
            serving.serve_forever()
