"""Whether a run should be believed: it judges itself by what it was told and by what it ended with.

In: what EXIF allows, what was found, how well the photos are matched with and without the lens. Out: a `Trust` for
`lens.json`: a level, and one sentence for all but the best that says what went wrong and what to change.
"""

from __future__ import annotations

from collections.abc import Sequence

from macrosplat.lens.prior import PupilPrior
from macrosplat.lens.thin import SIGMA0_MAX
from macrosplat.output.in_focus import Agreement
from macrosplat.output.lens_report import Trust
from macrosplat.photos.names import listed

PRESSED = 1.01  # times a bound of EXIF: the photos would go past it
AGREES = 2.0  # standard deviations within which photos and EXIF are of one opinion
SPREAD = 0.9  # of the widest blur in focus that a lens may have: a scene that needs it has gone wrong
HARDLY = 0.2  # dB that a lens has to explain of the photos: less is chance
# dB in focus, of what is coarse: what only the lens makes up for, and what is that badly matched (experiments:
# in-focus).
MADE_UP, FAR_OFF = 3.0, 28.0
STEPS = 3000  # from which on a pupil that only photos tell is within some percent


def explains(through_lens: float, without: float) -> bool:
    """Whether a lens explains photos better than none does: dB of what it makes of a scene, and of that alone."""
    return through_lens >= without + HARDLY


def judge(
    pupil: float,  # diameter / focus distance
    sigma0_px: float,
    exif: PupilPrior | None,
    through_lens: float,  # dB, the photos as the lens makes them of the scene against the photos as taken
    without: float,  # dB, the sharp pictures against the same
    steps: int,
    in_focus: Sequence[Agreement] = (),  # of the photos that have something in focus
    doubted: Sequence[str] = (),  # names of photos by which the cameras that were found contradict themselves
) -> Trust:
    """The worst that can be said of a run."""
    if doubted:
        return Trust(
            "low",
            f"The cameras of {listed(doubted)} may be wrong: they, or photos beside them, contradict each other; add "
            "photos between them, or give cameras.",
        )
    if sigma0_px > SPREAD * SIGMA0_MAX:
        return Trust(
            "low",
            f"The photos are only matched with a blur of {sigma0_px:.1f} px everywhere, which no lens has: the "
            "scene has gone wrong; take fewer --max-gaussians, or another --seed.",
        )
    if not explains(through_lens, without):
        return Trust(
            "low",
            f"The lens explains the photos no better ({through_lens:.1f} dB) than none does ({without:.1f} dB): there "
            "was no blur to be found, so its numbers mean little; compare with --lens plain.",
        )
    hidden = [found for found in in_focus if found.lost > MADE_UP and found.sharp < FAR_OFF]
    if hidden:
        worst = max(hidden, key=lambda found: found.lost)
        return Trust(
            "low",
            f"Where photos are in focus, the sharp scene is not what they show ({len(hidden)} of {len(in_focus)} "
            f"photos; {worst.name} {worst.sharp:.0f} dB, through the lens {worst.taken:.0f}): something before the "
            "cameras is made up; take fewer --max-gaussians, or another --seed.",
        )
    if exif is None:
        if steps < STEPS:
            return Trust(
                "fair",
                f"No f-number in the EXIF, and {steps:,} steps leave the pupil uncertain by a fifth; --quality "
                "standard would tell it better.",
            )
        return Trust("fair", "No f-number in the EXIF: the pupil is what the photos alone tell.")
    if pupil * PRESSED > exif.most or pupil < PRESSED * exif.least:
        way = "wider" if pupil * PRESSED > exif.most else "narrower"
        return Trust(
            "low",
            f"The photos ask for a {way} pupil than f/{exif.f_number:.3g} allows, and were kept to EXIF's limit: look "
            "whether the f-number is right (a lens without contacts, a cropped photo), or the cameras are.",
        )
    if exif.expected is None:
        return Trust("fair", f"EXIF bounds the pupil (f/{exif.f_number:.3g}) but does not tell it: the photos do.")
    if not -AGREES < _off(pupil, exif) < AGREES:
        return Trust(
            "fair",
            f"The pupil is {100 * (pupil / exif.expected - 1):+.0f} % of what f/{exif.f_number:.3g} in the EXIF lets "
            "one expect; lenses that shorten as they focus, and cropped photos, do that.",
        )
    return Trust("high")


def _off(pupil: float, exif: PupilPrior) -> float:
    """Standard deviations by which the pupil differs from what is expected."""
    assert exif.expected is not None
    return (pupil / exif.expected - 1) / exif.spread
