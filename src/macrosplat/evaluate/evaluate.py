"""`evaluate_run`: a run against the truth, in figures.

In: RUN/sharp, transforms.json, config.json and lens.json, a way to render the scene, a truth folder.
Out: `Evaluation`, and RUN/evaluation.json.

Sections: the deblurred photos against their sharp twins; the photos as taken against the same twins (the bar to pass),
and the scene's renders enlarged, where photos are larger than these; the first three also by how blurred the photo was;
renders from cameras that were never photographed against `novel/`; renders at photos that were kept out of training
against these photos. Everything at the run's width.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from macrosplat.cameras.distort import AsTaken
from macrosplat.cameras.records import Cameras, Distortion
from macrosplat.cameras.similarity import align_cameras, align_rays, centre_errors, mapped, refine_similarity
from macrosplat.cameras.transforms import read_cameras_file
from macrosplat.evaluate.fine import Fine, fine
from macrosplat.evaluate.lpips import Lpips
from macrosplat.evaluate.radii import Radii, find_radii
from macrosplat.evaluate.records import (
    DEBLURRED,
    ENLARGED,
    HELD_OUT,
    INPUT,
    NOVEL,
    OF_PHOTOS,
    Evaluation,
    LensErrors,
    Section,
    as_json,
)
from macrosplat.evaluate.truth import Key, Truth, key_of, matching, open_truth, read_srgb, read_where
from macrosplat.output.lens_report import read_lens
from macrosplat.photos.find import find_photos
from macrosplat.photos.records import Photo, resized
from macrosplat.run import Run
from macrosplat.support.colmap import pycolmap
from macrosplat.support.colour import to_bytes
from macrosplat.support.errors import MacrosplatError
from macrosplat.support.files import write_json
from macrosplat.support.metrics import Comparison, compare

# (view [4, 4] world to camera, intrinsics [4] fx fy cx cy, (width, height)) -> [H, W, 3] sRGB in [0, 1]
RenderView = Callable[[NDArray[np.float64], NDArray[np.float64], tuple[int, int]], NDArray[np.floating]]

# A picture that was compared: section, name, [H, W, 3] sRGB in [0, 1].
Keep = Callable[[str, str, NDArray[np.floating]], None]

# (name of a photo) -> [h, w, 3] sRGB in [0, 1], the scene alone as the photo shows it, at the training size; or None.
RenderPhoto = Callable[[str], NDArray[np.floating] | None]

# % of the distance beyond which cameras that were given are in another frame, or of another capture.
ELSEWHERE = 10.0


class Watcher(Protocol):
    """Who is told how far it is (`macrosplat.support.progress.Progress`)."""

    def stage(self, name: str, total: int) -> None: ...
    def advance(self, n: int = 1) -> None: ...


def evaluate_run(
    run: Path,
    truth: Path,
    render_view: RenderView,
    watcher: Watcher | None = None,
    refine: bool = True,
    lpips: Lpips | None = None,
    keep: Keep | None = None,
    render_photo: RenderPhoto | None = None,
) -> Evaluation:
    """Compare, and write RUN/evaluation.json (atomically).

    Where the run's cameras were not given in the truth's frame, the true cameras of the photos are aligned with the
    run's (`align_cameras`), by what they see (`align_rays`), then `refine_similarity` compares renders at both: novel
    views take no part in it. They are drawn with the focal length that the run has found, as the photos it is aligned
    by are (Wang et al. 2021, NeRF--): the focal length's error is a figure of its own.

    Args:
        lpips: the network of a further figure; None: it is left out.
        keep: is handed every picture that was compared: section, name, [H, W, 3] sRGB in [0, 1].
        render_photo: draws the scene as a photo shows it, at the training size; None: no enlargement is compared.

    Raises:
        MacrosplatError: RUN is not a finished run, or the truth folder holds nothing to compare it with.
    """
    made, cameras = Run(run).manifest, Run(run).cameras()
    lenses = dict(zip(map(key_of, cameras.names), cameras.distortion, strict=True))
    known = open_truth(truth)
    deblurred = _deblurred(run)
    held_out = [key_of(name) for name in made.held_out]
    if not known.sharp and not known.novel and not held_out:
        raise MacrosplatError(
            f"{truth} has nothing to compare {run} with: neither sharp/ nor novel.json with novel/, "
            "and the run kept no photos out of training."
        )
    width = int(np.median([photo.width for photo in deblurred.values()]))
    cameras = cameras.resized(width)
    notes: list[str] = []
    similarity, errors, longer = pycolmap.Sim3d(), None, 1.0
    if made.camera_source != "transforms" or _elsewhere(cameras, known):
        found = _align(cameras, known, render_view if refine else None, set(held_out), watcher, notes)
        similarity, errors, longer = found if found else (None, None, 1.0)
        _refuse_another(run, made.camera_source, known, errors, notes)

    pairs: dict[str, list[_Pair]] = {
        INPUT: list(_pairs(_of_the_run(known.as_shown(), deblurred, notes), known.sharp)),
        DEBLURRED: list(_pairs(deblurred, known.sharp)),
        ENLARGED: list(_enlarged_pairs(deblurred, known.sharp, lenses, width, render_photo)),
        NOVEL: _novel_pairs(known, similarity, longer, width, render_view, notes),
        HELD_OUT: _held_out_pairs(run, cameras, known, held_out, width, render_view, notes),
    }
    radii = find_radii(known, Run(run))
    sections = {}
    for title, group in pairs.items():
        if not group:
            continue
        if watcher:
            watcher.stage(f"comparing {title}", len(group))
        compared, finer = {}, {}
        for pair in group:
            test = pair.pixels(width)
            compared[pair.name] = pair.compare(test, width, lpips)
            if title in OF_PHOTOS:
                finer[pair.name] = pair.fine(test, width, radii)
            if keep:
                keep(title, pair.name, test)
            if watcher:
                watcher.advance()
        sections[title] = Section(compared, finer)
    lens = _lens(run, known, similarity, notes)
    aligned, off = (similarity, longer - 1) if errors is not None else (None, None)
    source = radii.source if radii else None
    evaluation = Evaluation(run, truth, width, sections, source, lens, errors, aligned, off, notes)
    write_json(Run(run).evaluation, as_json(evaluation))
    return evaluation


@dataclass(frozen=True)
class _Pair:
    """What to compare with what; pixels are made when they are needed, one pair at a time."""

    name: str
    test: Callable[[], NDArray[np.floating]] | Photo
    truth: Photo
    mask: Photo | None  # the photo whose mask counts

    def pixels(self, width: int) -> NDArray[np.floating]:
        return read_srgb(self.test, width) if isinstance(self.test, Photo) else self.test()

    def compare(self, test: NDArray[np.floating], width: int, lpips: Lpips | None) -> Comparison:
        truth = read_srgb(self.truth, width)
        if test.shape != truth.shape:
            raise MacrosplatError(
                f"{self.truth.path} is {truth.shape[1]} x {truth.shape[0]} px at the run's width, but the run's "
                f"{self.name} {test.shape[1]} x {test.shape[0]}: the run is of another capture."
            )
        return compare(test, truth, self.where(width), lpips)

    def fine(self, test: NDArray[np.floating], width: int, radii: Radii | None) -> Fine:
        radius = radii.of(key_of(self.name), (test.shape[1], test.shape[0])) if radii else None
        return fine(test, read_srgb(self.truth, width), radius, self.where(width))

    def where(self, width: int) -> NDArray[np.bool_] | None:
        return None if self.mask is None else read_where(self.mask, width)


def _of_the_run(photos: dict[Key, Photo], deblurred: dict[Key, Photo], notes: list[str]) -> dict[Key, Photo]:
    """The photos that the run has made sharp, so that both are means over the same; all, if none is called the same."""
    both = {key: photo for key, photo in photos.items() if key in deblurred}
    if not both or len(both) == len(photos):
        return photos
    notes.append(f"The run has {len(both)} of the {len(photos)} photos that the truth has; the others are left out.")
    return both


def _pairs(photos: dict[Key, Photo], sharp: dict[Key, Photo]) -> Iterator[_Pair]:
    """Photos, or deblurred photos, that have a sharp twin."""
    for key, photo in photos.items():
        if key in sharp:
            yield _Pair(photo.name, photo, sharp[key], sharp[key])


def _enlarged_pairs(
    deblurred: dict[Key, Photo],
    sharp: dict[Key, Photo],
    lenses: Mapping[Key, Distortion | None],
    width: int,
    render_photo: RenderPhoto | None,
) -> Iterator[_Pair]:
    """The scene at the training size, enlarged, of photos that are larger than that, as their lens shows it."""
    if render_photo is None:
        return
    for key, photo in deblurred.items():
        if key not in sharp:
            continue
        small = render_photo(photo.name)
        if small is None or small.shape[1] >= width:
            return

        def test(photo=photo, render_photo=render_photo) -> NDArray[np.floating]:
            drawn, size = Image.fromarray(to_bytes(render_photo(photo.name))), resized(photo.width, photo.height, width)
            large, lens = np.asarray(drawn.resize(size, Image.Resampling.LANCZOS)), lenses.get(key_of(photo.name))
            return (large if lens is None else to_bytes(AsTaken(lens, *size).drawn(large) / 255)) / 255.0

        yield _Pair(photo.name, test, sharp[key], sharp[key])


def _novel_pairs(
    truth: Truth,
    similarity: pycolmap.Sim3d | None,
    longer: float,
    width: int,
    render_view: RenderView,
    notes: list[str],
) -> list[_Pair]:
    """Renders from the cameras of the novel views, with `longer` times their focal lengths."""
    if truth.novel_cameras is None:
        return []
    if similarity is None:
        notes.append("Novel views were left out: the true cameras of the photos are not known, so nothing maps them.")
        return []
    cameras = mapped(similarity, truth.novel_cameras.resized(width))
    own = replace(cameras, intrinsics=cameras.intrinsics * [longer, longer, 1, 1])
    return list(_rendered(own, truth.novel, render_view))


def _held_out_pairs(
    run: Path,
    cameras: Cameras,
    truth: Truth,
    held_out: list[Key],
    width: int,
    render_view: RenderView,
    notes: list[str],
) -> list[_Pair]:
    """Photos that training never saw, rendered at the cameras that the run knows for them."""
    if not held_out:
        return []
    apart = Run(run).held_out
    known = read_cameras_file(apart, as_taken=True).resized(width) if apart.is_file() else cameras
    photos = {key: photo for key, photo in truth.photos.items() if key in held_out}
    pairs = list(_rendered(known, photos, render_view))
    if len(pairs) < len(held_out):
        notes.append(f"{len(held_out) - len(pairs)} of {len(held_out)} held-out photos have no camera or are missing.")
    return pairs


def _rendered(cameras: Cameras, photos: dict[Key, Photo], render_view: RenderView) -> Iterator[_Pair]:
    for view, k, (w, h), name in zip(cameras.views, cameras.intrinsics, cameras.sizes, cameras.names, strict=True):
        key = matching(name, photos)
        if key is None:
            continue

        def test(view=view, k=k, size=(int(w), int(h))) -> NDArray[np.floating]:
            # Rounded as `render` writes it: what a user would get.
            return to_bytes(render_view(view, k, size)) / 255.0

        yield _Pair(photos[key].name, test, photos[key], photos[key])


def _named_alike(cameras: Cameras, truth: Truth, left_out: Collection[Key] = ()) -> dict[str, str]:
    """Of photos that both know: the run's name to the truth's."""
    if truth.cameras is None:
        return {}
    keys = list(truth.photos)
    true_name = {matching(name, keys): name for name in truth.cameras.names}
    return {
        name: true_name[key]
        for name in cameras.names
        if (key := matching(name, keys)) is not None and key in true_name and key not in left_out
    }


def _elsewhere(cameras: Cameras, truth: Truth) -> bool:
    """Whether cameras that were given are not in the truth's frame, or those of another capture."""
    both = _named_alike(cameras, truth)
    if truth.cameras is None or len(both) < 2:
        return False
    own, true = cameras.select(list(both)), truth.cameras.select(list(both.values()))
    return float(np.median(centre_errors(true, own, pycolmap.Sim3d()))) > ELSEWHERE


def _refuse_another(
    run: Path, source: str | None, truth: Truth, errors: dict[str, float] | None, notes: list[str]
) -> None:
    """
    Raises:
        MacrosplatError: cameras that were given lie elsewhere than the true ones of photos called the same.
    """
    off = float(np.median(list(errors.values()))) if errors else 0.0
    if off <= ELSEWHERE:
        return
    what = f"the cameras of {run} lie {off:.0f} % of the distance from those of {truth.root} in the median"
    if source == "transforms":
        raise MacrosplatError(f"Photos are called the same, but {what}: give the truth of the run's own capture.")
    notes.append(f"{what[:1].upper()}{what[1:]}: most of them are wrong, or it is the truth of another capture.")


def _align(
    cameras: Cameras,
    truth: Truth,
    render_view: RenderView | None,
    left_out: set[Key],
    watcher: Watcher | None,
    notes: list[str],
) -> tuple[pycolmap.Sim3d, dict[str, float], float] | None:
    """The similarity from the truth's frame to the run's, the errors of the run's camera centres under it, and how many
    times the true focal length the run's is (the median)."""
    if truth.cameras is None:
        notes.append(f"{truth.root} has no transforms.json, so the run's cameras cannot be compared with true ones.")
        return None
    both = _named_alike(cameras, truth, left_out)
    if len(both) < 2:
        raise MacrosplatError(f"{truth.root} knows the cameras of {len(both)} of the run's photos; is it its capture?")
    own, true = cameras.select(list(both)), truth.cameras.select(list(both.values()))
    start = align_cameras(true, own)
    errors = dict(zip(own.names, (float(e) for e in centre_errors(true, own, start)), strict=True))
    start = align_rays(start, true, own)
    own_focal, true_focal = own.intrinsics[:, 0] / own.sizes[:, 0], true.intrinsics[:, 0] / true.sizes[:, 0]
    for v, lens in enumerate(own.distortion):
        if lens is not None:  # its pinhole may be another's: what undistorting leaves of the photo
            own_focal[v] = lens.params[0] / lens.width
    longer = float(np.median(own_focal / true_focal))
    if render_view is None:
        return start, errors, longer
    if watcher:
        watcher.stage("aligning with the true cameras", 1)

    def render_at(view: NDArray[np.float64], v: int) -> NDArray[np.floating]:
        width, height = own.sizes[v]
        return render_view(view, own.intrinsics[v], (int(width), int(height)))

    return refine_similarity(start, true, own, render_at), errors, longer


def _lens(run: Path, truth: Truth, similarity: pycolmap.Sim3d | None, notes: list[str]) -> LensErrors | None:
    report = read_lens(Run(run))
    if report is None or truth.lens is None:
        return None
    if similarity is None:
        notes.append("The lens was not compared: without true cameras the scale of the run is not known.")
        return None
    mm = 1.0 / float(similarity.scale)
    true = truth.lens.focus_distances
    focus = {
        name: (mm * found, true[key])
        for name, found in report.focus_distances.items()
        if (key := matching(name, true)) is not None
    }
    return LensErrors(mm * report.pupil_diameter, truth.lens.pupil_diameter, focus) if focus else None


def _deblurred(run: Path) -> dict[Key, Photo]:
    """RUN/sharp."""
    if not Run(run).sharp_folder.is_dir():
        raise MacrosplatError(f"{run} has no sharp/: the run is not finished; go on with `reconstruct ... --resume`.")
    found = find_photos(run, masks=False, folder=Run(run).sharp_folder).photos
    return {key_of(p.name): p for p in found}
