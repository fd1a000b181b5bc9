"""The door of viser's server: strangers are turned away in the handshake, before anything they send is looked at."""

from __future__ import annotations

import contextlib
import http
import importlib
from collections.abc import Callable, Iterator
from typing import Any

from macrosplat.support.local import allowed

LONGEST = 1 << 20  # bytes of a message: visitors send where they stand and what they pressed
# No other page may hold this one in a frame. What it loads itself is viser's business.
HEADERS = {
    "Content-Security-Policy": "frame-ancestors 'none'; base-uri 'self'; form-action 'none'; object-src 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


Pages = Callable[[str], tuple[bytes, str] | None]  # content and type of what stands at a path; None: not one of ours


@contextlib.contextmanager
def guarded(pages: Pages) -> Iterator[None]:
    """While this lasts, servers of websockets that are begun ask `allowed` first, then `pages`.

    viser has no public door for either.
    """
    module: Any = importlib.import_module("websockets.asyncio.server")
    serve = module.serve

    def with_guard(*words: Any, process_request: Callable[..., Any] | None = None, **options: Any) -> Any:
        options["max_size"] = LONGEST
        return serve(*words, process_request=guard(process_request, pages), **options)

    module.serve = with_guard
    try:
        yield
    finally:
        module.serve = serve


def guard(inner: Callable[..., Any] | None, pages: Pages = lambda path: None) -> Callable[..., Any]:
    """`process_request` of websockets: 403 for strangers, else our page or what `inner` says, with our headers."""

    def process(connection: Any, request: Any) -> Any:
        headers = request.headers
        try:
            host, origin = headers.get("Host"), headers.get("Origin")
        except LookupError:  # a header that stands there twice
            host = origin = ""
        if not allowed(host, origin):
            return connection.respond(http.HTTPStatus.FORBIDDEN, "Not from here.\n")
        page = None if headers.get("Upgrade") else pages(request.path.partition("?")[0])
        answer = _response(*page) if page is not None else inner(connection, request) if inner else None
        if answer is not None:
            for name, value in HEADERS.items():
                answer.headers[name] = value
        return answer

    return process


def _response(content: bytes, kind: str) -> Any:
    from websockets.datastructures import Headers
    from websockets.http11 import Response

    told = {"Content-Type": kind, "Content-Length": str(len(content)), "Cache-Control": "no-store"}
    return Response(http.HTTPStatus.OK, "OK", Headers({**told, "Connection": "close"}), content)
