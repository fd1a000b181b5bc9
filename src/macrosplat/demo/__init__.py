"""The capture that ships with the package: 30 blurred photos of a fruit fly (see `LICENSE.txt`)."""

from pathlib import Path

from macrosplat.options import Device, Options

FOLDER = Path(__file__).parent  # holds `photos/`: a capture like any other


def options(device: Device) -> Options:
    """How it is reconstructed. Half the width of the photos is a quarter of the work. Draft, so that all of it, finding
    the cameras included (two minutes), is a matter of minutes on two cores."""
    return Options(quality="draft", width=320, device=device)
