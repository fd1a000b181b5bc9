"""`python -m macrosplat`: the same as the command `macrosplat`."""

import sys

from macrosplat.cli import main

if __name__ == "__main__":
    sys.exit(main())
