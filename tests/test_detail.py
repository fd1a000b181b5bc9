"""Deblurred photos with the photos' own detail: pyramid, radii, whether a blur is believed, and who counts where."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.ndimage import distance_transform_edt

from macrosplat.output.detail import (
    energy_cpu,
    energy_cuda,
    own,
    photos,
    pyramid,
    pyramid_cpu,
    pyramid_cuda,
    pyramid_reference,
)
from macrosplat.output.detail.believed import believed
from macrosplat.output.detail.energy import energy_around
from macrosplat.output.detail.evidence import evident_sharpness
from macrosplat.output.detail.grain import find_grain
from macrosplat.output.detail.missing import find_missing
from macrosplat.output.detail.own import AS_TAKEN, DOUBT, enlarged, keep_detail, lacking, weight
from macrosplat.output.detail.photos import Look, share_shown
from macrosplat.output.detail.pyramid import collapsed, halved, laplacian, levels_for
from macrosplat.output.detail.pyramid_reference import doubled
from macrosplat.output.detail.radius import blur_radius
from macrosplat.output.surface import Surface
from making_planes import natural, planes, through_disc


def on(kernels) -> str:
    """Where kernels work: a GPU's on one if there is one, else in Triton's interpreter."""
    return "cuda" if kernels.__name__.endswith("_cuda") and torch.cuda.is_available() else "cpu"


@pytest.fixture
def joined_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is joined, before it is brought back within its bounds (test_bounds)."""
    monkeypatch.setattr(own, "bounded", lambda picture, *_: picture)


@pytest.mark.parametrize("size", [(64, 96), (37, 53), (16, 17)])
def test_bands_add_up_and_a_constant_has_none(size: tuple[int, int]) -> None:
    picture = planes(natural(*size, 0), natural(*size, 1))
    bands = laplacian(picture, levels_for(*size, 5))
    assert [tuple(b.shape[1:]) for b in bands] == [
        (-(-size[0] // 2**k), -(-size[1] // 2**k)) for k in range(len(bands))
    ]
    torch.testing.assert_close(collapsed(bands), picture, atol=1e-6, rtol=0)
    constant = torch.full((1, *size), 0.3)
    torch.testing.assert_close(doubled(halved(constant), *size), constant, atol=1e-7, rtol=0)


def test_samples_of_a_halved_ramp_stay_where_they_are() -> None:
    ramp = torch.arange(32.0).expand(1, 8, 32)
    torch.testing.assert_close(halved(ramp)[0, 0, 1:-1], torch.arange(2.0, 30.0, 2.0))
    torch.testing.assert_close(doubled(halved(ramp), 8, 32)[0, 0, 4:-4], torch.arange(4.0, 28.0))


@pytest.mark.parametrize("kernels", [pyramid_cpu, pyramid_cuda])
@pytest.mark.parametrize("size", [(24, 40), (37, 53), (1, 5)])
def test_kernels_of_the_pyramid_are_plain_torch(monkeypatch, kernels, size: tuple[int, int]) -> None:
    exact = pyramid_reference
    monkeypatch.setattr(pyramid, "kernels_for", lambda _, plane, __: kernels if plane.dtype == torch.float32 else exact)
    picture = torch.rand(3, *size, generator=torch.Generator().manual_seed(3)).to(on(kernels))
    torch.testing.assert_close(halved(picture), halved(picture.double()).float(), atol=1e-6, rtol=0)
    for got, wanted in zip(laplacian(picture, 3), laplacian(picture.double(), 3), strict=True):
        torch.testing.assert_close(got, wanted.float(), atol=2e-6, rtol=0)
    torch.testing.assert_close(collapsed(laplacian(picture, 3)), picture, atol=2e-6, rtol=0)


@pytest.mark.parametrize("kernels", [energy_cpu, energy_cuda])
@pytest.mark.parametrize("size", [(3, 40, 61), (1, 3, 2)])
def test_energy_of_a_band_is_that_of_plain_torch(kernels, size: tuple[int, int, int]) -> None:
    band = torch.randn(size, generator=torch.Generator().manual_seed(4)).to(on(kernels))
    torch.testing.assert_close(kernels.energy_around(band).double(), energy_around(band.double()), rtol=2e-6, atol=1e-7)
    torch.testing.assert_close(kernels.energy_around(torch.full_like(band, -0.3)), torch.full_like(band[:1], 0.09))


def test_in_focus_the_photo_itself_and_out_of_focus_the_render(joined_only) -> None:
    photo, render = torch.rand(2, 3, 70, 90, generator=torch.Generator().manual_seed(0))
    nothing = torch.zeros(3, 7, 9)
    torch.testing.assert_close(keep_detail(photo, render, nothing, torch.zeros(7, 9)), photo, atol=2e-6, rtol=0)
    torch.testing.assert_close(keep_detail(photo, render, nothing, torch.full((7, 9), 1e3)), render, atol=2e-6, rtol=0)


def test_a_blurred_photo_keeps_what_is_coarser_than_its_blur() -> None:
    """Render: fine detail right, brightness wrong. Photo: the other way round."""
    truth = natural(192, 256, 2)
    blurred = through_disc(truth, 6.0)
    render = truth + 0.08 * np.sin(np.arange(256) / 256 * 2 * np.pi)
    got = keep_detail(planes(*[blurred] * 3), planes(*[render] * 3), torch.zeros(3, 4, 4), torch.full((4, 4), 6.0))

    def error(test: np.ndarray) -> float:
        return float(np.sqrt(np.square(test - truth)[16:-16, 16:-16].mean()))

    assert error(got[0].numpy()) < 0.5 * min(error(blurred), error(render))


def test_what_defocus_took_away_is_given_back(joined_only) -> None:
    """With a perfect model: photo + (in focus - blurred) is the truth at any radius, whatever the weights."""
    truth = natural(128, 160, 3)
    blurred = through_disc(truth, 3.0)
    taken, render = planes(*[truth - blurred] * 3), planes(*[truth] * 3)
    got = keep_detail(planes(*[blurred] * 3), render, taken, torch.full((8, 10), 3.0))
    torch.testing.assert_close(got[1], planes(truth)[0].clamp(0, 1), atol=2e-6, rtol=0)


def test_what_the_photo_still_has_is_not_given_back() -> None:
    """All is said to be blurred by 1.5 px on the left and 6 on the right, and is so on the right alone; the scene is
    softer than the photo."""
    truth = natural(192, 288, 23)
    scene = through_disc(truth, 1.5)
    photo = truth.copy()
    photo[:, 144:] = through_disc(truth, 6.0)[:, 144:]
    blurred = through_disc(scene, 1.5)
    blurred[:, 144:] = through_disc(scene, 6.0)[:, 144:]
    radius = torch.full((192, 288), 1.5)
    radius[:, 144:] = 6.0
    found = find_missing(*(planes(plane)[0] for plane in (photo, scene, scene - blurred)), radius, 4)
    small, large = torch.tensor([[1.4, 5.6]])[0]
    for level in (1, 2):
        assert found.of(level, small[None, None]) < 0.1 and 0.7 < found.of(level, large[None, None]) < 1.1
    assert found.of(0, small[None, None]) == found.of(4, small[None, None]) == 1
    pictures, given = [planes(*[plane] * 3) for plane in (photo, scene)], planes(*[scene - blurred] * 3)
    kept, plain = (keep_detail(*pictures, more, radius)[0].numpy() for more in (given, torch.zeros_like(given)))
    added = plain + scene - blurred  # if all were believed
    errors = [halved(planes(picture - truth))[:, 16:80, 16:56].square().mean() for picture in (kept, plain, added)]
    assert errors[0] < 1.2 * errors[1] < 0.4 * errors[2]


def test_work_in_bands_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(4)
    photo, render = torch.rand(2, 3, 700, 40, generator=generator)
    taken, radius = torch.rand(3, 175, 10, generator=generator) - 0.5, 20 * torch.rand(175, 10, generator=generator)
    whole = keep_detail(photo, render, taken, radius)
    monkeypatch.setattr(own, "ROWS", 128)
    # To rounding: vectors and what is left of them at the end of a tensor have not quite the same exp.
    torch.testing.assert_close(keep_detail(photo, render, taken, radius), whole, atol=2e-6, rtol=0)


def test_enlarged_is_torchs_interpolation() -> None:
    small = torch.rand(2, 5, 7, generator=torch.Generator().manual_seed(5))
    whole = torch.nn.functional.interpolate(small[None], (31, 29), mode="bilinear", align_corners=False)[0]
    torch.testing.assert_close(enlarged(small, 31, 29, slice(11, 20)), whole[:, 11:20])


def test_no_halo_round_an_edge_of_the_radius() -> None:
    """Photo and render differ by a constant; where one takes over from the other nothing lies beyond the two."""
    photo, render = torch.full((3, 128, 128), 0.7), torch.full((3, 128, 128), 0.3)
    radius = torch.zeros(128, 128)
    radius[:, 64:] = 1e3
    got = keep_detail(photo, render, torch.zeros(3, 4, 4), radius)
    assert got.min() >= 0.3 - 1e-6 and got.max() <= 0.7 + 1e-6
    assert (got[:, :, 1:] - got[:, :, :-1]).max() <= 1e-6  # falls from the one to the other


def test_weights_fall_with_the_radius_octave_by_octave() -> None:
    radii = torch.linspace(0, 60, 200)
    weights = torch.stack([weight(radii, k) for k in range(6)])
    assert (weights[:, 0] == 1).all() and (weights.diff(dim=1) <= 0).all() and (weights.diff(dim=0) >= 0).all()


def test_radius_over_the_backdrop_and_behind_near_things() -> None:
    signed, alpha = torch.full((40, 60), 0.5), torch.ones(40, 60)
    signed[10:20, 10:20] = -6.0  # near, out of focus
    signed[30:, 40:] = 9.0  # far, out of focus
    got = blur_radius(signed, alpha).numpy()
    away = distance_transform_edt(signed.numpy() != -6.0)
    wanted = np.maximum(np.abs(signed.numpy()), 6.0 - away)
    assert np.abs(got - wanted).max() < 0.08 * 6.0  # octagons for circles
    assert got[29, 50] == 0.5  # what is far does not reach over what is near
    alpha[:, 25:] = 0
    beyond = blur_radius(signed, alpha)
    assert (beyond[25:, 30:] == 0.5).all()
    assert (blur_radius(torch.full((4, 4), torch.inf), torch.zeros(4, 4)) == 0).all()
    signed = torch.randn(37, 53, generator=torch.Generator().manual_seed(9)) * 6
    plain = blur_radius(signed.double(), torch.ones(37, 53).double()).float()
    torch.testing.assert_close(blur_radius(signed, torch.ones(37, 53)), plain, atol=1e-5, rtol=0)


@pytest.mark.parametrize("true, wanted", [(0.0, 0.0), (0.15, 0.0), (0.8, 1.0), (1.0, 1.0)])
def test_only_a_blur_that_the_photos_show_is_believed(true: float, wanted: float) -> None:
    """A claim of 0 to 12 px from left to right, of which the photos show a part; with grain."""
    claimed = np.repeat(np.arange(16) * 0.8, 24)[None].repeat(256, 0)
    photos = []
    for seed in (6, 7):
        sharp = natural(256, claimed.shape[1], seed)
        grain = np.random.default_rng(seed).standard_normal(sharp.shape) * 0.004
        columns = [through_disc(sharp, true * r)[:, 24 * n : 24 * n + 24] for n, r in enumerate(claimed[0, ::24])]
        photos.append((planes(np.concatenate(columns, 1) + grain)[0], planes(claimed)[0]))
    assert believed(photos) == pytest.approx(wanted, abs=0.05)


def test_outlines_in_focus_are_no_proof_against_the_blur_of_what_is_behind_them() -> None:
    """Things in focus before something that is not; 0.42 where the outlines' pixels count as what they are claimed."""
    photos = []
    for seed in range(4):
        rng, things = np.random.default_rng(seed), np.zeros((256, 256))
        for left, top in rng.integers(8, 188, (2, 2)):
            things[top : top + 60, left : left + 60] = 1
        cover = through_disc(things, 1.0).clip(0, 1)
        behind = 0.5 + 0.5 * through_disc(natural(256, 256, 90 + seed), 6.0)
        photo = cover * (0.5 + 0.3 * natural(256, 256, seed)) + (1 - cover) * behind
        photos.append((planes(photo)[0], planes(np.where(cover > 0.02, 0.3, 6.0))[0]))
    assert believed(photos) > 0.8


def test_without_blur_to_judge_the_lens_is_believed() -> None:
    assert believed([(planes(natural(64, 64, 8))[0], torch.full((64, 64), 0.7))]) == 1.0
    assert believed([]) == 1.0


def test_what_is_evidently_sharp_is_the_photo_whatever_is_claimed(joined_only) -> None:
    """Left a third in focus, the rest blurred; all is said to be blurred, the last third widely."""
    sharp = natural(192, 288, 13)
    taken = np.concatenate([sharp[:, :96], through_disc(sharp, 5.0)[:, 96:]], 1)
    photo = planes(taken + np.random.default_rng(14).standard_normal(taken.shape) * 0.002)
    claimed = torch.full((48, 72), DOUBT)
    claimed[:, 48:] = 8.0
    evident = evident_sharpness(photo[0], planes(sharp)[0], claimed)
    assert evident.shape == (48, 72)
    assert (evident[:, 3:20] > 0.7).float().mean() > 0.9 and (evident[:, 28:] < 0.05).float().mean() > 0.9
    render, none = torch.full_like(photo, 0.5), torch.zeros(1, 48, 72)
    inside = (slice(None), slice(16, -16), slice(16, 80))
    plain, better = (keep_detail(photo, render, none, claimed, sure) - photo for sure in (None, evident))
    assert better[inside].square().mean() < 0.1 * plain[inside].square().mean()
    beyond = (slice(None), slice(16, -16), slice(220, None))
    torch.testing.assert_close(better[beyond], plain[beyond], atol=0.01, rtol=0)
    # What defocus would have taken of a small claimed radius is given back in part, of next to none not at all.
    given, evident = torch.full((1, 48, 72), 0.1), evident.repeat_interleave(4, 0).repeat_interleave(4, 1)
    for small in (0.1, AS_TAKEN):
        part = (1 - evident * np.exp(-(small**2))) * (1 - np.exp(-((small / AS_TAKEN) ** 4)))
        got = keep_detail(photo, render, given, torch.full((48, 72), small), evident)
        torch.testing.assert_close(got[inside], (photo + 0.1 * part)[inside], atol=0.02, rtol=0)


def test_what_is_taken_from_blurred_neighbours_leaves_the_photo_in_focus_as_it_was() -> None:
    """In stripes in focus between blurred ones of which defocus took a lot, in octaves that balance in sum alone."""
    photo = planes(*[natural(192, 288, 24)] * 3)
    stripes = (torch.arange(288) // 24 % 2).float().expand(192, 288).contiguous()
    taken = planes(*[0.5 * (natural(192, 288, 25) - 0.5)] * 3) * stripes
    kept = keep_detail(photo, photo, taken, 4 * stripes)
    wrong = (kept - photo).square().mean(0)[stripes == 0].mean().sqrt()
    assert wrong < 0.01 * taken.square().mean().sqrt()  # 0.25 if coarse octaves reach over


def test_strong_lines_that_are_blurred_are_not_evidently_sharp() -> None:
    """Bristles: dark lines on grey stand out of grain in the finest octave though they are blurred by 2 px."""
    sharp = np.full((192, 192), 0.8)
    sharp[:, :144:24] = sharp[:, 1:144:24] = 0.0
    photo = through_disc(sharp, 2.0) + np.random.default_rng(15).standard_normal(sharp.shape) * 0.002
    claimed = torch.full((48, 48), 2.0)
    claimed[:, 36:] = 8.0
    as_taken, drawn = planes(photo)[0], planes(sharp)[0]
    lines = (slice(4, -4), slice(6, 30, 6))
    assert evident_sharpness(as_taken, as_taken, claimed)[lines].min() > 0.5  # if the scene were no sharper
    assert evident_sharpness(as_taken, drawn, claimed)[lines].max() < 0.05
    in_focus = planes(sharp + np.random.default_rng(15).standard_normal(sharp.shape) * 0.002)[0]
    assert evident_sharpness(in_focus, drawn, claimed)[lines].min() > 0.5


def test_radii_far_too_large_lose_nothing_that_is_evidently_sharp() -> None:
    """The left half in focus, the right one blurred over 4 px, all said to be blurred over 6; the render has no fine
    detail, as that of a scene which was learned at a quarter of the size; the last rows hold strong grain alone."""
    sharp = natural(192, 192, 16)
    taken = np.concatenate([sharp[:, :96], through_disc(sharp, 4.0)[:, 96:]], 1)
    coarse = through_disc(sharp, 6.0)
    for plane in (taken, coarse):
        plane[128:] = 0.5
    noise = np.random.default_rng(17).standard_normal(taken.shape)
    noise[:128] *= 0.1
    photo, render, claimed = planes(taken + 0.01 * noise), planes(coarse), torch.full((48, 48), 6.0)
    evident = evident_sharpness(photo[0], render[0], claimed)
    assert evident[4:28, 4:20].median() > 0.7
    assert evident[4:28, 28:44].median() == evident[36:44].median() == 0
    kept = keep_detail(photo, render, torch.zeros(1, 48, 48), claimed, evident)[0].numpy()
    focused, grain = np.s_[16:112, 16:80], np.s_[144:176, 16:176]
    off = [np.sqrt(np.mean((picture[focused] - taken[focused]) ** 2)) for picture in (kept, coarse)]
    assert off[0] < 0.35 * off[1]
    assert kept[grain].std() < 0.5 * photo[0].numpy()[grain].std()


def test_where_the_render_lacks_the_finest_octave_a_photo_slightly_blurred_keeps_it() -> None:
    """Left the render has the detail, right it is that of a scene learned at a quarter of the size; below lies grain
    that nobody has told of, which is no detail."""
    truth = natural(192, 256, 19)
    photo, render = through_disc(truth, 1.5), truth.copy()
    render[:, 128:] = through_disc(truth, 4.0)[:, 128:]
    photo[128:] = 0.5 + 0.05 * np.random.default_rng(20).standard_normal((64, 256))
    render[128:] = 0.5
    drawn, taken = laplacian(planes(*[render] * 3), 2), laplacian(planes(*[photo] * 3), 2)
    found = lacking(drawn[0], taken[0], taken[1])[0]
    assert found[16:112, 16:112].max() < 0.1 and found[16:112, 144:240].median() > 0.9 and found[144:176].max() < 0.2
    none, radius = torch.zeros(3, 4, 4), torch.full((4, 4), 1.5)
    kept = keep_detail(planes(*[photo] * 3), planes(*[render] * 3), none, radius)[0].numpy()
    lines = np.s_[16:112, 144:240]
    errors = [np.sqrt(np.mean((picture[lines] - truth[lines]) ** 2)) for picture in (kept, photo, render)]
    assert errors[0] < 1.02 * errors[1] < 0.7 * errors[2]


def test_a_soft_photo_is_sharp_where_it_is_as_sharp_as_it_gets() -> None:
    """All of it lacks what is finest, as of more megapixels than the lens shows; a third is blurred on top."""
    soft = through_disc(natural(192, 288, 21), 2.2)
    taken = np.concatenate([soft[:, :192], through_disc(soft, 4.0)[:, 192:]], 1)
    photo = planes(taken + np.random.default_rng(22).standard_normal(taken.shape) * 0.0005)[0]
    claimed = torch.full((48, 72), 3.0)
    claimed[:, :24], claimed[:, 48:] = 0.0, 8.0
    drawn = planes(through_disc(soft, 6.0))[0]
    evident, alone = (evident_sharpness(photo, drawn, radius)[4:44] for radius in (claimed, claimed.clamp_min(3.0)))
    assert evident[:, 28:44].median() > 0.55 and evident[:, 52:].mean() < 0.02
    assert alone[:, 28:44].median() < 0.7 * evident[:, 28:44].median()  # if nothing is said to be in focus


def test_where_the_render_has_the_detail_the_photo_adds_no_grain() -> None:
    """All in focus but the right quarter; the render lacks the detail of the middle; grain is stronger in the light."""
    truth = np.clip(natural(256, 512, 16) + np.linspace(-0.2, 0.2, 256)[:, None], 0, 1)
    blurred = truth.copy()
    blurred[:, 384:] = through_disc(truth, 12.0)[:, 384:]
    sigma = 0.01 + 0.05 * truth
    noise = np.random.default_rng(17).standard_normal((3, *truth.shape)) * sigma
    photo = torch.from_numpy(blurred + noise).float()
    radius = torch.zeros(64, 128)
    radius[:, 96:] = 12.0
    grain = find_grain(photo, radius)
    # Of white grain the finest octave keeps what the pyramid's taps leave.
    kept = float(laplacian(torch.randn(1, 256, 256, generator=torch.Generator().manual_seed(18)), 1)[0].square().mean())
    wanted = kept * (0.01 + 0.05 * grain.brightness) ** 2
    np.testing.assert_allclose(grain.variance, wanted, rtol=0.35)
    render = truth.copy()
    lacking = slice(160, 352)
    render[:, lacking] = through_disc(truth, 4.0)[:, lacking]
    got, plain = (
        keep_detail(photo, planes(*[render] * 3), torch.zeros(3, 4, 4), radius, grain=given).numpy()
        for given in (grain, None)
    )

    def error(picture: np.ndarray, columns: slice) -> float:
        return float(np.square(picture - truth)[:, 16:-16, columns].mean())

    drawn = slice(16, 144)
    assert error(got, drawn) < 0.5 * error(photo.numpy(), drawn)
    lack = slice(176, 336)
    assert error(got, lack) < error(plain, lack) < error(np.stack([render] * 3), lack)
    assert find_grain(photo, torch.zeros(4, 4)).variance.max() == 0


@pytest.mark.parametrize("lens_gain, wanted", [(1.0, 1.0), (0.1, 0.0)])
def test_a_lens_that_explains_nothing_takes_nothing_back(lens_gain: float, wanted: float) -> None:
    """Two photos that are what the scene alone shows up to an error, which the lens makes smaller by so many dB."""
    photo = np.full((32, 48, 3), 128, np.uint8)
    plane, error = torch.zeros(32, 48), 0.05

    def look(_: int) -> Look:
        seen = Surface(None, plane + 1, plane)  # type: ignore[arg-type]
        alone, taken = (torch.full((32, 48, 3), 128 / 255 + off) for off in (error, error * 10 ** (-lens_gain / 20)))
        return Look(seen, alone, taken)

    share, looks = share_shown(SimpleNamespace(look=look), [photo, photo], ())  # type: ignore[arg-type]
    assert share == wanted and set(looks) == {0, 1}


def test_of_what_was_drawn_as_much_is_kept_as_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    photo, plane, drawn = np.full((32, 48, 3), 128, np.uint8), torch.zeros(32, 48), torch.full((32, 48, 3), 0.5)

    def kept(free: float) -> set[int]:
        monkeypatch.setattr(photos, "available", lambda: free)
        look = Look(Surface(None, plane + 1, plane), drawn, drawn)  # type: ignore[arg-type]
        return set(share_shown(SimpleNamespace(look=lambda _: look), [photo] * 6, ())[1])  # type: ignore[arg-type]

    monkeypatch.setattr(photos, "KEPT", 2 * plane.numel())
    a_photo = photos.PER_PIXEL * plane.numel() / photos.OF_FREE
    assert kept(0) == {0, 1} and kept(4.5 * a_photo) == {0, 1, 2, 3} and kept(100 * a_photo) == set(range(6))
