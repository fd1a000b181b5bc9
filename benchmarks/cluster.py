"""Specimens on a Ray cluster of which a node is lost: all finish, none twice, to the bits of a plain loop.

    python benchmarks/cluster.py CAPTURE [--specimens 12] [--steps 30]

Two nodes are simulated on this machine by Ray's own cluster utility. When a third of the specimens is done, one node is
killed with all that works on it. CAPTURE has cameras (the time goes into training, not into finding them); every
specimen is the same capture with another seed, on the CPU.
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
from pathlib import Path

# Before Ray begins its processes: kernels of one thread each, so that results are those of the loop, too.
os.environ |= dict.fromkeys(("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")

import psutil
import ray
from ray.cluster_utils import Cluster

from macrosplat.batch import Share, Ways, batch

SINCE = 2.0  # s that the specimen has been worked on that is lost
FILES = ("scene.ply", "transforms.json", "lens.json")


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
        manifest = root / "drawer.jsonl"
        manifest.write_text("\n".join(map(json.dumps, rows)))
        began = time.monotonic()
        print(batch(manifest, root / "loop", ways=Ways(workers=1)).splitlines()[0], f"{time.monotonic() - began:.0f} s")
        began = time.monotonic()
        print(on_two_nodes(manifest, root / "ray", asked), f"{time.monotonic() - began:.0f} s")
        compare(root, asked.specimens)


def on_two_nodes(manifest: Path, out: Path, asked: argparse.Namespace) -> str:
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": asked.cpus})
    lost = cluster.add_node(num_cpus=asked.cpus)
    ray.init(address=cluster.address, log_to_driver=False, logging_level=logging.ERROR)
    killer = threading.Thread(target=kill_in_the_middle, args=(lost, out, asked.specimens // 3))
    killer.start()
    try:
        return batch(manifest, out, ways=Ways(ray=cluster.address, share=Share(1, 0))).splitlines()[0]
    finally:
        killer.join()
        ray.shutdown()
        cluster.shutdown()


def kill_in_the_middle(node: object, out: Path, after: int) -> None:
    """As a power cut: the node's own processes and all that they began, at once, while one of them trains."""
    (raylet,) = [info.process.pid for info in node.all_processes["raylet"]]  # type: ignore[attr-defined]
    while True:
        time.sleep(0.1)
        if sum('"done"' in path.read_text() for path in out.glob("*/status.json")) < after:
            continue
        whole = [psutil.Process(raylet), *psutil.Process(raylet).children(recursive=True)]
        works = [p for p in whole if "reconstruct" in " ".join(p.cmdline()) and time.time() - p.create_time() > SINCE]
        if works:
            break
    # Parents first, and all before any: nobody is left to note that somebody died.
    for number in (signal.SIGSTOP, signal.SIGKILL):
        for process in whole:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(number)
    print(f"a node was killed with {len(whole)} processes, {len(works)} of them at a specimen")


def compare(root: Path, specimens: int) -> None:
    """How often each was begun, ended how often, and whether the results are the loop's; else the program fails."""
    states = {one.name: json.loads((one / "status.json").read_text()) for one in sorted((root / "ray").glob("s*"))}
    again = {name: state["attempts"] for name, state in states.items() if state["attempts"] != 1}
    different = []
    for name in states:
        for file in FILES:
            one, other = (
                hashlib.sha256((root / kind / name / "run" / file).read_bytes()).hexdigest() for kind in ("loop", "ray")
            )
            if one != other:
                different.append(f"{name}/{file}")
    done = sum(state["state"] == "done" for state in states.values())
    print(f"{done} of {specimens} done; begun more than once: {again}; other bits than the loop's: {different}")
    if done != specimens or different or not again:
        sys.exit(1)


if __name__ == "__main__":
    main()
