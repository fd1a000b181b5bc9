"""The command `macrosplat`, and `python -m macrosplat`. Here, so that Ctrl-C is answered while the libraries load."""

import atexit
import os
import signal
import sys
import threading
from typing import NoReturn

INTERRUPTED = 130  # exit code


def main() -> int:
    """Run one command; the exit code."""
    # Nothing has been begun that would want tidying up, and imports leave themselves half done.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _leave)
    if sys.getfilesystemencoding() != "utf-8":  # an ASCII locale: names of files would be read as bytes
        os.execv(sys.executable, [sys.executable, "-X", "utf8", "-m", "macrosplat", *sys.argv[1:]])
    from macrosplat.cli import main as run

    try:
        code = run()
    except SystemExit as asked:  # bad usage, or help
        code = asked.code if isinstance(asked.code, int) else int(asked.code is not None)
    except KeyboardInterrupt:  # heard while the program returned
        _leave()
    # The work is over, or was given up. While the process ends nobody answers: a Ctrl-C would end it by the signal
    # instead of the exit code that belongs to it.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    _end(code)
    return code


def _end(code: int) -> None:
    """End the process as the interpreter does, but for taking the libraries apart object by object, which the system
    does at once (experiments: ending)."""
    threading._shutdown()  # type: ignore[attr-defined]  # waits for threads
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except OSError:  # nobody reads it, or there is no room: what mattered was flushed where it could be said
            code = code or 120  # the interpreter's own code for this
    os._exit(code)


def _leave(*_: object) -> NoReturn:
    os.write(2, b"macrosplat: Interrupted.\n")
    os._exit(INTERRUPTED)


if __name__ == "__main__":
    sys.exit(main())
