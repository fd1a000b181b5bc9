"""The command `macrosplat`, and `python -m macrosplat`. Here, so that Ctrl-C is answered while the libraries load."""

import os
import signal
import sys


def main() -> int:
    """Run one command; the exit code."""
    # Nothing has been begun that would want tidying up, and imports leave themselves half done.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _leave)
    from macrosplat.cli import main as run

    return run()


def _leave(number: int, frame: object) -> None:
    os.write(2, b"macrosplat: Interrupted.\n")
    os._exit(130)


if __name__ == "__main__":
    sys.exit(main())
