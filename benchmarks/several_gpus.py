"""One capture on several GPUs: photos a second, where a step's time goes, and what quality comes of it.

    python benchmarks/several_gpus.py N TRACE CAPTURE --out RUN [options of reconstruct]
    python benchmarks/several_gpus.py table TRACE...

The first is `macrosplat reconstruct CAPTURE --out RUN --devices N ...` with marks on each GPU's stream, between which
its time is taken; each rank writes TRACE/RANK.json, and rank 0 compares the scene with the truth in CAPTURE (novel/,
sharp/), if there is any, before the results are written. Parts of a step:

    between    after the last step: log, progress, checkpoints of rank 0
    data       photos that are brought to the GPU, numbers that are sent ahead
    render     one photo: forward, loss, backward (of a single GPU Adam, too)
    sum        the all-reduce; the wait for the slowest rank is told apart: at each step the fastest waits for nobody
    improve    Adam and noise
    density    relocation and growth, and the state that rank 0 sends

The second prints a table of several such folders, of the steps at full resolution through the most aperture samples.
"""

from __future__ import annotations

import functools
import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

PARTS: tuple[str, ...] = ("between", "data", "render", "sum", "improve", "density")
WARM = 10  # steps of a kind that are left out: the first compile and record


class Marks:
    """Points on the stream of a GPU (or of a CPU's time), and which part of a step ends there."""

    def __init__(self) -> None:
        self.on_gpu = torch.cuda.is_available()
        self.points: list[tuple[int, str, Any]] = []  # step, part, event
        self.kinds: list[tuple[int, int]] = []  # of each step: px wide, aperture samples
        self.step = -1

    def __call__(self, part: str) -> None:
        point: Any = time.perf_counter()
        if self.on_gpu:
            point = torch.cuda.Event(enable_timing=True)
            point.record()
        self.points.append((self.step, part, point))

    def seconds(self) -> list[dict[str, float]]:
        """Of each step, by part."""
        if self.on_gpu:
            torch.cuda.synchronize()
        found: list[dict[str, float]] = [{part: 0.0 for part in PARTS} for _ in self.kinds]
        for (_, _, before), (step, part, point) in zip(self.points, self.points[1:], strict=False):
            found[step][part] += before.elapsed_time(point) / 1000 if self.on_gpu else point - before
        return found


def watch(trace: Path, rank: int, count: int, truth: Path) -> None:
    """Put the marks where a step's parts end."""
    from macrosplat.train.graphs import Graphs
    from macrosplat.train.ranks import Ranks
    from macrosplat.train.trainer import Trainer

    mark, trainers = Marks(), list[Any]()

    def ends(owner: type, name: str, part: str) -> None:
        before = getattr(owner, name)

        @functools.wraps(before)
        def marked(*words: Any, **more: Any) -> Any:
            try:
                result = before(*words, **more)
            except Exception:
                (trace / f"{rank}.{name}.error").write_text(traceback.format_exc())
                raise
            mark(part)
            return result

        setattr(owner, name, marked)

    step = Trainer.step

    def counted(self: Trainer) -> Any:
        plan = self.schedule.at(self.done, self.start, self.model.lens, self.batch)
        mark.kinds.append((round(plan.scale * self.targets.frames[0].width), plan.sampling.samples))
        mark.step += 1
        mark("between")
        trainers[:] = [self]
        loss = step(self)
        mark("improve")
        return loss

    Trainer.step = counted  # type: ignore[method-assign]
    ends(Graphs, "_target", "data")
    ends(Graphs, "_send", "data")
    ends(Graphs, "_play", "render")
    ends(Ranks, "sum", "sum")
    # What comes before density in a step is Adam; what a settled step waits for is in it, too.
    density = Trainer._change_density

    def changed(self: Trainer, *words: Any) -> None:
        mark("improve")
        density(self, *words)
        mark("density")

    Trainer._change_density = changed  # type: ignore[method-assign]
    leave = Ranks.leave

    def left(self: Ranks) -> None:
        found = {"ranks": count, "kinds": mark.kinds, "seconds": mark.seconds(), "batch": trainers[0].batch}
        found |= {"gaussians": len(trainers[0].model.gaussians)}
        if torch.cuda.is_available():
            found |= {"gpu": torch.cuda.get_device_name(), "bytes": torch.cuda.max_memory_allocated()}
        if rank == 0:
            found |= quality(trainers[0].model, truth)
        (trace / f"{rank}.json").write_text(json.dumps(found))
        leave(self)

    Ranks.leave = left  # type: ignore[method-assign]


@torch.no_grad()
def quality(model: Any, truth: Path) -> dict[str, float]:
    """Mean dB of the scene against novel/ and sharp/, whole frames; cameras have to be those of the truth."""
    from PIL import Image

    from macrosplat.cameras.transforms import read_cameras_file
    from macrosplat.render import Camera
    from macrosplat.support.colour import to_srgb

    found = {}
    for name, file in (("novel", truth / "novel.json"), ("sharp", truth / "transforms.json")):
        if not file.is_file() or not (truth / name).is_dir():
            continue
        cameras, each = read_cameras_file(file), []
        for view, k, (w, h), of in zip(cameras.views, cameras.intrinsics, cameras.sizes, cameras.names, strict=True):
            there = list((truth / name).glob(f"{Path(of).stem}.*"))
            if not there:
                continue
            here = model.gaussians.means
            frame = replace(model.rig.frames[0], width=int(w), height=int(h))
            drawn = to_srgb(
                model.sharp(Camera(torch.tensor(view).to(here), torch.tensor(k).to(here), frame)).clamp(0, 1)
            )
            true = np.asarray(Image.open(there[0]).convert("RGB")) / 255.0
            each.append(-10 * np.log10(np.mean((drawn.cpu().numpy() - true) ** 2)))
        found |= {f"{name}_psnr": float(np.mean(each)), f"{name}_count": len(each)} if each else {}
    return found


def as_rank(trace: Path, words: list[str], run: Callable[[], int]) -> int:
    """One of the processes."""
    rank, count = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    sys.argv = ["macrosplat", "reconstruct", *words]
    try:
        watch(trace, rank, count, Path(words[0]))
        return run()
    except BaseException:
        (trace / f"{rank}.error").write_text(traceback.format_exc())
        raise


def table(folders: list[Path]) -> None:
    """Photos a second and milliseconds of a step, by part."""
    first = None
    print("| GPUs | photos/s | | step, ms |", *(f"{part} |" for part in ("wait", *PARTS)), "novel, sharp, dB |")
    for folder in folders:
        ranks = [json.loads(path.read_text()) for path in sorted(folder.glob("[0-9].json"))]
        kinds = [tuple(kind) for kind in ranks[0]["kinds"]]
        kind = max(kinds)
        of_kind = [n for n, one in enumerate(kinds) if one == kind]
        of_kind = of_kind[min(WARM, len(of_kind) // 2) :]
        seconds = np.array([[[rank["seconds"][n][part] for part in PARTS] for n in of_kind] for rank in ranks])
        batch, step = ranks[0]["batch"], seconds[0].sum(1).mean()
        first = first or batch / step
        k = PARTS.index("sum")
        parts = seconds.mean((0, 1)) * 1000
        wait = (seconds[:, :, k] - seconds[:, :, k].min(0)).mean() * 1000
        parts[k] -= wait
        per_second = [f"{batch / step:.2f}", f"{batch / step / first:.2f} x", f"{1000 * step:.2f}"]
        reached = [f"{ranks[0][name]:.2f}" for name in ("novel_psnr", "sharp_psnr") if name in ranks[0]]
        figures = [*per_second, *(f"{part:.2f}" for part in (wait, *parts)), ", ".join(reached)]
        print(f"| {len(ranks)} |", *(f"{figure} |" for figure in figures))
        renders = (seconds[:, :, PARTS.index("render")].mean(1) * 1000).round(2).tolist()
        print(
            f"  {len(of_kind)} steps of {kind[0]} px and {kind[1]} samples, {ranks[0]['gaussians']} Gaussians, "
            f"{ranks[0].get('gpu', 'CPU')}; render by rank {renders}; all steps "
            f"{sum(sum(one.values()) for one in ranks[0]['seconds']):.1f} s"
        )


def main() -> int:
    match sys.argv[1:]:
        case ["table", *folders]:
            table([Path(folder) for folder in folders])
            return 0
        case ["--rank", trace, *words]:
            from macrosplat.cli import main as run

            return as_rank(Path(trace), words, run)
        case [count, trace, *words]:
            from macrosplat.support.gpus import gpus
            from macrosplat.support.ranks import together

            Path(trace).mkdir(parents=True, exist_ok=True)
            return together(words, int(count), bool(gpus()), (str(Path(__file__).resolve()), "--rank", trace))
    sys.exit(__doc__)


if __name__ == "__main__":
    sys.exit(main())
