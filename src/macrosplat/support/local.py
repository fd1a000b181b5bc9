"""Who may talk to a server of this machine: programs and pages of this machine."""

from __future__ import annotations

from urllib.parse import urlsplit

HOST = "127.0.0.1"
ALLOWED = (HOST, "localhost")  # by any port, as one comes through a tunnel of ssh


def allowed(host: str | None, origin: str | None) -> bool:
    """Whether a request is for this machine, and from a page of this machine if from a page at all.

    Any page that a browser has open may connect to this machine: which page it is stands in the header Origin, which
    only browsers send, and whom it believes to speak to in Host: a name that somebody else's server resolves to this
    machine (DNS rebinding) is not answered.

    Args:
        host, origin: the headers; None where there are none.
    """
    try:
        asked = urlsplit(f"//{host or ''}").hostname
        page = None if origin is None else urlsplit(origin).hostname
    except ValueError:
        return False
    return asked in ALLOWED and (origin is None or page in ALLOWED)
