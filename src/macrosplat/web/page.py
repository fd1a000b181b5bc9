"""`RUN/index.html`: the scene, the photos before and after, the lens and the figures, in one file that asks nobody.

In: RUN as `reconstruct` left it (scene.ply, transforms.json, sharp/, maps/, lens.json, config.json; coverage.ply and
evaluation.json if there). Out: the page. It holds the scene as SPZ, its program and its pictures as text.
"""

from __future__ import annotations

import base64
import gzip
import html
import importlib.resources
import json
import shlex
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from string import Template
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from macrosplat.cameras.records import Cameras
from macrosplat.evaluate.means import Means, read_means
from macrosplat.manifest import Manifest
from macrosplat.output.coverage_report import CoverageReport, read_coverage
from macrosplat.output.lens_report import LensReport, read_lens
from macrosplat.output.maps import read_scales
from macrosplat.output.subject import masks_of, of_object
from macrosplat.render import Frame
from macrosplat.run import Run
from macrosplat.scene.formats.read import read_own, read_scene
from macrosplat.scene.formats.spz import to_spz
from macrosplat.scene.gaussians import SH_C0, Gaussians
from macrosplat.support.colour import to_bytes, to_srgb
from macrosplat.support.errors import MacrosplatError
from macrosplat.support.files import write_whole
from macrosplat.train import checkpoint
from macrosplat.web import sections
from macrosplat.web.facts import facts_of
from macrosplat.web.gallery import Gallery, gallery
from macrosplat.web.policy import policy
from macrosplat.web.stack_page import stack_page

LARGEST = 8_000_000  # bytes: a page that can be sent by mail
PICTURES_LEAST = 300_000  # bytes that the pictures get in any case
PROGRAM_NAME = "macrosplat"
NO_PROGRAM = (
    "index.html was not written: the page's program was not bundled, because npm could not fetch it when macrosplat "
    "was built; install macrosplat again with a network at hand."
)


@dataclass(frozen=True)
class Shown:
    """What a page is made of."""

    title: str
    scene: Gaussians  # sRGB colours
    cameras: Cameras
    lens: LensReport | None = None
    backdrop: tuple[float, float, float] = (0.5, 0.5, 0.5)  # sRGB
    coverage_report: CoverageReport | None = None
    masks: tuple[Path | None, ...] = ()  # V, white = object
    coverage: Gaussians | None = None  # the same Gaussians in the colours of their coverage
    made: Manifest | None = None
    evaluation: Mapping[str, Means] = field(default_factory=dict)  # figures by what was compared
    before: tuple[Path | None, ...] = ()  # V, the photos as taken
    after: tuple[Path | None, ...] = ()  # V, sharp
    circles: tuple[Path | None, ...] = ()  # V, maps of the circle of confusion
    blur: tuple[float | None, ...] = ()  # V, the largest diameter in those, px of the photo


@dataclass(frozen=True)
class Embedded:
    """What a page holds of scene and pictures, as text: nearly all that it takes to make it."""

    fixed: dict[str, str]
    core: NDArray[np.bool_]  # [N] which Gaussians are the object's
    pictures: Gallery


def prepare(run: Path) -> tuple[Shown, Embedded]:
    """All of a run's page that its scene, cameras and pictures tell; they have to be there.

    Raises:
        MacrosplatError: the page's program is missing, or a file is damaged.
    """
    shown = _drawn(Run(run))
    return shown, embed(shown, run, write=True)


def write_page(run: Path, prepared: tuple[Shown, Embedded] | None = None) -> Path:
    """Write `RUN/index.html` atomically.

    Raises:
        MacrosplatError: the page's program is missing, or RUN is not finished.
    """
    if prepared is None:
        page = html_of_run(run, write=True)
    else:
        shown, embedded = prepared
        page = as_html(_told(Run(run), shown), embedded=embedded)
    # A file's name may be no text at all; what stands for its bytes (PEP 383) is shown as question marks.
    page = page.encode("utf-8", "replace")
    write_whole(Run(run).page, lambda part: part.write_bytes(page))
    return Run(run).page


def html_of_run(run: Path, write: bool = False) -> str:
    """The page of any run; `write`: with the pictures that are to lie beside it.

    Raises:
        MacrosplatError: the page's program is missing, or RUN is not finished.
    """
    opened = Run(run)
    return stack_page(opened) if opened.manifest.stack is not None else as_html(of_run(opened), run, write)


def of_run(run: Run) -> Shown:
    """What there is to show of a finished run."""
    return _told(run, _drawn(run))


def _told(run: Run, drawn: Shown) -> Shown:
    """With what was found out about its lens, and written last."""
    return replace(
        drawn,
        lens=read_lens(run),
        made=run.manifest,
        coverage_report=read_coverage(run),
        evaluation=read_means(run),
    )


def _drawn(run: Run) -> Shown:
    """What there is to show of it as pictures."""
    cameras = run.cameras()
    names = cameras.names

    def existing(*paths: Path) -> Path | None:
        return next((path for path in paths if path.is_file()), None)

    scales = read_scales(run)
    circles = tuple(
        existing(run.map("coc_colour", name)) if name in scales and scales[name].coc_scale else None for name in names
    )
    return Shown(
        title=run.folder.resolve().name,
        scene=read_own(run.scene).as_tensors(),
        cameras=cameras,
        backdrop=_backdrop(run),
        coverage=read_own(run.coverage_scene).as_tensors() if run.coverage_scene.is_file() else None,
        masks=masks_of(run, names),
        before=tuple(run.taken(name) for name in names),
        after=tuple(existing(run.sharp(name)) for name in names),
        circles=circles,
        blur=tuple(
            None if circle is None else _widest(circle, scales[name].coc_scale, width)
            for name, circle, (width, _) in zip(names, circles, cameras.sizes, strict=True)
        ),
    )


def _widest(circle: Path, scale: float, width: int) -> float | None:
    """The largest diameter of the circle of confusion in a map, px of a photo so wide; None of a damaged map."""
    try:
        with Image.open(circle) as picture:
            return 2 * 65535 * scale * width / picture.width
    except (OSError, ValueError, SyntaxError):
        return None


def of_file(path: Path) -> Shown:
    """A scene of any program, without photos, seen by one camera that holds all of it."""
    scene = read_scene(path, lambda text: print(text, file=sys.stderr)).as_tensors()
    means = scene.means.numpy().astype(np.float64)
    low, high = np.percentile(means, [2, 98], axis=0)
    middle, size = (low + high) / 2, float(np.linalg.norm(high - low))
    view = np.eye(4)
    view[:3, 3] = -middle + (0, 0, 1.6 * max(size, 1e-6))
    intrinsics = np.array([[1200.0, 1200.0, 400.0, 300.0]])
    cameras = Cameras((path.name,), view[None], intrinsics, np.array([[800, 600]]), "transforms")
    return Shown(path.name, scene, cameras)


def embed(shown: Shown, folder: Path | None = None, write: bool = False) -> Embedded:
    """What of it is embedded; lens, report and evaluation are not looked at.

    Args:
        folder: that it lies in, or is to lie in: with pictures beside it where one file would be too large.
        write: whether those pictures are to be written.

    Raises:
        MacrosplatError: the page's program is missing.
    """
    if shown.coverage is not None and len(shown.coverage) != len(shown.scene):
        raise MacrosplatError(
            f"coverage.ply holds {len(shown.coverage)} Gaussians and scene.ply {len(shown.scene)}: they are not of "
            "one run; remove coverage.ply, or reconstruct into a new folder."
        )
    with ThreadPoolExecutor(1) as aside:
        scene = aside.submit(to_spz, shown.scene)
        core = of_object(shown.scene, shown.cameras, shown.masks)
        fixed = {"program": _base64(program()), "scene": _base64(scene.result()), "coverage": ""}
    if shown.coverage is not None:
        colours = to_bytes(0.5 + SH_C0 * shown.coverage.sh0.numpy())
        fixed["coverage"] = f'<script id="coverage-colours" type="text/plain">{_base64(colours.tobytes())}</script>'
    fixed["core"] = _base64(np.packbits(core, bitorder="little").tobytes())
    budget = max(PICTURES_LEAST, LARGEST - 80_000 - sum(map(len, fixed.values())))
    names = [name.removeprefix("photos/") for name in shown.cameras.names]
    sizes = [(int(width), int(height)) for width, height in shown.cameras.sizes]
    pictures = gallery(names, sizes, shown.before, shown.after, shown.circles, budget, folder, write)
    return Embedded(fixed, core, pictures)


def as_html(shown: Shown, folder: Path | None = None, write: bool = False, embedded: Embedded | None = None) -> str:
    """The page.

    Args:
        folder, write: as of `embed`. embedded: what was embedded already.

    Raises:
        MacrosplatError: the page's program is missing.
    """
    embedded = embed(shown, folder, write) if embedded is None else embedded
    fixed, core, pictures = embedded.fixed, embedded.core, embedded.pictures
    facts = facts_of(shown.scene, shown.cameras, core, shown.lens, shown.backdrop)
    red, green, blue = to_bytes(np.array(shown.backdrop))
    width, height = shown.cameras.sizes[0]
    beside = any(any(pair) for pair in pictures.full)
    shown_photos, loader = _text("gallery.js"), _text("loader.js")
    return Template(_text("template.html")).substitute(
        fixed,
        loader=loader,
        policy=policy([shown_photos.encode(), loader.encode(), gzip.decompress(program())], beside),
        title=html.escape(shown.title),
        backdrop=f"rgb({red} {green} {blue})",
        aspect=f"{width} / {height}",
        facts=_json(facts),
        pictures=_json({"small": pictures.small, "full": pictures.full}),
        gallery_program=shown_photos,
        tools=sections.tools(facts, shown.coverage is not None),
        about=sections.about(len(shown.before), len(shown.scene)),
        hint=sections.HINT,
        advice=sections.advice(shown.coverage_report, shown.lens, shown.made),
        lens=sections.lens(shown.lens, shown.made),
        trust=sections.trust(shown.lens, shown.coverage_report, shown.made),
        photos=sections.photos(facts, pictures.small, shown.blur),
        quality=sections.quality(shown.evaluation),
        made=sections.made(shown.made, len(shown.scene), _command(shown.made)),
        share=sections.share(shown.title, beside),
    )


def _text(name: str) -> str:
    return importlib.resources.files("macrosplat.web").joinpath(name).read_text(encoding="utf-8")


def _json(value: Any) -> str:
    """For a script element, which a "<" would end, should a photo be called so."""
    return json.dumps(value, allow_nan=False).replace("<", "\\u003c")


def program() -> bytes:
    """The page's program, gzip.

    Raises:
        MacrosplatError: it was not bundled.
    """
    try:
        return importlib.resources.files("macrosplat.web").joinpath("bundle.js.gz").read_bytes()
    except FileNotFoundError as error:
        raise MacrosplatError(NO_PROGRAM) from error


def _backdrop(run: Run) -> tuple[float, float, float]:
    """The mean colour behind the photos, sRGB; grey if the run keeps none."""
    if not run.checkpoint.is_file():
        return (0.5, 0.5, 0.5)
    with torch.no_grad():
        behind = checkpoint.load(run.checkpoint).model.behind(None, Frame(4, 3))
    red, green, blue = to_srgb(behind.mean((0, 1)).clamp(0, 1).to(torch.float64)).tolist()
    return red, green, blue


def _command(made: Manifest | None) -> str:
    """The command as it would be typed, wherever the program lies."""
    words = made.command if made is not None else ()
    return shlex.join([PROGRAM_NAME, *words[1:]]) if words else ""


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()
