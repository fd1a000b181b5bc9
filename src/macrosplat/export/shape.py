"""What a mesh is to be. No numpy: the command line asks before anything has loaded."""

from __future__ import annotations

from dataclasses import dataclass

from macrosplat.support.errors import MacrosplatError

TEXTURED = (".glb", ".obj", ".usdz")


@dataclass(frozen=True)
class Shape:
    """Of a mesh."""

    whole: bool = False  # all that the photos show, in however many pieces
    watertight: bool = False
    texture: bool = False  # colours as a picture, not at the corners of triangles
    error: float | None = None  # mm (or scene units) that the triangles may be off; None: half a voxel; 0: all of them
    coloured: bool = True  # what has no colours needs no triangles for them

    def __post_init__(self) -> None:
        if self.whole and self.watertight:
            raise MacrosplatError("--whole and --watertight exclude each other: what photos show ends where they end.")
        if self.error is not None and not 0 <= self.error < float("inf"):
            raise MacrosplatError(f"--tolerance is {self.error:g}; it has to be a length in mm, or 0.")
