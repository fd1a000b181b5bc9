"""The options of the lens models that `thin` is compared with, and of the 2D deblurrers: one record per model.

Every default stands here with where it comes from: [paper] is the model's own paper, [ours] our choice where that is
silent (experiments: blurnet-rgb-cell, blurnet-first-stage). No torch: these are part of the command line's options.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from tyro.conf import arg

from macrosplat.support.errors import MacrosplatError

REFERENCE_WIDTH = 640  # px: the width of the frame that radii and sigmas count in; photos of others are scaled
CLARITY_RADIUS, CLARITY_EPS = 6.0, 3e-3  # of both guided filters; 4 to 8 px and 1e-3 to 1e-2 serve [ours]


@dataclass(frozen=True)
class Blurnet:
    """`--lens blurnet` (Zhao et al., Joint Deblurring and 3D Reconstruction for Macrophotography, 2025)."""

    clarity: Literal["guided", "none"] = "guided"
    """Where a photo is sharp: by guided filters [paper], or `none`: everywhere alike."""

    clarity_radius: Annotated[float, arg(metavar="PX")] = 5.0
    """Of the window of the guided filter that leaves the detail behind, px of a frame 640 wide [ours]."""

    clarity_eps: Annotated[float, arg(metavar="E")] = 0.1
    """Variance (sRGB, 0 to 1) below which that filter sees no edge [ours]."""

    smooth_radius: Annotated[float, arg(metavar="PX")] = 3.0
    """Of the window of the guided filter that smooths the detail to a mask, px of a frame 640 wide [ours]."""

    smooth_eps: Annotated[float, arg(metavar="E")] = 1e-3
    """Variance below which that filter sees no edge [ours]."""

    clarity_power: Annotated[float, arg(metavar="P")] = 8.0
    """Of the mask where it weighs depths: only the sharpest say where the focus is. 1 is the paper's mean [ours]."""

    depth: Literal["centred", "raw", "none"] = "centred"
    """What the depth CNN is given: depth centred by the clarity mask [paper], depth as it is, or no depth CNN."""

    depth_learns: Literal["on", "off"] = "on"
    """Whether the blur may move the scene's depths [ours]."""

    rgb: Literal["on", "off"] = "on"
    """Whether there is an RGB CNN [paper]."""

    rgb_cell: Annotated[int, arg(metavar="PX")] = 4
    """Side of the squares of pixels that the RGB CNN sees as one; at 1 it blurs each grain of a photo otherwise, and
    the scene turns to needles [ours]."""

    channels: Annotated[int, arg(metavar="N")] = 32
    """Of the hidden layers of both CNNs; 24 to 64 serve [ours]."""

    layers: Annotated[int, arg(metavar="N")] = 4
    """Convolutions of each CNN; 3 to 5 serve [ours]."""

    kernel: Annotated[int, arg(metavar="PX")] = 3
    """Width of a convolution, odd [ours]."""

    blur_radius: Annotated[float, arg(metavar="PX")] = 16.0
    """Of the blur kernel: the largest sigma there may be, px of a frame 640 wide [ours]."""

    sigma_start: Annotated[float, arg(metavar="PX")] = 4.0
    """Sigma of every pixel before anything is learned, px of a frame 640 wide; at 1/4 of the resolution, where training
    begins, less than 2 px have hardly a slope [ours]."""

    light: Literal["linear", "srgb"] = "linear"
    """Whether linear light is blurred [ours] or sRGB values."""

    stages: Literal["three", "one"] = "three"
    """`three`: the scene alone, then the CNNs on a slow scene, then both [paper]; `one`: both from the first step."""

    first: Literal["even", "plain"] = "even"
    """What the first stage takes the photos for: `even`: blurred by sigma_start everywhere, or `plain`: sharp, whose
    blur the scene then holds [ours]."""

    alone_until: Annotated[float, arg(metavar="T")] = 0.2
    """Where the first stage ends, as a share of the steps [ours]."""

    joint_from: Annotated[float, arg(metavar="T")] = 0.2
    """Where the third stage begins, as a share of the steps [ours]."""

    warm_rate: Annotated[float, arg(metavar="R")] = 0.1
    """Learning rates of the scene in the second stage, relative to the others [ours]."""

    rate: Annotated[float, arg(metavar="R")] = 1e-3
    """Learning rate of the CNNs [ours]."""

    dssim: Annotated[float, arg(metavar="W")] = 0.2
    """Lambda of the loss (1 - lambda) L1 + lambda D-SSIM; 3DGS's [ours]."""

    def __post_init__(self) -> None:
        _within(self, "blurnet", clarity_radius=(1, 100), clarity_eps=(1e-9, 1), channels=(1, 512), layers=(1, 12))
        _within(self, "blurnet", smooth_radius=(1, 100), smooth_eps=(1e-9, 1), clarity_power=(0, 50))
        _within(
            self,
            "blurnet",
            sigma_start=(0.01, 64),
            kernel=(1, 15),
            rgb_cell=(1, 64),
            blur_radius=(0.1, 64),
            alone_until=(0, 1),
            joint_from=(0, 1),
        )
        _within(self, "blurnet", warm_rate=(0, 1), rate=(0, 1), dssim=(0, 1))
        if self.kernel % 2 == 0:
            raise MacrosplatError(f"--blurnet.kernel is {self.kernel}; a convolution has a middle only if it is odd.")
        if self.joint_from < self.alone_until:
            raise MacrosplatError(
                f"--blurnet.joint-from is {self.joint_from}; the third stage cannot begin before the first one ends "
                f"(--blurnet.alone-until {self.alone_until})."
            )


@dataclass(frozen=True)
class Focus:
    """`--lens focus`: no blur, and a loss that looks where the photo is sharp."""

    least: Annotated[float, arg(metavar="W")] = 0.1
    """Weight of a pixel where the photo shows nothing sharp; 1 where it is sharpest [ours]."""

    power: Annotated[float, arg(metavar="P")] = 1.0
    """Of the clarity in the weight: above 1 only the sharpest counts, below 1 nearly all [ours]."""

    radius: Annotated[float, arg(metavar="PX")] = CLARITY_RADIUS
    """Of the guided filters' window, px of a frame 640 wide [ours]."""

    eps: Annotated[float, arg(metavar="E")] = CLARITY_EPS
    """Variance (sRGB, 0 to 1) below which the guided filters see no edge [ours]."""

    def __post_init__(self) -> None:
        _within(self, "focus", least=(0.004, 1), power=(0.05, 20), radius=(1, 100), eps=(1e-9, 1))


@dataclass(frozen=True)
class Covariance:
    """`--lens covariance` (Lee et al., Deblurring 3D Gaussian Splatting, 2024), from the paper's text."""

    most: Annotated[float, arg(metavar="F")] = 1.1
    """The most by which a Gaussian's scale and rotation are multiplied; the least is 1 [paper]. Try 3."""

    step: Annotated[float, arg(metavar="F")] = 0.01
    """How far the factor moves for 1 of the network's output [paper]; a wider clamp wants more."""

    hidden: Annotated[int, arg(metavar="N")] = 64
    """Width of the hidden layers of the network [paper]."""

    layers: Annotated[int, arg(metavar="N")] = 3
    """Hidden layers of the network [paper]."""

    octaves: Annotated[int, arg(metavar="N")] = 10
    """Of the positional encoding of a Gaussian's position [ours]."""

    view_octaves: Annotated[int, arg(metavar="N")] = 4
    """Of the positional encoding of the view's centre [ours]."""

    rate: Annotated[float, arg(metavar="R")] = 1e-3
    """Learning rate of the network [ours]."""

    extra: Annotated[float, arg(metavar="S")] = 0.25
    """Points added once in the scene's box [paper], as a share of the most Gaussians [ours]; 0: none."""

    extra_at: Annotated[float, arg(metavar="T")] = 0.125
    """When they are added, as a share of the steps: 2,500 of 20,000 [paper]."""

    def __post_init__(self) -> None:
        _within(self, "covariance", most=(1, 100), step=(0, 10), hidden=(1, 1024), layers=(1, 12), octaves=(0, 16))
        _within(self, "covariance", view_octaves=(0, 16), rate=(0, 1), extra=(0, 1), extra_at=(0, 1))


@dataclass(frozen=True)
class Deblur:
    """What `--deblur-first` takes besides its name."""

    sigma: Annotated[float, arg(metavar="PX")] = 1.5
    """Richardson-Lucy: standard deviation of the blur that all photos are taken to have, px of a frame 640 wide."""

    iterations: Annotated[int, arg(metavar="N")] = 20
    """Richardson-Lucy: each sharpens, and amplifies noise."""

    weights: Annotated[str | None, arg(metavar="FILE")] = None
    """Restormer: the file of its weights (.pth or .safetensors)."""

    tile: Annotated[int, arg(metavar="PX")] = 512
    """Restormer: photos go through it in squares of this size, to limit memory."""

    def __post_init__(self) -> None:
        _within(self, "deblur", sigma=(0.1, 50), iterations=(1, 1000), tile=(64, 8192))


def _within(record: Any, owner: str, **bounds: tuple[float, float]) -> None:
    for name, (least, most) in bounds.items():
        value = getattr(record, name)
        if not least <= value <= most:  # NaN, too, is not
            option = f"--{owner}.{name.replace('_', '-')}"
            raise MacrosplatError(f"{option} is {value}; it has to be {least} to {most}.")
