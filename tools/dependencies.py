"""What an installation brings along: versions to pin, and licences.

    python tools/dependencies.py lock        # writes requirements.lock: every package, as it is installed here
    python tools/dependencies.py licences    # a table; exit code 1 where one is not known to be compatible

Both follow the requirements of macrosplat[dev] through what is installed, as they hold on this machine.
"""

from __future__ import annotations

import importlib.metadata
import re
import sys
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PROJECT = Path(__file__).parents[1] / "pyproject.toml"
LOCK = PROJECT.with_name("requirements.lock")
# Licences under which a package may be used beside Apache-2.0 code, by words of their names or SPDX identifiers. The
# LGPL holds for libraries that are loaded, as all of these are; NVIDIA's for CUDA's, which torch brings.
FREE = (
    "mit",
    "bsd",
    "apache",
    "isc",
    "python",
    "psf",
    "mpl",
    "mozilla",
    "zlib",
    "unlicense",
    "hpnd",
    "cmu",
    "lgpl",
    "0bsd",
)
FREE = (*FREE, "lesser general public", "public domain", "cc0", "nvidia", "historical permission")

EXTRAS = ("raw", "heif", "live", "mesh", "video", "evaluate")  # what users install


def needed(extras: tuple[str, ...]) -> dict[str, str]:
    """Versions of all that this project with its extras needs, and of what that needs, by name."""
    project = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]
    ours = project["dependencies"] + [line for extra in extras for line in project["optional-dependencies"][extra]]
    found: dict[str, str] = {}
    todo, seen = [(Requirement(line), ("",)) for line in ours], set()
    while todo:
        one, wanted = todo.pop()
        name = canonicalize_name(one.name)
        if one.marker is not None and not any(one.marker.evaluate({"extra": extra}) for extra in wanted):
            continue
        if name == project["name"]:
            found |= needed(tuple(sorted(one.extras)))
        elif (name, frozenset(one.extras)) not in seen:
            seen.add((name, frozenset(one.extras)))
            try:
                installed = importlib.metadata.distribution(name)
            except importlib.metadata.PackageNotFoundError:
                sys.exit(f"{name} is not installed; run this in the environment of `make setup`.")
            found[name] = installed.version
            todo += [(Requirement(line), (*one.extras, "")) for line in installed.requires or ()]
    return found


def licence(package: str) -> str:
    """As the package says itself: an SPDX expression, else a classifier, else the first line of its text."""
    about = importlib.metadata.metadata(package)
    classifiers = [c.split(" :: ")[-1] for c in about.get_all("Classifier") or () if c.startswith("License ::")]
    said = about.get("License-Expression") or ", ".join(classifiers) or (about.get("License") or "").strip()
    return said.splitlines()[0][:80] if said else "not said"


def main() -> int:
    found = needed(("dev",))
    if sys.argv[1:] == ["lock"]:
        # The part of a version after + names a build of torch for one kind of machine.
        lines = [f"{name}=={version.partition('+')[0]}\n" for name, version in sorted(found.items())]
        LOCK.write_text("# Written by tools/dependencies.py: what the tests ran with, Linux.\n" + "".join(lines))
        return 0
    if sys.argv[1:] == ["licences"]:
        unknown, users = 0, needed(EXTRAS)
        for name, version in sorted(found.items()):
            said = licence(name)
            bad = name in users and not any(re.search(rf"\b{word}", said.lower()) for word in FREE)
            unknown += bad
            print(f"{'!' if bad else ' ' if name in users else 't'} {name:31} {version:16} {said}")
        print("t: for development only, comes with no installation of a user; !: not known to be compatible")
        return 1 if unknown else 0
    sys.exit(__doc__)


if __name__ == "__main__":
    sys.exit(main())
