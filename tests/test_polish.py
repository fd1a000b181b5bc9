"""The end of structure from motion: against points and cameras that are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from macrosplat.cameras.sfm import mapping
from macrosplat.cameras.sfm.features import Features
from macrosplat.cameras.sfm.polish import polished
from macrosplat.photos.records import Photo
from macrosplat.support.colmap import pycolmap
from making_captures import look_at

SIDE, FOCAL, COUNT, TIES = 400, 900.0, 80, 4


@pytest.mark.parametrize("finer", [False, True])
def test_a_model_ends_at_the_focal_length_with_all_photos_and_added_points(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, finer: bool
) -> None:
    """Finer: with points of a second extraction, which found the same spots by other chances."""
    random = np.random.default_rng(0)
    xyz = random.uniform(-0.6, 0.6, (COUNT + TIES, 3))
    descriptors = random.normal(size=(COUNT, 128)).astype(np.float32)
    descriptors /= np.linalg.norm(descriptors, axis=1, keepdims=True)
    angles = np.radians(12.0 * np.arange(9))
    views = {
        n: look_at(4 * np.array([np.sin(a), 0.3 * (n % 2), -np.cos(a)]), np.zeros(3)) for n, a in enumerate(angles)
    }
    features, photos, fine = [], [], []
    for n, view in views.items():
        local = xyz @ view[:3, :3].T + view[:3, 3]
        px = FOCAL * local[:, :2] / local[:, 2:] + SIDE / 2 + random.normal(size=(COUNT + TIES, 2)) * 0.2
        keypoints = np.column_stack([px, np.tile([1, 0, 0, 1], (COUNT + TIES, 1))]).astype(np.float32)
        own, more = (
            Features(keypoints[rows], vectors, np.zeros((len(vectors), 3), np.uint8), (SIDE, SIDE))
            for rows, vectors in ((slice(COUNT), descriptors), (slice(COUNT, None), np.zeros((TIES, 128), np.float32)))
        )
        features.append(own.with_more(more))
        again = own.keypoints + np.pad(random.normal(size=(COUNT, 2)) * 0.2, ((0, 0), (0, 4))).astype(np.float32)
        fine.append(Features(again, descriptors, own.rgb, own.size))
        Image.fromarray(random.integers(0, 255, (SIDE, SIDE, 3), np.uint8)).save(tmp_path / f"{n}.png")
        photos.append(Photo(f"{n}.png", tmp_path / f"{n}.png", SIDE, SIDE))
    every = np.column_stack([np.arange(COUNT + TIES)] * 2)
    matches = {(i, j): every for i in views for j in views if i < j}
    camera = mapping.pinhole(SIDE, 1.02 * FOCAL, 1)
    names = [photo.name for photo in photos]
    begun = mapping.triangulate_tracks(features, names, [camera] * 9, views, matches, tmp_path, 0)
    monkeypatch.setattr("macrosplat.cameras.sfm.polish.FEW", 1000)
    monkeypatch.setattr("macrosplat.cameras.sfm.polish.extract", lambda *_: fine)
    cameras, silent = [camera] * 9, lambda fraction, text: None
    found = polished(begun, features, tuple(photos), cameras, tmp_path, silent, 0, finer=finer)
    model, cameras, moved = found.model, found.cameras, found.features
    assert begun.cameras[1].focal_length_x == pytest.approx(1.02 * FOCAL)  # the given model is left as it is
    assert cameras[0].focal_length_x == pytest.approx(FOCAL, rel=0.004)
    assert mapping.views_of(model).keys() == views.keys()
    rows = {p.point2D_idx for point in model.points3D.values() for p in point.track.elements}
    assert rows >= set(range(COUNT, COUNT + TIES)) and len(rows) > 0.8 * COUNT
    assert (len([row for row in rows if row >= COUNT + TIES]) > 0.8 * COUNT) == finer
    assert model.compute_mean_reprojection_error() < 0.3
    for before, after in zip(features, moved, strict=True):
        assert np.array_equal(before.keypoints[COUNT:], after.keypoints[COUNT : COUNT + TIES])


def test_a_model_is_left_as_it_was_where_no_points_are_found_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = np.random.default_rng(2)
    xyz = random.uniform(-0.6, 0.6, (60, 3))
    views = {n: look_at(4 * np.array([np.sin(0.2 * n), 0.0, -np.cos(0.2 * n)]), np.zeros(3)) for n in range(4)}
    features, photos = [], []
    for n, view in views.items():
        local = xyz @ view[:3, :3].T + view[:3, 3]
        px = FOCAL * local[:, :2] / local[:, 2:] + SIDE / 2
        keypoints = np.column_stack([px, np.tile([1, 0, 0, 1], (60, 1))]).astype(np.float32)
        features.append(Features(keypoints, np.zeros((60, 128), np.float32), np.zeros((60, 3), np.uint8), (SIDE, SIDE)))
        Image.new("RGB", (SIDE, SIDE)).save(tmp_path / f"{n}.png")
        photos.append(Photo(f"{n}.png", tmp_path / f"{n}.png", SIDE, SIDE))
    every = np.column_stack([np.arange(60)] * 2)
    matches = {(i, j): every for i in views for j in views if i < j}
    camera, names = mapping.pinhole(SIDE, FOCAL, 1), [photo.name for photo in photos]
    begun = mapping.triangulate_tracks(features, names, [camera] * 4, views, matches, tmp_path, 0)
    monkeypatch.setattr("macrosplat.cameras.sfm.refine.along_lines_of", lambda *_: {})
    found = polished(begun, features, tuple(photos), [camera] * 4, tmp_path, lambda *_: None, 0)
    assert found.model.num_points3D() == begun.num_points3D() > 50 and found.model.num_reg_images() == 4


def test_points_of_copies_bring_back_a_photo_that_few_points_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It begins 5 % of the distance off, where the few points, which lie by one another, fit nearly as well."""
    random = np.random.default_rng(1)
    few, many = random.uniform(-0.1, 0.1, (40, 3)) + 0.3, random.uniform(-0.6, 0.6, (200, 3))
    angles = np.radians(12.0 * np.arange(9))
    views = {
        n: look_at(4 * np.array([np.sin(a), 0.3 * (n % 2), -np.cos(a)]), np.zeros(3)) for n, a in enumerate(angles)
    }

    def seen(xyz: np.ndarray, noise: float) -> list[Features]:
        vectors = random.normal(size=(len(xyz), 128)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        found = []
        for view in views.values():
            local = xyz @ view[:3, :3].T + view[:3, 3]
            px = FOCAL * local[:, :2] / local[:, 2:] + SIDE / 2 + random.normal(size=(len(xyz), 2)) * noise
            shapes = np.tile([1, 0, 0, 1], (len(xyz), 1))
            rgb = np.zeros((len(xyz), 3), np.uint8)
            found.append(Features(np.column_stack([px, shapes]).astype(np.float32), vectors, rgb, (SIDE, SIDE)))
        return found

    features, copies = seen(few, 0.3), seen(many, 0.3)
    photos = []
    for n in views:
        Image.fromarray(random.integers(0, 255, (SIDE, SIDE, 3), np.uint8)).save(tmp_path / f"{n}.png")
        photos.append(Photo(f"{n}.png", tmp_path / f"{n}.png", SIDE, SIDE))
    wrong = dict(views)
    wrong[4] = look_at(4 * np.array([np.sin(angles[4] + 0.05), 0.0, -np.cos(angles[4] + 0.05)]), np.zeros(3))
    camera, names = mapping.pinhole(SIDE, FOCAL, 1), [photo.name for photo in photos]
    every = np.column_stack([np.arange(len(few))] * 2)
    matches = {(i, j): every for i in views for j in views if i < j}
    begun = mapping.triangulate_tracks(features, names, [camera] * 9, wrong, matches, tmp_path, 0)
    monkeypatch.setattr("macrosplat.cameras.sfm.polish.extract", lambda *_: copies)
    off = {}
    for finer in (False, True):
        found = polished(begun, features, tuple(photos), [camera] * 9, tmp_path, lambda *_: None, 0, finer=finer)
        assert found.copied == finer
        own = mapping.views_of(found.model)
        assert own.keys() == views.keys()
        a, b = (np.stack([-v[:3, :3].T @ v[:3, 3] for v in some.values()]) for some in (own, views))
        fit = pycolmap.estimate_sim3d(a, b)
        off[finer] = np.linalg.norm(a @ fit.matrix()[:, :3].T + fit.matrix()[:, 3] - b, axis=1).max() / 4
    assert off[True] < 0.003 and off[False] > 3 * off[True]
