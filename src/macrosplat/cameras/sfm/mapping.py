"""pycolmap, kept behind four verbs: register photos, triangulate, adjust, thin out. Nothing of it is logged.

In: features and matches of this room. Out: a `pycolmap.Reconstruction` whose image n + 1 is photo n, in canvas px.
Long calls run in a thread of their own and are cancelled by Ctrl-C; their files live in a folder that is removed.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from macrosplat.cameras.sfm.features import EMPTY_DATABASE, JOURNAL, Features, Matches, Progress, interruptible
from macrosplat.support.colmap import open_database, pycolmap
from macrosplat.support.scratch import library_scratch

# Fewer photos than this do not fix the focal length: it stays where it started.
FOCAL_PHOTOS = 8
NO_FOLDER = "."  # where pycolmap asks for the photos' folder, to fetch colours: ours come with the features


# What the incremental mapper asks for before it believes a photo. COLMAP's own thresholds (100 matches at 16 degrees to
# start from, 30 points per photo) stop at 21 of skull's 66 photos. A tenth of true ones among a photo's points is
# enough, because `verify.agreement` is asked afterwards; fewer than 15 matches of a pair are not: ten lie on some
# epipolar geometry by chance.
PAIR_MATCHES = 15
START_INLIERS, START_ANGLE = 30, 8.0  # of the first pair; degrees, median
# Bundle adjustment ends where an iteration lowers the cost by less than this share. COLMAP's has a hundred iterations:
# the focal length and the distance follow each other along a flat valley. While matches still change nothing comes of
# following it; the last adjustments do (experiments: sfm-quick).
ROUGH, EXACT = 1e-6, 1e-7
# A narrow field of view hardly tells a longer focal length from a greater distance. One that grows by more than this in
# one adjustment, or shrinks to less than a third, has run away (experiments: turntables): it starts at twice the
# nominal one, for what has one to four times; and polishing moves it by a few percent.
RUNS_AWAY, POLISHED_AWAY = 2.0, 1.25
# Of bundle adjustment: several add up in the order in which they end, and the same seed gives other cameras now and
# then (experiments: sfm-led).
THREADS = 1
POSE_INLIERS, POSE_SHARE = 12, 0.1  # points seen by a new photo, of those that it seemed to see
POSE_ERROR = 5.0  # px
# px at which an observation belongs to a track. COLMAP's own thresholds are angles, of 2 degrees: for a macro lens,
# whose whole field of view may have 11, a sixth of the photo, so that any two points make a track. On cat 16 of 24
# photos were placed with them, and all with this.
TRACK_ERROR = 4.0


def pinhole(side: int, focal: float, camera_id: int) -> pycolmap.Camera:
    """A canvas camera: principal point in the middle."""
    camera = pycolmap.Camera(
        model="SIMPLE_PINHOLE", width=side, height=side, params=[focal, side / 2, side / 2], camera_id=camera_id
    )
    camera.has_prior_focal_length = True
    return camera


def register(
    features: list[Features],
    names: list[str],
    cameras: list[pycolmap.Camera],
    verified: Matches,
    folder: Path,
    seed: int,
    progress: Progress,
) -> pycolmap.Reconstruction | None:
    """Register photos one by one, intrinsics fixed; the largest model, or None.

    Letting the focal length float here breaks the registration even of sharp photos; fixing it 0.6 to 1.4 times the
    true one does not.

    Args:
        cameras: one per photo; photos with the same `camera_id` share it.
    """
    placed = 0

    def tell(now: int) -> None:
        nonlocal placed
        placed = min(now, len(names))
        progress(placed / len(names), f"placing photos, {placed} of {len(names)}")

    options = pycolmap.IncrementalPipelineOptions()
    options.min_num_matches = PAIR_MATCHES
    options.min_model_size = 3
    options.multiple_models = False
    options.extract_colors = False
    options.num_threads = THREADS
    options.random_seed = seed
    options.ba_refine_focal_length = False
    options.ba_refine_extra_params = False
    mapper = options.mapper
    mapper.random_seed = seed
    mapper.num_threads = THREADS
    mapper.init_min_num_inliers = START_INLIERS
    mapper.init_min_tri_angle = START_ANGLE
    mapper.abs_pose_min_num_inliers = POSE_INLIERS
    mapper.abs_pose_min_inlier_ratio = POSE_SHARE
    mapper.abs_pose_max_error = POSE_ERROR
    mapper.abs_pose_refine_focal_length = False
    mapper.abs_pose_refine_extra_params = False
    tracks = options.triangulation
    tracks.random_seed = seed
    angle = math.degrees(TRACK_ERROR / min(camera.focal_length_x for camera in cameras))
    tracks.create_max_angle_error = tracks.continue_max_angle_error = angle
    tracks.re_max_angle_error = 2 * angle
    # A new photo mostly sees what one placed photo saw: between views 20 degrees apart few points are seen by three.
    tracks.ignore_two_view_tracks = False
    with library_scratch(folder, ".sfm.", _bytes_of(features, verified)) as scratch:
        database = Path(scratch) / "matches.db"
        _write_database(database, features, names, cameras, verified)
        told: dict[str, Any] = {
            "initial_image_pair_callback": lambda: tell(2),
            "next_image_callback": lambda: tell(placed + 1),
        }
        models = interruptible(pycolmap.incremental_mapping, database, NO_FOLDER, scratch, options, **told)
    return max(models.values(), key=pycolmap.Reconstruction.num_reg_images, default=None)


def triangulate_tracks(
    features: list[Features],
    names: list[str],
    cameras: list[pycolmap.Camera],
    views: dict[int, NDArray[np.float64]],
    matches: Matches,
    folder: Path,
    seed: int,
    least: int = 3,
) -> pycolmap.Reconstruction:
    """Points of matches under fixed poses.

    Args:
        views: photo index to [4, 4] world to camera.
        least: photos that see a point.
    """
    model = pycolmap.Reconstruction()
    for index in sorted(views):
        camera = cameras[index]
        if not model.exists_camera(camera.camera_id):
            model.add_camera_with_trivial_rig(camera)
        image = pycolmap.Image(
            name=names[index],
            keypoints=features[index].px.reshape(-1, 2),
            camera_id=camera.camera_id,
            image_id=index + 1,
        )
        model.add_image_with_trivial_frame(image, pycolmap.Rigid3d(np.ascontiguousarray(views[index][:3])))
    options = pycolmap.IncrementalPipelineOptions()
    options.min_num_matches = 1
    options.extract_colors = False
    options.num_threads = THREADS
    options.random_seed = seed
    options.triangulation.random_seed = seed
    options.triangulation.ignore_two_view_tracks = least > 2
    with library_scratch(folder, ".sfm.", _bytes_of(features, matches)) as scratch:
        database = Path(scratch) / "matches.db"
        _write_database(database, features, names, cameras, matches, sorted(views))
        return interruptible(
            pycolmap.triangulate_points, model, database, NO_FOLDER, scratch, clear_points=True, options=options
        )


def adjust(
    model: pycolmap.Reconstruction,
    loss_px: float,
    focal: bool = True,
    end: float = ROUGH,
    most: float = RUNS_AWAY,
) -> None:
    """Bundle adjustment of poses, points and focal lengths, under a Cauchy loss of `loss_px` px.

    The focal length of a camera with fewer than `FOCAL_PHOTOS` photos stays as it is; without `focal` all do, and so do
    all where one runs away.

    Args:
        end: it stops where an iteration lowers the cost by less than this share.
        most: times that a focal length may grow.
    """
    options = pycolmap.BundleAdjustmentOptions()
    options.refine_focal_length = True
    options.refine_principal_point = False
    options.refine_extra_params = False
    options.print_summary = False
    options.ceres.solver_options.num_threads = THREADS
    options.ceres.solver_options.function_tolerance = end
    options.ceres.loss_function_type = pycolmap.LossFunctionType.CAUCHY
    options.ceres.loss_function_scale = loss_px
    config = pycolmap.BundleAdjustmentConfig()
    photos = Counter(model.images[image_id].camera_id for image_id in model.reg_image_ids())
    for image_id in model.reg_image_ids():
        config.add_image(image_id)
    for camera_id, count in photos.items():
        if count < FOCAL_PHOTOS or not focal:
            config.set_constant_cam_intrinsics(camera_id)
    config.fix_gauge(pycolmap.BundleAdjustmentGauge.TWO_CAMS_FROM_WORLD)
    before = _State.of(model)
    # Not pycolmap.bundle_adjustment(): that sets the log level back and logs.
    pycolmap.create_default_bundle_adjuster(options, config, model).solve()
    if focal and before.ran_away(model, most):
        before.restore(model)
        adjust(model, loss_px, False, end)


@dataclass(frozen=True)
class _State:
    """What an adjustment changes of a model."""

    cameras: dict[int, NDArray[np.float64]]
    frames: dict[int, pycolmap.Rigid3d]
    points: dict[int, NDArray[np.float64]]

    @classmethod
    def of(cls, model: pycolmap.Reconstruction) -> _State:
        frames = {model.images[i].frame_id for i in model.reg_image_ids()}
        poses = {i: model.frames[i].rig_from_world for i in sorted(frames)}
        return cls(
            {i: np.array(camera.params) for i, camera in model.cameras.items()},
            {i: pycolmap.Rigid3d(pose.matrix()) for i, pose in poses.items() if pose is not None},
            {i: np.array(point.xyz) for i, point in model.points3D.items()},
        )

    def ran_away(self, model: pycolmap.Reconstruction, most: float) -> bool:
        grown = [model.cameras[i].params[0] / params[0] for i, params in self.cameras.items()]
        return not all(1 / 3 <= one <= most for one in grown)

    def restore(self, model: pycolmap.Reconstruction) -> None:
        for i, params in self.cameras.items():
            model.cameras[i].params = params.tolist()
        for i, pose in self.frames.items():
            model.frames[i].rig_from_world = pose
        for i, xyz in self.points.items():
            model.points3D[i].xyz = xyz


def thin_out(model: pycolmap.Reconstruction, max_error: float, min_angle: float) -> None:
    """Drop observations above `max_error` px and points whose rays meet at less than `min_angle` degrees."""
    manager = pycolmap.ObservationManager(model)
    manager.filter_all_points3D(max_error, min_angle)
    manager.filter_observations_with_negative_depth()


def leave_out_weak(model: pycolmap.Reconstruction, least: int) -> None:
    """Take out photos with fewer than `least` observations, unless fewer than three photos would stay.

    With a handful of points a pose fits whatever it is: none of them contradicts it.
    """
    weak = [i for i in model.reg_image_ids() if model.images[i].num_points3D < least]
    if model.num_reg_images() - len(weak) >= 3:
        for image_id in weak:
            model.deregister_frame(model.images[image_id].frame_id)


def views_of(model: pycolmap.Reconstruction) -> dict[int, NDArray[np.float64]]:
    """Photo index to [4, 4] world to camera."""
    views = {}
    for image_id in sorted(model.reg_image_ids()):
        view = np.eye(4)
        view[:3] = model.images[image_id].cam_from_world().matrix()
        views[image_id - 1] = view
    return views


KEYPOINT_BYTES = 24  # six float32


def _bytes_of(features: list[Features], matches: Matches) -> float:
    """Of the database and its journal."""
    size = sum(map(len, features)) * KEYPOINT_BYTES + sum(one.size for one in matches.values()) * 4
    return JOURNAL * size + EMPTY_DATABASE


def _write_database(
    path: Path,
    features: list[Features],
    names: list[str],
    cameras: list[pycolmap.Camera],
    matches: Matches,
    indices: list[int] | None = None,
) -> None:
    """A COLMAP database of key points and verified matches, ids = index + 1. Descriptors are not needed any more."""
    indices = list(range(len(features))) if indices is None else indices
    with open_database(path) as database, pycolmap.DatabaseTransaction(database):
        for camera in {cameras[i].camera_id: cameras[i] for i in indices}.values():
            database.write_camera(camera, use_camera_id=True)
            rig = pycolmap.Rig(rig_id=camera.camera_id)
            rig.add_ref_sensor(camera.sensor_id)
            database.write_rig(rig, use_rig_id=True)
        for i in indices:
            image = pycolmap.Image(name=names[i], camera_id=cameras[i].camera_id, image_id=i + 1)
            database.write_image(image, use_image_id=True)
            frame = pycolmap.Frame(frame_id=i + 1, rig_id=cameras[i].camera_id)
            frame.add_data_id(image.data_id)
            database.write_frame(frame, use_frame_id=True)
            database.write_keypoints(i + 1, features[i].keypoints)
        for (i, j), rows in matches.items():
            geometry = pycolmap.TwoViewGeometry()
            geometry.config = int(pycolmap.TwoViewGeometryConfiguration.CALIBRATED)
            geometry.inlier_matches = rows.astype(np.uint32)
            database.write_two_view_geometry(i + 1, j + 1, geometry)
