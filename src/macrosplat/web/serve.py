"""The page of a run, or of any scene file, in the browser of this machine: served on 127.0.0.1, to nobody else."""

from __future__ import annotations

import contextlib
import webbrowser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from macrosplat.web.page import as_html, html_of_run, of_file

HOST = "127.0.0.1"


def server(path: Path, port: int = 0) -> ThreadingHTTPServer:
    """A server of the page, not yet serving; port 0 takes a free one.

    Raises:
        MacrosplatError: `path` is neither a finished run nor a scene that can be read, or the page cannot be made.
    """
    page = (html_of_run(path) if path.is_dir() else as_html(of_file(path))).encode()

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            # By its numbers only: a name that someone else's server resolves to this machine is not answered.
            host = self.headers.get("Host", "").rsplit(":", 1)[0]
            if self.path != "/" or host not in (HOST, "localhost"):
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(page)))
            self.end_headers()
            self.wfile.write(page)

        def log_message(self, format: str, *args: object) -> None:
            pass

    return ThreadingHTTPServer((HOST, port), Page)


def view(path: Path, port: int = 0) -> None:
    """Serve until interrupted, and open the browser."""
    with server(path, port) as serving:
        address = f"http://{HOST}:{serving.server_address[1]}/"
        print(f"{path} is shown at {address} until Ctrl-C.", flush=True)
        webbrowser.open(address)
        with contextlib.suppress(KeyboardInterrupt):
            serving.serve_forever()
