"""The parts of the page as HTML. In: plain facts. Out: text, empty where there is nothing to say."""

from __future__ import annotations

import html
from typing import Any

from macrosplat.output.lens_report import LensReport, describe


def tools(facts: dict[str, Any], coverage: bool) -> str:
    """Sliders, buttons, and the choice of a photo's view."""
    near, far = facts["focus_range"]
    most = 3 * facts["pupil"]
    options = "".join(f'<option value="{i}">{html.escape(p["name"])}</option>' for i, p in enumerate(facts["photos"]))
    button = '<button id="coverage" aria-pressed="false">Coverage</button>' if coverage else ""
    return (
        '<div class="tools" role="group" aria-label="Lens">'
        '<button id="sharp" aria-pressed="true">Sharp</button>'
        f'<button id="taken" aria-pressed="false">As photographed</button>{button}'
        f'<label>View <select id="photo" aria-label="View of a photo">{options}</select></label>'
        f'<label for="aperture">Aperture <input id="aperture" type="range" min="0" max="{most:.6g}" '
        f'step="{most / 300:.6g}" value="0"><output id="aperture-value" for="aperture"></output></label>'
        f'<label for="focus">Focus <input id="focus" type="range" min="{near:.6g}" max="{far:.6g}" '
        f'step="{(far - near) / 500:.6g}" value="{facts["focus"]:.6g}"><output id="focus-value" for="focus"></output>'
        "</label></div>"
    )


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


def photos(facts: dict[str, Any], pictures: list[str | None]) -> str:
    """Every photo that has both sides, with a wiper between them."""
    shown = facts["photos"]
    count = len(pictures) // 3
    before, after, circles = pictures[:count], pictures[count : 2 * count], pictures[2 * count :]
    unit = "mm" if facts["mm_per_unit"] else "scene units"
    figures = []
    for i in range(count):
        name = html.escape(shown[i]["name"])
        if before[i] is None and after[i] is None:
            continue
        both = before[i] is not None and after[i] is not None
        first = f'<img alt="{name} as taken" src="{before[i] or after[i]}">'
        second = f'<img alt="{name} sharp" src="{after[i]}">' if both else ""
        wiper = f'<input type="range" min="0" max="100" value="50" aria-label="{name}: as taken to sharp">'
        picture = f'<div class="wiper">{first}{second}{wiper}</div>' if both else first
        focus = shown[i]["focus"]
        where = f"focused at {focus * (facts['mm_per_unit'] or 1):.4g} {unit}" if focus else ""
        circle = (
            f'<details><summary>Circle of confusion</summary><img alt="{name}: defocus" src="{circles[i]}"></details>'
            if circles[i]
            else ""
        )
        figures.append(
            f"<figure>{picture}<figcaption><span>{name}</span><span class='soft'>{where}</span>"
            f'<button data-photo="{i}">Show in 3D</button></figcaption>{circle}</figure>'
        )
    if not figures:
        return ""
    about = (
        "Left of the line as taken, right of it sharp. "
        "The circle of confusion is white in focus, blue before it, red behind."
    )
    return f'<h2>Photos</h2><p class="soft">{about}</p><div class="photos">{"".join(figures)}</div>'


def quality(evaluation: dict[str, Any] | None) -> str:
    """Figures against a truth, where there was one."""
    means = (evaluation or {}).get("means") or {}
    rows = []
    for name, figures in means.items():
        frame = figures.get("frame") or {}
        cells = [f"{frame[key]:.{digits}f}" if key in frame else "" for key, digits in _FIGURES.items()]
        rows.append(f"<tr><th>{html.escape(name)}</th>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>")
    if not rows:
        return ""
    head = "".join(f"<th>{key.upper()}</th>" for key in _FIGURES)
    about = "Compared with the truth, on the whole frame. PSNR and SSIM: more is better; FLIP: less is."
    table = f'<div class="wide"><table><tr><th></th>{head}</tr>{"".join(rows)}</table></div>'
    return f'<h2>Quality</h2><p class="soft">{about}</p>{table}'


_FIGURES = {"psnr": 2, "ssim": 3, "flip": 3}  # with the digits worth showing


def made(config: dict[str, Any] | None, gaussians: int, command: str) -> str:
    """How long, on what, with which command."""
    if not config:
        return ""
    summary = config.get("summary") or {}
    rows = {"Gaussians": f"{gaussians:,}"}
    if "steps" in summary:
        rows["Steps"] = f"{summary['steps']:,}, at a width of {config.get('width')} px"
    if config.get("seconds"):
        rows["Time"] = f"{config['seconds'] / 60:.1f} minutes"
    if config.get("machine"):
        rows["On"] = str(config["machine"])
    if "fit_psnr" in summary:
        rows["Fit"] = f"{summary['fit_psnr']:.1f} dB: the scene through the lens against the photos"
    if "viewer_psnr" in summary:
        rows["In viewers"] = f"{summary['viewer_psnr']:.1f} dB: this scene against macrosplat's own renders"
    table = _table(rows)
    return f"<h2>How it was made</h2>{table}<p><code>{html.escape(command)}</code></p>"


def _table(rows: dict[str, str]) -> str:
    cells = "".join(
        f"<tr><th>{html.escape(name)}</th><td>{html.escape(value)}</td></tr>" for name, value in rows.items()
    )
    return f'<div class="wide"><table>{cells}</table></div>'
