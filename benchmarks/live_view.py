"""What the live view costs a training while its page is open and nobody moves.

    python benchmarks/live_view.py CAPTURE [WIDTH STEPS]

Trains on CAPTURE (with cameras) in turns of STEPS steps: alone, with the live view's server, and with a visitor who
stands still. The visitor is a program in a process of its own that speaks viser's protocol and draws nothing, as a
browser on another core or a GPU would. Prints milliseconds a step of each, in wall time and in CPU time of the
training's process (which a busy machine disturbs less), and the share of the time that went into pictures.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

TURNS = 4


def visit(address: str) -> None:
    """Stand where the first photo was taken from, and take what comes."""
    import msgspec
    import viser
    from websockets.sync.client import connect

    turn, place = (1.0, 0.0, 0.0, 0.0), (0.0, 0.0, 0.0)
    camera = {"type": "ViewerCameraMessage", "wxyz": turn, "position": place, "fov": 0.4, "near": 0.01, "far": 1e3}
    camera |= {"image_height": 700, "image_width": 1100, "look_at": (0.0, 0.0, 1.0), "up_direction": (0.0, -1.0, 0.0)}
    protocol = f"viser-v{viser.__version__}"
    with connect(address.replace("http", "ws"), subprotocols=[protocol], max_size=None) as socket:  # type: ignore
        socket.send(msgspec.msgpack.encode(camera))
        for _ in socket:
            pass


def main() -> None:
    from macrosplat import pipeline
    from macrosplat.live import After, LiveView
    from macrosplat.options import Options

    capture = Path(sys.argv[1])
    width, steps = map(int, sys.argv[2:4]) if len(sys.argv) > 3 else (320, 200)
    found: dict[str, list[tuple[float, float]]] = {}
    shares: list[float] = []

    def turns(trainer, out, names, start, log, progress, watching) -> None:
        schedule = trainer.schedule
        trainer.done = schedule.steps // 2  # at full resolution, through the pupil's centre
        told: list[str] = []

        def turn(kind: str, view: LiveView | None) -> None:
            wall, cpu = time.perf_counter(), time.process_time()
            spent = view.spent if view else 0.0
            for _ in range(steps):
                trainer.step()
                if view:
                    view.between_steps({"loss": 0.1, "psnr": 20.0} if trainer.done % 100 == 0 else {}, lambda: False)
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            found.setdefault(kind, []).append((1000 * wall / steps, 1000 * cpu / steps))
            if view and kind == "visitor":
                shares.append((view.spent - spent) / wall)
            print(f"{kind}: {1000 * wall / steps:.1f} ms, CPU {1000 * cpu / steps:.1f} ms", flush=True)

        for _ in range(50):
            trainer.step()  # everything is compiled
        for _ in range(TURNS):
            turn("alone", None)
            with LiveView(trainer, names, 0, told.append, After(Path("nowhere") / "index.html", dict)) as view:
                turn("server", view)
                visitor = multiprocessing.get_context("spawn").Process(target=visit, args=(view.address,), daemon=True)
                visitor.start()
                while not view._server.get_clients():
                    time.sleep(0.1)
                turn("visitor", view)
                visitor.kill()
        raise SystemExit

    pipeline.train = turns
    with tempfile.TemporaryDirectory() as folder, contextlib.suppress(SystemExit):
        pipeline.reconstruct(capture, Path(folder) / "run", Options(width=width, steps=10**4, device="cpu"))
    alone = np.median(found["alone"], axis=0)
    for kind, (wall, cpu) in ((kind, np.median(times, axis=0)) for kind, times in found.items()):
        print(
            f"{kind}: {wall:.1f} ms a step ({100 * (wall / alone[0] - 1):+.1f} %), "
            f"CPU {cpu:.1f} ms ({100 * (cpu / alone[1] - 1):+.1f} %)"
        )
    print(f"Pictures took {100 * np.mean(shares):.1f} % of the time.")


if __name__ == "__main__":
    main()
