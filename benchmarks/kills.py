"""Interrupted at random moments of every stage, and resumed: the same to the bit, and nothing half-written?

    python benchmarks/kills.py [--moments 30] [--seed 0] [--capture FOLDER] [--only WORD] [--set WORD]
                               [--stage WORD] [-- OPTIONS of reconstruct]

Without a capture small ones are made. Every stage of a run (as `--json` names them) is struck so many times, somewhere
between its beginning and its end, by SIGKILL, SIGTERM, Ctrl-C, Ctrl-C twice, a disk that becomes full, or a RUN that
may no longer be written. One run is struck once in each of its stages, gone on with by --resume each time; of the
small captures the later ones only in those stages that those before do not have. What is asked: the exit code and the
sentence that belong to a strike; no file that is half-written; no temporary file, but after SIGKILL; and in the end the
same bits as of a run that nothing has struck. Full disks want the right to mount (root on Linux); without it they are
left out, which is said. Pieces with other seeds add up.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import hashlib
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

import numpy as np

from macrosplat.cameras.records import Cameras

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

STRIKES = ("KILL", "TERM", "INT", "INT twice", "disk full", "no permission")
PROGRAM = [sys.executable, "-m", "macrosplat"]
LIMIT = 600  # s of one run
LEFTOVER = re.compile(r"\.(part|old)(\.|$)|^\.(sfm|features)\.")
DISK = 64  # MB


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


def struck(kind: str, stage: str, delay: float, folder: Path, words: list[str]) -> tuple[bool, int, list[str]]:
    """Strike a run once, `delay` s after the stage began.

    Returns: whether it was struck before it ended; its exit code; complaints.
    """
    run = folder / "disk" / "run"
    left = set(temporary(run))
    process, began, hit = run_of(words, folder), time.monotonic(), False
    while process.poll() is None and time.monotonic() - began < LIMIT:
        at = [when for name, when in begun(folder) if name == stage]
        if not hit and at and time.time() >= at[0] + delay:
            strike(kind, process, folder)
            hit = True
        time.sleep(0.002)
    if process.poll() is None:
        process.kill()
        return hit, process.wait(), [f"still there after {LIMIT} s"]
    code, said = process.returncode, (folder / "err").read_text(errors="replace")
    amends(folder)
    complaints = half_written(run)
    fine = {"KILL": (-9,), "TERM": (130,), "INT": (130,), "INT twice": (130,)}.get(kind, (2,))
    if code not in ((*fine, 0) if hit else (0,)):
        complaints.append(f"exit code {code}: {said.strip().splitlines()[-1:]}")
    if "Traceback" in said:
        complaints.append(f"traceback: {said.strip().splitlines()[-1]}")
    if code == 130 and "Interrupted" not in said:
        complaints.append("does not say that it was interrupted")
    if kind not in ("KILL", "INT twice", "no permission"):  # in such a folder nothing can be removed either
        complaints += [f"left {name}" for name in temporary(run) if name not in left]
    return hit, code, complaints


def chain(
    blows: list[tuple[str, str, float]], folder: Path, words: list[str], wanted: dict[str, str], mount: bool
) -> tuple[list[str], list[str]]:
    """One run, struck by each of (kind, stage, delay in s) in turn, and then left to end.

    Returns: the stages that were struck; complaints.
    """
    disk, done, complaints = folder / "disk", [], []
    shutil.rmtree(disk, ignore_errors=True)
    disk.mkdir(parents=True)
    with small_disk(disk, mount):
        for kind, stage, delay in blows:
            more = ["--resume"] if (disk / "run" / "config.json").is_file() else []
            hit, code, found = struck(kind, stage, delay, folder, [*words, *more])
            done += [stage] if hit else []
            complaints += [f"{kind} {delay:.2f} s into {stage}: {complaint}" for complaint in found]
            if code == 0:  # it had ended, or did in spite of the strike
                break
        more = ["--resume"] if (disk / "run" / "config.json").is_file() else []
        if run_of([*words, *more], folder).wait(LIMIT) != 0:
            return done, [*complaints, f"--resume: {(folder / 'err').read_text().strip().splitlines()[-1:]}"]
        found = hashes(disk / "run")
        other = sorted(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name))
        how = [f"{kind} {delay:.2f} s into {stage}" for kind, stage, delay in blows]
        complaints += [f"other bits after {how}: {other[:3]} of {len(other)}"] if other else []
        complaints += half_written(disk / "run")
        return done, complaints + [f"left after --resume: {name}" for name in temporary(disk / "run")]


def captures(scratch: Path) -> dict[str, tuple[Path, list[str], str]]:
    """Small ones by name: where, options, and which of the stages (a regular expression) are struck."""
    from macrosplat.cameras.transforms import write_transforms
    from macrosplat.support.colour import to_bytes, to_srgb
    from making_captures import make, write_capture
    from making_corner import write_corner
    from making_photos import save
    from making_stack import make_stack

    made, device = make(6), ["--device", "cpu"]
    short = ["--width", "96", "--steps", "60", "--max-gaussians", "400", *device]
    write_capture(scratch / "colmap", made)
    write_capture(scratch / "transforms", made, colmap=False)
    untold = write_capture(scratch / "untold", made)
    for name, photo in zip(made.cameras.names, made.photos, strict=True):
        save(untold / "photos" / name, photo)  # without EXIF
    write_corner(scratch / "corner" / "photos", 5)
    for k, one in enumerate(make_stack()[1]):
        save(scratch / "stack" / "photos" / f"fly_{k}.png", to_bytes(to_srgb(one)))
    poses = write_corner(scratch / "slices" / "photos", 4)
    write_slices(scratch / "slices" / "photos")
    names = tuple(f"{name[0]}_{k}.png" for name in poses.truth.names for k in range(2))
    twice = np.repeat(np.arange(4), 2)
    truth = poses.truth
    write_transforms(
        scratch / "slices" / "transforms.json",
        Cameras(names, truth.views[twice], truth.intrinsics[twice], truth.sizes[twice], "transforms"),
        folder="photos",
    )
    deblurred = [*short, "--deblur-first", "richardson-lucy", "--hold-out", "6"]
    long = ["--width", "32", "--steps", "1000", "--max-gaussians", "100", *device]
    return {
        "cameras and points": (scratch / "colmap", short, ""),
        "cameras only": (scratch / "transforms", short, "triangulating"),
        "deblurred first": (scratch / "colmap", deblurred, "deblurring"),
        "photos only": (scratch / "corner", short, "finding the cameras"),
        "slices of poses": (scratch / "slices", short, "joining"),
        "one stack": (scratch / "stack", device, ""),
        "long enough for pilots": (scratch / "untold", long, "looking whether"),
    }


def write_slices(folder: Path) -> None:
    """Of each photo N.png two slices: N_0.png blurred on the right, N_1.png on the left."""
    from PIL import Image, ImageFilter

    for path in sorted(folder.glob("?.png")):
        with Image.open(path) as sharp:
            blurred, half = sharp.filter(ImageFilter.GaussianBlur(3)), sharp.width // 2
            for k, at in enumerate((half, 0)):
                slice_ = sharp.copy()
                slice_.paste(blurred.crop((at, 0, at + half, sharp.height)), (at, 0))
                slice_.save(folder / f"{path.stem}_{k}.png")
        path.unlink()


def main() -> int:
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--moments", type=int, default=30, help="of every stage")
    words.add_argument("--seed", type=int, default=0)
    words.add_argument("--capture", type=Path)
    words.add_argument("--only", default="", help="kinds of strikes that contain this word")
    words.add_argument("--set", default="", help="sets of small captures whose title contains this word")
    words.add_argument("--stage", default="", help="stages that contain this word")
    words.add_argument("options", nargs="*")
    asked = words.parse_args()
    mount, fallen = may_mount(), 0
    kinds = [kind for kind in STRIKES if asked.only in kind and (mount or kind != "disk full")]
    if not mount:
        print("Full disks are left out: this user may not mount one.")
    with tempfile.TemporaryDirectory(prefix="kills-") as scratch:
        folder = Path(scratch)
        sets = {"given": (asked.capture.resolve(), asked.options, "")} if asked.capture else captures(folder)
        for title, (capture, options, only) in sets.items():
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
            spans = {
                stage: max(end - when, 0.02)
                for (stage, when), end in zip(stages, ends, strict=True)
                if re.search(only, stage) and asked.stage in stage
            }
            counts, fell = dict.fromkeys(spans, 0), 0
            for n in range(3 * asked.moments):
                rng = random.Random(f"{asked.seed} {title} {n}")
                lacking = [stage for stage in spans if counts[stage] < asked.moments]
                if not lacking:
                    break
                blows = [(rng.choice(kinds), stage, rng.uniform(0, spans[stage])) for stage in lacking]
                done, complaints = chain(blows, folder, command, wanted, mount)
                for stage in done:
                    counts[stage] += 1
                fell += bool(complaints)
                print(f"  {title}, run {n}: struck in {', '.join(done) or 'no stage'}", flush=True)
                for complaint in complaints:
                    print(f"  {title}, run {n}: {complaint}", flush=True)
            fallen += fell
            struck_of = ", ".join(f"{stage} {count}" for stage, count in counts.items())
            print(f"{title}: {fell} runs fell; strikes: {struck_of}", flush=True)
    return 1 if fallen else 0


if __name__ == "__main__":
    sys.exit(main())
