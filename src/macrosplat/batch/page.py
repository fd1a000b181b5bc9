"""DIR/index.html: the collection to look at, offline: a card for each specimen, with its picture, state and figures.

In: specimens and where they stand. Out: one file without scripts; pictures lie beside it.
"""

from __future__ import annotations

import html
import importlib.resources
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Template
from typing import Any, get_args
from urllib.parse import quote

from macrosplat.batch.manifest import Specimen
from macrosplat.batch.state import Name, State
from macrosplat.support.files import write_whole
from macrosplat.support.progress import duration

# Nothing runs, nothing is asked of anybody: a name that got onto the page as markup could do nothing.
POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src 'self' file: data:; base-uri 'none'; form-action 'none'"
)
ORDER: tuple[Name, ...] = ("failed", "running", "interrupted", "waiting", "done")


def write_page(path: Path, title: str, rows: Sequence[tuple[Specimen, State]]) -> None:
    """Write it, whole or not at all."""
    page = as_html(path.parent, title, rows).encode("utf-8", "replace")
    write_whole(path, lambda part: part.write_bytes(page))


def as_html(folder: Path, title: str, rows: Sequence[tuple[Specimen, State]]) -> str:
    """The page, in the order of the manifest."""
    counts = Counter(state.state for _, state in rows)
    assert set(ORDER) == set(get_args(Name))
    told = ", ".join(f'<span class="{name}">{counts[name]} {name}</span>' for name in reversed(ORDER) if counts[name])
    trouble = [(specimen, state) for specimen, state in rows if state.state == "failed"]
    return Template(_template()).substitute(
        policy=POLICY,
        title=html.escape(title),
        about=f"{_several(len(rows), 'specimen')}: {told}" if rows else "No specimens.",
        trouble=_trouble(trouble),
        cards="\n".join(_card(folder, specimen, state) for specimen, state in rows),
    )


def _trouble(failed: Sequence[tuple[Specimen, State]]) -> str:
    if not failed:
        return ""
    lines = "\n".join(
        f'<li><a href="#{_anchor(specimen)}">{html.escape(specimen.name)}</a>: {html.escape(state.sentence or "")}</li>'
        for specimen, state in failed
    )
    hint = "<code>--retry failed</code> tries them again."
    return f'<section class="trouble"><h2>Failed</h2><ul>{lines}</ul><p class="soft">{hint}</p></section>'


def _card(folder: Path, specimen: Specimen, state: State) -> str:
    key, name = quote(specimen.key), html.escape(specimen.name)
    picture = (
        f'<img src="{key}/thumbnail.jpg" alt="" loading="lazy">' if state.thumbnail else '<div class="none"></div>'
    )
    if state.state == "done" and (folder / specimen.key / "run" / "index.html").is_file():
        name = f'<a href="{key}/run/index.html">{name}</a>'
        picture = f'<a href="{key}/run/index.html" tabindex="-1" aria-hidden="true">{picture}</a>'
    lines = _identity(specimen.fields)
    lines.append(f'<p><span class="state {state.state}">{state.state}</span>{_after(state)}</p>')
    if state.sentence:
        lines.append(f'<p class="sentence">{html.escape(state.sentence)}</p>')
    lines += [f"<p>{line}</p>" for line in _figures(state)]
    if specimen.fields:
        lines.append(f"<details><summary>Record</summary>{_record(specimen.fields)}</details>")
    return f'<article id="{_anchor(specimen)}">{picture}<h2>{name}</h2>{"".join(lines)}</article>'


def _identity(fields: Mapping[str, Any]) -> list[str]:
    """What a curator looks for first: the name of the taxon (Darwin Core's scientificName) and the catalogue number."""
    taxon, number = (html.escape(str(fields.get(name) or "")) for name in ("scientificName", "catalogNumber"))
    parts = [part for part in (f"<i>{taxon}</i>" if taxon else "", number) if part]
    return [f"<p>{' · '.join(parts)}</p>"] if parts else []


def _after(state: State) -> str:
    """What stands behind the state: how long it took, or how often it was tried."""
    said = []
    if state.state == "done" and state.figures.seconds:
        said.append(duration(state.figures.seconds))
    if state.attempts > 1:
        said.append(f"{state.attempts} attempts")
    return f' <span class="soft">{", ".join(said)}</span>' if said else ""


def _figures(state: State) -> list[str]:
    found = state.figures
    lines = []
    if found.fit_psnr is not None:
        fit = f"fit {found.fit_psnr:.1f} dB"
        photos = f"{found.registered} of {_several(found.photos, 'photo')}" if found.photos and found.registered else ""
        lines.append(", ".join(part for part in (fit, photos) if part))
    if found.trust is not None:
        because = f": {html.escape(found.trust_because)}" if found.trust_because else ""
        lines.append(
            f'trust <strong class="trust-{html.escape(found.trust)}">{html.escape(found.trust)}</strong>{because}'
        )
    if state.state == "done" and found.mm_per_unit is not None:
        sure = f" ± {100 * found.mm_uncertainty:.1f} %" if found.mm_uncertainty is not None else ""
        source = f", by {html.escape(found.mm_per_unit_source)}" if found.mm_per_unit_source else ""
        lines.append(f"a scene unit is {found.mm_per_unit:.4g} mm{sure}{source}")
    elif state.state == "done" and found.fit_psnr is not None:
        lines.append("scale unknown")
    return lines


def _record(fields: Mapping[str, Any]) -> str:
    """The manifest's further columns."""
    rows = "".join(
        f"<dt>{html.escape(name)}</dt><dd>"
        f"{html.escape(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))}</dd>"
        for name, value in fields.items()
        if value not in (None, "")
    )
    return f"<dl>{rows}</dl>"


def _anchor(specimen: Specimen) -> str:
    return html.escape(f"specimen-{specimen.key}")


def _several(count: int, thing: str) -> str:
    return f"{count:,} {thing}{'' if count == 1 else 's'}"


def _template() -> str:
    return importlib.resources.files("macrosplat.batch").joinpath("template.html").read_text(encoding="utf-8")
