"""`macrosplat bench` of two source trees in turns, in one call on one machine: what a change costs, stage by stage.

python benchmarks/before_after.py BEFORE/src AFTER/src [--device cuda] [--rounds 3]

A first round of both at once compiles and counts for nothing. Of the rounds after it, in turns, the best of each stage.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ALLOWED = 1.03  # times as long as before
RENAMED = {
    "step, centre of the pupil": "step, 1 aperture sample",
    "step, 4 points of the pupil": "step, 4 aperture samples",
}


def begin(source: Path, device: str, figures: Path) -> subprocess.Popen:
    paths = [str(source.resolve()), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    words = [sys.executable, "-m", "macrosplat", "bench", "--device", device, "--figures", str(figures)]
    return subprocess.Popen(words, env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)}, stdout=subprocess.DEVNULL)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    trees = {"before": asked.before, "after": asked.after}
    best: dict[str, dict[tuple[str, str], float]] = {name: {} for name in trees}
    with tempfile.TemporaryDirectory() as folder:
        for process in [begin(tree, asked.device, Path(folder) / "compiled.json") for tree in trees.values()]:
            assert process.wait() == 0, process.args
        for _ in range(asked.rounds):
            for name, tree in trees.items():
                figures = Path(folder) / f"{name}.json"
                process = begin(tree, asked.device, figures)
                assert process.wait() == 0, process.args
                found = json.loads(figures.read_text(encoding="utf-8"))
                for size, stages in found["ms"].items():
                    for stage, ms in stages.items():
                        key = size, RENAMED.get(stage, stage)
                        best[name][key] = min(ms, best[name].get(key, ms))
    print(found["machine"])
    for key, ms in best["before"].items():
        now = best["after"].get(key)
        if now is not None:
            verdict = "" if now <= ALLOWED * ms else "  slower"
            print(f"{key[0]}: {key[1]:32s} {ms:9.3f} -> {now:9.3f} ms  {now / ms:.3f}{verdict}")


if __name__ == "__main__":
    main()
