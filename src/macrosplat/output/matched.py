"""How well the scene matches one photo, at training size: by what was drawn of it, in any thread.

In: the photo, what the lens makes of the scene, the scene alone. Out: dB, stops; see `in_focus` and `gain_error`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from macrosplat.output.gain_error import gain_error
from macrosplat.output.in_focus import Agreement, agreement
from macrosplat.support.metrics import psnr


@dataclass(frozen=True)
class Match:
    """Of one photo."""

    fit: float  # dB, through the lens
    unblurred: float  # dB, without a lens
    gain_error: float  # stops
    in_focus: Agreement | None  # where it is in focus; None: too little is, or there is no lens that could say


def match(
    name: str,
    photo: NDArray[np.uint8],  # [h, w, 3] sRGB
    where: NDArray[np.bool_] | None,  # [h, w] what counts: the rest was not learned; None: everything
    taken: NDArray[np.float32],  # [h, w, 3] sRGB in 0 ... 1, through the lens
    drawn: NDArray[np.float32],  # [h, w, 3] the scene alone
    radius: NDArray[np.floating] | None,  # [h, w] px, signed; None: no lens knows it
    there: NDArray[np.bool_],  # [h, w] where there is a scene
) -> Match:
    """All that is said of one photo."""
    seen = photo / 255.0
    fit, unblurred = psnr(taken, seen, where), psnr(drawn, seen, where)
    known = there if where is None else there & where
    focused = None if radius is None else agreement(name, seen, drawn, taken, radius, known)
    return Match(fit, unblurred, gain_error(taken, seen, where), focused)
