"""Ctrl-C and `kill`: one sentence and exit code 130, however often, and nothing half-written."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

# A program that writes a file for ever, and tidies up for a while when it is interrupted.
PROGRAM = """
import sys, time
from pathlib import Path
from macrosplat import cli
from macrosplat.support.files import whole
from macrosplat.support.stop import Stop

class Slow:
    def __del__(self):
        print("ready", flush=True)
        end = time.monotonic() + 0.5
        while time.monotonic() < end:
            pass

def work(self):
    folder, how = Path(sys.argv[1]), sys.argv[2]
    if how == "import":
        (folder / "slowly.py").write_text("import time; print('ready', flush=True); time.sleep(0.5); whole = True")
        sys.path.append(str(folder))
        try:
            import slowly
            time.sleep(60)
        finally:
            (folder / "imported").write_text(str(sys.modules["slowly"].whole))
    if how == "lost":
        Slow()
        time.sleep(60)
    try:
        if how == "step":
            with Stop() as stop:
                print("ready", flush=True)
                while not stop.asked:
                    time.sleep(0.01)
                time.sleep(0.3)
            raise KeyboardInterrupt
        with whole(folder / "file") as part:
            part.write_text("half")
            print("ready", flush=True)
            time.sleep(60)
    finally:
        time.sleep(0.5 if how != "long" else 60)

cli.commands.View.run = work
sys.exit(cli.main(["view", "x"]))
"""


def told(folder: Path, how: str, numbers: list[int], pause: float) -> tuple[int, str]:
    """The program's exit code and what it said on stderr, having got these signals."""
    words = [sys.executable, "-c", PROGRAM, str(folder), how]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    for number in numbers:
        process.send_signal(number)
        time.sleep(pause)
    _, said = process.communicate(timeout=30)
    return process.returncode, said


@pytest.mark.parametrize("how", ["file", "step"])
@pytest.mark.parametrize(
    "numbers", [[signal.SIGINT], [signal.SIGTERM], [signal.SIGINT] * 2, [signal.SIGINT, signal.SIGTERM]]
)
def test_once_or_twice_is_one_sentence(tmp_path: Path, how: str, numbers: list[int]) -> None:
    assert told(tmp_path, how, numbers, 0.05) == (130, "macrosplat: Interrupted.\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_that_python_would_only_print_is_answered(tmp_path: Path, number: int) -> None:
    assert told(tmp_path, "lost", [number], 0.05) == (130, "macrosplat: Interrupted.\n")


def test_a_library_is_imported_to_its_end(tmp_path: Path) -> None:
    """Libraries begin in C++ code too, where an exception of ours would end the process by SIGABRT."""
    assert told(tmp_path, "import", [signal.SIGTERM], 0.05) == (130, "macrosplat: Interrupted.\n")
    assert (tmp_path / "imported").read_text() == "True"


def test_who_asks_again_later_does_not_wait_for_the_tidying(tmp_path: Path) -> None:
    began = time.monotonic()
    assert told(tmp_path, "long", [signal.SIGINT] * 2, 1.2) == (130, "macrosplat: Interrupted.\n")
    assert time.monotonic() - began < 30


def test_before_the_libraries_are_there(tmp_path: Path) -> None:
    """Struck at any moment of its start, the program says so, or has not begun to listen; no traceback."""
    for delay in (0.02, 0.08, 0.15, 0.3, 0.6):
        words = [sys.executable, "-m", "macrosplat", "view", str(tmp_path / "none.ply")]
        process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        time.sleep(delay)
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=60)
        assert process.returncode in (130, -signal.SIGTERM, -signal.SIGINT, 2) and "Traceback" not in said, said


def test_an_interrupt_inside_of_generated_code_has_its_exit_code(tmp_path: Path) -> None:
    """Python remembers one that came through `exec` as unhandled, and would end by the signal."""
    (tmp_path / "struck.py").write_text("""
import sys
import macrosplat.__main__ as program, macrosplat.cli
def run():
    try:
        exec("raise KeyboardInterrupt")
    except KeyboardInterrupt:
        return 130
macrosplat.cli.main = run
sys.exit(program.main())
""")
    assert subprocess.run([sys.executable, "-m", "struck"], cwd=tmp_path).returncode == 130


def test_an_interrupt_as_the_program_returns_or_shows_its_help(tmp_path: Path) -> None:
    """Raised outside of the command, and while what is registered for the end of a bad usage runs."""
    (tmp_path / "late.py").write_text("""
import atexit, os, signal, sys
import macrosplat.__main__ as program, macrosplat.cli
def run():
    if sys.argv[1] == "returning":
        raise KeyboardInterrupt
    atexit.register(lambda: os.kill(os.getpid(), signal.SIGINT))
    raise SystemExit(2)
macrosplat.cli.main = run
sys.exit(program.main())
""")
    for how, code, words in (("returning", 130, b"macrosplat: Interrupted.\n"), ("usage", 2, b"")):
        ended = subprocess.run([sys.executable, "-m", "late", how], cwd=tmp_path, capture_output=True)
        assert (ended.returncode, ended.stderr) == (code, words)


def test_ending_runs_what_is_registered_waits_for_threads_and_keeps_the_code(tmp_path):
    script = """
import atexit, sys, threading, time
from macrosplat.__main__ import _end
atexit.register(lambda: print("registered"))
threading.Thread(target=lambda: (time.sleep(0.2), print("thread"))).start()
print("last", file=sys.stderr)
_end(3)
"""
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (ended.returncode, ended.stdout, ended.stderr) == (3, "thread\nregistered\n", "last\n")
