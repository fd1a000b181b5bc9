"""Radial distortion that the photos still have: what lies at the share rho of the way from the middle of the frame to
its corner lies rho^2 times as far beyond as in a pinhole's picture.

It is learned on request only (`ThinLens.look_for`), of a scene by which cameras are corrected before the training
proper: the pictures of a run are a pinhole's. Key points of blurred photos tell a distortion to a third of it
(experiments: distortion-by-scene).
"""

from __future__ import annotations

import torch
from torch import Tensor

RATE = 8e-3  # px of the training width in the corner, of Adam, per step
BELIEF = 1e-6  # of the loss per px^2: pulls to none what no photo tells
LEAST = 0.0  # px: whoever asks wants to know


def bends(share: Tensor, channels: int) -> Tensor:
    """[1, C, 4] how the channels of a photo move, as `shift.shifted` takes it.

    Args:
        share: [1] by what share the corner lies farther from the middle.
    """
    return torch.nn.functional.pad(share.expand(channels, 1), (3, 0))[None]


def coefficient(share: float, focal: float, width: float, height: float) -> float:
    """k1 of OpenCV's, of the same px: the share that is more at the corner, whose squared tangent is
    (width^2 + height^2) / (4 focal^2)."""
    return share * 4 * focal * focal / (width * width + height * height)
