"""The rooms and the direction of imports: an import points down the flow, and no two files import each other.

The order stands here, once; docs/layout.md is held to it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest

PACKAGE = "macrosplat"
ROOT = Path(__file__).parents[1]

# Ground floor first: a room may import itself and those before it. A file beside the rooms is a room of its own.
ROOMS = (
    "support",
    "options",
    "photos",
    "cameras",
    "brackets",
    "capture",
    "deblur",
    "scene",
    "render",
    "lens",
    "model",
    "train",
    "manifest",
    "run",
    "missing",
    "output",
    "stack",
    "export",
    "evaluate",
    "loaded",
    "live",
    "web",
    "studio",
    "loading",
    "loop",
    "placing",
    "pipeline",
    "compare",
    "batch",
    "demo",
    "bench",
    "cli",
    "__main__",
    "__init__",  # the public names, which load their rooms when they are first used
)
# Though the order would allow it: a lens is handed renders, and knows nothing of what they are made from.
CLOSED = {("lens", "scene")}


@dataclass(frozen=True)
class Import:
    source: str  # a module, without the package's name; "" is the package itself
    target: str
    line: int


def modules_of(folder: Path) -> dict[str, str]:
    """Source texts by module, `lens.thin`; a room's `__init__` is called as the room."""
    found = {}
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(folder).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path.read_text(encoding="utf-8")
    return found


def imports_of(modules: dict[str, str], folders: Iterable[str] = ()) -> list[Import]:
    """Every import of the package by itself, wherever it stands: in a function, or for a type checker only.

    Args:
        folders: modules that are packages, for imports that begin with dots.
    """
    packages = {"", *folders} | {name.rpartition(".")[0] for name in modules}
    found = []
    for source, text in modules.items():
        for node in ast.walk(ast.parse(text)):
            targets: list[str] = []
            if isinstance(node, ast.ImportFrom):
                base = (node.module or "").split(".") if node.module else []
                if node.level:
                    here = source.split(".") if source else []
                    here = here if source in packages else here[:-1]
                    base = [PACKAGE, *here[: len(here) - (node.level - 1)], *base]
                if base[:1] == [PACKAGE]:
                    inner = ".".join(base[1:])
                    for alias in node.names:
                        full = f"{inner}.{alias.name}".lstrip(".")
                        targets.append(full if full in modules else inner)
            elif isinstance(node, ast.Import):
                names = [alias.name.split(".") for alias in node.names]
                targets = [".".join(name[1:]) for name in names if name[0] == PACKAGE]
            found += [Import(source, target, node.lineno) for target in dict.fromkeys(targets) if target != source]
    return found


def room_of(module: str) -> str:
    return module.partition(".")[0] or "__init__"


def against_the_flow(modules: dict[str, str]) -> list[str]:
    """A sentence for each import that the order or `CLOSED` forbids."""
    found = []
    for one in imports_of(modules):
        source, target = room_of(one.source), room_of(one.target)
        above = source != target and ROOMS.index(target) > ROOMS.index(source)
        if above or (source, target) in CLOSED:
            found.append(f"{one.source}, line {one.line}, imports {one.target}: {source} stands before {target}")
    return found


def circles(edges: Iterable[tuple[str, str]]) -> list[list[str]]:
    """Groups of nodes that reach each other (Tarjan 1972)."""
    after: dict[str, set[str]] = {}
    for source, target in edges:
        after.setdefault(source, set()).add(target)
    number: dict[str, int] = {}
    low: dict[str, int] = {}
    path: list[str] = []
    found: list[list[str]] = []

    def visit(node: str) -> None:
        number[node] = low[node] = len(number)
        path.append(node)
        for other in sorted(after.get(node, ())):
            if other not in number:
                visit(other)
            if other in path:
                low[node] = min(low[node], low[other])
        if low[node] == number[node]:
            group = path[path.index(node) :]
            del path[path.index(node) :]
            if len(group) > 1:
                found.append(sorted(group))

    for node in sorted(after):
        if node not in number:
            visit(node)
    return found


@pytest.fixture(scope="module")
def modules() -> dict[str, str]:
    return modules_of(ROOT / "src" / PACKAGE)


def test_every_room_has_its_place(modules: dict[str, str]) -> None:
    assert {room_of(name) for name in modules} == set(ROOMS)


def test_no_import_points_against_the_flow(modules: dict[str, str]) -> None:
    assert against_the_flow(modules) == []


def test_no_circle_among_files(modules: dict[str, str]) -> None:
    assert circles((one.source, one.target) for one in imports_of(modules)) == []


PLANTED = {
    "at the top": "from macrosplat.train.trainer import Trainer\n",
    "whole": "import macrosplat.train.trainer\n",
    "of a package": "from macrosplat.train import trainer\n",
    "with dots": "from ..train.trainer import Trainer\n",
    "in a function": "def late():\n    from macrosplat.train.trainer import Trainer\n    return Trainer\n",
    "for a type checker": (
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from macrosplat.train.trainer import Trainer\n"
    ),
}


@pytest.mark.parametrize("where", PLANTED)
def test_an_import_against_the_flow_is_noticed(modules: dict[str, str], where: str) -> None:
    planted = modules | {"scene.start": modules["scene.start"] + "\n" + PLANTED[where]}
    (sentence,) = against_the_flow(planted)
    assert sentence.startswith("scene.start, line ") and sentence.endswith(": scene stands before train")


def test_a_lens_that_looks_at_the_scene_is_noticed(modules: dict[str, str]) -> None:
    planted = modules | {"lens.plain": "from macrosplat.scene.gaussians import Gaussians\n" + modules["lens.plain"]}
    assert len(against_the_flow(planted)) == 1


def test_a_circle_among_files_of_one_room_is_noticed(modules: dict[str, str]) -> None:
    planted = modules | {
        "photos.records": modules["photos.records"] + "\nfrom macrosplat.photos.read import find_photos\n"
    }
    (circle,) = circles((one.source, one.target) for one in imports_of(planted))
    assert {"photos.records", "photos.read"} <= set(circle)


def test_the_layout_in_the_documentation_is_the_one_held_here() -> None:
    """Its list of rooms has every room, in this order, and no path in it leads nowhere."""
    text = (ROOT / "docs" / "layout.md").read_text(encoding="utf-8")
    listed = re.findall(r"^ {4}(\w+)(?:/|\.py) ", text, re.MULTILINE)
    assert listed == [room for room in ROOMS if not room.startswith("__")]
    for path in re.findall(r"`([\w/]+\.(?:py|md))`", text):
        if path.startswith("x_"):  # stands for any stage
            continue
        assert (ROOT / path).exists() or (ROOT / "src" / PACKAGE / path).exists(), path
