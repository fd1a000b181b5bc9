"""Checkpoints of older versions, brought to what this version writes.

In: the state that a file holds, unchecked. Out: the state of `train/checkpoint.py`, which is checked afterwards.
"""

from __future__ import annotations

from typing import Any

import torch

from macrosplat.lens import LENSES, LensStart
from macrosplat.lens.terms import NOT_SEEN

VERSION = 8  # of the file: one more whenever what is in it changes
# What the lens models of a version learned less than those of the next, as settings that learn no more than that.
SETTINGS: dict[int, dict[str, dict[str, str]]] = {4: {"thin": {"aberrations": "off"}}, 5: {}, 6: {}, 7: {}}


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
    adam = {kind: dict(of) for kind, of in state["adam"].items()}
    lens, rig = dict(state["lens_parameters"]), dict(state["rig_parameters"])
    of_rig = {"pose.breathing": torch.zeros(())}
    for parameters, all_of_them in ((lens, LENSES[name](LensStart(**start)).parameters), (rig, of_rig)):
        for key, fresh in all_of_them.items():
            if key not in parameters:  # it has learned nothing, and does not go on to
                parameters[key] = fresh.detach().clone()
                blank = torch.zeros_like(parameters[key])
                for kind, empty in (("first", blank), ("second", blank.clone()), ("counts", 0), ("rates", 0.0)):
                    adam[kind][key] = empty
    if version == 5 and name == "thin":
        # It was in scene units; it is what it was at the start, and grows with the correction of the focal length.
        lens["lens.pupil"] = lens["lens.pupil"] - rig["pose.focal"]
    more = {"lens": {"name": name, "start": start}, "lens_parameters": lens, "rig_parameters": rig, "adam": adam}
    if version == 7 and name == "thin":
        lens["lens.cats_eye_seen"] = torch.tensor(NOT_SEEN)
    if version == 6:  # all cameras moved, or none
        more["rig"] = state["rig"] | {"moves": torch.ones(len(state["names"]))}
    return upgraded(state | more | {"version": version + 1})
