"""What a method is called on the command line, and the `Options` it means.

    [DEBLUR+]LENS[:OPTION=VALUE[,OPTION=VALUE...]]

`blurnet`, `richardson-lucy+plain`, `blurnet:depth=raw`, `lens:steps=8000`, `restormer+plain:deblur.weights=FILE`. An
option is one of the lens model's own (`depth` of `blurnet` is `--blurnet.depth`) or any other of `reconstruct`, without
its dashes. No torch: the command line checks methods before anything is loaded.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import fields, is_dataclass, replace
from typing import get_args

import tyro

from macrosplat.options import Lens, Options
from macrosplat.support.errors import MacrosplatError

_METHOD = re.compile(rf"(?:(?P<deblur>.+)\+)?(?P<lens>{'|'.join(get_args(Lens))})(?::(?P<changes>.*))?", re.DOTALL)
OWNED_BY_THE_GRID = ("seed", "device", "lens", "deblur_first")  # said elsewhere, once


def options_of(method: str, base: Options) -> Options:
    """`base` as a method changes it.

    Raises:
        MacrosplatError: there is no such lens model or option, or the value is none of the option's.
    """
    parts = _METHOD.fullmatch(method)
    if parts is None:
        raise MacrosplatError(
            f"{method} is not a method; it is [DEBLUR+]LENS[:OPTION=VALUE,...] with LENS one of "
            f"{', '.join(get_args(Lens))}, like richardson-lucy+plain or blurnet:depth=raw."
        )
    options = replace(base, lens=parts["lens"], deblur_first=parts["deblur"] or "none")
    words = []
    for change in parts["changes"].split(",") if parts["changes"] else ():
        name, equals, value = change.partition("=")
        if not equals:
            raise MacrosplatError(f"{method}: {change} says no value; write {change}=VALUE.")
        words += [f"--{_full_name(name.strip(), parts['lens'], options, method)}", value.strip()]
    if not words:
        return options
    try:
        return tyro.cli(Options, default=options, args=words, console_outputs=False)
    except SystemExit as error:
        raise MacrosplatError(
            f"{method}: {' '.join(words)} is nothing that `macrosplat reconstruct` takes; see its --help."
        ) from error


def _full_name(name: str, lens: str, options: Options, method: str) -> str:
    """The option as `reconstruct` calls it, without dashes: depth of blurnet is blurnet.depth."""
    name, known = name.replace("_", "-"), set(_names(options))
    if f"{lens}.{name}" in known:
        return f"{lens}.{name}"
    if name not in known or name.replace("-", "_") in OWNED_BY_THE_GRID:
        own = [other.split(".", 1)[1] for other in sorted(known) if other.startswith(f"{lens}.")]
        there = f" ({lens} has {', '.join(own)})" if own else ""
        raise MacrosplatError(f"{method}: a method has no option {name}{there}; see `macrosplat reconstruct --help`.")
    return name


def _names(record: object, prefix: str = "") -> list[str]:
    names = []
    for field in fields(record):  # type: ignore[arg-type]
        name, value = prefix + field.name.replace("_", "-"), getattr(record, field.name)
        names += _names(value, f"{name}.") if is_dataclass(value) else [name]
    return names


def folder_of(method: str) -> str:
    """A folder's name for a method: itself, where a file system takes it; two methods never share one."""
    told = method.replace(":", ".")
    plain = re.sub(r"[^A-Za-z0-9+=.,_-]+", "_", told)
    if plain == told and len(plain) <= 100:
        return plain
    return f"{plain[:80]}.{hashlib.sha256(method.encode()).hexdigest()[:8]}"
