"""The studio's server: on 127.0.0.1, to pages of this machine that know the address, which holds a secret.

In: a folder for captures and runs. Out: a page, its pictures and its state; what the page asks for is the desk's.
"""

from __future__ import annotations

import contextlib
import errno
import hmac
import importlib.resources
import json
import os
import secrets
import shutil
import webbrowser
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from macrosplat.photos.kinds import SUFFIXES
from macrosplat.photos.unread import REMEDIES
from macrosplat.studio.desk import OTHERS, Desk
from macrosplat.support.errors import MacrosplatError
from macrosplat.support.local import HOST, allowed
from macrosplat.web.gallery import linked
from macrosplat.web.serve import HEADERS, PATIENCE, Server

# What the studio's own page may do.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
# What the page of a run may do: RUN may come from anybody, so that it gets an origin of its own (`sandbox`), from which
# the studio is not spoken to, and loads nothing from elsewhere. The page's own policy is narrower still.
RUN_POLICY = (
    "sandbox allow-scripts allow-downloads; default-src 'none'; script-src 'unsafe-inline' 'wasm-unsafe-eval' blob:; "
    "style-src 'unsafe-inline'; img-src 'self' data: blob:; connect-src data: blob:; worker-src blob: data:; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
# To an origin of its own, a picture beside the page comes from elsewhere; who knows the secret may have it.
BESIDE = {"Cross-Origin-Resource-Policy": "cross-origin"}
FILES = {
    "": ("page.html", "text/html; charset=utf-8"),
    "page.js": ("page.js", "text/javascript; charset=utf-8"),
    "page.css": ("page.css", "text/css; charset=utf-8"),
}
LONGEST = 10_000  # bytes of what the page asks for
UPLOAD_PATIENCE = 60.0  # s without a byte of a file: disks of photos are slow


def studio_server(desk: Desk, port: int = 0, token: str | None = None) -> tuple[ThreadingHTTPServer, str]:
    """A server, not yet serving, and its address; port 0 takes a free one.

    Raises:
        MacrosplatError: the port is taken, or is none.
    """
    if not 0 <= port <= 65535:
        raise MacrosplatError(f"Port {port} is none: they go from 0 (a free one) to 65535.")
    secret = token or secrets.token_urlsafe(16)

    class Handler(_Handler):
        pass

    Handler.desk, Handler.secret = desk, secret
    try:
        serving = Server((HOST, port), Handler)
    except OSError as error:
        why = "is in use" if error.errno == errno.EADDRINUSE else f"cannot be used ({error.strerror or error})"
        raise MacrosplatError(f"Port {port} {why}; give --port another, or leave it out.") from error
    return serving, f"http://{HOST}:{serving.server_address[1]}/{secret}/"


def studio(folder: Path, port: int = 0, browser: bool = True) -> None:
    """Serve until interrupted, and open the browser."""
    desk = Desk(folder)
    serving, address = studio_server(desk, port)
    with serving:
        print(f"The studio is at {address} until Ctrl-C; captures and runs are kept in {folder}.", flush=True)
        if browser:
            webbrowser.open(address)
        with contextlib.suppress(KeyboardInterrupt):
            serving.serve_forever()
    with contextlib.suppress(KeyboardInterrupt):
        desk.close(lambda text: print(text, flush=True))


class _Handler(BaseHTTPRequestHandler):
    desk: Desk
    secret: str
    timeout = PATIENCE

    def do_GET(self) -> None:
        path = self._path()
        if path is None:
            return
        if path in FILES:
            name, kind = FILES[path]
            self._answer(importlib.resources.files("macrosplat.studio").joinpath(name).read_bytes(), kind, POLICY)
        elif path == "state":
            taken = SUFFIXES | OTHERS
            self._json(self.desk.state() | {"suffixes": sorted(taken), "unread": sorted(REMEDIES.keys() - taken)})
        elif path == "preview":
            content = self.desk.preview()
            self._answer(content, "image/jpeg") if content else self._refuse(404)
        elif path.startswith("picture/"):
            self._picture(path)
        elif path.startswith("taken/"):
            self._taken(path.removeprefix("taken/").partition("/")[0])
        elif path.startswith("run/"):
            self._result(path.removeprefix("run/"))
        else:
            self._refuse(404)

    def do_PUT(self) -> None:
        path = self._path()
        if path is None:
            return
        if not path.startswith("file/"):
            self._refuse(404)
            return
        self.connection.settimeout(UPLOAD_PATIENCE)
        self._try(lambda: self.desk.take(path.removeprefix("file/"), self._size(), self.rfile))

    def do_POST(self) -> None:
        path = self._path()
        if path is None:
            return
        deeds = {
            "upload": lambda words: self.desk.begin_upload(words["name"]),
            "uploaded": lambda words: self.desk.end_upload(),
            "open": lambda words: self.desk.open(words["path"]),
            "start": lambda words: self.desk.start(words["quality"], words.get("width", ""), words.get("scale", "")),
            "continue": lambda words: self.desk.go_on(words["name"]),
            "stop": lambda words: self.desk.stop(),
            "clear": lambda words: self.desk.clear(),
            "take-away": lambda words: self.desk.take_away(words["name"]),
            "make": lambda words: self.desk.make(words["what"]),
            "stop-making": lambda words: self.desk.stop_making(),
        }
        if path not in deeds:
            self._refuse(404)
            return
        self._try(lambda: deeds[path](self._words()))

    def _path(self) -> str | None:
        """What is asked for, below the secret; None: by whom it is not for, who was told."""
        host, origin = self.headers.get("Host"), self.headers.get("Origin")
        first, _, rest = self.path.removeprefix("/").partition("/")
        # A page of another program of this machine passes `allowed`, and does not know the secret.
        if not allowed(host, origin) or not hmac.compare_digest(first.encode(), self.secret.encode()):
            self._refuse(403)
            return None
        return unquote(rest.partition("?")[0], errors="strict") if _decodes(rest) else rest

    def _words(self) -> dict[str, str]:
        size = self._size()
        if size > LONGEST:
            raise MacrosplatError("That is too long.")
        try:
            found = json.loads(self.rfile.read(size) or b"{}")
        except ValueError as error:
            raise MacrosplatError("That cannot be read.") from error
        if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
            raise MacrosplatError("That cannot be read.")
        return found

    def _size(self) -> int:
        text = self.headers.get("Content-Length") or "0"
        return int(text) if text.isdecimal() and len(text) < 16 else 0

    def _try(self, work: Any) -> None:
        """Do what was asked for; its error is a sentence for the page."""
        try:
            work()
        except KeyError as error:
            self._json({"error": f"{error} is missing."}, 400)
        except MacrosplatError as error:
            self.close_connection = True  # what is left of a file is not read as the next request
            self._json({"error": str(error)}, 400)
        else:
            self._json({})

    def _picture(self, path: str) -> None:
        _, kind, number = [*path.split("/"), "", ""][:3]
        try:
            content = self.desk.picture(int(number) if number.isdecimal() and len(number) < 10 else -1, kind)
        except MacrosplatError:
            self._refuse(404)
        else:
            self._answer(content, "image/jpeg")

    def _result(self, path: str) -> None:
        """`NAME/index.html` of a run, and what lies beside it by the names that the page has for it."""
        for at in (1, 2):
            parts = path.split("/")
            name, rest = "/".join(parts[:at]), "/".join(parts[at:])
            try:
                run = self.desk.result(name)
            except MacrosplatError:
                continue
            if rest == "index.html" and run.page.is_file():
                self._answer(run.page.read_bytes(), "text/html; charset=utf-8", RUN_POLICY)
                return
            beside = linked(run.folder).get(rest)
            if beside is not None and beside.is_file():
                self._answer(beside.read_bytes(), "image/jpeg", more=BESIDE)
                return
        self._refuse(404)

    def _taken(self, what: str) -> None:
        """A file to be saved: sent in pieces, as films and meshes are large, and never shown."""
        try:
            path = self.desk.made(what)
            file = path.open("rb")
        except (MacrosplatError, OSError):
            self._refuse(404)
            return
        with file:
            self.send_response(200)
            disposition = {"Content-Disposition": "attachment", "Content-Security-Policy": "sandbox"}
            size = {"Content-Type": "application/octet-stream", "Content-Length": str(os.fstat(file.fileno()).st_size)}
            for name, value in {**HEADERS, **disposition, **size}.items():
                self.send_header(name, value)
            self.end_headers()
            shutil.copyfileobj(file, self.wfile)

    def _json(self, value: Any, code: int = 200) -> None:
        self._answer(json.dumps(value).encode(), "application/json", code=code)

    def _answer(
        self,
        content: bytes,
        kind: str,
        policy: str | None = None,
        code: int = 200,
        more: Mapping[str, str] | None = None,
    ) -> None:
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        chosen = {"Content-Security-Policy": policy} if policy else {}
        for name, value in {**HEADERS, **chosen, **(more or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def _refuse(self, code: int) -> None:
        self.close_connection = True
        self.send_error(code)

    def version_string(self) -> str:
        return "macrosplat"

    def log_message(self, format: str, *args: object) -> None:
        pass


def _decodes(text: str) -> bool:
    try:
        unquote(text, errors="strict")
    except UnicodeDecodeError:
        return False
    return True
