"""What an installation brings along: versions to pin, known vulnerabilities, and licences.

    python tools/dependencies.py lock        # writes requirements.lock, with hashes: the versions installed here, and
                                             # what PyPI's torch needs besides on other machines; wants `uv`
    python tools/dependencies.py check       # exit code 1 where requirements.lock lacks what is needed here
    python tools/dependencies.py audit [--strict]    # known vulnerabilities of requirements.lock; wants `pip-audit`
    python tools/dependencies.py licences    # a table; exit code 1 where one is not known to be compatible

All follow the requirements of macrosplat[dev] through what is installed, as they hold on this machine. Without a
network `audit` says so, and fails only if it is strict.
"""

from __future__ import annotations

import importlib.metadata
import json
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PROJECT = Path(__file__).parents[1] / "pyproject.toml"
LOCK = PROJECT.with_name("requirements.lock")
CONSTRAINTS = PROJECT.with_name("constraints.txt")
# The builds of torch for CPUs, which the tests run with, bring no Triton, and the tests an older one for its
# interpreter; PyPI's torch wants exactly its own.
OF_TORCH = ("triton",)
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
# TOST 1.0 is Apache 2.0 with a narrower clause on trade names.
FREE = (*FREE, "tost", "lesser general public", "public domain", "cc0", "nvidia", "historical permission")

EXTRAS = ("raw", "heif", "live", "mesh", "usd", "video", "evaluate")  # what users install


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


def pinned(text: str) -> dict[str, str]:
    """Versions by name, of a file of requirements."""
    return {canonicalize_name(m[1]): m[2] for m in re.finditer(r"^([\w.-]+)==([^\s;\\]+)", text, re.MULTILINE)}


def unlocked() -> list[str]:
    """What requirements.lock lacks: packages that are needed here, and versions that constraints.txt asks for."""
    locked, asked = pinned(LOCK.read_text()), pinned(CONSTRAINTS.read_text())
    missing = [f"{name} is not in it" for name in sorted(needed(("dev",)).keys() - locked.keys() - set(OF_TORCH))]
    other = [
        f"{name} is {locked[name]} in it and {version} in {CONSTRAINTS.name}"
        for name, version in asked.items()
        if name in locked and locked[name] != version and name not in OF_TORCH
    ]
    return missing + other


def lock() -> int:
    """Write requirements.lock: resolved by uv for every platform, held to what is installed here."""
    found = needed(("dev",))
    # The part of a version after + names a build of torch for one kind of machine.
    here = [f"{name}=={version.partition('+')[0]}\n" for name, version in found.items() if name not in OF_TORCH]
    with tempfile.TemporaryDirectory() as scratch:
        held = Path(scratch) / "held.txt"
        held.write_text("".join(sorted(here)))
        command = [
            *(
                program("uv"),
                "pip",
                "compile",
                str(PROJECT),
                "--extra",
                "dev",
                "--universal",
                "--python-version",
                "3.11",
            ),
            *("--generate-hashes", "--no-annotate", "--no-header", "--constraints", str(held), "--quiet"),
        ]
        done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"uv found no versions that fit together:\n{done.stderr}")
    head = "# Written by `make lock`: what the tests ran with. pip install --require-hashes -r requirements.lock\n"
    LOCK.write_text(head + done.stdout)
    return 0


def audit(strict: bool) -> int:
    """Known vulnerabilities of what is pinned."""
    command = [program("pip-audit"), "--requirement", str(LOCK), "--no-deps", "--disable-pip", "--format", "json"]
    done = subprocess.run(command, capture_output=True, text=True)
    try:
        rows = json.loads(done.stdout)["dependencies"]
    except (ValueError, LookupError):
        print(f"Not audited: the register of vulnerabilities cannot be asked ({done.stderr.strip()[-200:]}).")
        return 1 if strict else 0
    bad = [(row["name"], row["version"], found) for row in rows for found in row.get("vulns", ())]
    for name, version, found in bad:
        mended = ", ".join(found["fix_versions"]) or "nothing yet"
        print(f"! {name} {version}: {found['id']}; mended by {mended}")
    skipped = [row["name"] for row in rows if "skip_reason" in row]
    print(f"{len(rows) - len(skipped)} of {len(rows)} packages audited, {len(bad)} known vulnerabilities.")
    if skipped:
        some = ", ".join(skipped[:3]) + (f" and {len(skipped) - 3} more" if len(skipped) > 3 else "")
        why = next(row["skip_reason"] for row in rows if "skip_reason" in row)
        print(f"Not audited: {some} (of the first: {why}).")
    return 1 if bad or (strict and len(skipped) == len(rows)) else 0


def program(name: str) -> str:
    """Where a program lies: beside this interpreter, else on PATH."""
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.is_file() else shutil.which(name)
    return found or sys.exit(f"There is no {name} here: pip install {name}.")


def licences() -> int:
    """A table of all that is needed here."""
    unknown, users, found = 0, needed(EXTRAS), needed(("dev",))
    for name, version in sorted(found.items()):
        said = licence(name)
        bad = name in users and not any(re.search(rf"\b{word}", said.lower()) for word in FREE)
        unknown += bad
        print(f"{'!' if bad else ' ' if name in users else 't'} {name:31} {version:16} {said}")
    print("t: for development only, comes with no installation of a user; !: not known to be compatible")
    return 1 if unknown else 0


def check() -> int:
    """Whether the lock is that of today's requirements."""
    for line in (said := unlocked()):
        print(f"requirements.lock: {line}")
    return 1 if said else 0


def main() -> int:
    deeds = {"lock": lock, "check": check, "licences": licences, "audit": lambda: audit("--strict" in sys.argv[2:])}
    if sys.argv[1:2] and sys.argv[1] in deeds:
        return deeds[sys.argv[1]]()
    sys.exit(__doc__)


if __name__ == "__main__":
    sys.exit(main())
