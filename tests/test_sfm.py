"""Structure from motion against a scene whose cameras are known: the inside of a textured corner, ray-cast in numpy."""

from __future__ import annotations

import signal
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pycolmap
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter

from macrosplat.cameras.records import Cameras, Distortion
from macrosplat.cameras.sfm import mapping, refine
from macrosplat.cameras.sfm.features import CLOSER, QUICK, Features, extract, interruptible, working_size
from macrosplat.cameras.sfm.guided import along_lines, fundamental_matrix, pairs_within
from macrosplat.cameras.sfm.known import triangulate
from macrosplat.cameras.sfm.mapping import PAIR_MATCHES, pinhole
from macrosplat.cameras.sfm.pairs import followers, in_order, joined, match, match_all, near, nearest, pairs_of, strong
from macrosplat.cameras.sfm.refine import AGREES, MODEL_AGREES
from macrosplat.cameras.sfm.report import Attempt
from macrosplat.cameras.sfm.solve import _map, _Try, solve_cameras
from macrosplat.cameras.sfm.verify import agreement, fits_model, verify
from macrosplat.cameras.undistort import colmap_camera, pinhole_of
from macrosplat.capture.records import Capture
from macrosplat.photos.records import Photo
from macrosplat.support.colmap import open_database
from macrosplat.support.errors import MacrosplatError
from making_corner import DISTANCE, ENGRAVED, FOCAL, PHOTOS, SIDEWAYS, Corner, look, texture, write_corner


@pytest.fixture(scope="module")
def corner(tmp_path_factory: pytest.TempPathFactory) -> Corner:
    return write_corner(tmp_path_factory.mktemp("corner"))


@pytest.fixture(scope="module")
def features(corner: Corner, tmp_path_factory: pytest.TempPathFactory) -> list[Features]:
    return extract(corner.capture.photos, QUICK, tmp_path_factory.mktemp("scratch"), ignore)


def ignore(fraction: float, text: str) -> None:
    pass


def centre_errors(cameras: Cameras, truth: Cameras) -> NDArray[np.float64]:
    """[V] distance of the centres after the best similarity, in parts of `DISTANCE`."""
    source, target = cameras.centres, truth.select(cameras.names).centres
    return np.linalg.norm(pycolmap.estimate_sim3d(source, target) * source - target, axis=1) / DISTANCE


def test_solves_the_corner(corner: Corner, tmp_path: Path) -> None:
    told: list[float] = []
    cameras, points, report = solve_cameras(
        corner.capture.photos, tmp_path, lambda fraction, text: told.append(fraction)
    )
    assert cameras.names == corner.truth.names == report.registered
    assert not report.missing
    off = centre_errors(cameras, corner.truth)
    assert np.median(off) < 0.01 and off.max() < 0.03
    # From 0.56 of the true focal length, nominal, to it.
    assert np.allclose(cameras.intrinsics[:, :2], FOCAL, rtol=0.05)
    assert np.array_equal(cameras.intrinsics[:, 2:], cameras.sizes / 2)
    # The unit is the distance to the points seen.
    depth = np.einsum("oj,oj->o", cameras.views[points.photo, 2, :3], points.xyz[points.point])
    assert np.median(depth + cameras.views[points.photo, 2, 3]) == pytest.approx(1, abs=1e-6)
    check_observations(points, cameras, 1.5)
    assert told == sorted(told) and told[-1] == 1
    assert not list(tmp_path.iterdir())
    assert report.sentences[0].startswith("9 of 9 photos")


def check_observations(points, cameras: Cameras, most_px: float) -> None:
    """Points are seen where they project to, at least three times, each photo once at most nearly always."""
    seen = np.bincount(points.point, minlength=len(points))
    assert seen.min() >= 3
    in_camera = np.einsum("oij,oj->oi", cameras.views[points.photo, :3, :3], points.xyz[points.point])
    in_camera += cameras.views[points.photo, :3, 3]
    fx, fy, cx, cy = cameras.intrinsics[points.photo].T
    px = np.column_stack([fx * in_camera[:, 0] / in_camera[:, 2] + cx, fy * in_camera[:, 1] / in_camera[:, 2] + cy])
    assert np.median(np.linalg.norm(px - points.px, axis=1)) < most_px
    assert (points.px >= 0).all() and (points.px <= cameras.sizes[points.photo]).all()


def test_the_same_seed_gives_the_same_cameras(corner: Corner, tmp_path: Path) -> None:
    some = Capture(corner.capture.root, corner.capture.photos[:5])
    first, second = (solve_cameras(some.photos, tmp_path, seed=3)[0] for _ in range(2))
    assert np.abs(first.views - second.views).max() < 1e-9


def test_triangulated_points_lie_on_the_planes(corner: Corner, tmp_path: Path) -> None:
    some = Capture(corner.capture.root, corner.capture.photos[2:7])
    truth = corner.truth.select([photo.name for photo in some.photos])
    points = triangulate(some.photos, truth, tmp_path)
    assert len(points) > 100
    off_plane = np.abs(points.xyz).min(1)
    assert np.median(off_plane) < 0.01 and np.percentile(off_plane, 95) < 0.05
    check_observations(points, truth, 1.0)
    assert SIDEWAYS - 2 in points.photo
    # Colour is the photos' own grey.
    assert np.ptp(points.rgb.astype(int), axis=1).max() == 0 and points.rgb.std() > 10
    assert not list(tmp_path.iterdir())


def test_key_points_of_a_distorted_photo_lie_where_the_pinhole_sees_them() -> None:
    lens = Distortion("SIMPLE_RADIAL", (700.0, 322.0, 236.0, -0.08), 640, 480)
    fx, fy, cx, cy = pinhole_of(lens)
    at = np.random.default_rng(0).uniform((-9, -9), (649, 489), (200, 2))  # of the undistorted photo, and beyond

    def taken(px):
        return np.asarray(colmap_camera(lens).img_from_cam(np.column_stack([(px - (cx, cy)) / (fx, fy), np.ones(200)])))

    shape = np.stack([taken(np.add(at, (0.5, 0))) - taken(at), taken(np.add(at, (0, 0.5))) - taken(at)], -1) / 0.5
    rows = np.column_stack([np.add(taken(at), (0, 80)), shape.reshape(200, 4)]).astype(np.float32)
    numbers = np.arange(200, dtype=np.float32)[:, None].repeat(128, 1)
    found = Features(rows, numbers, np.zeros((200, 3), np.uint8), (640, 480)).undistorted(lens)
    inside = ((at >= 0) & (at <= (640, 480))).all(1)
    assert found.descriptors[:, 0].astype(int).tolist() == np.flatnonzero(inside).tolist()
    assert np.abs(found.px - found.margin - at[inside]).max() < 1e-3
    assert np.abs(found.keypoints[:, 2:].reshape(-1, 2, 2) - np.eye(2)).max() < 2e-3


def test_a_wrong_camera_and_a_wrong_model_are_noticed(corner: Corner, features: list[Features]) -> None:
    cameras = [pinhole(320, FOCAL, 1)] * PHOTOS
    verified = verify(features, cameras, match_all(features, ignore), PAIR_MATCHES, 0, ignore)
    calibrations = [camera.calibration_matrix() for camera in cameras]
    views = dict(enumerate(corner.truth.views))
    right = agreement(features, verified, views, calibrations)
    assert right.share > 0.9 and right.per_photo.min() > MODEL_AGREES
    # One camera at its neighbour's place but one: 10 degrees off.
    wrong = agreement(features, verified, views | {2: views[0]}, calibrations)
    assert wrong.per_photo[2] < AGREES
    assert np.nanargmin(wrong.per_photo) == 2
    shuffled = agreement(features, verified, {i: views[(i * 4) % PHOTOS] for i in views}, calibrations)
    assert shuffled.share < MODEL_AGREES


def test_a_foreign_photo_is_left_out_with_a_reason(corner: Corner, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    path = tmp_path / "foreign.png"
    Image.fromarray(np.rint(255 * texture(rng)[:240, :320]).astype(np.uint8)).convert("RGB").save(path)
    photos = (*corner.capture.photos[:5], Photo(path.name, path, 320, 240, ENGRAVED))
    (tmp_path / "work").mkdir()
    cameras, _, report = solve_cameras(photos, tmp_path / "work")
    assert cameras.names == corner.truth.names[:5]
    assert list(report.missing) == ["foreign.png"] and report.missing["foreign.png"] in report.sentences
    assert centre_errors(cameras, corner.truth).max() < 0.04


def test_what_a_known_model_lacks_finds_its_place_in_it(
    corner: Corner, features: list[Features], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No other model is made, and the true camera of the photo that the model lacks is found."""
    cameras = [pinhole(320, FOCAL, 1)] * PHOTOS
    verified = verify(features, cameras, match_all(features, ignore), PAIR_MATCHES, 0, ignore)
    views = {n: view for n, view in enumerate(corner.truth.views) if n != 4}
    held = {pair: rows for pair, rows in verified.items() if 4 not in pair}
    photos, names = corner.capture.photos, list(corner.truth.names)
    known = mapping.triangulate_tracks(features, names, cameras, views, held, tmp_path, 0)
    monkeypatch.setattr(mapping, "register", None)
    nothing = _Try(Attempt("quick"), features, cameras)
    found = _map(nothing, known, True, False, photos, verified, tmp_path, ignore, 0)
    assert found.keep == list(range(PHOTOS)) and found.right
    views = np.stack([view for _, view in sorted(mapping.views_of(found.model).items())])
    assert centre_errors(replace(corner.truth, views=views), corner.truth).max() < 0.03


def test_photos_without_detail_end_in_a_sentence(tmp_path: Path) -> None:
    photos = []
    for n in range(3):
        path = tmp_path / f"{n}.png"
        Image.new("RGB", (160, 120), (90 + n, 90, 90)).save(path)
        photos.append(Photo(path.name, path, 160, 120, ENGRAVED))
    with pytest.raises(MacrosplatError, match=r"^Only 0 of 3 photos"):
        solve_cameras(tuple(photos), tmp_path / "work")
    with pytest.raises(MacrosplatError, match="at least 3"):
        solve_cameras(tuple(photos[:2]), tmp_path / "work")


def test_cameras_of_other_photos_are_refused(corner: Corner, tmp_path: Path) -> None:
    few = Capture(corner.capture.root, corner.capture.photos[1:])
    with pytest.raises(MacrosplatError, match=r"name 0\.png"):
        triangulate(few.photos, corner.truth, tmp_path)


def test_features_outside_the_mask_are_ignored(corner: Corner, features: list[Features], tmp_path: Path) -> None:
    photo = corner.capture.photos[0]
    mask = np.zeros((240, 320), np.uint8)
    mask[:, :160] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    masked = Photo(photo.name, photo.path, photo.width, photo.height, photo.exif, tmp_path / "mask.png")
    (inside,) = extract((masked,), QUICK, tmp_path, ignore)
    x = features[0].photo_px(320, 240)[:, 0]
    assert len(inside) == (x < 160).sum() < len(features[0])
    assert inside.photo_px(320, 240)[:, 0].max() < 160


def test_the_canvas_is_a_square_with_the_photo_in_the_middle(features: list[Features]) -> None:
    sideways = features[SIDEWAYS]
    assert sideways.size == (240, 320) and sideways.side == 320
    assert sideways.margin.tolist() == [40, 0]
    assert np.allclose(sideways.photo_px(480, 640), (sideways.px - [40, 0]) * 2)
    assert working_size(4000, 3000) == (1200, 900)
    assert working_size(3000, 4000) == (900, 1200)
    assert working_size(640, 480) == (640, 480)


def descriptors(vectors: NDArray[np.float64]) -> Features:
    unit = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    count = len(unit)
    return Features(np.zeros((count, 6), np.float32), unit, np.zeros((count, 3), np.uint8), (8, 8))


def test_matches_are_mutual() -> None:
    basis = np.eye(128)
    first = descriptors(basis[:3])
    # 0 has a partner; 1 has two, of which the nearer is taken; 2 has none.
    second = descriptors(np.stack([basis[1] + 0.1 * basis[9], basis[1] + 0.2 * basis[8], basis[0] + 0.1 * basis[7]]))
    assert nearest(first, second).tolist() == [[0, 2], [1, 0]]
    assert match(first, second).shape == (0, 2)  # they have no neighbours
    assert nearest(first, descriptors(np.zeros((0, 128)))).shape == (0, 2)


def test_neighbours_follow_the_map_of_a_true_match() -> None:
    """A plane seen at a slant, and matches to places that have nothing to do with it."""
    random = np.random.default_rng(0)
    slant = np.array([[0.8, 0.3], [-0.2, 1.1]])
    px = random.uniform(100, 500, (120, 2))
    shapes = random.uniform(1, 4, 120)[:, None, None] * np.eye(2)
    there, mapped = px @ slant.T + [40, 20], slant @ shapes
    there[100:] = random.uniform(100, 500, (20, 2))
    one, two = np.hstack([px, shapes.reshape(-1, 4)]), np.hstack([there, mapped.reshape(-1, 4)])
    found = followers(one, two, 80.0)
    apart = np.linalg.norm(px[:, None] - px[None, :100], axis=-1)
    wanted = ((apart < 80) & (apart > 2)).sum(1)  # every true neighbour of a true match follows it exactly
    assert (found[:100] >= wanted[:100]).all() and np.median(wanted) > 5
    assert np.median(found[100:]) == 0


def test_of_many_photos_those_are_compared_that_look_alike() -> None:
    """60 views along a wall of 600 textured spots: each sees 100 of them."""
    random = np.random.default_rng(0)
    vectors, spots = random.normal(0, 1, (600, 128)), random.uniform(0, 400, (600, 2))
    views = []
    for n in range(60):
        seen = (9 * n + np.arange(100)) % 600
        unit = vectors[seen] / np.linalg.norm(vectors[seen], axis=1, keepdims=True)
        keypoints = np.hstack([spots[seen], np.tile(np.eye(2).ravel() * 3, (100, 1))]).astype(np.float32)
        views.append(Features(keypoints, unit.astype(np.float32), np.zeros((100, 3), np.uint8), (400, 400)))
    pairs = pairs_of(views)
    assert len(pairs) < 60 * 59 / 2 / 2
    assert {(i, i + 1) for i in range(59)} <= set(pairs) and (0, 59) in pairs
    assert all(abs(i - j) < 12 or 60 - abs(i - j) < 12 for i, j in pairs)
    assert len(pairs_of(views[:20])) == 190


def test_of_very_many_views_each_has_near_and_far_partners() -> None:
    angles = np.arange(0, 360, 1.0)  # a ring of 360
    turn = np.abs((angles[:, None] - angles + 180) % 360 - 180)
    some = pairs_within(turn[:60, :60], 45)
    assert len(some) == sum(60 - step for step in range(1, 46))  # few enough: all
    pairs = np.array(pairs_within(turn, 45))
    apart = turn[pairs[:, 0], pairs[:, 1]]
    assert len(pairs) < 360 * 18 and apart.max() <= 45 and len(set(map(tuple, pairs.tolist()))) == len(pairs)
    for one in range(360):
        mine = apart[(pairs == one).any(1)]
        assert mine.min() == 1 and mine.max() > 40


def test_a_model_begins_with_strong_pairs_and_goes_on_with_near_ones() -> None:
    rows = {(0, 1): 100, (1, 2): 80, (2, 3): 90, (0, 3): 20, (0, 2): 70}
    matches = {pair: np.zeros((count, 2), np.int64) for pair, count in rows.items()}
    begun = strong(matches, 4)
    assert begun.keys() == {(0, 1), (1, 2), (2, 3), (0, 2)}
    views = {n: look(10.0 * n, 20) for n in range(3)}
    assert near(matches, views, begun, 15, {}).keys() == {(0, 1), (1, 2), (2, 3)}
    assert near(matches, views, matches, 50, {}).keys() == matches.keys()


def test_pairs_that_the_order_of_the_photos_denies_are_left_out() -> None:
    """Twelve photos all around, of which neighbours share most and every pair a little; and the same in any order."""
    apart = {(i, j): min(j - i, 12 - j + i) for i in range(12) for j in range(i + 1, 12)}
    matches = {pair: np.zeros(({1: 100, 2: 40}.get(step, 2), 2), np.int64) for pair, step in apart.items()}
    assert in_order(matches, 12).keys() == {pair for pair, step in apart.items() if step <= 2}
    matches[0, 6] = np.zeros((60, 2), np.int64)  # strong
    assert in_order(matches, 12).keys() == {pair for pair, step in apart.items() if step <= 2} | {(0, 6)}
    order = np.random.default_rng(0).permutation(12)
    mixed = {(min(order[i], order[j]), max(order[i], order[j])): rows for (i, j), rows in matches.items()}
    assert in_order(mixed, 12).keys() == mixed.keys()


def test_a_photo_that_a_handful_of_points_hold_is_left_out(tmp_path: Path) -> None:
    xyz = np.random.default_rng(1).uniform(-1, 1, (40, 3))
    views = {n: look(15.0 * n, 20) for n in range(4)}
    camera = mapping.pinhole(800, 1500.0, 1)
    features = []
    for view in views.values():
        local = xyz @ view[:3, :3].T + view[:3, 3]
        keypoints = np.zeros((40, 6), np.float32)
        keypoints[:, :2] = 1500 * local[:, :2] / local[:, 2:] + 400
        features.append(Features(keypoints, np.zeros((40, 128), np.float32), np.zeros((40, 3), np.uint8), (800, 800)))
    every = np.column_stack([np.arange(40)] * 2)
    matches = {(i, j): every[: 5 if j == 3 else 40] for i in range(4) for j in range(i + 1, 4)}
    model = mapping.triangulate_tracks(features, list("abcd"), [camera] * 4, views, matches, tmp_path, 0)
    assert [model.images[n].num_points3D for n in (1, 2, 3, 4)] == [40, 40, 40, 5]
    mapping.leave_out_weak(model, 12)
    assert mapping.views_of(model).keys() == {0, 1, 2} and model.num_points3D() == 40
    mapping.leave_out_weak(model, 50)  # nothing would be left
    assert model.num_reg_images() == 3


def test_along_epipolar_lines_only_what_lies_in_the_band_is_a_rival() -> None:
    """Against the whole table of likenesses and the distances from all lines, in float64."""
    random = np.random.default_rng(3)
    k, band, ratio = np.array([[900.0, 0, 400], [0, 900, 300], [0, 0, 1]]), 5.0, 0.85
    one, two = np.eye(4), np.eye(4)
    two[:3, 3] = 0.8, 0.3, 0.1
    xyz = random.uniform([-2, -1.5, 5], [2, 1.5, 8], (300, 3))
    px = [(xyz @ v[:3, :3].T + v[:3, 3]) @ k.T for v in (one, two)]
    px = [p / p[:, 2:] + [*random.normal(0, 2, 2), 0] for p in px]
    seen = random.random((60, 128))[random.integers(0, 60, 300)]  # texture that repeats
    vectors = [seen + random.normal(0, 0.05, seen.shape) for _ in range(2)]
    vectors = [(v / np.linalg.norm(v, axis=1, keepdims=True)).astype(np.float32) for v in vectors]
    order = random.permutation(300)
    px[1], vectors[1] = px[1][order][:260], vectors[1][order][:260]
    f = fundamental_matrix(one, two, k, k)
    found = along_lines(*px, *vectors, f, band, ratio)

    lines = px[0] @ f.T, px[1] @ f
    away = np.abs(lines[0] @ px[1].T)
    far = (away >= band * np.hypot(*lines[0][:, :2].T)[:, None]) | (away >= band * np.hypot(*lines[1][:, :2].T))
    likeness = np.where(far, -1, vectors[0].astype(float) @ vectors[1].T.astype(float))
    wanted = []
    for i, row in enumerate(likeness):
        j = row.argmax()
        rival = max(np.delete(row, j).max(), np.delete(likeness[:, j], i).max())
        if likeness[:, j].argmax() == i and row[j] > np.cos(0.7) and np.arccos(row[j]) < ratio * np.arccos(rival):
            wanted.append([i, j])
    assert found.tolist() == wanted and 100 < len(wanted) < 255
    assert np.mean(order[found[:, 1]] == found[:, 0]) > 0.95
    nothing = along_lines(px[0][:0], px[1], vectors[0][:0], vectors[1], f, band, ratio)
    assert nothing.shape == (0, 2)
    # Every spot found once more half a px away: its own rival, unless it is known to be one spot.
    px, vectors = (
        [np.concatenate([p, p + np.array([0.5, 0, 0])]) for p in px],
        [np.concatenate([v, v]) for v in vectors],
    )
    assert len(along_lines(*px, *vectors, f, band, ratio)) < 0.1 * len(wanted)
    twice = along_lines(*px, *vectors, f, band, ratio, spot=3.0) % [300, 260]
    assert len({*map(tuple, twice.tolist())} & {*map(tuple, wanted)}) > 0.95 * len(wanted)


def test_a_blurred_copy_has_the_points_of_a_photo_that_was_blurred(corner: Corner, tmp_path: Path) -> None:
    photo = corner.capture.photos[0]
    blurred = tmp_path / "blurred.png"
    Image.fromarray(gaussian_filter(np.asarray(Image.open(photo.path).convert("RGB")), (2, 2, 0))).save(blurred)
    both = photo, Photo(blurred.name, blurred, photo.width, photo.height, ENGRAVED)
    true = []
    for extraction in (QUICK, replace(QUICK, copies=(2.0,))):
        sharp, soft = extract(both, extraction, tmp_path, ignore)
        rows = match(sharp, soft)
        true.append((np.linalg.norm(sharp.px[rows[:, 0]] - soft.px[rows[:, 1]], axis=1) < 0.5).sum())
    assert sharp.copied and true[1] > 2 * true[0]


def test_a_photo_and_each_of_its_copies_have_so_many_points_at_the_most(corner: Corner, tmp_path: Path) -> None:
    few = replace(QUICK, copies=(1.0, 2.0), most=40)
    (found,) = extract(corner.capture.photos[:1], few, tmp_path, ignore)
    (all_of_them,) = extract(corner.capture.photos[:1], replace(few, most=4096), tmp_path, ignore)
    assert 40 <= len(found) <= 2 * 3 * 40 < len(all_of_them)  # some more: it keeps a level of scales, or not


def test_copies_alone_are_sought_where_the_own_points_are_known(corner: Corner, tmp_path: Path) -> None:
    copies, photos = replace(QUICK, copies=(2.0,)), corner.capture.photos[:1]
    (own,), (whole,) = (extract(photos, which, tmp_path, ignore) for which in (QUICK, copies))
    (found,) = extract(photos, copies, tmp_path, ignore, own=[own])
    assert np.array_equal(found.keypoints, whole.keypoints) and found.copied
    assert np.array_equal(found.after(len(own)).keypoints, whole.keypoints[len(own) :])


def test_what_is_missing_is_looked_at_closer_with_its_neighbours(
    corner: Corner, features: list[Features], tmp_path: Path
) -> None:
    """Rows that are added lie behind the others, and each of their matches has one at least."""
    tied = [one.with_more(descriptors(np.eye(128)[:2])) for one in features]
    matches = {(2, n): np.zeros((9, 2), np.int64) for n in (3, 4, 7, 8)}
    registered = [n for n in range(len(features)) if n != 2]
    more, added = refine.rescue(registered, corner.capture.photos, tied, matches, CLOSER, tmp_path, ignore)
    looked = [n for n in range(len(more)) if len(more[n]) > len(tied[n])]
    assert set(looked) == {0, 1, 2, 3, 4, 7, 8} and set().union(*added) <= set(looked)
    for (i, j), rows in added.items():
        old = rows < [len(tied[i]), len(tied[j])]
        assert not old.all(1).any() and (rows[old[:, 0], 0] < len(features[i])).all()
        assert len(np.unique(rows, axis=0)) == len(rows)
        if j - i == 1:
            views, k = corner.truth.views, [np.array([[FOCAL, 0, 160], [0, FOCAL, 160], [0, 0, 1.0]])] * 2
            assert fits_model(more[i].px[rows[:, 0]], more[j].px[rows[:, 1]], views[i], views[j], *k).mean() > 0.5
    assert [one.own for one in more] == [one.own for one in tied]


def test_added_rows_stay_out_of_the_first_extraction() -> None:
    first, more = descriptors(np.eye(128)[:3]), descriptors(np.eye(128)[3:5])
    both = first.with_more(more)
    assert len(both) == 5 and len(both.first()) == 3 and len(first.first()) == 3
    a, b = np.array([[0, 1]]), np.array([[3, 4]])
    merged = joined({(0, 1): a}, {(0, 1): b, (1, 2): b})
    assert merged[0, 1].tolist() == [[0, 1], [3, 4]] and merged[1, 2].tolist() == [[3, 4]]


def test_the_fundamental_matrix_holds_for_projected_points(corner: Corner) -> None:
    rng = np.random.default_rng(1)
    xyz = rng.random((20, 3))
    k = np.array([[FOCAL, 0, 160], [0, FOCAL, 120], [0, 0, 1]])
    one, two = corner.truth.views[0], corner.truth.views[3]
    px = [(xyz @ v[:3, :3].T + v[:3, 3]) @ k.T for v in (one, two)]
    px = [p / p[:, 2:] for p in px]
    assert np.abs((px[1] @ fundamental_matrix(one, two, k, k) * px[0]).sum(1)).max() < 1e-9
    assert fits_model(px[0][:, :2], px[1][:, :2], one, two, k, k).all()
    # The baseline turned round has the same epipolar lines, but the points lie behind the cameras.
    relative = two @ np.linalg.inv(one)
    relative[:3, 3] *= -1
    assert not fits_model(px[0][:, :2], px[1][:, :2], np.eye(4), relative, k, k).any()
    off = px[1][:, :2] + [0, 30]
    assert not fits_model(px[0][:, :2], off, one, two, k, k).any()


def test_ctrl_c_cancels_what_runs() -> None:
    """The token is set when the waiting is interrupted, and the interrupt passes on."""
    waiting, told = threading.Event(), threading.Event()

    def slow(cancellation_token) -> None:
        waiting.set()
        while not cancellation_token.is_cancelled:
            told.wait(0.01)

    import _thread

    # A shell's background job begins with SIGINT ignored, where this would wait for ever.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        threading.Thread(target=lambda: (waiting.wait(), _thread.interrupt_main())).start()
        with pytest.raises(KeyboardInterrupt):
            interruptible(slow)
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_database_that_cannot_be_opened_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "a.db").mkdir()
    with pytest.raises(MacrosplatError, match="disk is full"), open_database(tmp_path / "a.db"):
        pass
    with pytest.raises(MacrosplatError, match="disk is full"):
        interruptible(pycolmap.extract_features, tmp_path / "a.db", tmp_path, image_names=[])
