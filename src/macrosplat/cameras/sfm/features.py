"""Feature points of blurred photos.

In: photos (a `Photo` each). Out: `Features` per photo. Pixels are those of the *canvas*: the photo at working size
(`WORK_SIDE`) in the middle of a square of its longer side, pixel centres at +0.5. On it upright and sideways photos of
one camera share their intrinsics, and the principal point is the middle.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter, maximum_filter

from macrosplat.cameras.records import Distortion
from macrosplat.cameras.undistort import colmap_camera, pinhole_of, rescaled
from macrosplat.photos.masks import read_mask
from macrosplat.photos.read import read_photo, readers
from macrosplat.photos.records import Photo, resized
from macrosplat.support.colmap import disk_told, open_database, pycolmap
from macrosplat.support.scratch import library_scratch
from macrosplat.support.threads import CORES, ordered

# Of a photo, those of the largest scale: where more are found, as on a textured ground, half of COLMAP's 8192 take a
# quarter of the time to match, and the smallest are those that the next photo has blurred away. And bytes of each.
MOST_FEATURES, FEATURE_BYTES = 4096, 160
JOURNAL, EMPTY_DATABASE = 2, 1 << 20  # SQLite writes a journal first; bytes of tables with nothing in them
Matches = dict[tuple[int, int], NDArray[np.int64]]  # (i, j), i < j: [M, 2] feature rows
Progress = Callable[[float, str], None]

# px of the longer side. A defocused photo holds no more detail than this shows (a blur of 10 px at 640 is 25 px
# here), and the time of SIFT grows with the square of it, that of matching with up to the fourth power.
WORK_SIDE = 1200
# Where cameras are given points only begin a scene, and calibrate by the hundreds.
GIVEN_SIDE = 800
MAX_ANGLE = 0.7  # rad between two descriptors of unit length that may match (COLMAP's default)
SILENT = pycolmap.logging.Level.FATAL.value


def within(progress: Progress, start: float, end: float) -> Progress:
    """The part of a progress bar from `start` to `end`, as a bar of its own."""
    return lambda fraction, text: progress(start + (end - start) * fraction, text)


@dataclass(frozen=True)
class Extraction:
    """What SIFT is asked to find. The defaults are COLMAP's, made for sharp photos."""

    peak_threshold: float = 0.02 / 3
    edge_threshold: float = 10.0
    affine_shape: bool = False
    domain_size_pooling: bool = False
    domain_sizes: int = 10  # that are pooled
    copies: tuple[float, ...] = ()  # px, sigmas of blurred copies of a photo, in which points are sought as well
    most: int = MOST_FEATURES  # of a photo, and of each of its copies

    def options(self) -> pycolmap.FeatureExtractionOptions:
        options = pycolmap.FeatureExtractionOptions()
        options.use_gpu = False
        options.num_threads = CORES
        options.sift.max_num_features = self.most
        options.sift.peak_threshold = self.peak_threshold
        options.sift.edge_threshold = self.edge_threshold
        options.sift.estimate_affine_shape = self.affine_shape
        options.sift.domain_size_pooling = self.domain_size_pooling
        options.sift.dsp_num_scales = self.domain_sizes
        return options


# A third of COLMAP's threshold, and affine shapes, by which matches are told apart (`pairs`): a quarter of the time of
# `BLURRED`.
QUICK = Extraction(peak_threshold=0.002, edge_threshold=20.0, affine_shape=True)
# Defocus flattens the peaks of the difference of Gaussians, and pooling over domain sizes is what makes them match:
# half again as many true matches as `QUICK` has between photos of the fly, three times as many for the worst.
BLURRED = Extraction(peak_threshold=0.0007, edge_threshold=20.0, affine_shape=True, domain_size_pooling=True)
# What is sharp in one photo and blurred in the next leads to other points in each, at whatever scale they are sought;
# made as blurred as the other it leads to the same: half again to twice as many true matches (experiments: even-blur).
EVEN = replace(QUICK, copies=(2.0,))
# What a model misses is looked at closer so, with what it has most in common with (experiments: sfm-closer).
CLOSER = replace(QUICK, copies=(1.5, 3.0), most=1280)
# Under poses that are known nearly, where each photo is matched along epipolar lines alone: three times as many
# observations as without copies (experiments: sfm-copies). What a pair takes to match grows with the square of them.
COPIES = replace(QUICK, copies=(1.0, 2.0, 4.0), most=1280)
# With cameras to go by, half of the sizes do, in two thirds of the time (experiments: sizes-pooled).
GUIDED = replace(BLURRED, domain_sizes=5)


@dataclass(frozen=True)
class Features:
    """The feature points of one photo."""

    keypoints: NDArray[np.float32]  # [N, 6] x, y (canvas px) and the 2x2 affine shape
    descriptors: NDArray[np.float32]  # [N, 128] unit length
    rgb: NDArray[np.uint8]  # [N, 3] sRGB of the photo at the point
    size: tuple[int, int]  # working width, height
    own: int | None = None  # rows of the first extraction, where `with_more` has added others; None: all
    copied: bool = False  # whether some were found in blurred copies, so that a spot may be found more than once

    def __len__(self) -> int:
        return len(self.keypoints)

    @property
    def side(self) -> int:
        """Width and height of the canvas, px."""
        return max(self.size)

    @property
    def px(self) -> NDArray[np.float64]:
        """[N, 2] positions, canvas px."""
        return self.keypoints[:, :2].astype(np.float64)

    @property
    def sizes(self) -> NDArray[np.float64]:
        """[N] scales of the points, canvas px."""
        shape = self.keypoints[:, 2:].astype(np.float64)
        return np.sqrt(np.abs(shape[:, 0] * shape[:, 3] - shape[:, 1] * shape[:, 2]))

    def largest(self, count: int) -> Features:
        """The `count` points of the largest scale: those that a blurred photo shows, too."""
        rows = np.sort(np.argsort(-self.sizes, kind="stable")[:count])
        return self._only(rows)

    def first(self) -> Features:
        """Without the rows that `with_more` has added."""
        return self._only(slice(self.own))

    def after(self, count: int) -> Features:
        """Without the first `count` rows."""
        return self._only(slice(count, None))

    def with_more(self, more: Features) -> Features:
        """With the rows of another extraction behind."""
        keypoints, descriptors, rgb = (
            np.concatenate([getattr(self, name), getattr(more, name)]) for name in ("keypoints", "descriptors", "rgb")
        )
        own = len(self) if self.own is None else self.own
        return Features(keypoints, descriptors, rgb, self.size, own, self.copied)

    def with_copies(self, copies: Features) -> Features:
        """With the points of a blurred copy of the photo, which count as found with the others."""
        return replace(self.with_more(copies), own=None, copied=True)

    def inside(self, photo: Photo) -> Features:
        """Without those that lie outside the mask of their photo."""
        mask = _mask_of(photo, self.size[0])
        if mask is None:
            return self
        return self._only(np.flatnonzero(mask[self._rows_columns()] >= 128))

    def _rows_columns(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """[N] the pixels of the photo at working size in which they lie."""
        column, row = (self.px - self.margin).astype(int).T
        return np.clip(row, 0, self.size[1] - 1), np.clip(column, 0, self.size[0] - 1)

    def _only(self, rows: NDArray[np.int64] | slice) -> Features:
        return Features(self.keypoints[rows], self.descriptors[rows], self.rgb[rows], self.size, copied=self.copied)

    def photo_px(self, width: int, height: int) -> NDArray[np.float64]:
        """[N, 2] positions in the photo at `width` x `height`."""
        return (self.px - self.margin) * (np.array([width, height]) / self.size)

    def undistorted(self, distortion: Distortion | None) -> Features:
        """Those of the photo as its pinhole camera sees it (`undistort`); what that one does not show is left out.

        Where key points lie and their affine shapes are moved; descriptors stay, being those of the shapes.
        """
        if distortion is None:
            return self
        lens, ends = rescaled(distortion, *self.size), np.concatenate([np.zeros((2, 1)), np.eye(2)], axis=1)
        fx, fy, cx, cy = pinhole_of(lens)
        there = [
            np.asarray(colmap_camera(lens).cam_from_img(self.px - self.margin + by))[:, :2] * (fx, fy) + (cx, cy)
            for by in ends.T
        ]
        with np.errstate(invalid="ignore"):
            shown = ((there[0] >= 0) & (there[0] <= self.size)).all(1) & np.isfinite(there).all((0, 2))
        turn = np.stack([there[1] - there[0], there[2] - there[0]], axis=-1)[shown]  # [N, 2, 2] the derivative
        shape = turn @ self.keypoints[shown, 2:].reshape(-1, 2, 2)
        keypoints = np.column_stack([there[0][shown] + self.margin, shape.reshape(-1, 4)]).astype(np.float32)
        return Features(keypoints, self.descriptors[shown], self.rgb[shown], self.size, copied=self.copied)

    @property
    def margin(self) -> NDArray[np.float64]:
        """[2] where the photo's corner lies on the canvas, px."""
        return (self.side - np.array(self.size)) / 2


def working_size(width: int, height: int, side: int = WORK_SIDE) -> tuple[int, int]:
    """(width, height) of a photo in which features are sought."""
    return resized(width, height, round(width * min(1.0, side / max(width, height))))


def always() -> bool:
    return True


def interruptible(function: Callable[..., Any], *args: Any, wanted: Callable[[], bool] = always, **kwargs: Any) -> Any:
    """Call a pycolmap function so that Ctrl-C reaches it: C++ alone would see the signal only when it is done.

    Args:
        wanted: is asked now and then whether to go on, in a thread that no signal reaches.
    """
    token = pycolmap.CancellationToken()
    pycolmap.logging.minloglevel = SILENT  # here, since some of pycolmap's functions set it back
    with disk_told(), ThreadPoolExecutor(1) as pool:
        try:  # submitting is inside: an interrupt may come as soon as the thread runs
            future = pool.submit(function, *args, cancellation_token=token, **kwargs)
            while not future.done():
                wait([future], timeout=0.2)
                if not wanted():
                    raise InterruptedError
            return future.result()
        except BaseException:
            token.cancel()
            raise


def extract(
    photos: tuple[Photo, ...],
    extraction: Extraction,
    folder: Path | None,
    progress: Progress,
    side: int = WORK_SIDE,
    own: Sequence[Features] | None = None,
    wanted: Callable[[], bool] = always,
) -> list[Features]:
    """The features of every photo as taken, in the order of `photos`. Points outside a photo's mask are left out.

    Args:
        folder: for scratch files, which are removed. pycolmap finds features on several cores only in files: its
            extractor for arrays holds the interpreter (experiments: sizes-pooled). None: in memory.
        side: px of the longer side, at the most.
        own: the photos' own points, where they are known: only those of copies are sought.
        wanted: is asked now and then whether to go on.
    """
    found = []
    step = 2 * CORES  # photos per call, between which progress is told
    for start in range(0, len(photos), step):
        some = slice(start, start + step)
        found += _extract_some(photos[some], extraction, folder, side, own and own[some], wanted)
        progress(len(found) / len(photos), f"feature points of photo {len(found)} of {len(photos)}")
    return found


def extract_pictures(
    pictures: Sequence[NDArray[np.uint8]],
    extraction: Extraction,
    folder: Path | None,
    wanted: Callable[[], bool] = always,
) -> list[Features]:
    """The features of pictures [H, W, 3] sRGB, of any size, as they are, without those of blurred copies.

    Args:
        folder: for scratch files, which are removed; None: in memory.
    """
    sizes = [(picture.shape[1], picture.shape[0]) for picture in pictures]
    with library_scratch(folder, ".features.", _bytes_of(sizes)) as scratch:
        for n, picture in enumerate(pictures):
            Image.fromarray(picture).convert("L").save(Path(scratch) / f"{n}.pgm")
        raw = _extracted(Path(scratch), len(pictures), extraction, wanted)
    return [_features(picture, *found) for picture, found in zip(pictures, raw, strict=True)]


def _extract_some(
    photos: tuple[Photo, ...],
    extraction: Extraction,
    folder: Path | None,
    side: int,
    own: Sequence[Features] | None,
    wanted: Callable[[], bool],
) -> list[Features]:
    widths = [working_size(photo.width, photo.height, side)[0] for photo in photos]
    colours = list(ordered(lambda n: read_photo(photos[n], widths[n]), range(len(photos)), readers(photos)))
    found = list(own or extract_pictures(colours, replace(extraction, copies=()), folder, wanted))
    for sigma in extraction.copies:
        copies = [_blurred(rgb, sigma) for rgb in colours]
        more = extract_pictures(copies, replace(extraction, copies=()), folder, wanted)
        found = [one.with_copies(also) for one, also in zip(found, more, strict=True)]
    return [one.inside(photo) for one, photo in zip(found, photos, strict=True)]


def _blurred(rgb: NDArray[np.uint8], sigma: float) -> NDArray[np.uint8]:
    """[H, W, 3] a picture in sRGB levels, blurred by `sigma` px; in floats, for scipy rounds bytes down twice."""
    return np.rint(gaussian_filter(rgb.astype(np.float32), (sigma, sigma, 0))).astype(np.uint8)


def _mask_of(photo: Photo, width: int) -> NDArray[np.uint8] | None:
    """[H, W] of a photo at so many px: where feature points count; None: everywhere."""
    if photo.mask is None or photo.mask_margin >= 1:
        return None
    mask = read_mask(photo, width)
    if mask is not None and photo.mask_margin:
        mask = np.asarray(maximum_filter(mask, 1 + 2 * round(photo.mask_margin * width)), np.uint8)
    return mask


def read_grey(photo: Photo) -> NDArray[np.uint8]:
    """[H, W] sRGB levels of a photo at its working size, as features are sought in it."""
    rgb = read_photo(photo, working_size(photo.width, photo.height)[0])
    return np.asarray(Image.fromarray(rgb).convert("L"))


def _bytes_of(sizes: Sequence[tuple[int, int]]) -> float:
    """Of a database of the features of so many pictures, its journal, and the pictures."""
    features = len(sizes) * MOST_FEATURES * FEATURE_BYTES
    return sum(width * height for width, height in sizes) + JOURNAL * features + EMPTY_DATABASE


def _extracted(
    folder: Path, count: int, extraction: Extraction, wanted: Callable[[], bool]
) -> list[tuple[NDArray, NDArray]]:
    """Key points and descriptors of the pictures that were put there, as COLMAP has them."""
    names = [f"{n}.pgm" for n in range(count)]
    path = folder / "features.db"
    interruptible(
        pycolmap.extract_features,
        path,
        folder,
        image_names=names,
        camera_mode=pycolmap.CameraMode.PER_IMAGE,
        extraction_options=extraction.options(),
        device=pycolmap.Device.cpu,
        wanted=wanted,
    )
    with open_database(path) as database:
        ids = {image.name: image.image_id for image in database.read_all_images()}
        return [(database.read_keypoints(ids[n]), database.read_descriptors(ids[n]).data) for n in names]


def _features(rgb: NDArray[np.uint8], keypoints: NDArray, descriptors: NDArray) -> Features:
    size = rgb.shape[1], rgb.shape[0]
    keypoints = np.array(keypoints, np.float32).reshape(-1, 6)
    vectors = np.asarray(descriptors, np.float32).reshape(-1, 128)
    column = np.clip(keypoints[:, 0].astype(int), 0, size[0] - 1)
    row = np.clip(keypoints[:, 1].astype(int), 0, size[1] - 1)
    keypoints[:, :2] += (max(size) - np.array(size)) / 2
    vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    return Features(keypoints, vectors, rgb[row, column], size)
