"""What README and docs tell people to type is what the program takes, and every file that they name is there."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import tyro

import macrosplat
from macrosplat import cli
from macrosplat.cli import COMMANDS, Command
from macrosplat.support.spelling import misspelt

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
PROGRAM = re.compile(r"^(?:\.venv/bin/)?macrosplat\s")
# Words that stand for something else, by what they may be.
STANDING_FOR = {"...": [], "CAPTURE": ["photos"], "[OPTIONS]": []}


def lines_of(text: str) -> Iterator[str]:
    """Lines of code blocks, continued ones joined, without what is said behind them."""
    fenced, language, held = False, "", ""
    for line in text.splitlines():
        if line.lstrip().startswith("```"):
            fenced, language = not fenced, line.strip().strip("`")
            continue
        if not (fenced and language in ("", "sh", "bash", "console")) and not (not fenced and line.startswith("    ")):
            continue
        line = re.sub(r"\s+(#|>)\s.*$", "", line).strip()
        if line.endswith("\\"):
            held += line[:-1] + " "
            continue
        yield held + line
        held = ""


def spans_of(text: str) -> Iterator[str]:
    """What stands between single backticks in running text."""
    text = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    yield from (span.replace("\n", " ") for span in re.findall(r"`([^`]+)`", text))


def commands(page: Path) -> list[tuple[str, bool]]:
    """Each with whether it is complete: in running text what goes without saying is left out."""
    text = page.read_text(encoding="utf-8")
    found = [(line, True) for line in lines_of(text)] + [(span, False) for span in spans_of(text)]
    return [(line, complete) for line, complete in found if PROGRAM.match(line)]


EVERY = [(page.name, line, complete) for page in PAGES for line, complete in commands(page)]


def test_there_are_some() -> None:
    assert len(EVERY) > 25 and {"README.md", "installing.md", "watching.md"} <= {name for name, *_ in EVERY}


@pytest.mark.parametrize(("page", "line", "complete"), EVERY, ids=[f"{one[0]}: {one[1][:50]}" for one in EVERY])
def test_the_program_takes_what_is_to_be_typed(page: str, line: str, complete: bool) -> None:
    words = [new for word in shlex.split(line)[1:] for new in STANDING_FOR.get(word, [word])]
    if words[:1] in (["--version"], ["--completion"], ["--help"]):
        assert cli.main(words) == 0 if words != ["--help"] else True
        return
    words = cli._resumed(words)
    assert words[0] in COMMANDS, f"{page}: there is no command {words[0]}"
    assert misspelt(words, COMMANDS) is None, page
    if not complete or "--help" in words or "--help-baselines" in words:
        return
    try:
        tyro.cli(Command, prog="macrosplat", args=words)  # type: ignore[arg-type]
    except SystemExit as left:
        pytest.fail(f"{page}: `{line}` is refused ({left.code})")


def test_files_and_links_are_there() -> None:
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
            if "://" not in target and not target.startswith("mailto:"):
                assert (page.parent / target).exists(), f"{page.name} links to {target}"
        for script in re.findall(r"(?:python|`)\s*((?:benchmarks|tools|examples)/\w+\.py)", text):
            assert (ROOT / script).is_file(), f"{page.name} names {script}"
        made = (ROOT / "Makefile").read_text(encoding="utf-8")
        for target in (line.split()[1] for line in lines_of(text) if re.match(r"make \w", line)):
            assert re.search(rf"^{target}:", made, re.MULTILINE), f"{page.name}: make {target}"


def test_python_in_the_docs_names_what_there_is() -> None:
    found = 0
    for page in PAGES:
        for code in re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
            for node in ast.walk(ast.parse(code)):
                if (
                    isinstance(node, ast.Attribute)
                    and isinstance(node.value, ast.Name)
                    and node.value.id == "macrosplat"
                ):
                    assert hasattr(macrosplat, node.attr), f"{page.name}: macrosplat.{node.attr}"
                    found += 1
    assert found
