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
