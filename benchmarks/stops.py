"""Stopping at 40 % in five ways, and going on: is each run complete, and does it end where the uninterrupted one does?

    python benchmarks/stops.py CAPTURE FOLDER [--width PX] [--quality draft] [--device cpu] [--ways live twice term ...]

Each run is begun by the public command, stopped by a real button (Chromium), a real Ctrl-C at a terminal, or a real
signal (of one that is killed outright `macrosplat continue RUN --steps +0` writes the results), then looked at file by
file, compared with the truth of CAPTURE, gone on with by `macrosplat continue`, and compared again.
`live` and `studio` want Chromium and viser; elsewhere leave them out.
"""

from __future__ import annotations

import argparse
import json
import os
import pty
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from shutil import which
from typing import Any

SHARE = 0.4  # of the steps, after which a run is stopped
BETWEEN = 1.0  # s between two presses of Ctrl-C
PATIENCE = 600.0  # s
COMPLETE = ("scene.ply", "lens.json", "transforms.json", "coverage.json", "config.json", "checkpoint")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("capture", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--width", type=int, default=160)
    parser.add_argument("--quality", default="draft")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--ways", nargs="*", choices=WAYS, default=tuple(WAYS))
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    alone = args.folder / "alone"
    if not (alone / "index.html").is_file() and not (alone / "evaluation.json").is_file():
        subprocess.run(begun(args, alone), check=True, capture_output=True)
    steps, whole = json.loads((alone / "config.json").read_text())["planned"], compared(alone, args.capture)
    print(f"uninterrupted: {steps} steps, {told(whole)}", flush=True)
    for way in args.ways:
        code = WAYS[way](args, args.folder / way, round(SHARE * steps))
        out = found(args.folder / way)
        assert out is not None
        at, missing, early = json.loads(lines(out)[-1])["step"], lacking(out), compared(out, args.capture)
        text = f"stopped at {at} with exit code {code}, {'complete' if not missing else f'lacks {missing}'}"
        subprocess.run([*PROGRAM, "continue", out], check=True, capture_output=True)
        after = compared(out, args.capture)
        off = {name: after[name] - whole[name] for name in whole}
        same = (out / "scene.ply").read_bytes() == (alone / "scene.ply").read_bytes()
        print(f"{way}: {text}, {told(early)}; continued: {told(after)} "
              f"({', '.join(f'{name} {value:+.3f}' for name, value in off.items())} dB"
              f"{', scene.ply the same to the byte' if same else ''})", flush=True)  # fmt: skip


PROGRAM = [sys.executable, "-m", "macrosplat"]


def begun(args: argparse.Namespace, out: Path) -> list[str]:
    """The command line of a run."""
    how = [f"--width={args.width}", f"--quality={args.quality}", f"--device={args.device}"]
    return [*PROGRAM, "reconstruct", str(args.capture), "--out", str(out), *how]


def found(folder: Path) -> Path | None:
    """The run in a folder, or a level or two below it."""
    return next((path.parent for path in sorted(folder.rglob("config.json"))), None)


def compared(run: Path, capture: Path) -> dict[str, float]:
    """dB against the truth: deblurred photos and novel views, on the object where there are masks."""
    subprocess.run([*PROGRAM, "evaluate", run, "--truth", capture], check=True, capture_output=True)
    found = json.loads((run / "evaluation.json").read_text())
    means = {name: part.get("mask") or part["frame"] for name, part in found["means"].items()}
    return {name: float(part["psnr"]) for name, part in means.items() if name != "input photos"}


def told(figures: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.2f} dB" for name, value in figures.items())


def lacking(run: Path) -> list[str]:
    """What a complete run has and this one has not."""
    made = json.loads((run / "config.json").read_text())
    wanted = [*COMPLETE, *(["index.html"] if bundled() else [])]
    wanted += [f"sharp/{Path(photo['name']).with_suffix('.png')}" for photo in made["photos"]]
    missing = [name for name in wanted if not (run / name).is_file()]
    return [*missing, *([] if made["summary"] else ["summary"])]


def bundled() -> bool:
    from importlib.resources import files

    return files("macrosplat.web").joinpath("bundle.js.gz").is_file()


def lines(run: Path) -> list[str]:
    log = run / "log.jsonl"
    return log.read_text().splitlines() if log.is_file() else []


def when(run: Callable[[], Path | None], step: int) -> None:
    """Wait until training has come so far."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        out = run()
        said = lines(out) if out is not None else []
        if said and said[-1].endswith("}") and json.loads(said[-1])["step"] >= step:
            return
        time.sleep(0.02)
    raise TimeoutError(f"step {step} never came")


def term(args: argparse.Namespace, out: Path, step: int) -> int:
    """SIGTERM to a run with --finish."""
    with subprocess.Popen([*begun(args, out), "--finish"], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as run:
        when(lambda: out, step)
        run.send_signal(signal.SIGTERM)
        return run.wait()


def kill(args: argparse.Namespace, out: Path, step: int) -> int:
    """SIGKILL, then the results of what there is; its exit code."""
    with subprocess.Popen(begun(args, out), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as run:
        when(lambda: out if (out / "checkpoint").is_file() else None, step)
        run.kill()
    return subprocess.run([*PROGRAM, "continue", out, "--steps", "+0"], capture_output=True).returncode


def twice(args: argparse.Namespace, out: Path, step: int) -> int:
    """Ctrl-C, and once more, at a terminal of its own."""
    child, terminal = pty.fork()
    if child == 0:
        os.execv(sys.executable, begun(args, out))
    threading.Thread(target=swallow, args=(terminal,), daemon=True).start()
    when(lambda: out, step)
    for _ in range(2):
        os.write(terminal, b"\x03")
        time.sleep(BETWEEN)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def swallow(terminal: int) -> None:
    """Read what is said, as whoever writes to a terminal that nobody reads is kept waiting."""
    try:
        while os.read(terminal, 1 << 16):
            pass
    except OSError:  # closed
        pass


def live(args: argparse.Namespace, out: Path, step: int) -> int:
    """The button of the live view, which then shows the result."""
    from playwright.sync_api import sync_playwright

    command = [*begun(args, out), "--live", "0", "--json"]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        said: list[str] = []
        address = None
        for line in run.stdout:
            said.append(line)
            address = re.search(r"http://[\d.:]+", line)
            if address:
                break
        assert address is not None, "no live view"
        rest = threading.Thread(target=lambda: said.extend(run.stdout or ()), daemon=True)
        rest.start()
        with sync_playwright() as play:
            page = browser(play).new_page()
            page.goto(address[0])
            button = page.get_by_role("button", name="Stop and save")
            button.wait_for()
            when(lambda: out, step)
            button.click()
            page.wait_for_url("**/result/", timeout=1000 * PATIENCE)
            page.wait_for_selector("#view[data-loaded=yes]")
        code = run.wait()
        rest.join()
        for line in said:
            json.loads(line)  # nothing else on stdout
        return code


def studio(args: argparse.Namespace, out: Path, step: int) -> int:
    """The studio's button Stop; its own exit code."""
    from playwright.sync_api import sync_playwright

    command = [*PROGRAM, "studio", str(out), "--no-browser"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as serving:
        assert serving.stdout is not None
        address = re.search(r"http://\S+/", serving.stdout.readline())
        assert address is not None, "no studio"
        with sync_playwright() as play:
            page = browser(play).new_page()
            page.goto(address[0])
            page.fill("#path", str(args.capture))
            page.click("#typed button")
            page.wait_for_selector("#begin:not([hidden])")
            page.click(f"#qualities [value={args.quality}]")
            page.click("details summary")
            page.fill("#width", str(args.width))
            page.click("#start")
            when(lambda: found(out), step)
            page.click("#stop")
            page.wait_for_selector("#ended:not([hidden])", timeout=1000 * PATIENCE)
            print(f"  studio says: {page.inner_text('#outcome')}", flush=True)
        serving.send_signal(signal.SIGINT)
        return serving.wait()


def browser(play: Any) -> Any:
    """WebGL on the CPU."""
    path = next((found for name in ("chromium", "chromium-browser", "google-chrome") if (found := which(name))), None)
    return play.chromium.launch(executable_path=path, args=["--no-sandbox", "--enable-unsafe-swiftshader"])


WAYS: dict[str, Callable[[argparse.Namespace, Path, int], int]] = {
    **{"kill": kill, "term": term, "twice": twice, "live": live, "studio": studio}
}

if __name__ == "__main__":
    main()
