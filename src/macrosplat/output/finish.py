"""The end of a run: everything that RUN holds is written from what was learned, and what improved is said.

In: a model that has learned, and what it was compared with. Out: sharp photos, scene.ply, cameras, lens.json, maps, and
a `Summary`.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from itertools import repeat
from typing import Any

import numpy as np
import torch

from macrosplat.cameras.distort import with_focal
from macrosplat.capture.records import TrainingInput
from macrosplat.lens import LensEstimate, Sampling, Sharp
from macrosplat.lens.blades import turned
from macrosplat.lens.breathing import UNSURE
from macrosplat.lens.cats_eye import left
from macrosplat.manifest import Figures
from macrosplat.model.model import Model
from macrosplat.output.calibrated import breathing, distortion_at_corner
from macrosplat.output.coverage import Coverage, coloured, cover, draw_coverage, plan
from macrosplat.output.coverage_report import report_coverage, write_coverage
from macrosplat.output.detail.photos import Deblurred, share_shown
from macrosplat.output.how_sure import uncertainties
from macrosplat.output.lens_report import LensReport, write_lens
from macrosplat.output.maps import PhotoMaps, add_maps, write_index
from macrosplat.output.matched import Match, match
from macrosplat.output.millimetres import Scale, contradictions, differing, magnification
from macrosplat.output.motion_sure import motion_uncertainties
from macrosplat.output.scale import scale_of
from macrosplat.output.sharp import write_sharp
from macrosplat.output.summary import Summary
from macrosplat.output.surface import Surface
from macrosplat.output.term_uncertainty import told
from macrosplat.output.trust import judge
from macrosplat.output.viewer_fit import fit_for_viewers
from macrosplat.render import Camera
from macrosplat.run import Run
from macrosplat.scene.formats.ply import write_ply
from macrosplat.support.files import Writers
from macrosplat.support.memory import give_back
from macrosplat.support.progress import Progress
from macrosplat.support.threads import ahead
from macrosplat.train.effort import spared
from macrosplat.train.rim_look import look_at_rim
from macrosplat.train.targets import Targets


def finish(
    run: Run,
    model: Model,
    targets: Targets,  # what it was compared with
    given: TrainingInput,
    sampling: Sampling,  # of the aperture, as the last step had it
    steps: int,  # that were taken
    progress: Progress,
    drawn: Callable[[], object] = lambda: None,
) -> Summary:
    """Write all results; each file appears atomically, so an interrupted end is simply done again.

    Args:
        drawn: is called when scene, cameras and pictures are there, and what is said of the lens is not yet.
    """
    give_back()
    options, focal_scale = run.manifest.options, model.rig.focal()
    shown = model.cameras()
    factors = model.rig.focal_factors(model.lens.magnifications()).cpu().numpy().astype(np.float64)
    views = torch.stack([camera.view for camera in shown]).cpu().numpy().astype(np.float64)
    cameras = replace(with_focal(given.cameras, factors), views=views)
    given = replace(given, cameras=cameras)
    if given.held_out is not None:
        apart = model.rig.followed(torch.from_numpy(given.held_out.views)).numpy()
        held_out = replace(with_focal(given.held_out, np.full(len(apart), focal_scale)), views=apart)
        given = replace(given, held_out=held_out)
        run.write_held_out(held_out)

    lens, coverage = model.estimate(), None
    if lens is not None:
        progress.stage("looking for what no photo has in focus")
        coverage = _coverage(model, shown, targets.masks)
    progress.stage("writing sharp photos and maps", len(given.photos))
    deblurred = Deblurred(model, shown, given.photos, given.cameras.distortion, sampling)
    # The models to compare with do not know what focus is; and what was deblurred first is no longer the photo. A
    # pinhole that was found to explain the photos as well as a lens takes nothing back.
    if options.detail != "off" and options.lens == "thin" and options.deblur_first == "none":
        lensed = model.lens.sigma_in_focus(shown[0]) is not None
        share, looks = share_shown(deblurred, targets.photos, targets.alpha_masks) if lensed else (0.0, {})
        deblurred = replace(deblurred, own=True, share=share, looks=looks)
        del looks  # else what was drawn stays to the end
        run.update(blur_shown=share)
        if lensed and share < 1:
            progress.note(SHARPER if share > 0 else SHARP)
    radii: list[float] = []
    matching: list[Future[Match]] = []
    maps: dict[str, Future] = {}
    with Writers() as writers:
        levels = ahead(deblurred.read, range(len(given.photos))) if deblurred.own else repeat(None)
        for v, (its_own, photo) in enumerate(zip(levels, given.photos, strict=False)):
            look = deblurred.look(v)
            writers.add(write_sharp, run, photo.name, deblurred(v, look, its_own), photo.path, options.sharp_format)
            counts = targets.alpha_masks[v] if targets.alpha_masks else None  # what is masked was not learned
            found = _maps(model, shown[v], v, photo.name, look.seen, coverage)
            there = found.depth > 0
            blur = look.seen.blur.cpu().numpy() if lens is not None else None
            pictures = look.taken.cpu().numpy(), look.drawn.cpu().numpy(), blur
            where = None if counts is None else counts >= 128
            matching.append(writers.add(match, photo.name, targets.photos[v], where, *pictures, there))
            if there.any():  # elsewhere there is no circle of confusion
                radii.append(float(np.median(np.abs(found.defocus[there]))))
            maps[photo.name] = add_maps(writers, run, found.as_taken(given.cameras.distortion[v]))
            progress.advance()
        del deblurred  # which holds what was drawn
        give_back()
        # While the last of them are encoded.
        progress.stage("fitting the scene for viewers")
        backdrops = [model.behind(v, camera.frame).detach() for v, camera in enumerate(shown)]
        fitted, viewer_psnr = fit_for_viewers(
            model.gaussians.detach(), shown, backdrops, steps=VIEWER_STEPS, seed=options.seed
        )
    matches = [future.result() for future in matching]
    write_index(run, maps)

    stops = dict(zip(given.cameras.names, model.exposure.stops(), strict=True))
    run.update(exposure_stops={name: tuple(values) for name, values in stops.items()})
    run.write_cameras(cameras)
    write_ply(run.scene, fitted)
    if coverage is not None:
        write_ply(run.coverage_scene, coloured(fitted, coverage))
    drawn()
    limit = run.manifest.limit
    report, covered, fit = None, None, float(np.mean([found.fit for found in matches]))
    if lens is not None:
        focal_px = [float(camera.intrinsics[0]) for camera in shown]
        middle = lens.pupil_diameter / float(np.median(lens.focus_distances))
        matched = fit, float(np.mean([found.unblurred for found in matches]))
        agreeing = [found.in_focus for found in matches if found.in_focus is not None]
        trust = judge(middle, lens.sigma0_px, model.lens.exif, *matched, steps, agreeing, run.manifest.doubted)
        scale, odd = scale_of(run, model, shown, given, lens.focus_distances)
        followed = bool(model.rig.parameters["pose.breathing"].detach() != 0)
        unsure = UNSURE if followed or given.cameras.source == "sfm" else 0.0
        middle_px, blur_px = float(np.median(focal_px)), float(np.median(radii)) if radii else 0.0
        reported = _lens_report(lens, stops, given, middle_px, scale, odd, unsure)
        progress.stage("looking how surely the photos tell the lens")
        rim = look_at_rim(model, targets) if lens.blades is not None else None
        sure = uncertainties(told(model, targets, sampling), lens, given.cameras, middle_px, blur_px, rim)
        report = replace(reported, trust=trust, **sure, **_motion(model, targets, lens, given))
        write_lens(run, replace(report, notes=report.notes + ((limit,) if limit else ())))
        assert coverage is not None, "there is one of every lens that is known"
        slopes = [
            lens.pupil_diameter * relative / 2 * fx
            for relative, fx in zip(lens.relative_apertures, focal_px, strict=True)
        ]
        covered = report_coverage(coverage, plan(coverage, slopes), report.focus_distances)
        write_coverage(run, covered, report.mm_per_unit, trust.level)
    gains, errors = np.mean(list(stops.values()), 1), [found.gain_error for found in matches]
    summary = Summary(
        run=run.folder,
        photos=len(given.photos),
        gaussians=len(model.gaussians),
        steps=steps,
        seconds=run.manifest.seconds,
        fit_psnr=fit,
        blur_px=2 * float(np.median(radii)) if radii else 0.0,
        viewer_psnr=viewer_psnr,
        lens=lens,
        exposure_stops=float(np.ptp(gains)),
        exposure_error=float(np.hypot(errors[int(np.argmin(gains))], errors[int(np.argmax(gains))])),
        report=report,
        focal_scale=focal_scale,
        coverage=covered,
        limit=limit,
        spared=spared(options.quality, steps, options.max_gaussians or 10**9, targets.frames),
    )
    run.update(summary=Figures(**{name: getattr(summary, name) for name in Figures.__struct_fields__}))
    return summary


SHARPER = "The photos are sharper than the lens model says: their own detail counts for more than its blur."
SHARP = "The photos show none of the blur that the lens model says they have: sharp/ keeps them as they are."
VIEWER_STEPS = 300  # of the fit for viewers; it ends early once its 40 dB are reached


@torch.no_grad()
def _maps(model: Model, camera: Camera, v: int, name: str, seen: Surface, coverage: Coverage | None) -> PhotoMaps:
    more = {kind: plane.cpu().numpy() for kind, plane in model.lens.maps(seen.sharp, camera, v).items()}
    covered = draw_coverage(model.gaussians, coverage, camera).cpu().numpy() if coverage else None
    return PhotoMaps(name, seen.depth.cpu().numpy(), seen.radius.cpu().numpy(), coverage=covered, more=more)


def _pixels_of(means: torch.Tensor, camera: Camera) -> torch.Tensor:
    """[N, 2] px where a camera sees points [N, 3]; the middle of the frame for what lies behind it."""
    fx, fy, cx, cy = camera.intrinsics
    x, y, z = (means @ camera.view[:3, :3].T + camera.view[:3, 3]).unbind(-1)
    points = torch.stack([fx * x / z + cx, fy * y / z + cy], -1)
    return torch.where((z > 0)[:, None], points, torch.stack([cx, cy]))


def _coverage(model: Model, cameras: list[Camera], masks: Any) -> Coverage:
    def radius(depth: torch.Tensor, photo: int) -> torch.Tensor:
        # A frame of one row, but of depths that lie anywhere in the photo.
        row, points = depth[None], _pixels_of(model.gaussians.means.detach(), cameras[photo])
        return model.blur_radius(photo, Sharp(row, torch.ones_like(row), row), points[None])[0]

    return cover(model.gaussians, cameras, radius, masks)


def _lateral(lens: LensEstimate, given: TrainingInput) -> tuple[float, float] | None:
    """By what share red and blue are larger."""
    if lens.lateral_px is None:
        return None
    width, height = given.cameras.sizes[0]
    corner = float(np.hypot(width, height)) / 2 * lens.width_px / float(width)
    red, blue = lens.lateral_px
    return red / corner, blue / corner


def _motion(model: Model, targets: Targets, lens: LensEstimate, given: TrainingInput) -> dict[str, Any]:
    """What the report says of it; nothing where it was not looked for."""
    if lens.motion_px is None:
        return {}
    sure = motion_uncertainties(model, targets)
    moved = {
        name: px if px is not None and np.isfinite(sure[v]) else None
        for v, (name, px) in enumerate(zip(given.cameras.names, lens.motion_px, strict=True))
    }
    known = {name: sure[v] for v, name in enumerate(moved) if moved[name] is not None}
    return {"motion_px": moved, "motion_uncertainty": known}


def _lens_report(
    lens: LensEstimate,
    stops: dict[str, list[float]],
    given: TrainingInput,
    focal_px: float,
    scale: Scale,
    odd: tuple[str, ...],
    unsure: float,  # of the spread of the focal lengths
) -> LensReport:
    names, focus = given.cameras.names, lens.focus_distances
    magnified = magnification(given.photos, given.cameras, focus, scale)
    focal_mm = [photo.exif.focal_mm for photo in given.photos if photo.exif.focal_mm]
    return LensReport(
        pupil_diameter=lens.pupil_diameter,
        focus_distances=dict(zip(names, focus, strict=True)),
        sigma0_px=lens.sigma0_px,
        focal_px=focal_px,
        mm_per_unit=scale.mm_per_unit,
        focal_mm=float(np.median(focal_mm)) if focal_mm else None,
        relative_apertures=dict(zip(names, lens.relative_apertures, strict=True)),
        exposure_stops=stops,
        scale=scale,
        magnification=magnified,
        breathing=breathing(focus, given.cameras, unsure),
        colour_focus=lens.colour_focus(),
        vignetting=lens.vignetting,
        blades=None if lens.blades is None else turned(lens.blades),
        cats_eye=None if lens.cats_eye is None else left(lens.cats_eye),
        corner_focus=lens.corner_focus(),
        lateral=_lateral(lens, given),
        corner_distortion=distortion_at_corner(given.cameras),
        notes=odd
        + contradictions(scale, lens.pupil_diameter, given.photos, magnified)
        + differing(scale, given.cameras, given.photos, focus),
    )
