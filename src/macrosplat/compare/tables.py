"""comparison.md and comparison.csv: what the cells found, per capture and method, mean and spread over the seeds.

In: finished cells (evaluation.json, cell.json, config.json). Out: the files, and `Results` to draw further tables from.
"""

from __future__ import annotations

import csv
import io
import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from macrosplat.compare.cells import Cell
from macrosplat.evaluate.fine import BUCKETS
from macrosplat.evaluate.records import DEBLURRED, HELD_OUT, INPUT, NOVEL
from macrosplat.run import Run
from macrosplat.support.errors import MacrosplatError
from macrosplat.support.files import write_whole

SECTIONS = (DEBLURRED, NOVEL, HELD_OUT)
PLACES = ("mask", "frame")
# By how blurred the photos are, on the mask where there is one.
FINE = {**dict.fromkeys(BUCKETS, "psnr"), "sharpness": "sharpness", "likeness": "likeness"}  # place to figure
FIGURES = {"psnr": ("PSNR", 2), "ssim": ("SSIM", 4), "flip": ("FLIP", 4), "lpips": ("LPIPS", 4)}  # title, digits


@dataclass(frozen=True)
class Result:
    """One finished cell."""

    cell: Cell
    capture: str
    figures: dict[tuple[str, str, str], float]  # (section, place, figure), and ("cost", "", seconds or memory)
    about: dict[str, Any]  # cell.json
    width: int


Results = list[Result]


def read_results(cells: Sequence[Cell]) -> Results:
    """What finished cells found.

    Raises:
        MacrosplatError: a file is missing or damaged.
    """
    return [_read(cell) for cell in cells]


def write_tables(out: Path, cells: Sequence[Cell], left: Sequence[Cell], command: Sequence[str] = ()) -> Results:
    """Write comparison.md and comparison.csv of finished `cells`; those `left` are named."""
    results = read_results(cells)
    text = "\n\n".join(_document(results, left, command)) + "\n"
    write_whole(out / "comparison.md", lambda part: part.write_text(text, encoding="utf-8"))
    write_whole(out / "comparison.csv", lambda part: part.write_text(_csv(results), encoding="utf-8"))
    return results


def short_table(results: Results) -> str:
    """A row per method: PSNR of deblurred photos on the mask (else the frame) and of novel views, best in bold."""
    captures = list(dict.fromkeys(result.capture for result in results))
    columns: list[tuple[str, str, tuple[str, str, str]]] = []
    for capture in captures:
        own = [result for result in results if result.capture == capture]
        for section in SECTIONS:
            place = next((p for p in PLACES if any((section, p, "psnr") in r.figures for r in own)), None)
            if place:
                columns.append((capture, f"{capture}, {section} ({place})", (section, place, "psnr")))
    rows = [["photos as taken"]]
    for capture, _, (section, place, figure) in columns:
        taken = [r.figures.get((INPUT, place, figure)) for r in results if r.capture == capture]
        rows[0].append(f"{taken[0]:.2f}" if section == DEBLURRED and taken and taken[0] is not None else "")
    methods = list(dict.fromkeys(result.cell.method for result in results))
    best = {}
    for capture, title, key in columns:
        means = [_mean(_values(results, capture, method, key)) for method in methods]
        best[title] = max((m for m in means if m is not None), default=None)
    for method in methods:
        row = [f"`{method}`"]
        for capture, title, key in columns:
            values = _values(results, capture, method, key)
            text = _cell(values, "psnr")
            row.append(f"**{text}**" if values and _mean(values) == best[title] else text)
        rows.append(row)
    return _markdown(["PSNR, dB", *(title for _, title, _ in columns)], rows)


def _document(results: Results, left: Sequence[Cell], command: Sequence[str]) -> list[str]:
    first = results[0]
    seeds = sorted({result.cell.seed for result in results})
    devices = sorted({str(result.about["device"]) for result in results})
    jobs = max(result.about["jobs"] for result in results)
    options = first.cell.options
    spread = "mean ± standard deviation over seeds" if len(seeds) > 1 else "one seed"
    parts = ["# Comparison"]
    if command:
        parts.append(f"    macrosplat {shlex.join(command)}")
    parts.append(
        f"{', '.join(f'{w} px wide' for w in sorted({r.width for r in results}))}, quality {options.quality}, seeds "
        f"{', '.join(map(str, seeds))} ({spread}), on {', '.join(devices)}, {jobs} at a time. Masks: {options.masks}."
    )
    parts.append(short_table(results))
    for capture in dict.fromkeys(result.capture for result in results):
        own = [result for result in results if result.capture == capture]
        parts.append(f"## {capture}")
        for section in SECTIONS:
            for place in PLACES:
                if any((section, place, "psnr") in result.figures for result in own):
                    where = "on the mask" if place == "mask" else "whole frame"
                    parts += [f"{section[0].upper()}{section[1:]}, {where}:", _section(own, capture, section, place)]
        if any((DEBLURRED, place, figure) in result.figures for result in own for place, figure in FINE.items()):
            parts += [BY_RADIUS, _by_radius(own, capture)]
        parts += ["What it took (training, without finding cameras and points):", _costs(own, capture)]
    if left:
        parts.append(f"Not finished: {', '.join(cell.name for cell in left)}.")
    return parts


def _section(own: Results, capture: str, section: str, place: str) -> str:
    figures = [f for f in FIGURES if any((section, place, f) in result.figures for result in own)]
    rows = []
    if section == DEBLURRED:
        taken = [own[0].figures.get((INPUT, place, f)) for f in figures]
        rows.append(
            ["photos as taken", *("" if v is None else _digits(v, f) for v, f in zip(taken, figures, strict=True))]
        )
    for method in dict.fromkeys(result.cell.method for result in own):
        row = [f"`{method}`"]
        rows.append(row + [_cell(_values(own, capture, method, (section, place, f)), f) for f in figures])
    return _markdown(["", *(FIGURES[f][0] for f in figures)], rows)


BY_RADIUS = (
    "Deblurred photos, PSNR by the radius of the circle of confusion (px), energy above half of the Nyquist frequency "
    "over the truth's, and its correlation with the truth's:"
)


def _by_radius(own: Results, capture: str) -> str:
    places = [(p, f) for p, f in FINE.items() if any((DEBLURRED, p, f) in result.figures for result in own)]

    def text(values: Sequence[float], figure: str) -> str:
        return f"{fmean(values):.{2 if figure == 'psnr' else 3}f}" if values else ""

    taken = [[own[0].figures[INPUT, p, f]] if (INPUT, p, f) in own[0].figures else [] for p, f in places]
    rows = [["photos as taken", *(text(values, f) for values, (_, f) in zip(taken, places, strict=True))]]
    for method in dict.fromkeys(result.cell.method for result in own):
        found = (text(_values(own, capture, method, (DEBLURRED, p, f)), f) for p, f in places)
        rows.append([f"`{method}`", *found])
    return _markdown(["", *(p for p, _ in places)], rows)


def _costs(own: Results, capture: str) -> str:
    rows = []
    gpu = any(("cost", "", "gpu_memory_gb") in result.figures for result in own)
    for method in dict.fromkeys(result.cell.method for result in own):
        seconds, memory, on_gpu = (
            _mean(_values(own, capture, method, ("cost", "", n))) for n in ("seconds", "memory_gb", "gpu_memory_gb")
        )
        row = [f"`{method}`", f"{seconds:.0f}", f"{memory:.1f}"]
        rows.append(row + ([f"{on_gpu:.1f}" if on_gpu is not None else ""] if gpu else []))
    return _markdown(["", "seconds", "peak memory, GB", *(["peak GPU memory, GB"] if gpu else [])], rows)


def _csv(results: Results) -> str:
    """A row per cell, section and place: to compute with."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    cost = ("seconds", "memory_gb", "gpu_memory_gb")
    writer.writerow(["capture", "method", "seed", "section", "where", *FIGURES, *cost, "device"])
    for result in results:
        for section in (INPUT, *SECTIONS):
            for place in (*PLACES, *BUCKETS):
                found = [result.figures.get((section, place, figure)) for figure in FIGURES]
                if any(value is not None for value in found):
                    spent = [result.figures.get(("cost", "", name)) for name in cost]
                    row = [result.capture, result.cell.method, result.cell.seed, section, place]
                    numbers = ["" if value is None else f"{value:.6g}" for value in [*found, *spent]]
                    writer.writerow([*row, *numbers, result.about["device"]])
    return file.getvalue()


def _read(cell: Cell) -> Result:
    found, about = _json(Run(cell.folder).evaluation), _json(Run(cell.folder).cell)
    try:
        figures = {
            (section, place, figure): float(value)
            for section, means in found["means"].items()
            for place in PLACES
            for figure, value in (means[place] or {}).items()
        }
        for section, means in found["means"].items():
            measured = means.get("fine") or {}
            for place, value in {**measured.get("psnr_by_radius", {}), **measured}.items():
                if place in FINE:
                    figures[section, place, FINE[place]] = float(value)
        for name in ("seconds", "memory_gb", "gpu_memory_gb"):
            if about[name] is not None:
                figures["cost", "", name] = float(about[name])
        return Result(cell, cell.folder.parent.parent.name, figures, about, int(found["width"]))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise MacrosplatError(
            f"The results in {cell.folder} are damaged ({error}); remove it and run again."
        ) from error


def _json(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise MacrosplatError(f"{path} cannot be read ({error}); remove {path.parent} and run again.") from error


def _values(results: Results, capture: str, method: str, key: tuple[str, str, str]) -> list[float]:
    own = [r for r in results if r.capture == capture and r.cell.method == method]
    return [r.figures[key] for r in own if key in r.figures]


def _mean(values: Sequence[float]) -> float | None:
    return fmean(values) if values else None


def _digits(value: float, figure: str) -> str:
    return f"{value:.{FIGURES[figure][1]}f}"


def _cell(values: Sequence[float], figure: str) -> str:
    """Mean ± standard deviation."""
    if not values:
        return ""
    text = _digits(fmean(values), figure)
    return f"{text} ± {_digits(stdev(values), figure)}" if len(values) > 1 else text


def _markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    # A bar in a cell would end it.
    return "\n".join("| " + " | ".join(cell.replace("|", r"\|") for cell in line) + " |" for line in lines)
