"""The metrics against closed forms, scikit-image and flip-evaluator's own mean."""

from __future__ import annotations

import flip_evaluator
import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from macrosplat.support.metrics import Scores, compare, mean_scores, psnr, ssim_map


@pytest.fixture
def pair() -> tuple[np.ndarray, np.ndarray]:
    """A smooth photo and a disturbed twin, 48 x 64."""
    rng = np.random.default_rng(7)
    y, x = np.mgrid[:48, :64] / 64
    truth = np.stack([0.5 + 0.4 * np.sin(9 * x), 0.5 + 0.4 * np.cos(7 * y), x * y], axis=-1)
    return np.clip(truth + rng.normal(0, 0.06, truth.shape), 0, 1), truth


def test_psnr_of_a_known_offset() -> None:
    truth = np.full((20, 20, 3), 0.5)
    assert psnr(truth + 0.1, truth) == pytest.approx(20.0)  # mse 0.01
    assert psnr(truth, truth) == pytest.approx(100.0)


def test_frame_scores_are_those_of_the_public_packages(pair: tuple[np.ndarray, np.ndarray]) -> None:
    test, truth = pair
    got = compare(test, truth).frame
    assert got.psnr == pytest.approx(peak_signal_noise_ratio(truth, test, data_range=1.0), abs=1e-9)
    ssim = structural_similarity(
        truth, test, channel_axis=-1, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=1.0
    )
    assert got.ssim == pytest.approx(ssim, abs=1e-9)
    _, flip, _ = flip_evaluator.evaluate(truth.astype(np.float32), test.astype(np.float32), "LDR", applyMagma=False)
    assert got.flip == pytest.approx(flip, abs=1e-5)


def test_masked_ssim_is_the_mean_of_scikit_images_map(pair: tuple[np.ndarray, np.ndarray]) -> None:
    test, truth = pair
    mask = np.zeros((48, 64), bool)
    mask[10:30, 20:50] = True
    _, full = structural_similarity(
        truth,
        test,
        channel_axis=-1,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        data_range=1.0,
        full=True,
    )
    got = compare(test, truth, mask).mask
    assert got is not None and got.ssim == pytest.approx(full[mask].mean(), abs=1e-9)
    assert ssim_map(test, truth).shape == (38, 54)


def test_an_error_outside_the_mask_does_not_count() -> None:
    truth = np.full((40, 60, 3), 0.4)
    test = truth.copy()
    test[:, 40:] += 0.3
    mask = np.zeros((40, 60), bool)
    mask[:, :15] = True  # further from the error than SSIM's window and FLIP's filters reach
    got = compare(test, truth, mask)
    assert got.mask is not None and got.mask.psnr == pytest.approx(100.0) and got.mask.ssim == pytest.approx(1.0)
    assert got.mask.flip == pytest.approx(0.0, abs=1e-4) and got.frame.flip > 0.05
    assert got.frame.psnr == pytest.approx(-10 * np.log10(0.09 / 3), abs=1e-6)


def test_an_empty_mask_has_no_scores() -> None:
    flat = np.full((20, 20, 3), 0.5)
    assert compare(flat, flat, np.zeros((20, 20), bool)).mask is None


def test_means_and_shapes() -> None:
    mean = mean_scores([Scores(20.0, 0.5, 0.2), Scores(30.0, 0.7, 0.1)])
    assert (mean.psnr, mean.ssim, mean.flip) == pytest.approx((25.0, 0.6, 0.15))
    with pytest.raises(AssertionError):
        compare(np.zeros((20, 20, 3)), np.zeros((20, 21, 3)))
