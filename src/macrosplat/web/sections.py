"""The parts of the page as HTML. In: plain facts. Out: text, empty where there is nothing to say."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

from macrosplat.evaluate.means import Means
from macrosplat.manifest import Manifest
from macrosplat.options.thin import Thin
from macrosplat.output.coverage_report import CoverageReport
from macrosplat.output.coverage_report import sentences as coverage_sentences
from macrosplat.output.lens_report import LensReport, believed, describe
from macrosplat.output.lens_words import (
    BLADES,
    BREATHING,
    DISTORTION,
    MOTION,
    SOUGHT,
    depth_of_field_mm,
    figures,
    give_or_take,
    pupil,
    terms,
)

EDGE = 2.56  # width of an edge from 10 to 90 % of its height, in standard deviations of a Gaussian blur


def tools(facts: dict[str, Any], coverage: bool) -> str:
    """What is shown, sliders, and what can be done with the view."""
    near, far = facts["focus_range"]
    options = "".join(f'<option value="{i}">{html.escape(p["name"])}</option>' for i, p in enumerate(facts["photos"]))
    views = f'<label>View of <select id="photo">{options}</select></label>'
    if len(facts["photos"]) == 1:  # nothing to choose
        views = f"<span hidden>{views}</span>"
    taken = "As photographed" if facts["photos"][0]["focus"] else "Through a lens"
    modes = [("sharp", "Sharp", "true"), ("taken", taken, "false")]
    modes += [("coverage", "Coverage", "false")] if coverage else []
    choice = "".join(f'<button id="{name}" aria-pressed="{on}">{text}</button>' for name, text, on in modes)
    deeds = [
        ("back", "Reset", "Back to where this view began", None),
        ("around", "Surroundings", "What is not the object, too", "false") if facts["cropped"] else None,
        ("ruler", "Ruler", "Measure between two points of the surface: click both", "false"),
        ("turn", "Turn", "Turn by itself", "false"),
        ("save", "Save picture", "As PNG, with the scale bar", None),
        ("full", "Full screen", "The view on the whole screen", None),
    ]
    buttons = "".join(_button(*deed) for deed in deeds if deed)
    return (
        '<div class="tools" role="group" aria-label="Lens and view">'
        f'<div class="row"><span class="choice" role="group" aria-label="What is shown">{choice}</span></div>'
        f'<div class="row end">{views}</div>'
        '<label class="slider">Aperture <input id="aperture" type="range" min="0" max="60" step="1" value="0">'
        '<output id="aperture-value" for="aperture"></output></label>'
        f'<label class="slider">Focus <input id="focus" type="range" min="{near:.6g}" max="{far:.6g}" '
        f'step="{(far - near) / 500:.6g}" value="{facts["focus"]:.6g}"><output id="focus-value" for="focus"></output>'
        f'</label></div><p id="depth" class="soft"></p><div class="row deeds">{buttons}</div>'
        '<p id="measured" class="soft" role="status"></p>'
    ) + (COVERAGE_LEGEND if coverage else "")


def _button(name: str, text: str, title: str, pressed: str | None) -> str:
    state = f' aria-pressed="{pressed}"' if pressed else ""
    return f'<button id="{name}" title="{title}"{state}>{text}</button>'


COVERAGE_LEGEND = (
    '<p class="soft" id="coverage-legend" hidden>Coverage: in focus in no photo <span class="legend" '
    'style="background: linear-gradient(90deg, #d63027, #fdae61, #ffffbf, #91bfdb, #4575b5)"></span> in focus in some '
    "photo; grey: seen by none.</p>"
)
HINT = (
    '<p class="soft hint"><span class="keys">Drag to turn, scroll to come nearer (or arrow keys, + and −). Click the '
    "scene to focus there (or the space bar, in the middle).</span>"
    '<span class="touch">Drag to turn, pinch to come nearer, tap the scene to focus there.</span>'
    "</p>"
)


def about(photos: int, gaussians: int) -> str:
    """The line below the title."""
    parts = [f"{photos} photos"] if photos > 1 else []
    return " · ".join([*parts, f"{gaussians:,} Gaussians"])


def lens(report: LensReport | None, made: Manifest | None = None) -> str:
    """The lens as found, as photographers read it."""
    if report is None:
        return ""
    mm, unit = (report.mm_per_unit, "mm") if report.mm_per_unit else (1.0, "scene units")
    focus = [value * mm for value in report.focus_distances.values()]
    found, deep = describe(report), depth_of_field_mm(report)
    rows = {}
    if found["f_number"]:
        effective = found["effective_f_number"]
        effective = f" (the light meter sees f/{figures(effective)})" if effective else ""
        rows["Aperture"] = f"f/{give_or_take(found['f_number'], found['f_number_uncertainty'])}{effective}"
    if found["magnification"]:
        rows["Magnification"] = f"{found['magnification']:.2f} : 1 on the sensor"
    if deep:
        rows["Depth of field"] = f"{figures(deep)} mm, with a blur of up to 2 px"
    sure = [relative * report.focus_distances[name] * mm for name, relative in report.focus_uncertainty.items()]
    each = f", each ± {figures(sorted(sure)[len(sure) // 2])}" if sure else ""
    rows["Focused at"] = f"{figures(min(focus), 4)} to {figures(max(focus), 4)} {unit} from the entrance pupil{each}"
    rows["Entrance pupil"] = f"{pupil(report)} {unit} wide"
    rows["Edges in focus"] = f"about {EDGE * report.sigma0_px:.2g} px wide (from 10 to 90 % of their height)"
    said = terms(report)
    rows |= {name: text for name, text in said.items() if text}
    thin = made.options.thin if made else Thin()
    sought = (BREATHING, *SOUGHT[thin.aberrations], *[BLADES][: thin.blades != "round"], DISTORTION)
    sought += (MOTION,) if report.motion_px is not None else ()
    none = [name for name in sought if said[name] is None]
    unseen = [name if n == 0 else name[0].lower() + name[1:] for n, name in enumerate(none)]
    if unseen:
        rows["Not seen in these photos"] = ", ".join(unseen)
    doubt = "" if believed(report) else f'<p class="soft">Uncertain: {html.escape(_because(report))}</p>'
    return f"<h2>The lens</h2>{doubt}{_table(rows)}"


def advice(coverage: CoverageReport | None, lens: LensReport | None, made: Manifest | None) -> str:
    """What to do better, and what the run remarked: its sentences, as the command line says them."""
    limit = made.limit if made else None
    mm = lens.mm_per_unit if lens else None
    said = [limit] if limit else coverage_sentences(coverage, mm) if coverage and believed(lens) else []
    said += [note for note in (lens.notes if lens else ()) if note != limit]
    if lens is not None and mm is None:
        said.append("Lengths are in scene units: --scale-mm (how far two photos were taken apart) gives millimetres.")
    if not said:
        return ""
    items = "".join(f"<li>{html.escape(sentence[:1].upper() + sentence[1:])}</li>" for sentence in said)
    return f'<section class="advice"><h2>What the run advises</h2><ul>{items}</ul></section>'


def trust(lens: LensReport | None, coverage: CoverageReport | None, made: Manifest | None) -> str:
    """How far each part of the page may be believed."""
    rows = {}
    if lens is not None and lens.trust is not None:
        rows["The lens"] = ". ".join(filter(None, (lens.trust.level, _because(lens))))
    if lens is not None and lens.mm_per_unit:
        sure = (
            f", ±\N{NO-BREAK SPACE}{100 * lens.scale.uncertainty:.2g}\N{NO-BREAK SPACE}% (one standard deviation)"
            if lens.scale.uncertainty
            else ""
        )
        rows["Millimetres"] = f"from {lens.scale.source}{sure}"
    if coverage is not None and believed(lens):
        rows["In focus"] = (
            f"{100 * (1 - coverage.uncovered):.0f} % of what most photos have in the frame is in focus somewhere; "
            "the rest (red under Coverage) stays blurred, and nobody can tell what it looks like"
        )
    if made is not None and made.registered:
        rows["Cameras"] = f"{made.registered} of {len(made.photos)} photos were placed in space"
    if made is not None and made.summary is not None:
        seen = "the scene" if lens is None else "the scene, seen through the lens as found,"
        rows["Fit"] = f"{seen} matches the photos to {made.summary.fit_psnr:.1f} dB (PSNR)"
        rows["In viewers"] = f"it looks as macrosplat draws it, to {made.summary.viewer_psnr:.1f} dB"
    return f"<h2>How far to trust it</h2>{_table(rows)}" if rows else ""


def _because(report: LensReport) -> str:
    return (report.trust.because if report.trust else None) or ""


def share(title: str, beside: bool) -> str:
    """How to pass the page on, and how to put it into another one."""
    what = "index.html and the folder page/ beside it" if beside else "index.html: everything is in it"
    name = html.escape(title, quote=True)
    code = (
        f'<iframe src="index.html#view" title="{name} in 3D" width="800" height="600" style="border:0" '
        'allow="fullscreen"></iframe>'
    )
    return (
        f'<details class="share"><summary>Share or embed</summary><p>Pass on {what}. To show only the view in a page '
        f'of your own:</p><p><code id="snippet">{html.escape(code)}</code></p>'
        '<button id="copy">Copy</button></details>'
    )


def photos(facts: dict[str, Any], pictures: list[list[str | None]], blur: Sequence[float | None]) -> str:
    """Every photo that has both sides, with a wiper between them. Pictures come when they are scrolled to.

    Args:
        pictures: V of taken, sharp, circle of confusion: data addresses, None where there is none.
        blur: [V] the largest diameter of the circle of confusion, px of the photo.
    """
    figures = []
    for i, sides in enumerate(pictures):
        if sides[0] is None and sides[1] is None:
            continue
        one, most = facts["photos"][i], blur[i] if i < len(blur) else None
        name = html.escape(one["name"], quote=True)
        figures.append(
            f"<figure>{_wiper(i, name, one['size'], sides)}<figcaption><span>{name}</span>"
            f"<span class='soft'>{_where(facts, one['focus'], most)}</span><span class='deeds'>"
            f'<button data-large="{i}" aria-label="100 %, {name}">100 %</button>'
            f'<button data-photo="{i}" aria-label="Show in 3D, {name}">Show in 3D</button></span></figcaption></figure>'
        )
    if not figures:
        return ""
    choice = (
        '<p class="row choose"><span id="right-of">Right of the line:</span><span class="choice" role="group" '
        'aria-labelledby="right-of"><button id="sharps" aria-pressed="true">Sharp</button>'
        '<button id="circles" aria-pressed="false">Circle of confusion</button></span></p>'
        f"{CIRCLES_LEGEND}"
    )
    text = '<p class="soft">Left of the line as taken, right of it sharp. Drag the line.</p>'
    above = choice if any(sides[2] for sides in pictures) else text
    grid = f'<div class="photos">{"".join(figures)}</div>'
    return f'<section class="gallery"><h2>Photos</h2>{above}{grid}{LARGE}</section>'


LARGE = (
    '<dialog id="large" aria-labelledby="large-name"><form method="dialog" class="row">'
    '<strong id="large-name"></strong>'
    '<span class="soft" id="large-size"></span><span class="choice" role="group" aria-label="Which side">'
    '<button type="button" id="large-taken" aria-pressed="false">As taken</button>'
    '<button type="button" id="large-both" aria-pressed="true">Both</button>'
    '<button type="button" id="large-sharp" aria-pressed="false">Sharp</button></span>'
    '<label>Line <input id="large-line" type="range" min="0" max="100" value="50"></label>'
    '<button type="button" id="large-before" aria-label="Photo before this one">←</button>'
    '<button type="button" id="large-next" aria-label="Next photo">→</button>'
    '<button id="large-close">Close</button></form><div id="large-scroll" tabindex="0" role="group" '
    'aria-label="The photo at 100 %"><div class="wiper" id="large-wiper"></div></div></dialog>'
)
CIRCLES_LEGEND = (
    '<p class="soft" id="circles-legend" hidden>Before the focus <span class="legend" style="background: '
    'linear-gradient(90deg, #053061, #4294c2, #fff, #d6614d, #66001f)"></span> behind it; white: in focus; dark: '
    "nothing there. The ends are each photo's widest blur.</p>"
)


def _wiper(i: int, name: str, size: list[int], sides: list[str | None]) -> str:
    """Left of a line as taken, right of it sharp or the circle of confusion."""
    shape = f'style="aspect-ratio: {size[0]} / {size[1]}"'
    texts = (f"{name} as taken", f"{name} sharp", f"{name}: circle of confusion")
    kinds = ("taken", "sharp", "circle")
    both = sides[0] is not None and sides[1] is not None
    shown = [k for k in range(3) if sides[k]] if both else [0 if sides[0] is not None else 1]
    pictures = "".join(f'<img class="{kinds[k]}" alt="{texts[k]}" data-at="{i},{k}" {shape}>' for k in shown)
    if not both:
        return pictures
    line = (
        f'<input type="range" min="0" max="100" value="50" aria-label="Line between as taken and sharp, {name}" '
        'aria-valuetext="half as taken, half sharp">'
    )
    return f'<div class="wiper">{pictures}{line}</div>'


def _where(facts: dict[str, Any], focus: float | None, blur: float | None) -> str:
    """Where a photo is focused, and how blurred it is."""
    unit, scale = ("mm", facts["mm_per_unit"]) if facts["mm_per_unit"] else ("scene units", 1.0)
    parts = [f"focused at {focus * scale:.4g} {unit}"] if focus else []
    return ", ".join([*parts, *([f"blur up to {figures(blur)} px"] if blur else [])])


def quality(means: Mapping[str, Means]) -> str:
    """Figures against a truth, where there was one, by what was compared."""
    masked = any(one.mask for one in means.values())
    rows = []
    for name, one in means.items():
        parts = [one.frame or {}, *([one.mask or {}] if masked else [])]
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
    table = _table(rows)
    return f"<h2>How it was made</h2>{table}<p><code>{html.escape(command)}</code></p>"


def _table(rows: dict[str, str]) -> str:
    cells = "".join(
        f"<tr><th>{html.escape(name)}</th><td>{html.escape(value)}</td></tr>" for name, value in rows.items()
    )
    return f'<div class="wide"><table>{cells}</table></div>'
