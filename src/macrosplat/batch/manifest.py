"""The specimens of a collection: a table (CSV, JSONL), or a folder that holds a folder of photos for each.

In: the table, the options that all share. Out: `Specimen`s, or one sentence with the row and the field that is wrong.
"""

from __future__ import annotations

import csv
import functools
import hashlib
import io
import json
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec
import tyro

from macrosplat.options import Options
from macrosplat.photos.names import is_text
from macrosplat.support.errors import MacrosplatError
from macrosplat.support.files import expanded
from macrosplat.support.reading import read_bytes

LARGEST = 1 << 28  # bytes of a table: a million specimens
# Columns that are options of a specimen under a shorter name.
AS_OPTION = {"scale": "scale_mm", "mask": "masks", "targets": "targets"}
KNOWN = ("specimen", "folder", "options", *AS_OPTION)


@dataclass(frozen=True)
class Specimen:
    """One line of the table."""

    name: str
    folder: str  # of its photos: a path, or an address that fsspec knows (s3://...)
    options: Options
    fields: Mapping[str, Any] = field(default_factory=dict)  # further columns, as they stand there

    @property
    def key(self) -> str:
        """The name of its folder in DIR: its own where every file system takes it; two specimens never share one."""
        plain = re.sub(r"[^A-Za-z0-9+=.,_-]+", "_", self.name)
        if plain == self.name and len(plain) <= 100 and not plain.startswith("."):
            return plain
        return f"{plain[:80].lstrip('.')}.{hashlib.sha256(self.name.encode('utf-8', 'replace')).hexdigest()[:8]}"

    def words(self) -> list[str]:
        """The options as `macrosplat reconstruct` takes them: those that are not its defaults."""
        default = _flat(asdict(Options()))
        words = []
        for name, value in _flat(asdict(self.options)).items():
            if value == default[name]:
                continue
            option = name.replace("_", "-")
            # In one word where it would be taken for an option.
            words += [f"--{option}={value}"] if str(value).startswith("-") else [f"--{option}", str(value)]
        return words


def read_manifest(path: Path, shared: Options) -> list[Specimen]:
    """The specimens of a table or of a folder of folders, in its order.

    Args:
        shared: the options of all; a specimen's own come on top.

    Raises:
        MacrosplatError: one sentence: which row and field of which file is wrong, and why.
    """
    if path.is_dir():
        found = [Specimen(one.name, str(one.resolve()), shared) for one in sorted(path.iterdir()) if _is_capture(one)]
        if not found:
            raise MacrosplatError(
                f"{path} holds no folders: a collection is a folder with a folder of photos for each."
            )
    else:
        rows = _rows(path)
        found = [_specimen(row, f"{path}, row {n}", path.parent, shared) for n, row in rows]
        if not found:
            raise MacrosplatError(f"{path} lists no specimen; give a row for each.")
    _refuse_doubles(found, path)
    return found


def _is_capture(path: Path) -> bool:
    return path.is_dir() and not path.name.startswith(".")


def _rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Rows with their number in the file, the heading being row 1 of a CSV."""
    try:
        text = read_bytes(path, LARGEST).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise MacrosplatError(f"{path} is not UTF-8 text; save the table as CSV (UTF-8) or JSONL.") from error
    if path.suffix.lower() in (".jsonl", ".ndjson"):
        return _of_jsonl(text, path)
    return _of_csv(text, path)


def _of_jsonl(text: str, path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    for n, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise MacrosplatError(f"{path}, row {n}: this is not JSON ({error}); each line is one object.") from error
        if not is_text(json.dumps(row, ensure_ascii=False)):
            raise MacrosplatError(f"{path}, row {n}: it holds half characters (surrogates), which are no text.")
        if not isinstance(row, dict):
            raise MacrosplatError(f'{path}, row {n}: this is no object; write {{"specimen": ..., "folder": ...}}.')
        yield n, row


def _of_csv(text: str, path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    heading = text.partition("\n")[0]
    comma = max(",;\t", key=heading.count)  # spreadsheets of many countries write semicolons
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=comma, strict=True)
    names: list[str] | None = None
    try:
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if names is None:
                names = [cell.strip() for cell in cells]
                twice = next((name for name in names if names.count(name) > 1), None)
                if twice is not None:
                    raise MacrosplatError(f"{path}, row 1: the column {twice or 'without a name'} is there twice.")
                continue
            if len(cells) != len(names):
                raise MacrosplatError(
                    f"{path}, row {reader.line_num}: it has {len(cells)} cells where the heading has {len(names)}; put "
                    "text that holds a comma into quotes."
                )
            yield reader.line_num, dict(zip(names, cells, strict=True))
    except csv.Error as error:
        raise MacrosplatError(f"{path}, row {reader.line_num}: this is no CSV ({error}).") from error


def _specimen(row: dict[str, Any], where: str, base: Path, shared: Options) -> Specimen:
    name, folder = (_text(row, key, where) for key in ("specimen", "folder"))
    if any(ord(letter) < 32 for letter in name + folder):
        raise MacrosplatError(f"{where}, specimen: names of specimens and folders hold no control characters.")
    if "://" not in folder:
        folder = str((base / expanded(folder)).resolve())
    options = _with_words(_words(row.get("options"), where), shared, f"{where}, options")
    for column, option in AS_OPTION.items():
        value = row.get(column)
        if value is None or str(value).strip() == "":
            continue
        if not hasattr(options, option):
            raise MacrosplatError(f"{where}, {column}: `macrosplat reconstruct` has no --{option.replace('_', '-')}.")
        if column == "targets" and (base / str(value)).exists():
            value = (base / str(value)).resolve()
        options = _with_words((f"--{option.replace('_', '-')}", str(value).strip()), options, f"{where}, {column}")
    further = {key: value for key, value in row.items() if key not in KNOWN}
    return Specimen(name, folder, options, further)


def _text(row: dict[str, Any], key: str, where: str) -> str:
    if key not in row:
        raise MacrosplatError(f"{where}, {key}: there is no such column; a specimen needs a name and a folder.")
    value = row[key]
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or not value.strip():
        raise MacrosplatError(f"{where}, {key}: this is empty or no text; a specimen needs a name and a folder.")
    return value.strip()


def _words(given: Any, where: str) -> tuple[str, ...]:
    """`--width 320 --quality draft`, or {"width": 320, "quality": "draft"}."""
    if given is None or given == "":
        return ()
    if isinstance(given, dict):
        return tuple(word for key, value in given.items() for word in (f"--{str(key).replace('_', '-')}", str(value)))
    if not isinstance(given, str):
        raise MacrosplatError(f"{where}, options: write them as on the command line, or as an object.")
    try:
        return tuple(shlex.split(given))
    except ValueError as error:
        raise MacrosplatError(f"{where}, options: {given} cannot be read ({error}).") from error


def _with_words(words: tuple[str, ...], base: Options, where: str) -> Options:
    if not words:
        return base
    try:
        options = _parsed(words, base)
        return msgspec.convert(asdict(options), Options)  # what is no value of its type
    except MacrosplatError as error:
        raise MacrosplatError(f"{where}: {error}") from error
    except (SystemExit, msgspec.ValidationError) as error:
        raise MacrosplatError(
            f"{where}: {' '.join(words)} is nothing that `macrosplat reconstruct` takes; see its --help."
        ) from error


@functools.lru_cache(1024)  # most rows say the same
def _parsed(words: tuple[str, ...], base: Options) -> Options:
    name = words[0].removeprefix("--").replace("-", "_")
    if len(words) == 2 and name == "scale_mm":  # which differs from row to row, and is checked where it is used
        return replace(base, scale_mm=words[1])
    return tyro.cli(Options, default=base, args=list(words), console_outputs=False)


def _refuse_doubles(specimens: list[Specimen], path: Path) -> None:
    seen: dict[str, Specimen] = {}
    for one in specimens:
        other = seen.setdefault(one.key.casefold(), one)
        if other is not one:
            raise MacrosplatError(
                f"{path}: the specimens {other.name} and {one.name} would share one folder; give them different names."
            )


def _flat(options: dict[str, Any]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for name, value in options.items():
        if isinstance(value, dict):
            out |= {f"{name}.{inner}": v for inner, v in value.items()}
        else:
            out[name] = value
    return out
