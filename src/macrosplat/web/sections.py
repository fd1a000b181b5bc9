"""The parts of the page as HTML. In: plain facts. Out: text, empty where there is nothing to say."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

from macrosplat.evaluate.means import Means
from macrosplat.output.lens_report import LensReport, describe
from macrosplat.run import Manifest


def tools(facts: dict[str, Any], coverage: bool) -> str:
    """Sliders, buttons, and the choice of a photo's view."""
    near, far = facts["focus_range"]
    most = 3 * facts["pupil"]
    options = "".join(f'<option value="{i}">{html.escape(p["name"])}</option>' for i, p in enumerate(facts["photos"]))
    button = '<button id="coverage" aria-pressed="false">Coverage</button>' if coverage else ""
    views = f'<label>View of <select id="photo">{options}</select></label>'
    if len(facts["photos"]) == 1:  # nothing to choose
        views = f"<span hidden>{views}</span>"
    taken = "As photographed" if facts["photos"][0]["focus"] else "Through a lens"
    return (
        '<div class="tools" role="group" aria-label="Lens and view">'
        '<div class="row"><span class="choice"><button id="sharp" aria-pressed="true">Sharp</button>'
        f'<button id="taken" aria-pressed="false">{taken}</button></span>{button}</div>'
        f'<div class="row end">{views}<button id="back" title="Back to where this view began">Reset</button></div>'
        f'<label class="slider">Aperture <input id="aperture" type="range" min="0" max="{most:.6g}" '
        f'step="{most / 300:.6g}" value="0"><output id="aperture-value" for="aperture"></output></label>'
        f'<label class="slider">Focus <input id="focus" type="range" min="{near:.6g}" max="{far:.6g}" '
        f'step="{(far - near) / 500:.6g}" value="{facts["focus"]:.6g}"><output id="focus-value" for="focus"></output>'
        "</label></div>"
    ) + (COVERAGE_LEGEND if coverage else "")


COVERAGE_LEGEND = (
    '<p class="soft" id="coverage-legend" hidden>Coverage: in focus in no photo <span class="legend" '
    'style="background: linear-gradient(90deg, #d63027, #fdae61, #ffffbf, #91bfdb, #4575b5)"></span> in focus in some '
    "photo; grey: seen by none.</p>"
)
HINT = (
    '<p class="soft"><span class="keys">Drag to turn, scroll to come nearer (or arrow keys, + and −). Click the scene '
    'to focus there.</span><span class="touch">Drag to turn, pinch to come nearer, tap the scene to focus there.</span>'
    "</p>"
)


def about(photos: int, gaussians: int) -> str:
    """The line below the title."""
    parts = [f"{photos} photos"] if photos > 1 else []
    return " · ".join([*parts, f"{gaussians:,} Gaussians"])


def lens(report: LensReport | None) -> str:
    """The lens as found, in millimetres where the scale is known."""
    if report is None:
        return ""
    mm, unit = (report.mm_per_unit, "mm") if report.mm_per_unit else (1.0, "scene units")
    focus = [value * mm for value in report.focus_distances.values()]
    rows = {
        "Entrance pupil": f"{report.pupil_diameter * mm:.4g} {unit} wide",
        "Focused at": f"{min(focus):.4g} to {max(focus):.4g} {unit} from the pupil",
        "Blur left in focus": f"{report.sigma0_px:.2g} px (standard deviation)",
    }
    found = describe(report)
    if found["f_number"]:
        rows["F-number"] = f"f/{found['f_number']:.3g}"
    if found["magnification"]:
        rows["Magnification"] = f"{found['magnification']:.2g}, effectively f/{found['effective_f_number']:.3g}"
    return f"<h2>The lens</h2>{_table(rows)}"


def photos(facts: dict[str, Any], pictures: list[str | None], blur: Sequence[float | None]) -> str:
    """Every photo that has both sides, with a wiper between them.

    Args:
        pictures: [3 V] data addresses: as taken, sharp, circles of confusion.
        blur: [V] the largest diameter of the circle of confusion, px of the training width.
    """
    shown = facts["photos"]
    count = len(pictures) // 3
    before, after, circles = pictures[:count], pictures[count : 2 * count], pictures[2 * count :]
    figures = []
    for i in range(count):
        if before[i] is None and after[i] is None:
            continue
        name, most = html.escape(shown[i]["name"]), blur[i] if i < len(blur) else None
        figures.append(
            f"<figure>{_wiper(name, before[i], after[i], circles[i])}<figcaption><span>{name}</span>"
            f"<span class='soft'>{_where(facts, shown[i]['focus'], most)}</span>"
            f'<button data-photo="{i}" aria-label="Show {name} in 3D">Show in 3D</button></figcaption></figure>'
        )
    if not figures:
        return ""
    choice = (
        '<p class="row"><span>Right of the line:</span><span class="choice">'
        '<button id="sharps" aria-pressed="true">Sharp</button>'
        '<button id="circles" aria-pressed="false">Circle of confusion</button></span></p>'
        f"{CIRCLES_LEGEND}"
    )
    text = '<p class="soft">Left of the line as taken, right of it sharp. Drag the line.</p>'
    above = choice if any(circles) else text
    return f'<h2>Photos</h2>{above}<div class="photos">{"".join(figures)}</div>'


CIRCLES_LEGEND = (
    '<p class="soft" id="circles-legend" hidden>Before the focus <span class="legend" style="background: '
    'linear-gradient(90deg, #053061, #4294c2, #fff, #d6614d, #66001f)"></span> behind it; white: in focus; dark: '
    "nothing there. The ends are each photo's widest blur.</p>"
)


def _wiper(name: str, before: str | None, after: str | None, circle: str | None) -> str:
    """Left of a line as taken, right of it sharp or the circle of confusion."""
    first = f'<img alt="{name} as taken" src="{before or after}">'
    if before is None or after is None:
        return first
    second = f'<img class="sharp" alt="{name} sharp" src="{after}">'
    third = f'<img class="circle" alt="{name}: circle of confusion" src="{circle}">' if circle else ""
    wiper = f'<input type="range" min="0" max="100" value="50" aria-label="{name}: as taken to sharp">'
    return f'<div class="wiper">{first}{second}{third}{wiper}</div>'


def _where(facts: dict[str, Any], focus: float | None, blur: float | None) -> str:
    """Where a photo is focused, and how blurred it is."""
    unit, scale = ("mm", facts["mm_per_unit"]) if facts["mm_per_unit"] else ("scene units", 1.0)
    parts = [f"focused at {focus * scale:.4g} {unit}"] if focus else []
    return ", ".join([*parts, *([f"blur up to {blur:.2g} px"] if blur else [])])


def quality(means: Mapping[str, Means]) -> str:
    """Figures against a truth, where there was one, by what was compared."""
    masked = any(figures.mask for figures in means.values())
    rows = []
    for name, figures in means.items():
        parts = [figures.frame or {}, *([figures.mask or {}] if masked else [])]
        cells = [f"{part[k]:.{digits}f}" if k in part else "" for part in parts for k, digits in _FIGURES.items()]
        rows.append(f"<tr><th>{html.escape(name)}</th>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>")
    if not rows:
        return ""
    areas = "".join(f'<th colspan="3">{area}</th>' for area in ("whole frame", "object")[: 1 + masked])
    names = "".join(f"<th>{key.upper()}</th>" for key in _FIGURES) * (1 + masked)
    head = f"<thead><tr><td></td>{areas}</tr><tr><td></td>{names}</tr></thead>"
    text = "Compared with the truth. PSNR (dB) and SSIM: more is better; FLIP: less is."
    table = f'<div class="wide"><table>{head}{"".join(rows)}</table></div>'
    return f'<h2>Quality</h2><p class="soft">{text}</p>{table}'


_FIGURES = {"psnr": 2, "ssim": 3, "flip": 3}  # with the digits worth showing


def made(manifest: Manifest | None, gaussians: int, command: str) -> str:
    """How long, on what, with which command."""
    if manifest is None:
        return ""
    summary = manifest.summary
    rows = {"Gaussians": f"{gaussians:,}"}
    if summary is not None:
        rows["Steps"] = f"{summary.steps:,}, at a width of {manifest.width} px"
    if manifest.seconds:
        rows["Time"] = f"{manifest.seconds / 60:.1f} minutes"
    if manifest.machine:
        rows["On"] = manifest.machine
    if summary is not None:
        rows["Fit"] = f"{summary.fit_psnr:.1f} dB: the scene through the lens against the photos"
        rows["In viewers"] = f"{summary.viewer_psnr:.1f} dB: this scene against macrosplat's own renders"
    table = _table(rows)
    return f"<h2>How it was made</h2>{table}<p><code>{html.escape(command)}</code></p>"


def _table(rows: dict[str, str]) -> str:
    cells = "".join(
        f"<tr><th>{html.escape(name)}</th><td>{html.escape(value)}</td></tr>" for name, value in rows.items()
    )
    return f'<div class="wide"><table>{cells}</table></div>'
