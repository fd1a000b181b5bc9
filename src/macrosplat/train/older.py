"""Checkpoints of older versions, brought to what this version writes.

In: the state that a file holds, unchecked. Out: the state of `train/checkpoint.py`, which is checked afterwards.
"""

from __future__ import annotations

from typing import Any

import torch

from macrosplat.lens import LENSES, LensStart

VERSION = 5  # of the file: one more whenever what is in it changes
# What the lens models of a version learned less than those of the next, as settings that learn no more than that.
SETTINGS = {4: {"thin": {"aberrations": "off"}}}


def upgraded(state: dict[str, Any]) -> dict[str, Any]:
    """The state, as of `VERSION` if it can be; else as it is.

    Raises:
        LookupError, TypeError, AttributeError, ValueError: it is damaged.
    """
    version = state["version"]
    if type(version) is not int or version not in SETTINGS:
        return state
    name, start = state["lens"]["name"], dict(state["lens"]["start"])
    start["settings"] = dict(start["settings"]) | SETTINGS[version].get(name, {})
    parameters, adam = dict(state["lens_parameters"]), {kind: dict(of) for kind, of in state["adam"].items()}
    for key, fresh in LENSES[name](LensStart(**start)).parameters.items():
        if key not in parameters:  # it has learned nothing, and does not go on to
            parameters[key] = fresh.detach().clone()
            blank = torch.zeros_like(parameters[key])
            for kind, empty in (("first", blank), ("second", blank.clone()), ("counts", 0), ("rates", 0.0)):
                adam[kind][key] = empty
    more = {"version": version + 1, "lens": {"name": name, "start": start}, "lens_parameters": parameters, "adam": adam}
    return upgraded(state | more)
