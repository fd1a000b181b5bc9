"""The command `macrosplat`, and `python -m macrosplat`. Here, so that Ctrl-C is answered while the libraries load."""

import os
import signal
import sys

INTERRUPTED = 130  # exit code


def main() -> int:
    """Run one command; the exit code."""
    # Nothing has been begun that would want tidying up, and imports leave themselves half done.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _leave)
    if sys.getfilesystemencoding() != "utf-8":  # an ASCII locale: names of files would be read as bytes
        os.execv(sys.executable, [sys.executable, "-X", "utf8", "-m", "macrosplat", *sys.argv[1:]])
    from macrosplat.cli import main as run

    code = run()
    # The work is over, or was given up. While the interpreter closes down nobody answers: a Ctrl-C would end it by the
    # signal instead of the exit code that belongs to it.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    # An interrupt inside of `exec` (a library that writes its own code as it is imported) is remembered by the
    # interpreter as unhandled, even though it was caught, and would be the exit code; the next `exec` forgets it.
    exec("")
    return code


def _leave(number: int, frame: object) -> None:
    os.write(2, b"macrosplat: Interrupted.\n")
    os._exit(INTERRUPTED)


if __name__ == "__main__":
    sys.exit(main())
