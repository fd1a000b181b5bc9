"""Specimens on a Ray cluster of which a node is lost: all finish, none twice, to the bits of a plain loop.

    python benchmarks/cluster.py CAPTURE [--specimens 12] [--steps 30]

Two nodes are simulated on this machine by Ray's own cluster utility. When a third of the specimens is done, one node
is stopped; if one of its specimens then stands in the middle of its training, the node is killed with all that works
on it, else it goes on and is stopped again. CAPTURE has cameras (the time goes into training, not into finding them);
every specimen is the same capture with another seed, on the CPU. How often a specimen ran to its end, its process
writes down.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import logging
import os
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

# Before Ray begins its processes: kernels of one thread each, so that results are those of the loop, too.
os.environ |= dict.fromkeys(("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")

import psutil
import ray
from ray.cluster_utils import Cluster

from macrosplat.batch import Share, Ways, batch

MIDDLE = 0.2, 0.8  # of the steps of the specimen that is lost
FILES = ("scene.ply", "transforms.json", "lens.json")
# Notes that it began, and that it ended well. The driver gives: photos, --out, DIR/SPECIMEN/run, ...
WORK = """#!/bin/sh
place=$(dirname "$3")
echo $$ >> "$place/begun"
{python} -m macrosplat reconstruct "$@" || exit $?
echo $$ >> "$place/ended"
"""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("capture", type=Path)
    parser.add_argument("--specimens", type=int, default=12)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--width", type=int, default=96)
    parser.add_argument("--cpus", type=int, default=1, help="of each node")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        rows = [
            {
                "specimen": f"s{n:02}",
                "folder": str(asked.capture.resolve()),
                "options": f"--seed {n} --width {asked.width} --steps {asked.steps} --quality draft --device cpu "
                "--max-gaussians 800 --detail off",
            }
            for n in range(asked.specimens)
        ]
        work = root / "work"
        work.write_text(WORK.format(python=sys.executable))
        work.chmod(0o755)
        manifest = root / "drawer.jsonl"
        manifest.write_text("\n".join(map(json.dumps, rows)))
        began = time.monotonic()
        said = batch(manifest, root / "loop", ways=Ways(workers=1), command=(str(work),)).splitlines()[0]
        print(f"plain loop: {said}, {time.monotonic() - began:.0f} s", flush=True)
        began = time.monotonic()
        said = on_two_nodes(manifest, root / "ray", work, asked)
        print(f"two nodes: {said}, {time.monotonic() - began:.0f} s")
        compare(root, asked.specimens)


def on_two_nodes(manifest: Path, out: Path, work: Path, asked: argparse.Namespace) -> str:
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": asked.cpus})
    lost = cluster.add_node(num_cpus=asked.cpus)
    ray.init(address=cluster.address, log_to_driver=False, logging_level=logging.ERROR)
    killer = threading.Thread(target=kill_in_the_middle, args=(lost, out, asked.specimens // 3), daemon=True)
    killer.start()
    try:
        ways = Ways(ray=cluster.address, share=Share(1, 0))
        return batch(manifest, out, ways=ways, command=(str(work),)).splitlines()[0]
    finally:
        ray.shutdown()
        cluster.shutdown()


def kill_in_the_middle(node: object, out: Path, after: int) -> None:
    """As a power cut: the node's own processes and all that they began, at once, while one of them trains."""
    (raylet,) = [info.process.pid for info in node.all_processes["raylet"]]  # type: ignore[attr-defined]
    while sum(path.read_text().count("\n") for path in out.glob("*/ended")) < after:
        time.sleep(0.1)
    while True:
        whole = [psutil.Process(raylet), *psutil.Process(raylet).children(recursive=True)]
        signalled(whole, signal.SIGSTOP)  # all before any dies: nobody is left to note that somebody died
        middle = {name: step for name in worked_on(whole, out) if (step := trained(out / name)) is not None}
        if middle:
            break
        signalled(whole, signal.SIGCONT)
        time.sleep(0.05)
    signalled(whole, signal.SIGKILL)
    where = ", ".join(f"{name} at step {step} of {of}" for name, (step, of) in middle.items())
    print(f"a node was killed with {len(whole)} processes in the middle of {where}", flush=True)


def signalled(processes: list[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(number)


def worked_on(processes: list[psutil.Process], out: Path) -> set[str]:
    """Specimens that one of the processes reconstructs."""
    found = set()
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            words = process.cmdline()
            if "--out" in words:
                found.add(Path(words[words.index("--out") + 1]).parent.name)
    return found & {path.name for path in out.glob("s*")}


def trained(place: Path) -> tuple[int, int] | None:
    """How far its training is, and of how many steps; None: it does not train, or is not in the middle of it."""
    last = None
    for line in (place / "events.jsonl").read_text().splitlines():
        with contextlib.suppress(ValueError):  # it was stopped in the middle of a line
            event = json.loads(line)
            if event.get("event") == "stage":
                last = None
            if event.get("stage") == "training" and event.get("done"):
                last = event["done"], event["total"]
    return last if last and MIDDLE[0] * last[1] <= last[0] <= MIDDLE[1] * last[1] else None


def compare(root: Path, specimens: int) -> None:
    """How often each was begun and ran to its end, and whether the results are the loop's; else the program fails."""
    names = sorted(one.name for one in (root / "ray").glob("s*"))
    states = {name: json.loads((root / "ray" / name / "status.json").read_text()) for name in names}
    often = {
        what: Counter(len((root / "ray" / name / what).read_text().split()) for name in names)
        for what in ("begun", "ended")
    }
    different = [
        f"{name}/{file}"
        for name in names
        for file in FILES
        if len({hashlib.sha256((root / kind / name / "run" / file).read_bytes()).digest() for kind in ("loop", "ray")})
        > 1
    ]
    done = sum(state["state"] == "done" for state in states.values())
    print(
        f"{done} of {specimens} done; times begun: {dict(often['begun'])}; times run to the end: {dict(often['ended'])}"
    )
    print(f"files with other bits than the loop's: {different or 'none'}")
    if done != specimens or different or often["ended"] != {1: specimens} or often["begun"][1] == specimens:
        sys.exit(1)


if __name__ == "__main__":
    main()
