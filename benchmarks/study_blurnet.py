"""What the choices inside `blurnet` are worth: every one of them alone, and the parts of the paper's method left out.

    python benchmarks/study_blurnet.py CAPTURE... --out DIR [--set choices|ablation|baselines] [--jobs N] [as `compare`]

Captures hold their truth. Each set is one `macrosplat compare`, and goes on where it stopped; sets share their cells.
"""

from __future__ import annotations

import sys

from macrosplat import cli

# The clarity mask as it was at first: both guided filters alike, the mean over everything that is not quite blurred.
FIRST_CLARITY = "clarity-radius=6,clarity-eps=0.003,smooth-radius=6,smooth-eps=0.003,clarity-power=1"
SETS = {
    "choices": [
        "plain",
        "blurnet",
        f"blurnet:{FIRST_CLARITY}",
        "blurnet:first=plain",
        "blurnet:first=plain,sigma-start=2,alone-until=0.1",
        "blurnet:joint-from=0.3",
        "blurnet:alone-until=0.1,joint-from=0.1",
        "blurnet:alone-until=0.3,joint-from=0.3",
        "blurnet:sigma-start=2",
        "blurnet:sigma-start=6",
        "blurnet:rate=0.004",
        "blurnet:depth-learns=off",
        "blurnet:clarity-power=4",
        "blurnet:clarity-power=16",
        "blurnet:channels=64",
        "blurnet:layers=3",
        "blurnet:dssim=0.4",
    ],
    "ablation": [
        "plain",
        "blurnet",
        "blurnet:clarity=none",
        "blurnet:depth=raw",
        "blurnet:depth=none",
        "blurnet:rgb=off",
        "blurnet:stages=one",
        "blurnet:light=srgb",
    ],
    "baselines": [
        "plain",
        "focus",
        "focus:radius=5,eps=0.1",
        "covariance",
        "covariance:most=3,step=0.1",
        "richardson-lucy+plain",
        "blurnet",
        "thin",
    ],
}


def main() -> int:
    words = sys.argv[1:]
    name = "choices"
    if "--set" in words:
        at = words.index("--set")
        name = words[at + 1]
        del words[at : at + 2]
    if name not in SETS:
        print(f"--set is one of {', '.join(SETS)}.", file=sys.stderr)
        return 2
    return cli.main(["compare", *words, "--methods", *SETS[name]])


if __name__ == "__main__":
    sys.exit(main())
