"""Cameras from photos alone.

In: the photos of a capture. Out: `Cameras` of the photos that could be placed, `SparsePoints`, an `SfmReport`.
Attempts go from strict to loose and end with the first in which every photo stands and agrees with its neighbours.
The world of solved cameras has an arbitrary place; its unit is the median distance from a camera to the points it sees.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from macrosplat.cameras.calibrate import undistorted
from macrosplat.cameras.focal import knows_focal
from macrosplat.cameras.plausible import loosely_held
from macrosplat.cameras.records import Cameras, Distortion, SparsePoints
from macrosplat.cameras.sfm import mapping, refine
from macrosplat.cameras.sfm.contradicted import NOBODY, Contradicted, badly_explained, contradicted, otherwise
from macrosplat.cameras.sfm.features import (
    BLURRED,
    CLOSER,
    EVEN,
    QUICK,
    Extraction,
    Features,
    Matches,
    Progress,
    extract,
    within,
)
from macrosplat.cameras.sfm.known import points_of, silent
from macrosplat.cameras.sfm.pairs import in_order, joined, match_all, near, strong
from macrosplat.cameras.sfm.polish import polished
from macrosplat.cameras.sfm.report import Attempt, SfmReport, failure, reasons, sentences
from macrosplat.cameras.sfm.start import FOCAL_START, OTHER_START, median_focal, nominal_focals, start_cameras
from macrosplat.cameras.sfm.still import without_still
from macrosplat.cameras.sfm.sure import may_be_off
from macrosplat.cameras.sfm.ties import with_ties
from macrosplat.cameras.sfm.together import together
from macrosplat.cameras.sfm.verify import agreement, verify
from macrosplat.cameras.squares import focal_by_squares
from macrosplat.cameras.targets import Readings, corner_points
from macrosplat.cameras.undistort import pinhole_of
from macrosplat.photos.records import Photo
from macrosplat.support.colmap import pycolmap
from macrosplat.support.errors import MacrosplatError

# Squares of coded targets tell the focal length where they do so to this share (experiments: coded-targets).
SURE_FOCAL = 0.01
RADIAL = pycolmap.CameraModelId.SIMPLE_RADIAL
# If photos are missing and the focal length has moved by more than this factor, the pairs were verified with a wrong
# one: the attempt is repeated from where it ended.
FOCAL_JUMP = 1.25


@dataclass(frozen=True)
class Preset:
    """One way of trying."""

    name: str
    extraction: Extraction
    closer: Extraction | None  # left early if hopeless; else what it misses is looked at closer by these settings
    led: bool  # by strong pairs and the order of the photos, which need many matches to tell anything
    span: tuple[float, float]  # of the progress bar


PRESETS = (
    Preset("quick", QUICK, CLOSER, True, (0.0, 0.3)),
    Preset("blurred-copies", EVEN, CLOSER, True, (0.3, 0.55)),
    Preset("thorough", BLURRED, None, False, (0.55, 0.9)),
)
# A model that pairs of photos agree with less than this is begun again so many times with other random numbers; of
# models with as many photos the one with the most observations is taken (experiments: sfm-led).
SURE, MORE_STARTS = 0.955, 1
# Before the quick preset maps anything: a photo is weakly connected that has fewer partners with this many matches.
# Above this share of them the preset is left, which saves most of its time.
WEAK_SHARE = 0.25
PARTNERS, PARTNER_MATCHES = 2, 30
# Up to this share of photos that the quick preset cannot place are looked at closer, by themselves, with the thorough
# settings.
RESCUE_SHARE = 0.2
# If no larger share is missing, the thorough preset is not tried: it takes as long again and places hardly more
# (experiments: sfm-led). A scene may place the rest.
FEW_MISSING = 0.1

NOTHING = "no pair of photos to start from"


@dataclass
class _Try:
    """What an attempt leaves behind."""

    attempt: Attempt
    features: list[Features]
    cameras: list[pycolmap.Camera]
    model: pycolmap.Reconstruction | None = None
    keep: list[int] = field(default_factory=list)  # photo indices that the model holds and that agree
    placed: list[int] = field(default_factory=list)  # all that the model holds
    weak: dict[int, int] = field(default_factory=dict)  # photo index: partners, where these are few
    right: bool = False  # the model as a whole can be believed
    against: Contradicted = NOBODY  # photos that what their neighbours share with them speaks against
    doubted: tuple[int, ...] = ()  # photo indices that stay, and may be wrong
    still: int = 0  # points of a photo that were left out since they stand still

    @property
    def rank(self) -> tuple[float, ...]:
        seen = self.attempt.observations  # a model without any may hold every photo
        return self.attempt.agreeing if seen else 0, self.attempt.agreement * seen


def solve_cameras(
    photos: tuple[Photo, ...],
    workdir: Path,
    progress: Progress | None = None,
    seed: int = 0,
    targets: Readings | None = None,
    finer: bool = True,
) -> tuple[Cameras, SparsePoints, SfmReport]:
    """Structure from motion.

    Args:
        photos: of one capture, with their masks.
        workdir: a folder for scratch files; nothing stays in it.
        progress: called with a fraction (0 to 1) and what is being done.
        seed: of every random choice. The same seed gives the same cameras on the same machine and number of cores.
        targets: coded targets read in the photos, whose corners are points that photos share for sure.
        finer: whether more points are sought in the end where few hold some photo; they are where next to none do.

    Returns:
        The registered cameras in the order of the photos, points seen by at least three of them, and the report.

    Raises:
        MacrosplatError: fewer than three photos, or fewer than three could be registered.
    """
    if len(photos) < 3:
        raise MacrosplatError(f"The capture holds {len(photos)} photos; at least 3 are needed.")
    workdir.mkdir(parents=True, exist_ok=True)
    progress, began = progress or silent, time.monotonic()
    tries: list[_Try] = []
    for preset in PRESETS:
        tries += _tries(preset, photos, targets or {}, workdir, within(progress, *preset.span), seed)
        best = max(tries, key=lambda one: one.rank)
        if len(photos) - best.attempt.agreeing <= FEW_MISSING * len(photos):
            break
    best = max(tries, key=lambda one: one.rank)
    if best.model is None or len(best.keep) < 3:
        raise MacrosplatError(failure(best.attempt, len(photos)))
    _leave_out(best.model, best.keep)
    # By the points that photos were placed with: of those that are left in the end there are fewer, without copies.
    loose = set(loosely_held(*_result(best, photos)))
    polishing = within(progress, PRESETS[-1].span[1], 1.0)
    finer = finer or bool(loose)
    ended = polished(best.model, best.features, photos, best.cameras, workdir, polishing, seed, not targets, finer)
    best.model, best.cameras, best.features = ended.model, ended.cameras, ended.features
    cameras, points = _result(best, photos)
    if ended.copied:
        loose &= set(loosely_held(cameras, points))
    loose |= {photos[i].name for i in best.against.by}
    unsure = [photos[i].name for i in best.keep if photos[i].name in loose] if 2 * len(loose) < len(best.keep) else []
    squares = focal_by_squares(targets, cameras, corner_points(targets, cameras)[0]) if targets else None
    if squares is not None and squares.uncertainty < SURE_FOCAL:
        best.cameras = refine.with_focal(best.model, best.cameras, squares.factor)
        cameras, points = _result(best, photos)
        spread: float | None = squares.uncertainty
        alike = None  # the squares know the focal length
    else:
        model = ended.alike or best.model
        alike = _result(replace(best, model=model, cameras=refine.cameras_of(model, best.cameras)), photos)
        told = may_be_off(model, ended.loss)
        held = abs(best.attempt.focal - best.attempt.focal_start) < 1e-6  # since it ran away
        spread = None if told is None else 1.0 if held else told
    progress(1.0, f"{len(cameras)} of {len(photos)} photos placed")
    names = [photo.name for photo in photos]
    missing = reasons(names, cameras.names, [len(one) for one in best.features], best.placed, best.weak)
    report = SfmReport(
        photos=len(photos),
        registered=cameras.names,
        missing=missing,
        attempts=tuple(one.attempt for one in tries),
        focal_px=tuple(cameras.intrinsics[:, 0].tolist()),
        seconds=time.monotonic() - began,
        unsure=tuple(unsure),
        focal_spread=spread,
        still=best.still,
        doubted=tuple(names[i] for i in best.doubted),
        alike=alike,
    )
    assumed = not any(knows_focal(photo) for photo in photos)
    told_of = replace(best.attempt, focal=median_focal(best.cameras, nominal_focals(photos)))
    return cameras, points, replace(report, sentences=sentences(report, told_of, assumed))


def _tries(
    preset: Preset,
    photos: tuple[Photo, ...],
    targets: Readings,
    workdir: Path,
    progress: Progress,
    seed: int,
) -> list[_Try]:
    """Try one preset: once, or twice if photos are missing or the model is wrong and another focal length may help."""
    features = extract(photos, preset.extraction, workdir, within(progress, 0.0, 0.5))
    matches = match_all(features, within(progress, 0.5, 0.6))
    features, matches, still = without_still(features, matches)
    features, ties = with_ties(features, photos, targets)
    matches = joined(matches, ties)
    cameras = start_cameras(photos, features, FOCAL_START)
    weak = _weakly_connected(matches, len(photos))
    if preset.closer and len(weak) > WEAK_SHARE * len(photos):
        note = f"{len(weak)} photos have too few feature points in common with others"
        return [
            _Try(
                Attempt(preset.name, focal_start=FOCAL_START, note=note),
                features,
                cameras,
                weak=weak,
                still=still,
            )
        ]
    tries, rescued, known = [], preset.closer is None, None
    for span in ((0.6, 0.75), (0.75, 0.9), (0.9, 1.0)):
        tell = within(progress, *span)
        verified = verify(features, cameras, matches, mapping.PAIR_MATCHES, seed, within(tell, 0.0, 0.4))
        if preset.led:
            verified = in_order(verified, len(photos))
        begun = Attempt(preset.name, focal_start=median_focal(cameras, nominal_focals(photos)), note=NOTHING)
        nothing = _Try(begun, features, cameras, weak=weak, still=still)
        placing = within(tell, 0.4, 1.0)
        best = _map(nothing, known, preset.led, not rescued, photos, verified, workdir, placing, seed)
        tries.append(best)
        missing = len(photos) - best.attempt.agreeing
        if missing == 0:
            break
        if preset.closer and not rescued and missing <= RESCUE_SHARE * len(photos):
            rescued = True
            features, added = refine.rescue(best.keep, photos, features, matches, preset.closer, workdir, tell)
            matches, cameras, known = joined(matches, added), best.cameras, best.model
            continue
        known = None
        if best.model is None:
            break
        start, jump = best.attempt.focal_start, best.attempt.focal / best.attempt.focal_start
        if not best.right and start == FOCAL_START:
            cameras = start_cameras(photos, features, OTHER_START)
        elif best.right and max(jump, 1 / jump) > FOCAL_JUMP:
            cameras = best.cameras
        else:
            break
    return tries


def _map(
    nothing: _Try,
    known: pycolmap.Reconstruction | None,
    led: bool,
    closer_look: bool,
    photos: tuple[Photo, ...],
    verified: Matches,
    workdir: Path,
    progress: Progress,
    seed: int,
) -> _Try:
    """The best of some models: begun with the strong pairs alone, if photos are missing from it with all, and, as long
    as pairs of photos disagree with it, with the strong ones by other chances.

    Args:
        nothing: what is left if no model can be made.
        known: a model of most of the photos; if all of them find their places in it, no other is made.
        closer_look: what a model misses that can be believed will be looked at closer.
    """
    names, features, cameras = [photo.name for photo in photos], nothing.features, nothing.cameras
    first, best = strong(verified, len(photos)), nothing
    sure, more = (first, MORE_STARTS) if led else ({}, 0)
    models = 3 + more

    def improved(
        model: pycolmap.Reconstruction, begun: Matches, chance: int, tell: Progress, believed: Matches = verified
    ) -> _Try:
        refined = refine.improve(model, features, names, cameras, begun, believed, sure, workdir, tell, chance)
        views = mapping.views_of(refined.model)
        k = refine.calibrations(refined.cameras)
        against, judged = contradicted(features, verified, views, k), refined.judged
        keep = together(refined.model, [photo for photo in refined.agreeing if photo not in against.given_up])
        if against.given_up:
            held = {photo: views[photo] for photo in keep}
            judged = agreement(features, near(believed, held, believed, refine.MAX_TURN, sure), held, k)
        agreeing = len(set(keep) - set(against.photos))
        may_be = against.photos if against.all_doubted else (*against.beside, *badly_explained(judged, keep))
        doubted = tuple(sorted(set(may_be) & set(keep)))
        return replace(
            nothing,
            attempt=_score(nothing.attempt, refined, agreeing, nominal_focals(photos)),
            cameras=refined.cameras,
            model=refined.model,
            keep=keep,
            placed=sorted(views),
            right=refined.right,
            against=against,
            doubted=doubted,
        )

    def made(begun: Matches, chance: int, tell: Progress, believed: Matches = verified) -> _Try:
        tell(0.0, "placing photos")
        model = mapping.register(features, names, cameras, begun, workdir, chance, within(tell, 0.0, 0.2))
        if model is None or model.num_reg_images() < 3:
            return nothing
        views = mapping.views_of(model)
        closer = near(believed, views, begun, refine.MAX_TURN, sure)
        added = {pair: rows for pair, rows in closer.items() if pair not in begun}
        told = agreement(features, added, views, refine.calibrations(cameras))
        if told.share >= SURE:
            begun = closer
        elif closer.keys() != begun.keys():  # rings close with the weaker pairs, and false ones are left out
            again = mapping.register(features, names, cameras, closer, workdir, chance, within(tell, 0.2, 0.4))
            if again is not None and again.num_reg_images() >= model.num_reg_images():
                model, begun = again, closer
        return improved(model, begun, chance, within(tell, 0.4, 1.0), believed)

    if known is not None:
        views = mapping.views_of(known)
        begun = near(verified, views, verified, refine.MAX_TURN, sure)
        held = {(i, j): rows for (i, j), rows in begun.items() if i in views and j in views}
        # A missing photo mostly sees what one other saw.
        model = mapping.triangulate_tracks(features, names, cameras, views, held, workdir, seed, least=2)
        best = improved(model, begun, seed, within(progress, 0.0, 1 / models))
    for turn, begun in enumerate((first, verified, *[first] * more)):
        missing, settled = len(photos) - best.attempt.agreeing, best.attempt.agreement >= SURE
        few = settled and closer_look and missing <= RESCUE_SHARE * len(photos)
        enough = (settled and not missing, few or not missing, settled or best.model is None)
        if enough[min(turn, 2)]:
            continue
        found = made(begun, seed + max(0, turn - 1), within(progress, (turn + 1) / models, (turn + 2) / models))
        if best.model is None or found.rank > best.rank:
            best = found
    if best.model is not None and best.against.photos:
        views, k = mapping.views_of(best.model), refine.calibrations(best.cameras)
        believed = otherwise(features, verified, views, k, best.against.photos)
        sure = strong(believed, len(photos)) if led else {}
        found = made(strong(believed, len(photos)), seed, within(progress, 0.9, 1.0), believed)
        best = max(best, found, key=lambda one: one.rank)
    return best


def _score(begun: Attempt, refined: refine.Refined, agreeing: int, nominal: NDArray[np.float64]) -> Attempt:
    model = refined.model
    return Attempt(
        name=begun.name,
        registered=model.num_reg_images(),
        agreeing=agreeing,
        agreement=refined.judged.share,
        observations=model.compute_num_observations(),
        error_px=model.compute_mean_reprojection_error(),
        focal_start=begun.focal_start,
        focal=median_focal(refined.cameras, nominal),
    )


def _weakly_connected(matches: Matches, count: int) -> dict[int, int]:
    """Photo index: number of partners with `PARTNER_MATCHES`, for photos with fewer than `PARTNERS` of them."""
    partners = np.zeros(count, np.int64)
    for pair, rows in matches.items():
        if len(rows) >= PARTNER_MATCHES:
            partners[list(pair)] += 1
    return {int(i): int(partners[i]) for i in np.flatnonzero(partners < PARTNERS)}


def _result(best: _Try, photos: tuple[Photo, ...]) -> tuple[Cameras, SparsePoints]:
    """The agreeing photos' cameras at full size and the points, in units of the median distance to the points seen."""
    assert best.model is not None
    model, keep = best.model, best.keep
    views = mapping.views_of(model)
    points = points_of(model, best.features, photos, keep)
    depth = [
        views[keep[n]][2, :3] @ points.xyz[p] + views[keep[n]][2, 3]
        for n, p in zip(points.photo, points.point, strict=True)
    ]
    unit, middle = float(np.median(depth)), np.median(points.xyz, axis=0)
    matrices = np.stack([views[i] for i in keep])
    matrices[:, :3, 3] = (matrices[:, :3, 3] + matrices[:, :3, :3] @ middle) / unit
    sizes = np.array([(photos[i].width, photos[i].height) for i in keep])
    intrinsics, lenses = [], []
    for i, (width, height) in zip(keep, sizes, strict=True):
        scale = np.array([width, height]) / best.features[i].size
        fx, fy = best.cameras[i].focal_length_x * scale
        k1 = best.cameras[i].params[3] if best.cameras[i].model == RADIAL else 0.0
        params = (float(fx), float(fy), width / 2, height / 2, float(k1), 0.0, 0.0, 0.0)
        lenses.append(Distortion("OPENCV", params, int(width), int(height)) if k1 else None)
        intrinsics.append(params[:4] if lenses[-1] is None else pinhole_of(lenses[-1]))
    names = tuple(photos[i].name for i in keep)
    cameras = Cameras(names, matrices, np.array(intrinsics), sizes, "sfm", tuple(lenses))
    return cameras, undistorted(replace(points, xyz=(points.xyz - middle) / unit), cameras)


def _leave_out(model: pycolmap.Reconstruction, keep: list[int]) -> None:
    """Photos that are not in `keep`."""
    for image_id in list(model.reg_image_ids()):
        if image_id - 1 not in keep:
            model.deregister_frame(model.images[image_id].frame_id)
