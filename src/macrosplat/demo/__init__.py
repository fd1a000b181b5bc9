"""The capture that ships with the package: 30 blurred photos of a fruit fly (see `LICENSE.txt`)."""

from pathlib import Path

FOLDER = Path(__file__).parent  # holds `photos/`: a capture like any other
