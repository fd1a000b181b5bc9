"""Packages that only some of macrosplat needs: how to get them, as it is typed where macrosplat runs."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path


def install(extra: str) -> str:
    """The command that installs an extra into the environment of this Python, whose `pip` may not be the shell's."""
    found = shutil.which("pip")
    own = found is not None and Path(found).parent == Path(sys.executable).parent
    program = "pip" if own else f"{shlex.quote(sys.executable)} -m pip"
    return f"{program} install 'macrosplat[{extra}]'"
