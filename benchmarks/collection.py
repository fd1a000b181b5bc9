"""A collection of 1,000 specimens whose work is a stand-in: what the batch itself costs, and whether anything is lost
or done twice when it is interrupted at random.

    python benchmarks/collection.py [--specimens 1000] [--interrupts 10] [--workers 2]

Prints milliseconds and the driver's memory of an uninterrupted run beside those of the bare processes, then the count
of works of each specimen after a run that was killed (SIGINT, SIGTERM and SIGKILL in turn) at random moments.
"""

from __future__ import annotations

import argparse
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

DRIVER = """
import sys, resource
from pathlib import Path
from macrosplat.batch import Ways, batch
from macrosplat.support.stop import INTERRUPTS
INTERRUPTS.install()
manifest, out, command, workers = sys.argv[1:]
try:
    batch(Path(manifest), Path(out), ways=Ways(workers=int(workers)), command=(command,))
finally:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""
# Counts that it ended. Asked to end, it does so without.
WORK = """#!/bin/sh
mkdir -p "$3"
echo x >> "$3/ended"
echo '{"event": "done"}'
"""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--specimens", type=int, default=1000)
    parser.add_argument("--interrupts", type=int, default=10)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        work = root / "work"
        work.write_text(WORK)
        work.chmod(0o755)
        manifest = root / "drawer.csv"
        rows = [f"s{n:04},photos/{n},Carabus auratus,{n}" for n in range(asked.specimens)]
        manifest.write_text("\n".join(["specimen,folder,scientificName,catalogNumber", *rows, ""]))
        began = time.perf_counter()
        for n in range(100):
            subprocess.run([work, "", "--out", root / f"bare-{n}"], check=True, stdout=subprocess.DEVNULL)
        bare = (time.perf_counter() - began) / 100
        began = time.perf_counter()
        driver = [sys.executable, "-c", DRIVER, str(manifest)]
        said = subprocess.run(
            [*driver, str(root / "once"), str(work), str(asked.workers)], check=True, stdout=subprocess.PIPE
        )
        each = (time.perf_counter() - began) / asked.specimens
        print(f"{asked.specimens} specimens: {1000 * each:.1f} ms each, {1000 * bare:.1f} ms the bare process;")
        print(f"the driver's memory at its peak: {float(said.stdout):.0f} MB")
        again = time.perf_counter()
        subprocess.run([*driver, str(root / "once"), str(work), "1"], check=True, stdout=subprocess.PIPE)
        print(f"the same once more, with nothing left to do: {time.perf_counter() - again:.1f} s")
        count(root / "once", asked.specimens)
        interrupted(root, driver, work, asked)


def interrupted(root: Path, driver: list[str], work: Path, asked: argparse.Namespace) -> None:
    """Until it is through, with as many interrupts before."""
    chance, out = random.Random(asked.seed), root / "interrupted"
    kinds = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)
    for n in range(asked.interrupts):
        process = subprocess.Popen(
            [*driver, str(out), str(work), str(asked.workers)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        before = done(out)
        while done(out) == before and process.poll() is None:  # in the middle of the work, not of the imports
            time.sleep(0.01)
        time.sleep(chance.uniform(0.0, 0.8))
        process.send_signal(kinds[n % len(kinds)])
        process.communicate()
        print(f"{kinds[n % len(kinds)].name} after {done(out) - before} more")
    print(f"after {asked.interrupts} interrupts {done(out)} of {asked.specimens} are done; through to the end:")
    subprocess.run([*driver, str(out), str(work), str(asked.workers)], check=True, stdout=subprocess.PIPE)
    count(out, asked.specimens)


def done(out: Path) -> int:
    return len(list(out.glob("*/run/ended")))


def count(out: Path, specimens: int) -> None:
    """How often each was done; more or less than once ends the program."""
    often = Counter(len((one / "run" / "ended").read_text().split()) for one in out.glob("s*"))
    left = [path.name for path in out.rglob(".*") if path.is_file()]
    print(f"works by specimen: {dict(often)}; half-written files: {len(left)}")
    if often != {1: specimens} or left:
        sys.exit(1)


if __name__ == "__main__":
    main()
