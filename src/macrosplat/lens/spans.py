"""When a photo is rendered from how many aperture samples.

In: the options of the lens. Out: spans of the training.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# When by how many samples, by `--thin.aperture-samples`: begin, end, samples, and through how many of them gradients go
# (0: all). They cost as many renders: early at resolution 1/2, where they are cheap and find the lens, and at the end.
# Between them, detail is drawn through the pupil's centre alone and the lens is frozen: learned that way, the pupil
# comes out 20 % too small where much is occluded. The pupil itself is learned in the first span only: at full
# resolution, parts that no photo has in focus keep their blur in the scene and pull it down by another 5 %.
# How many and when was tried out (experiments: aperture-spans, aperture-spiral, some-samples).
Spans = tuple[tuple[float, float, int, int], ...]
SPANS: dict[str, Spans] = {
    "1": (),
    "4": ((0.12, 0.4, 8, 4), (0.7, 1.0, 4, 2)),
    "8": ((0.12, 0.3, 8, 4), (0.7, 1.0, 8, 4)),
    "16": ((0.12, 0.4, 8, 0), (0.7, 1.0, 16, 0)),
}
# From the end of the first span on, which is finer and takes longer (experiments: own-samples).
EARLY: dict[str, Spans] = {
    "8": ((0.12, 0.3, 8, 4), (0.3, 1.0, 8, 4)),
    "16": ((0.12, 0.3, 8, 4), (0.3, 0.7, 8, 4), (0.7, 1.0, 16, 0)),
}


def spans_of(settings: Mapping[str, Any]) -> Spans:
    """By the options of the lens: `aperture_samples`, `aperture_from`."""
    samples = settings.get("aperture_samples", "4")
    early = settings.get("aperture_from", "late") == "early"
    return EARLY.get(samples, SPANS[samples]) if early else SPANS[samples]
