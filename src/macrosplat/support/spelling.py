"""Typing errors of a command line, answered with what was probably meant, before the parser sees them.

In: words, and the records of the commands. Out: a sentence, or None where nothing is misspelt.
"""

from __future__ import annotations

import dataclasses
import difflib
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, get_args, get_origin, get_type_hints

from tyro.conf import Positional

ALWAYS = ("--help", "-h", "--help-baselines")


def misspelt(words: Sequence[str], commands: Mapping[str, type]) -> str | None:
    """What is no command, no option of its command, or no value that an option may have; and what may be meant."""
    if not words or words[0].startswith("-"):
        return None
    if words[0] not in commands:
        return f"There is no command {words[0]}{_or(words[0], commands, 'macrosplat --help')}"
    extra = [word for word in words[1:3] if not word.startswith("-")]
    if len(extra) == 2 and _one_word(commands[words[0]]):
        return (
            f"`{words[0]}` takes one folder or file, and here are {extra[0]} and {extra[1]}; of photos, name the "
            "folder that holds them."
        )
    known = dict(options_of(commands[words[0]]))
    for n, word in enumerate(words[1:], 1):
        if word == "--":
            return None
        if not word.startswith("--") or word in ALWAYS:
            continue
        name, given, value = word.partition("=")
        name = "--" + name[2:].replace("_", "-")
        if name not in known:
            return f"`{words[0]}` has no option {name}{_or(name, known, f'macrosplat {words[0]} --help')}"
        choices = known[name]
        value = value if given else next(iter(words[n + 1 : n + 2]), "")
        if choices and value and not value.startswith("--") and value not in choices:
            return f"{name} {value} is none of {', '.join(choices)}{_or(value, choices)}"
    return None


def _or(word: str, known: Sequence[str] | Mapping[str, Any], otherwise: str = "") -> str:
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    if near:
        return f"; did you mean {near[0]}?"
    return f"; `{otherwise}` lists them." if otherwise else "."


def options_of(record: type, before: str = "") -> Iterator[tuple[str, tuple[str, ...]]]:
    """Each option of a command's record by its name, with the words that it takes, if those are few."""
    hints = get_type_hints(record, include_extras=True)
    for field in dataclasses.fields(record):
        kind, extras = _bare(hints[field.name])
        if _positional(extras):
            continue
        names = [extra.name for extra in extras if getattr(extra, "name", None) is not None]
        name = (names[0] if names else field.name).replace("_", "-")
        if dataclasses.is_dataclass(kind):
            yield from options_of(typing.cast(type, kind), f"{before}{name}." if name else before)
            continue
        choices = tuple(str(one) for one in get_args(kind)) if get_origin(kind) is Literal else ()
        yield f"--{before}{name}", choices
        if kind is bool:
            yield f"--{before}no-{name}", ()


def _positional(extras: Sequence[Any]) -> bool:
    return any(extra in get_args(Positional[int])[1:] for extra in extras)


def _one_word(record: type) -> bool:
    """Whether a command takes one word, or none, besides its options."""
    hints = get_type_hints(record, include_extras=True)
    kinds = [_bare(hints[field.name]) for field in dataclasses.fields(record)]
    words = [kind for kind, extras in kinds if _positional(extras)]
    return len(words) <= 1 and not any(get_origin(kind) in (list, tuple) for kind in words)


def _bare(hint: Any) -> tuple[Any, tuple[Any, ...]]:
    """A type without its annotations and without None, and those annotations."""
    extras: list[Any] = []
    while True:
        if hasattr(hint, "__metadata__"):
            extras += hint.__metadata__
            hint = hint.__origin__
        elif get_origin(hint) in (typing.Union, types.UnionType) and len(get_args(hint)) == 2:
            inner = [one for one in get_args(hint) if one is not type(None)]
            if len(inner) != 1:
                return hint, tuple(extras)
            hint = inner[0]
        else:
            return hint, tuple(extras)
