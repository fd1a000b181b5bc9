"""What a page may load and run (Content-Security-Policy): its own scripts, by their hashes, and what it holds itself.

A name that should ever get onto the page as markup could then still run nothing and ask nobody.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence

SELF = "'self' file: "  # the folder that the page was opened from


def policy(scripts: Sequence[bytes], beside: bool = False) -> str:
    """The policy of a page with these scripts, to the byte; `beside`: with pictures that lie beside it."""
    hashes = " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(script).digest()).decode()}'" for script in scripts)
    return "; ".join(
        [
            "default-src 'none'",
            # Its decoder is WebAssembly, in workers that it makes of its own text.
            f"script-src {hashes} 'wasm-unsafe-eval' blob:",
            "style-src 'unsafe-inline'",
            f"img-src {SELF if beside else ''}data: blob:",
            "connect-src data: blob:",
            "worker-src blob: data:",
            "base-uri 'none'",
            "form-action 'none'",
        ]
    )
