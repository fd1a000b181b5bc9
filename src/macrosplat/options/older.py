"""Options that older versions of `config.json` lack: each gets the value that means what those versions did.

In: the options of a file, by name, and the file's version. Out: all options that there are today.
"""

from __future__ import annotations

import copy
from typing import Any

VERSION = 7  # of config.json: one more whenever an option is added
OLDEST = 2  # that can be read
# By the first version that has them: options by their names on the command line, as what was done before.
ADDED: dict[int, dict[str, Any]] = {
    3: {"place": "off", "thin.aberrations": "off"},
    4: {"targets": None},
    5: {"thin.aperture_from": "late"},
    6: {"thin.motion": "off"},
    7: {"thin.blades": "round"},
}


def added_since(version: int) -> dict[str, Any]:
    """What a file of `version` may lack, and what it means by that."""
    return {name: value for since, names in ADDED.items() if since > version for name, value in names.items()}


def completed(options: dict[str, Any], version: int) -> dict[str, Any]:
    """The options of a file of `version`, and those that it lacks for its age."""
    found = copy.deepcopy(options)
    for name, value in added_since(version).items():
        owner, _, inner = name.rpartition(".")
        record = found.get(owner) if owner else found
        if isinstance(record, dict):
            record.setdefault(inner, value)
    return found
