"""macrosplat: sharp photos and a sharp 3D scene from blurred macro photographs.

The public names stand in `_HOMES`; each loads its module when it is first used, so that importing the package (as the
command line does for `--help`) needs neither torch nor a GPU.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from macrosplat.loaded import LoadedRun as LoadedRun
    from macrosplat.loaded import load_run as load_run
    from macrosplat.loaded import render_cameras as render_cameras
    from macrosplat.options import Options as Options
    from macrosplat.pipeline import reconstruct as reconstruct
    from macrosplat.support.errors import MacrosplatError as MacrosplatError

_HOMES = {
    "MacrosplatError": "macrosplat.support.errors",
    "Options": "macrosplat.options",
    "LoadedRun": "macrosplat.loaded",
    "load_run": "macrosplat.loaded",
    "reconstruct": "macrosplat.pipeline",
    "render_cameras": "macrosplat.loaded",
}

if not TYPE_CHECKING:  # a type checker that sees this function believes that every name exists

    def __getattr__(name: str) -> Any:
        if name not in _HOMES:
            raise AttributeError(f"module 'macrosplat' has no attribute {name!r}")
        return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
