"""Focus brackets: recognised by name, folder, listing, cameras and content; one camera for all slices of a pose."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter

from macrosplat import pipeline
from macrosplat.brackets import composite as composite_module
from macrosplat.brackets.align import align, gains, intrinsics_of_slice, inverse, px_in_slice, view_of_slice, warped
from macrosplat.brackets.composite import composite, has_brackets, one_per_pose, spread
from macrosplat.brackets.recognise import poses_of
from macrosplat.cameras.records import Cameras, SparsePoints
from macrosplat.capture.open import open_capture
from macrosplat.deblur import deblurred
from macrosplat.deblur.stacker import stack
from macrosplat.options import Options
from macrosplat.output import finish
from macrosplat.photos.read import read_photo
from macrosplat.support.colour import to_bytes, to_linear, to_srgb
from macrosplat.support.errors import MacrosplatError
from making_captures import make_cameras, write_capture
from making_photos import CANON, exif, save
from making_training import made


def speckle(seed, width=120, height=90):
    """[H, W, 3] linear light with detail of all sizes."""
    random = np.random.default_rng(seed)
    light = sum(gaussian_filter(random.normal(size=(height, width)), s) * s for s in (0.8, 3.0, 9.0))
    light = 0.5 + 0.12 * light / light.std()
    return np.clip(np.stack([light, 0.9 * light, 0.8 * light], -1), 0.02, 1).astype(np.float32)


def halves(seed, count=3):
    """Slices of one picture: sharp at the left in the first, at the right in the last."""
    sharp, x = speckle(seed), np.linspace(0, 1, 120)
    ladder = np.stack([gaussian_filter(sharp, (s, s, 0)) if s else sharp for s in np.arange(0, 4.5, 0.5)])
    out = []
    for n in range(count):
        level = np.rint(8 * np.abs(x - n / (count - 1))).astype(int)
        out.append(np.stack([ladder[level[c], :, c] for c in range(120)], 1))
    return sharp, out


def write(folder, slices, names):
    for name, one in zip(names, slices, strict=True):
        save(folder / name, to_bytes(to_srgb(one)), exif(**CANON))


def grouped(folder):
    photos = open_capture(folder).photos
    return [[photos[i].name for i in group] for group in poses_of(photos)]


@pytest.mark.parametrize("name", ["photos/{p:03d}_{s}.png", "photos/p{p}/IMG_{i:04d}.png", "photos/ab{p}-{s}.png"])
def test_slices_are_recognised_from_names_and_folders(tmp_path, name):
    for p in range(3):
        write(tmp_path, halves(p)[1], [name.format(p=p, s=s, i=3 * p + s) for s in range(3)])
    found = grouped(tmp_path)
    assert [len(group) for group in found] == [3, 3, 3]
    assert all(len({n.rsplit("_", 1)[0].rsplit("-", 1)[0] for n in group}) == 1 for group in found)


@pytest.mark.parametrize("name", ["focus{s}_pose{p}.png", "p{p}_{d:+d}.png", "d{d:+d} view {p:02d}.png"])
def test_slices_are_recognised_whichever_number_of_the_name_counts_them(tmp_path, name):
    for p in range(3):
        write(tmp_path, halves(p)[1], [name.format(p=p, s=s, d=s - 1) for s in range(3)])
    wanted = {frozenset(name.format(p=p, s=s, d=s - 1) for s in range(3)) for p in range(3)}
    assert set(map(frozenset, grouped(tmp_path))) == wanted


CAMERAS = ["DSC{:05d}.png", "P1{:06d}.png", "IMGP{:04d}.png", "_DSC{:04d}.png", "DSCF{:04d}.png", "{:04d}.png"]
CAMERAS += ["img ({:d}).png", "z{:03d}.png", "B01_S{:02d}.png", "2024-05-01 10.20.{:02d}.png", "stack-{:d}-of-5.png"]


@pytest.mark.parametrize("name", CAMERAS)
def test_a_stack_is_known_whatever_the_camera_calls_it(tmp_path, name):
    write(tmp_path, halves(0, 5)[1], [name.format(n) for n in range(8, 13)])
    assert [len(group) for group in grouped(tmp_path)] == [5]


def test_a_stack_is_no_scene_however_it_is_asked_for(tmp_path):
    write(tmp_path, halves(0, 5)[1], [f"{n}.png" for n in range(5)])
    with pytest.raises(MacrosplatError, match="show one picture, taken from one place"):
        open_capture(tmp_path, brackets=False)


def test_poses_numbered_on_and_on_are_told_apart(tmp_path):
    for p in range(3):
        write(tmp_path, halves(p, 4)[1], [f"IMG_{101 + 4 * p + s:04d}.png" for s in range(4)])
    photos = open_capture(tmp_path).photos
    assert [photo.pose for photo in photos] == [f"IMG_{101 + 4 * p:04d}" for p in range(3) for _ in range(4)]


def test_numbers_that_begin_anew_make_no_two_stacks(tmp_path):
    names = ["IMG_9998.png", "IMG_9999.png", "IMG_0001.png", "IMG_0002.png", "IMG_0003.png"]
    write(tmp_path, halves(0, 5)[1], names)
    write(tmp_path, halves(1, 3)[1], [f"IMG_{n:04d}.png" for n in (100, 101, 102)])
    assert sorted(len(group) for group in grouped(tmp_path)) == [3, 5]


def turned_by(quarters):
    return lambda one: np.ascontiguousarray(np.rot90(one, quarters))


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda one: one * 0, "black"),
        (turned_by(2), "turned by 180 degrees"),
        (turned_by(1), "turned by 270 degrees"),
        (lambda one: speckle(99), "something else"),
        (lambda one: one / 16, "stops darker"),
    ],
)
def test_an_odd_slice_is_named_and_the_others_are_a_stack(tmp_path, change, word):
    slices = halves(0, 5)[1]
    slices[2] = change(slices[2])
    write(tmp_path, slices, [f"DSC{n:05d}.png" for n in range(5)])
    capture = open_capture(tmp_path)
    assert [len(group) for group in poses_of(capture.photos)] == [4]
    assert any("DSC00002.png" in note and word in note for note in capture.notes), capture.notes


def test_a_slow_turntable_is_no_stack(tmp_path):
    """Neighbours 2 degrees apart: a bumpy thing, whose near parts move against the far ones."""
    y, x = np.mgrid[:90, :120]
    wide = gaussian_filter(speckle(3, 300, 90), (1, 1, 0))
    depth = np.hypot(x - 60, (y - 45) * 1.2) < 35
    for n in range(8):
        near, far = wide[:, 60 + 2 * n : 180 + 2 * n], wide[:, 100:220, ::-1]
        save(tmp_path / f"DSC{n:05d}.png", to_bytes(to_srgb(np.where(depth[..., None], near, far))), exif(**CANON))
    assert [len(group) for group in grouped(tmp_path)] == [1] * 8


def test_slices_are_evened(tmp_path):
    """Exposure and colour of the light flicker, the hand turns: the composite is that of steady slices."""
    _, slices = halves(5, 5)
    gain = 2.0 ** np.array([[0, 0, 0], [-0.4, -0.4, -0.3], [0.3, 0.3, 0.2], [-0.2, -0.2, -0.2], [0.25, 0.25, 0.3]])
    found = gains(
        [one * g.astype(np.float32) * 0.5 for one, g in zip(slices, gain, strict=True)], np.tile([1.0, 0, 0, 0], (5, 1))
    )
    np.testing.assert_allclose(found * gain / (found * gain)[0], 1, atol=0.01)
    assert np.median(found, 0) == pytest.approx(1, abs=1e-6)
    steady = gains([one * np.float32(0.5) for one in slices], np.tile([1.0, 0, 0, 0], (5, 1)))
    assert np.array_equal(steady, np.ones((5, 3)))


def test_a_rolled_slice_is_a_camera_rolled(tmp_path):
    """A point's place in the slice, by the warp, is where the slice's own camera sees it."""
    k, warp, size = np.array([300.0, 300.0, 62.0, 44.0]), np.array([1.02, 0.01, -0.02, 0.03]), (120, 90)
    view = make_cameras(1).views[0]
    own_k, own_view = intrinsics_of_slice(k, warp, size), view_of_slice(view, warp)
    points = np.random.default_rng(0).uniform(-0.5, 0.5, (10, 3))

    def seen(view, k):
        local = points @ view[:3, :3].T + view[:3, 3]
        return local[:, :2] / local[:, 2:] * k[:2] + k[2:]

    np.testing.assert_allclose(seen(own_view, own_k), px_in_slice(seen(view, k), warp, size), atol=1e-9)


def test_a_plain_capture_is_none(tmp_path):
    for p in range(6):
        write(tmp_path, [speckle(p)], [f"photos/IMG_{p:04d}.png"])
    assert [len(group) for group in grouped(tmp_path)] == [1] * 6


def test_a_listing_is_believed_and_checked(tmp_path):
    names = [f"{c}.png" for c in "abcdef"]
    write(tmp_path / "photos", [speckle(p) for p in range(6)], names)
    (tmp_path / "brackets.json").write_text(json.dumps({"one": ["a.png", "c.png"], "two": ["b.png", "f.png"]}))
    assert grouped(tmp_path) == [["a.png", "c.png"], ["b.png", "f.png"], ["d.png"], ["e.png"]]
    assert len(poses_of(open_capture(tmp_path, brackets=False).photos)) == 6
    (tmp_path / "brackets.json").write_text(json.dumps([["a.png", "z.png"]]))
    with pytest.raises(MacrosplatError, match=r"z\.png, but there is no such photo"):
        open_capture(tmp_path)
    write(tmp_path / "photos", [speckle(2)[:64, :64]], ["c.png"])
    (tmp_path / "brackets.json").write_text(json.dumps([["a.png", "c.png"]]))
    with pytest.raises(MacrosplatError, match=r"joins slices of different sizes \(a\.png .*, c\.png 64 x 64\)"):
        open_capture(tmp_path)


@pytest.mark.parametrize("which", [(0, 3), (0, 2, 5)])
def test_cameras_at_one_place_of_photos_from_several_are_no_stack(tmp_path, which):
    """A file of cameras that nobody filled in, say: all of them the identity."""
    write_capture(tmp_path, made(), colmap=False)
    path = tmp_path / "transforms.json"
    data = json.loads(path.read_text())
    for n in which:
        data["frames"][n]["transform_matrix"] = np.eye(4).tolist()
    path.write_text(json.dumps(data))
    if len(which) == 2:
        assert any("at one place, and they show" in note for note in open_capture(tmp_path).notes)
    else:
        with pytest.raises(MacrosplatError, match=r"put 0\.png, 2\.png, 5\.png at one place"):
            open_capture(tmp_path)


def test_a_stranger_beside_a_stack_is_left_out(tmp_path):
    write(tmp_path, [*halves(0)[1], speckle(0)], ["s_1.png", "s_2.png", "s_3.png", "result.png"])
    capture = open_capture(tmp_path)
    assert [len(group) for group in poses_of(capture.photos)] == [3]
    assert any("result.png" in note for note in capture.notes)


def test_zoom_shift_and_roll_are_found_to_a_tenth_of_a_px():
    picture = gaussian_filter(speckle(1, 480, 360).mean(2), 1.0)
    truth = np.array([1.02, 0.004, -0.003, 0.013])
    moved = np.nan_to_num(warped(picture, inverse(truth), order=3), nan=0.5)
    found = align([moved, picture])[0]  # the second is the middle one
    corners = np.array([[0.0, 0.0], [480.0, 360.0]])
    off = px_in_slice(corners, found, (480, 360)) - px_in_slice(corners, truth, (480, 360))
    assert np.abs(off).max() < 0.1, (found, off)


def test_strips_tell_no_warp_across():
    strip = speckle(3, 96, 2).mean(2)
    assert np.array_equal(align([strip, np.roll(strip, 1, 1)]), np.tile([1.0, 0.0, 0.0, 0.0], (2, 1)))


def test_only_focus_moved_means_no_warp():
    _, slices = halves(2)
    assert np.array_equal(align([one.mean(2) for one in slices]), np.tile([1.0, 0.0, 0.0, 0.0], (3, 1)))


def test_a_slices_intrinsics_project_where_its_pixels_are():
    k, warp, size = np.array([300.0, 300.0, 60.0, 45.0]), np.array([1.1, 0.02, -0.01, 0.0]), (120, 90)
    ray = np.array([0.1, -0.05])
    of_slice = intrinsics_of_slice(k, warp, size)
    here = ray * of_slice[:2] + of_slice[2:]
    np.testing.assert_allclose(here, px_in_slice((ray * k[:2] + k[2:])[None], warp, size)[0])


def test_composite_is_nearer_to_sharp_than_any_slice(tmp_path):
    sharp, slices = halves(3, 5)
    write(tmp_path, slices, [f"s_{n}.png" for n in range(5)])
    joined = composite(open_capture(tmp_path).photos, np.tile([1.0, 0.0, 0.0, 0.0], (5, 1)))
    error = np.abs(joined - sharp).mean()
    assert error < 0.35 * min(np.abs(one - sharp).mean() for one in slices)


def test_the_stacker_joins_the_sharpest(tmp_path):
    sharp, slices = halves(4, 5)
    bytes_ = [to_bytes(to_srgb(one)) for one in slices]
    joined = stack(bytes_)
    assert all(np.array_equal(one, joined[0]) for one in joined)  # nothing moved: it is the same in every slice
    error = np.abs(to_linear(joined[0] / 255) - sharp).mean()
    assert error < 0.4 * min(np.abs(one - sharp).mean() for one in slices)
    # A pose of three and a lone photo, which stays as it is.
    write(tmp_path / "photos", [*halves(5)[1], speckle(6)], ["a_0.png", "a_1.png", "a_2.png", "other.png"])
    (tmp_path / "brackets.json").write_text(json.dumps([["a_0.png", "a_1.png", "a_2.png"]]))
    photos = open_capture(tmp_path).photos
    taken = [read_photo(photo) for photo in photos]
    made_ = deblurred(tmp_path / "run", photos, taken, Options(deblur_first="stack"))
    assert np.array_equal(made_[3], taken[3]) and np.array_equal(made_[0], stack(taken[:3])[0])
    with pytest.raises(MacrosplatError, match="there are none here"):
        deblurred(tmp_path / "other", photos[3:], taken[3:], Options(deblur_first="stack"))


def test_a_stack_lies_in_each_slice_as_the_slice_lies():
    picture, warp = gaussian_filter(speckle(1, 240, 180), (0.7, 0.7, 0)), np.array([1.03, 0.01, -0.01, 0.01])
    moved = np.nan_to_num(warped(picture, inverse(warp), order=3), nan=0.5).clip(0, 1)
    bytes_ = [to_bytes(to_srgb(one)) for one in (moved, picture, picture)]
    joined = stack(bytes_)
    inner = slice(20, -20)
    for one, own in zip(joined, bytes_, strict=True):
        assert np.abs(one[inner, inner].astype(float) - own[inner, inner]).mean() < 3  # levels: resampled twice


@pytest.mark.parametrize("side", [1800, 60])
def test_cameras_and_observations_reach_every_slice(tmp_path, monkeypatch, side):
    monkeypatch.setattr(composite_module, "SIDE", side)
    width = min(side, 120)
    for p in range(3):
        write(tmp_path, halves(p)[1], [f"{p}_{s}.png" for s in range(3)])
    capture = open_capture(tmp_path)
    poses = one_per_pose(capture.photos, capture.cameras, tmp_path / "scratch")
    assert [photo.width for photo in poses.photos] == [width] * 3
    assert [Image.open(photo.path).size for photo in poses.photos] == [(width, width * 3 // 4)] * 3
    assert not has_brackets(poses.photos)  # cameras are found on them as on any photos
    views = make_cameras(3).views
    names = tuple(photo.name for photo in poses.photos)
    small = width / 120
    intrinsics, sizes = np.array([300.0, 300, 60, 45]) * small, np.array([120, 90]) * small
    given = Cameras(names, views, np.tile(intrinsics, (3, 1)), np.tile(sizes.astype(int), (3, 1)), "sfm")
    seen_at = np.full((2, 2), 20.0 * small)
    points = SparsePoints(np.zeros((1, 3)), np.zeros((1, 3), np.uint8), np.zeros(2, int), np.array([0, 2]), seen_at)
    cameras, seen = spread(poses, given, points, capture.photos)
    assert cameras.names == tuple(photo.name for photo in capture.photos)
    for v in range(9):
        assert np.array_equal(cameras.views[v], views[v // 3])
    assert (cameras.intrinsics == [300, 300, 60, 45]).all() and (cameras.sizes == [120, 90]).all()
    assert sorted(set(seen.photo.tolist())) == [0, 1, 2, 6, 7, 8] and (seen.px == 20.0).all()


def test_slices_move_together_when_poses_are_refined():
    from macrosplat.model.rig import Rig, leaders
    from macrosplat.render import Frame

    frames, pivots = [Frame(8, 6)] * 4, torch.full((4,), 5.0)
    rig = Rig(torch.eye(4).repeat(4, 1, 1), torch.ones(4, 4), frames, pivots, 0.01, leaders([(0, 2), (1,), (3,)]))
    for name in ("pose.turn", "pose.shift"):
        rig.parameters[name] += torch.arange(4.0)[:, None] + 1
    views = [rig.camera(photo).view for photo in range(3)]
    assert torch.equal(views[0], views[2]) and not torch.equal(views[0], views[1])


@pytest.mark.parametrize("hold_out", [0, 3])
def test_a_run_of_slices_with_cameras(tmp_path, monkeypatch, hold_out):
    monkeypatch.setattr(finish, "VIEWER_STEPS", 3)
    capture = write_capture(tmp_path / "capture", made(), colmap=True)
    # Photo 1 gets the camera of photo 0: two slices of one pose, as far as cameras tell.
    from macrosplat.cameras.colmap import write_colmap

    truth = made().cameras
    views = truth.views.copy()
    views[1] = views[0]
    same = Cameras(truth.names, views, truth.intrinsics, truth.sizes, truth.source)
    write_colmap(capture / "sparse" / "0", same, made().points)
    options = Options(steps=5, max_gaussians=500, width=48, device="cpu", hold_out=hold_out)
    out = tmp_path / "run"
    pipeline.reconstruct(capture, out, options)
    held = json.loads((out / "config.json").read_text())["held_out"]
    assert held == ([] if hold_out == 0 else ["0.png", "1.png", "4.png"])
    assert linear_of(out / "sharp" / "2.png").shape == (72, 96, 3)  # the photo's own size


def linear_of(path):
    from PIL import Image

    return to_linear(np.asarray(Image.open(path)).astype(np.float32) / 255)


def test_slices_of_a_pose_have_one_backdrop():
    from macrosplat.model.backdrop import Backdrop
    from macrosplat.model.exposure import Exposure
    from macrosplat.model.model import Model
    from macrosplat.model.rig import Rig, leaders
    from macrosplat.render import Frame

    grids = torch.arange(3.0)[:, None, None, None].expand(3, 3, 4, 3)
    frames, pivots = [Frame(8, 6)] * 3, torch.full((3,), 5.0)
    rig = Rig(torch.eye(4).repeat(3, 1, 1), torch.ones(3, 4), frames, pivots, 0.01, leaders([(0, 1), (2,)]))
    model = Model(None, rig, None, Backdrop(grids), Exposure(torch.zeros(3, 3)))  # type: ignore[arg-type]
    frame = Frame(8, 6)
    for number in (lambda v: v, lambda v: torch.tensor([v])):
        assert [model.behind(number(v), frame).mean().item() for v in range(3)] == [0.0, 0.0, 2.0]
    assert model.behind(None, frame).mean().item() == 1.0  # of the poses, not of the slices
