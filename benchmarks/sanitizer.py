"""NVIDIA's compute-sanitizer over a small training: reads and writes beyond memory, and races within a block.

    python benchmarks/sanitizer.py [--tools memcheck racecheck] [--seconds 240]

Two scenes of different sizes, one and four aperture samples, with and without the terms of the lens and with poses that
are learned: each kernel of a step, forward and back. Steps are taken one by one instead of from a recorded graph, and
PyTorch keeps no memory back (each tensor is an allocation of its own, whose end memcheck knows). Prints a line per tool
with what it found, and ends with 1 if there was anything.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

LAST = "all steps were taken"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tools", nargs="+", default=["memcheck", "racecheck"])
    parser.add_argument("--seconds", type=float, default=240)
    asked = parser.parse_args()
    found = 0
    for tool in asked.tools:
        words = ["compute-sanitizer", "--tool", tool, "--error-exitcode", "7", "--print-limit", "20"]
        words += [sys.executable, str(Path(__file__).resolve()), "inside"]
        try:
            done = subprocess.run(
                words,
                env=os.environ | {"PYTORCH_NO_CUDA_MEMORY_CACHING": "1"},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=asked.seconds,
            )
        except subprocess.TimeoutExpired:
            print(f"{tool}: not done within {asked.seconds:.0f} s")
            found = 1
            continue
        clean = done.returncode == 0 and LAST in done.stdout
        said = [line for line in done.stdout.splitlines() if line.startswith("=========")]
        print(f"{tool}: {said[-1].lstrip('= ') if said else 'said nothing'}; {'clean' if clean else 'NOT clean'}")
        if not clean:
            print(done.stdout[-6000:])
            found = 1
    return found


def inside() -> None:
    from term_cost import CASES, trainer_of

    from macrosplat.train.made_up import Size

    for size in (Size(1500, 96, 64, 3), Size(300, 61, 45, 1)):
        for samples in (1, 4):
            for case in ("none", "poses, breathing", "all"):
                trainer = trainer_of(size, samples, "cuda", CASES[case])
                trainer.model.lens.poses_from = 0.0  # pyright: ignore[reportAttributeAccessIssue]
                trainer._steps._graphs_wanted = False  # pyright: ignore[reportAttributeAccessIssue]
                losses = [float(trainer.step()) for _ in range(3)]
                print(size, f"{samples} samples, {case}:", losses, flush=True)
    print(LAST)


if __name__ == "__main__":
    if sys.argv[1:] == ["inside"]:
        inside()
    else:
        sys.exit(main())
