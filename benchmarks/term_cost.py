"""What terms of the lens cost: milliseconds of a whole step at full resolution, without and with them.

    python benchmarks/term_cost.py [--device cpu] [--gaussians 100000 --width 800 --height 600 --samples 1 8]
        [--cases none "colour, breathing"]

The scene is that of `macrosplat bench`. Terms are learned, as they are in the spans that have several aperture samples.
Rounds of all cases take turns, and the best of each counts; its ratio to none is given, and that of the medians.
On a CPU with `OMP_WAIT_POLICY=passive`, as the command has it. On one that others use:
`NUMBA_NUM_THREADS=1 python benchmarks/term_cost.py --device cpu --processor-time --steps 1 --rounds 24 ...`.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import replace

import torch

from macrosplat.lens.terms import SEEN
from macrosplat.support.memory import keep_freed
from macrosplat.train.made_up import Size, make_setting, make_trainer
from macrosplat.train.trainer import Trainer

COLOUR, DARK, FIELD, LATERAL = "lens.colour", "lens.vignetting", "lens.curvature", "lens.lateral"
CASES = {
    "none": (),
    "poses, no breathing": ("poses",),
    "poses, breathing": ("poses", "breathing"),
    "colour": (COLOUR,),
    "colour, breathing": ("poses", "breathing", COLOUR),
    "vignetting": (DARK,),
    "lateral": (LATERAL,),
    "curvature": (FIELD,),
    "all": ("poses", "breathing", COLOUR, DARK, FIELD, LATERAL),
}


def trainer_of(size: Size, samples: int, device: str, terms: tuple[str, ...]) -> Trainer:
    trainer = make_trainer(make_setting(size), samples, photos=3, device=device)
    trainer.done = trainer.schedule.steps // 2  # where everything learns
    trainer.schedule = replace(trainer.schedule, refine_poses="poses" in terms)
    trainer.model.rig._breathes = "breathing" in terms
    lens = trainer.model.lens
    for term in terms:
        if term.startswith("lens."):
            lens.parameters[f"{term}_seen"].data.fill_(SEEN)
            lens.parameters[term].data.fill_(0.4)
            lens._seen[term] = SEEN  # pyright: ignore[reportAttributeAccessIssue]
    return trainer


def seconds(trainer: Trainer, steps: int, clock: Callable[[], float]) -> float:
    began = clock()
    for _ in range(steps):
        trainer.step()
    trainer.settle()
    if trainer.targets.device.type == "cuda":
        torch.cuda.synchronize()
    return (clock() - began) / steps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--gaussians", type=int, default=100_000)
    parser.add_argument("--width", type=int, default=800)
    parser.add_argument("--height", type=int, default=600)
    parser.add_argument("--samples", type=int, nargs="+", default=[1, 8])
    parser.add_argument(
        "--cases", nargs="+", choices=CASES, default=list(CASES), help="the first is what others cost more than"
    )
    parser.add_argument("--steps", type=int, default=50, help="of a round")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--processor-time", action="store_true", help="instead of the clock's")
    asked = parser.parse_args()
    keep_freed()
    cases = {name: CASES[name] for name in asked.cases}
    clock = time.process_time if asked.processor_time else time.perf_counter
    size = Size(asked.gaussians, asked.width, asked.height, 2)
    where = torch.cuda.get_device_name() if asked.device == "cuda" else "CPU"
    print(f"{size}; {where}")
    for samples in asked.samples:
        trainers = {name: trainer_of(size, samples, asked.device, terms) for name, terms in cases.items()}
        taken: dict[str, list[float]] = {name: [] for name in cases}
        for trainer in trainers.values():
            seconds(trainer, max(asked.steps, 3), clock)  # compiles and records
        for _ in range(asked.rounds):
            for name, trainer in trainers.items():
                taken[name].append(seconds(trainer, asked.steps, clock))
        first = taken[asked.cases[0]]
        least, middle = min(first), statistics.median(first)
        for name, times in taken.items():
            ratios = f"{min(times) / least:.3f}  {statistics.median(times) / middle:.3f}"
            print(f"{samples} samples, {name:20s} {1e3 * min(times):9.3f} ms  {ratios}")


if __name__ == "__main__":
    main()
