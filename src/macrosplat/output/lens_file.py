"""What of `RUN/lens.json` is read back, by its types. In: JSON. Out: `File`."""

from __future__ import annotations

from typing import Literal

import msgspec

from macrosplat.output.calibrated import Breathing

Level = Literal["high", "fair", "low"]


class _Plain(msgspec.Struct):
    scene_units: float
    mm: float | None = None


class _Length(msgspec.Struct):
    scene_units: float
    mm: float | None = None
    uncertainty: _Plain | None = None

    def sure(self) -> float | None:
        """Its standard deviation, scene units."""
        return None if self.uncertainty is None else self.uncertainty.scene_units

    def relative(self) -> float | None:
        return None if self.uncertainty is None else self.uncertainty.scene_units / self.scene_units


class _Colours(msgspec.Struct):
    red: _Length
    blue: _Length


class _Share(msgspec.Struct):
    larger: float
    uncertainty: float | None = None


class _Shares(msgspec.Struct):
    red: _Share
    blue: _Share


class _Breathing(msgspec.Struct):
    percent_per_scene_unit: float
    relative_uncertainty: float = 0.0

    def read(self) -> Breathing:
        slope = self.percent_per_scene_unit / 100
        return Breathing(slope, self.relative_uncertainty * abs(slope))


class _Blades(msgspec.Struct):
    count: int
    turned: float
    straight: float
    turned_uncertainty: float | None = None
    straight_uncertainty: float | None = None


class _Motion(msgspec.Struct):
    px: float
    uncertainty_px: float | None = None


class _Motions(msgspec.Struct):
    photos: int
    of: int


class _Photo(msgspec.Struct):
    photo: str
    focus_distance: _Length
    relative_aperture: float = 1.0
    exposure_stops: list[float] = msgspec.field(default_factory=lambda: [0.0, 0.0, 0.0])
    motion: _Motion | None = None


class File(msgspec.Struct):
    """What of `lens.json` is read back."""

    pupil_diameter: _Length
    sigma0_px: float
    focal_px: float
    photos: list[_Photo]
    mm_per_unit: float | None = None
    mm_per_unit_source: str | None = None
    mm_uncertainty: float | None = None
    f_number: float | None = None
    magnification: float | None = None
    breathing: _Breathing | None = None
    colour_focus: _Colours | None = None
    vignetting: float | None = None
    vignetting_uncertainty: float | None = None
    field_curvature: _Length | None = None
    lateral_colour: _Shares | None = None
    distortion_at_corner: float | None = None
    distortion_uncertainty: float | None = None
    blades: _Blades | None = None
    cats_eye: float | None = None
    cats_eye_uncertainty: float | None = None
    motion: _Motions | None = None
    notes: list[str] = msgspec.field(default_factory=list)
    trust: Level | None = None
    trust_because: str | None = None


def focal_mm(found: File) -> float | None:
    """What `f_number` was made from."""
    mm, number = found.pupil_diameter.mm, found.f_number
    return None if mm is None or number is None else number * mm
