"""One cell in a process of its own: `python -m macrosplat.compare.cell '{"run": ..., "options": ...}'`.

In: what `grid` asks for, as JSON. Out: RUN with evaluation.json, the novel views that were compared (RUN/novel), and
last cell.json: seconds, peak memory, device.
"""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path
from typing import Any

import msgspec

from macrosplat.options import Options
from macrosplat.support.errors import MacrosplatError
from macrosplat.support.stop import INTERRUPTS


def main(asked: dict[str, Any]) -> None:
    """Make the cameras of a capture, or a cell."""
    import torch

    from macrosplat import loaded, pipeline
    from macrosplat.evaluate.lpips import load_lpips
    from macrosplat.evaluate.records import NOVEL
    from macrosplat.output.sharp import write_png
    from macrosplat.run import Run
    from macrosplat.support.dispatch import choose
    from macrosplat.support.files import write_json

    capture, options = Path(asked["capture"]), msgspec.convert(asked["options"], Options)
    if "run" not in asked:
        pipeline.find_cameras(capture, Path(asked["cameras"]), options)
        return
    run = Path(asked["run"])
    cameras = Path(asked["cameras"]) if asked["cameras"] else None
    pipeline.reconstruct(capture, run, options, resume=True, cameras_from=cameras)

    def keep(section: str, name: str, pixels: Any) -> None:
        if section == NOVEL:
            write_png(Run(run).novel(name), pixels)

    device = choose(options.device)
    lpips = load_lpips([Path(path) for path in asked["lpips"]]) if asked["lpips"] else None
    print(loaded.evaluate(run, capture, device, lpips, keep))
    on_gpu = device.type == "cuda"
    done = {
        "finished": True,
        "method": asked["method"],
        "seed": options.seed,
        "seconds": Run(run).manifest.seconds,
        # Linux counts kilobytes.
        "memory_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9,
        "gpu_memory_gb": torch.cuda.max_memory_allocated() / 1e9 if on_gpu else None,
        "device": torch.cuda.get_device_name() if on_gpu else "cpu",
        "jobs": asked["jobs"],
    }
    write_json(Run(run).cell, done)


if __name__ == "__main__":
    INTERRUPTS.install()
    try:
        main(json.loads(sys.argv[1]))
    except MacrosplatError as error:
        print(f"macrosplat: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("macrosplat: Interrupted.", file=sys.stderr)
        sys.exit(130)
