"""Where the seconds of `macrosplat reconstruct` go, from the command to the finished folder.

    python benchmarks/command_to_folder.py [--runs N] [--profile N] [--src SRC] -- reconstruct CAPTURE --out OUT ...

The command is run N times in processes of their own (OUT, then OUT-1, ...), and each prints its stages in order: the
interpreter and the libraries, until the first stage, every stage that the progress line names, and the end of the
process; by the clock, and in processor time of all threads. --profile: how many functions of the main thread to list
after them, by the seconds spent in them (the profiler makes everything slower); --sample S: instead, by a look at the
main thread every S seconds, stage by stage. SRC: sources to run, by default these.
"""

from __future__ import annotations

import argparse
import cProfile
import os
import pstats
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve()
DEEP = 4  # calls that are told of a look


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--profile", type=int, default=0)
    parser.add_argument("--sample", type=float, default=0.0)
    parser.add_argument("--src", type=Path, default=HERE.parent.parent / "src")
    parser.add_argument("command", nargs="+")
    asked = parser.parse_args()
    out = asked.command.index("--out") + 1
    where = asked.command[out]
    for k in range(asked.runs):
        asked.command[out] = where if k == 0 else f"{where}-{k}"
        paths = os.pathsep.join([str(asked.src.resolve()), os.environ.get("PYTHONPATH", "")])
        begun = {"BEGUN": repr(time.time()), "PROFILE": str(asked.profile), "SAMPLE": str(asked.sample)}
        begun["PYTHONPATH"] = paths
        subprocess.run([sys.executable, str(HERE), "inside", *asked.command], env=os.environ | begun, check=True)
        print(f"{time.time() - float(begun['BEGUN']):8.2f} s  in all\n", flush=True)


class Marks:
    """What a process has spent, by what it was at: a `Face` of progress."""

    def __init__(self, began: float) -> None:
        """Args: began: s since 1970."""
        self.spent: dict[str, tuple[float, float]] = {}
        self._at = began, 0.0
        self.stage = "until the first stage"

    def mark(self, name: str) -> None:
        """All since the last mark was for this."""
        now, before, was = (time.time(), time.process_time()), self._at, self.spent.get(name, (0.0, 0.0))
        self.spent[name] = was[0] + now[0] - before[0], was[1] + now[1] - before[1]
        self._at = now
        self.stage = "between stages"

    def begin(self, stage: Any, now: float) -> None:
        self.mark("between stages" if self.spent else "until the first stage")
        self.stage = stage.name

    def end(self, stage: Any, now: float) -> None:
        self.mark(stage.name)

    def moved(self, stage: Any, n: int, now: float) -> None: ...
    def note(self, text: str) -> None: ...
    def close(self) -> None: ...


def look(every: float, marks: Marks, seen: Counter[tuple[str, str]], over: threading.Event) -> None:
    """Count where the main thread is, by stage: its innermost calls of our own, and the innermost of all."""
    main_thread = threading.main_thread().ident
    assert main_thread is not None
    while not over.wait(every):
        frame, ours, inner = sys._current_frames().get(main_thread), [], ""
        while frame is not None:
            at = f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno} {frame.f_code.co_name}"
            inner = inner or at
            if "macrosplat" in frame.f_code.co_filename:
                ours.append(at)
            frame = frame.f_back
        seen[marks.stage, " < ".join([*([inner] if inner not in ours else []), *ours[:DEEP]])] += 1


def inside(arguments: list[str]) -> None:
    """One run, in a process of its own."""
    profile = cProfile.Profile() if int(os.environ["PROFILE"]) else None
    if profile is not None:
        profile.enable()
    begun = float(os.environ["BEGUN"])
    from macrosplat.cli import main as run
    from macrosplat.support import progress

    marks, kind = Marks(begun), progress.Progress
    progress.Progress = lambda more=(): kind(more=(*more, marks))  # type: ignore[misc, assignment]
    sys.argv = ["macrosplat", *arguments]
    seen, over = Counter(), threading.Event()
    if float(os.environ["SAMPLE"]):
        threading.Thread(target=look, args=(float(os.environ["SAMPLE"]), marks, seen, over), daemon=True).start()
    code = run()
    over.set()
    marks.mark("after the last stage")
    for name, (seconds, processor) in marks.spent.items():
        print(f"{seconds:8.2f} s  {processor:8.2f} s of processor time  {name}")
    total = Counter()
    for (stage, _), count in seen.items():
        total[stage] += count
    for stage, looks in total.items():
        print(f"\n{looks} looks: {stage}")
        for (of, where), count in seen.most_common():
            if of == stage and count >= looks / 50:
                print(f"  {100 * count / looks:5.1f} %  {where}")
    if profile is not None:
        profile.disable()
        stats = pstats.Stats(profile)
        for order in ("tottime", "cumtime"):
            stats.sort_stats(order).print_stats(int(os.environ["PROFILE"]))
    sys.stdout.flush()
    os._exit(code)


if __name__ == "__main__":
    if sys.argv[1:2] == ["inside"]:
        inside(sys.argv[2:])
    else:
        main()
