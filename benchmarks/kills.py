"""Interrupted at random moments of every stage, and resumed: the same to the bit, and nothing half-written?

    python benchmarks/kills.py [--moments 30] [--seed 0] [--capture FOLDER] [--only WORD] [--part 1/1]
                               [--set WORD] [-- OPTIONS of reconstruct]

Without a capture small ones are made. Every stage of a run (as `--json` names them) is struck so many times, somewhere
between its beginning and its end, by SIGKILL, SIGTERM, Ctrl-C, Ctrl-C twice, a disk that becomes full, or a RUN that
may no longer be written. What is asked: the exit code and the sentence that belong to it; no file that is half-written;
no temporary file, but after SIGKILL; and after --resume the same bits as of a run that nothing has struck. Full disks
want the right to mount (root on Linux); without it they are left out, which is said. `--part 2/8` makes every eighth
strike, beginning with the second: parts can run side by side.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import ctypes
import hashlib
import itertools
import json
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

STRIKES = ("KILL", "TERM", "INT", "INT twice", "disk full", "no permission")
PROGRAM = [sys.executable, "-m", "macrosplat"]
LIMIT = 600  # s of one run
LEFTOVER = re.compile(r"\.(part|old)(\.|$)|^\.(sfm|features)\.")
DISK = 256  # MB


def run_of(words: list[str], cwd: Path) -> subprocess.Popen:
    """The program, begun; its output goes to cwd/out and cwd/err. Root loses its right to write where nobody may."""

    def alone() -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
        if sys.platform == "linux":
            for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
                ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP

    with open(cwd / "out", "wb") as out, open(cwd / "err", "wb") as err:
        return subprocess.Popen([*PROGRAM, *words], stdout=out, stderr=err, cwd=cwd, preexec_fn=alone)


def begun(cwd: Path) -> list[tuple[str, float]]:
    """The stages that a run has begun, and when (s since 1970)."""
    found = []
    for line in (cwd / "out").read_text().splitlines():
        with contextlib.suppress(ValueError):
            event = json.loads(line)
            if event["event"] == "stage":
                found.append((event["stage"], event["time"]))
    return found


def hashes(run: Path) -> dict[str, str]:
    """Of all that has to be the same bits: not of logs, of what names times, and of the state's own container."""
    kept = ("scene.ply", "coverage.ply", "lens.json", "transforms.json", "coverage.json", "held_out.json")
    found = {}
    for path in sorted(run.rglob("*")):
        name = path.relative_to(run).as_posix()
        ours = name in kept or name.startswith(("sharp/", "maps/", "sparse/", "deblurred/"))
        if ours and path.is_file() and not LEFTOVER.search(path.name):
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def half_written(run: Path) -> list[str]:
    """Files that are not whole, under their own names."""
    from PIL import Image

    bad = []
    for path in run.rglob("*"):
        if not path.is_file() or LEFTOVER.search(path.name):
            continue
        try:
            if path.suffix == ".json":
                json.loads(path.read_text())
            elif path.suffix == ".png":
                Image.open(path).load()
            elif path.suffix == ".ply":
                head, _, body = path.read_bytes().partition(b"end_header\n")
                count = int(head.split(b"vertex ")[1].split()[0])
                assert len(body) == 4 * count * head.count(b"property"), "cut"
            elif path.name == "checkpoint":
                assert zipfile.ZipFile(path).testzip() is None, "damaged"
            elif path.suffix == ".html":
                assert path.read_text().rstrip().endswith("</html>"), "cut"
        except Exception as error:
            bad.append(f"{path.relative_to(run)} is half-written ({error})")
    return bad


def temporary(run: Path) -> list[str]:
    return [path.relative_to(run).as_posix() for path in run.rglob("*") if LEFTOVER.search(path.name)]


@contextlib.contextmanager
def small_disk(folder: Path, can: bool) -> Iterator[None]:
    """A file system of its own on `folder`, if this user may make one."""
    if can:
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK}m", "tmpfs", str(folder)], check=True)
    try:
        yield
    finally:
        if can:
            subprocess.run(["umount", str(folder)], check=True)


def may_mount() -> bool:
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(["mount", "-t", "tmpfs", "tmpfs", folder], capture_output=True)
        return done.returncode == 0 and subprocess.run(["umount", folder]).returncode == 0


def strike(kind: str, process: subprocess.Popen, folder: Path) -> None:
    """Do it to a running program, whose RUN is folder/disk/run."""
    run = folder / "disk" / "run"
    if kind == "disk full":
        with contextlib.suppress(OSError), open(folder / "disk" / "filler", "wb", buffering=0) as filler:
            while True:
                filler.write(bytes(1 << 16))
        with contextlib.suppress(OSError), open(folder / "disk" / "rest", "wb", buffering=0) as rest:
            while True:
                rest.write(b"x")
    elif kind == "no permission":
        for path in [run, *run.rglob("*")]:
            if path.is_dir():
                path.chmod(0o555)
    else:
        numbers = {"KILL": signal.SIGKILL, "TERM": signal.SIGTERM}
        process.send_signal(numbers.get(kind, signal.SIGINT))
        if kind == "INT twice":
            time.sleep(random.random() * 0.1)
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGINT)


def amends(folder: Path) -> None:
    """Take back what was done to the disk."""
    for name in ("filler", "rest"):
        (folder / "disk" / name).unlink(missing_ok=True)
    run = folder / "disk" / "run"
    for _ in range(2):  # a folder is walked into only once it may be
        for path in [run, *run.rglob("*")]:
            if path.is_dir():
                path.chmod(0o755)


def struck(kind: str, stage: str, delay: float, folder: Path, words: list[str], wanted: dict[str, str]) -> list[str]:
    """Complaints about one strike, `delay` s after the stage began; none: passed."""
    disk = folder / "disk"
    shutil.rmtree(disk, ignore_errors=True)
    disk.mkdir(parents=True)
    with small_disk(disk, kind == "disk full"):
        process, began, hit = run_of(words, folder), time.monotonic(), False
        while process.poll() is None and time.monotonic() - began < LIMIT:
            at = [when for name, when in begun(folder) if name == stage]
            if not hit and at and time.time() >= at[0] + delay:
                strike(kind, process, folder)
                hit = True
            time.sleep(0.002)
        if process.poll() is None:
            process.kill()
            return [f"still there after {LIMIT} s"]
        code, said = process.returncode, (folder / "err").read_text(errors="replace")
        amends(folder)
        complaints = half_written(disk / "run")
        fine = {"KILL": (-9,), "TERM": (130,), "INT": (130,), "INT twice": (130,)}.get(kind, (2,))
        if hit and code not in (*fine, 0):
            complaints.append(f"exit code {code}: {said.strip().splitlines()[-1:]}")
        if "Traceback" in said:
            complaints.append(f"traceback: {said.strip().splitlines()[-1]}")
        if code == 130 and "Interrupted" not in said:
            complaints.append("does not say that it was interrupted")
        if kind not in ("KILL", "INT twice"):
            complaints += [f"left {name}" for name in temporary(disk / "run")]
        if run_of([*words, "--resume"], folder).wait(LIMIT) != 0:
            return [*complaints, f"--resume: {(folder / 'err').read_text().strip().splitlines()[-1:]}"]
        found = hashes(disk / "run")
        other = sorted(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name))
        complaints += [f"other bits after --resume: {other[:3]} of {len(other)}"] if other else []
        return complaints + [f"left after --resume: {name}" for name in temporary(disk / "run")]


def captures(scratch: Path) -> dict[str, tuple[Path, list[str]]]:
    """Small ones, by name: with cameras and points, with cameras only, and deblurred first with photos held out."""
    from making_captures import make, write_capture

    made, short = make(6), ["--width", "96", "--steps", "60", "--max-gaussians", "400", "--device", "cpu"]
    return {
        "cameras and points": (write_capture(scratch / "colmap", made), short),
        "cameras only": (write_capture(scratch / "transforms", made, colmap=False), short),
        "deblurred first": (scratch / "colmap", [*short, "--deblur-first", "richardson-lucy", "--hold-out", "6"]),
    }


def main() -> int:
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--moments", type=int, default=30, help="of every stage")
    words.add_argument("--seed", type=int, default=0)
    words.add_argument("--capture", type=Path)
    words.add_argument("--only", default="", help="kinds of strikes that contain this word")
    words.add_argument("--part", default="1/1")
    words.add_argument("--set", default="", help="sets of small captures whose title contains this word")
    words.add_argument("options", nargs="*")
    asked = words.parse_args()
    part, parts = map(int, asked.part.split("/"))
    mount, fallen, strikes = may_mount(), 0, itertools.count()
    kinds = [kind for kind in STRIKES if asked.only in kind and (mount or kind != "disk full")]
    if not mount:
        print("Full disks are left out: this user may not mount one.")
    with tempfile.TemporaryDirectory(prefix="kills-") as scratch:
        folder = Path(scratch)
        sets = {"given": (asked.capture.resolve(), asked.options)} if asked.capture else captures(folder)
        for title, (capture, options) in sets.items():
            if asked.set not in title:
                continue
            command = ["reconstruct", str(capture), "--out", "disk/run", "--json", *options]
            (folder / "disk").mkdir(exist_ok=True)
            before: dict[str, str] = {}
            # Twice: the first run may have to compile the kernels, the second has them from Numba's cache.
            for time_of in ("first", "second"):
                shutil.rmtree(folder / "disk" / "run", ignore_errors=True)
                if run_of(command, folder).wait(LIMIT) != 0:
                    sys.exit((folder / "err").read_text())
                before = hashes(folder / "disk" / "run") if time_of == "first" else before
            wanted, stages, ended = hashes(folder / "disk" / "run"), begun(folder), time.time()
            if wanted != before:
                fallen += 1
                print(f"{title}: two runs that nothing has struck have other bits.", flush=True)
            ends = [when for _, when in stages[1:]] + [ended]
            for (stage, when), end in zip(stages, ends, strict=True):
                counts: collections.Counter = collections.Counter()
                for n in range(asked.moments):
                    if next(strikes) % parts != part - 1:
                        continue
                    rng = random.Random(f"{asked.seed} {title} {stage} {n}")
                    kind, delay = rng.choice(kinds), rng.uniform(0, max(end - when, 0.02))
                    complaints = struck(kind, stage, delay, folder, command, wanted)
                    counts["passed" if not complaints else "fell"] += 1
                    for complaint in complaints:
                        print(f"  {title}, {kind} {delay:.2f} s into {stage}: {complaint}", flush=True)
                fallen += counts["fell"]
                print(f"{title}, {stage}: {counts['passed']} of {counts.total()} passed", flush=True)
    return 1 if fallen else 0


if __name__ == "__main__":
    sys.exit(main())
