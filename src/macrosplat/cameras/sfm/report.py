"""What structure from motion tells the user: what was tried, which photos are missing, why, and what to do."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from macrosplat.cameras.records import Cameras, SparsePoints
from macrosplat.photos.names import listed

# Feature points in a photo below which nothing can be expected of it.
FEW_POINTS = 30
ALIKE = 1.01  # focal lengths within this factor are told as one

# EXIF's focal length times this: what is longer wants to be explained.
NEARER = 1.1
# A focal length that may be wrong by a larger share is not known.
UNKNOWN_FOCAL = 0.3


@dataclass(frozen=True)
class Attempt:
    """How one attempt came out."""

    name: str
    registered: int = 0
    agreeing: int = 0  # of the registered ones; none if the model as a whole is wrong
    agreement: float = 0.0  # 0 to 1, see `verify.Agreement`
    observations: int = 0
    error_px: float = 0.0  # mean reprojection error at working size
    focal_start: float = 0.0  # in nominal focal lengths, median over photos
    focal: float = 0.0  # that the attempt ended with
    note: str = ""


@dataclass(frozen=True)
class SfmReport:
    """What a user wants to know about how the cameras were found."""

    photos: int
    registered: tuple[str, ...]
    missing: dict[str, str]  # photo name: why and what to do, a sentence
    attempts: tuple[Attempt, ...]
    focal_px: tuple[float, ...]  # per registered photo, px of its full size
    seconds: float
    unsure: tuple[str, ...] = ()  # names of registered photos whose cameras few others hold
    focal_spread: float | None = None  # the share by which the focal lengths may be wrong; None: not known
    still: int = 0  # feature points of a photo that stand still while the object turns, and were left out
    doubted: tuple[str, ...] = ()  # names of registered photos that contradict others, too many to be left out
    sentences: tuple[str, ...] = field(default=())
    alike: tuple[Cameras, SparsePoints] | None = None  # by observations trusted alike: for a lens that may breathe


def failure(best: Attempt, photos: int) -> str:
    """Why there is no model at all, and what to do."""
    what = f"Only {best.agreeing} of {photos} photos could be placed in space"
    if best.registered >= 3:
        what = f"{best.registered} of {photos} photos could be placed in space, but in contradiction to each other"
    return (
        f"{what}; photograph with more overlap (15 degrees or less between neighbours), a smaller aperture and a focus "
        "that wanders in small steps, or give cameras (transforms.json, or a COLMAP model in sparse/0)."
    )


def reasons(
    names: Sequence[str],
    registered: Collection[str],
    feature_points: Sequence[int],
    contradicting: Collection[int],
    partners: Mapping[int, int],
) -> dict[str, str]:
    """Why each photo that is not registered is not, and what to do: name to sentence.

    Args:
        feature_points: of every photo.
        contradicting: indices of photos that were placed and taken out again.
        partners: how many photos one has much in common with, where these are few, by index.
    """
    why = {}
    for i, name in enumerate(names):
        if name in registered:
            continue
        if feature_points[i] < FEW_POINTS:
            text = f"has only {feature_points[i]} feature points: light it better, or focus on a textured part"
        elif i in contradicting:
            text = (
                "was placed where that contradicts what the neighbours show, or with a few others that share next to "
                "nothing with the rest: add photos in between"
            )
        elif partners.get(i) == 0:
            text = "shares next to nothing with the others: add photos between, or leave out what shows another thing"
        elif i in partners:
            others = "one other photo" if partners[i] == 1 else f"{partners[i]} other photos"
            text = f"shares enough with only {others}: add photos in between"
        else:
            text = (
                "could not be placed on the points seen by others: add photos nearby, or focus on what others show, too"
            )
        why[name] = f"{name} {text}."
    return why


def sentences(report: SfmReport, best: Attempt, assumed: bool = False) -> tuple[str, ...]:
    """The report in words.

    Args:
        assumed: no photo's EXIF tells a focal length, so that the nominal one is a guess.
    """
    least, most = min(report.focal_px), max(report.focal_px)
    focal = f"length is {least:.0f} px" if most < ALIKE * least else f"lengths are {least:.0f} to {most:.0f} px"
    nominal = "the one that is assumed, since EXIF does not tell it" if assumed else "EXIF's"
    nearer = "" if assumed or best.focal < NEARER else " (which holds at infinity; at life size it is twice as long)"
    unsure = "" if report.focal_spread is None else f", give or take {100 * report.focal_spread:.2g} %"
    if report.focal_spread is not None and report.focal_spread > UNKNOWN_FOCAL:
        unsure = (
            ", of which these photos tell next to nothing: give cameras, or photograph coded targets beside the object "
            "(macrosplat targets)"
        )
    said = (
        f"{len(report.registered)} of {report.photos} photos were placed ({best.name} settings); "
        f"{100 * best.agreement:.0f} % of what pairs of photos agree on fits, mean error {best.error_px:.2f} px.",
        f"The focal {focal}, {best.focal:.2f} times {nominal}{nearer}{unsure}.",
    )
    room = (
        f"The room stands still while the object turns: some {report.still} feature points of each photo are left out.",
    )
    wrong = (
        f"The cameras of {listed(report.doubted)} may be wrong: they, or photos beside them, contradict each other; if "
        "something repeats on the thing, add photos between them, or give cameras.",
    )
    told = (*(room if report.still else ()), *(wrong if report.doubted else ()))
    return (*said, *told, *grouped(report.missing))


def grouped(missing: Mapping[str, str]) -> list[str]:
    """A sentence for all photos that are missing for one reason, instead of one for each."""
    alike: dict[str, list[str]] = {}
    for name, sentence in missing.items():
        text = sentence.removeprefix(name).strip()
        alike.setdefault(_NUMBER.sub("#", text), []).append(name)
    said = []
    for text, names in alike.items():
        if len(names) == 1:
            said.append(missing[names[0]])
            continue
        numbers = [int(found[0]) for name in names if (found := _NUMBER.findall(missing[name].removeprefix(name)))]
        between = (
            f"{min(numbers)} to {max(numbers)}" if numbers and min(numbers) < max(numbers) else f"{(*numbers, 0)[0]}"
        )
        verb, _, rest = text.partition(" ")
        whose = f"{len(names)} photos {_PLURAL.get(verb, verb)} {rest.replace('#', between)}"
        said.append(f"{whose.removesuffix('.')} ({listed(names)}).")
    return said


_NUMBER = re.compile(r"(?<!\w)\d+(?!\w)")
_PLURAL = {"has": "have", "was": "were", "shares": "share"}
