"""Checkpoints: all that a run has learned and needs to go on, to the same bits, in one file.

Random numbers are functions of (seed, step), so no generator's state has to be kept.
"""

from __future__ import annotations

import io
import pickle
import zipfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from macrosplat.lens import LENSES, LensStart
from macrosplat.model.backdrop import Backdrop
from macrosplat.model.exposure import Exposure
from macrosplat.model.poses import Poses
from macrosplat.render import Pinhole
from macrosplat.scene.gaussians import Gaussians
from macrosplat.support.errors import MacrosplatError
from macrosplat.support.files import write_whole
from macrosplat.train.trainer import Learned, Trainer
from macrosplat.train.trusted import check_archive, check_state

VERSION = 3  # of the file; a checkpoint of another version is refused


@dataclass
class Checkpoint:
    """What a run stands at."""

    learned: Learned
    names: tuple[str, ...]  # V photos, in the order of poses, focus, backdrop and exposure
    pinholes: tuple[Pinhole, ...]  # V, at the training width
    pixel: float  # scene units of one px of the training width at the object
    start: int  # Gaussians at the first step
    done: int  # steps
    adam: dict

    def rigid(self) -> Checkpoint:
        """What was learned before cameras that are rigid, to draw it; training goes on from the checkpoint itself."""
        learned, pinholes = self.learned.rigid(self.pinholes)
        return replace(self, learned=learned, pinholes=pinholes)


def save(path: Path, trainer: Trainer, names: tuple[str, ...], lens_start: LensStart) -> None:
    """Write all of a trainer's state, whole or not at all."""
    trainer.settle()
    learned = trainer.learned
    state = {
        "version": VERSION,
        "done": trainer.done,
        "start": trainer.start,
        "pixel": trainer.pixel,
        "names": list(names),
        "pinholes": [asdict(pinhole) for pinhole in trainer.frames.pinholes],
        "gaussians": {name: t.detach() for name, t in learned.gaussians.tensors().items()},
        "lens": {"name": learned.lens.name, "start": asdict(lens_start)},
        "lens_parameters": {name: t.detach() for name, t in learned.lens.parameters.items()},
        "poses": {name: getattr(learned.poses, name) for name in ("views", "pivot_depth", "pixel", "leader")},
        "pose_parameters": {name: t.detach() for name, t in learned.poses.parameters.items()},
        "backdrop": learned.backdrop.grids.detach(),
        "exposure": learned.exposure.log_gains.detach(),
        "adam": trainer.adam.state_dict(),
    }
    # Through memory: of a full disk torch's own writer only says "unexpected pos".
    content = io.BytesIO()
    torch.save(state, content)
    write_whole(path, lambda part: part.write_bytes(content.getbuffer()))


def load(path: Path) -> Checkpoint:
    """Read a checkpoint.

    Raises:
        MacrosplatError: the file is missing, damaged, or of another version.
    """
    if not path.is_file():
        raise MacrosplatError(f"{path} does not exist: this folder holds no run (or one that has not begun to train).")
    try:
        check_archive(path)
        state = torch.load(path, weights_only=True, map_location="cpu")
        checkpoint = None
        if state["version"] == VERSION:
            check_state(state)
            checkpoint = _restored(state)
    except _DAMAGE as error:
        raise MacrosplatError(f"{path} is damaged and cannot be read; reconstruct into a new folder.") from error
    if checkpoint is None:
        raise MacrosplatError(f"{path} was written by another version of macrosplat; reconstruct into a new folder.")
    return checkpoint


# What reading a file raises that is no zip archive, not torch's, or lacks something.
_DAMAGE = (
    zipfile.BadZipFile,
    pickle.UnpicklingError,
    RuntimeError,
    EOFError,
    OSError,
    ValueError,
    LookupError,
    TypeError,
    AssertionError,
    AttributeError,
    NotImplementedError,
)


def _restored(state: dict[str, Any]) -> Checkpoint:
    start = LensStart(**state["lens"]["start"])
    lens = LENSES[state["lens"]["name"]](start)
    lens.parameters.update(state["lens_parameters"])
    poses = Poses(**state["poses"])
    poses.parameters.update(state["pose_parameters"])
    learned = Learned(
        Gaussians(**state["gaussians"]), lens, poses, Backdrop(state["backdrop"]), Exposure(state["exposure"])
    )
    return Checkpoint(
        learned=learned,
        names=tuple(state["names"]),
        pinholes=tuple(Pinhole(**pinhole) for pinhole in state["pinholes"]),
        pixel=state["pixel"],
        start=state["start"],
        done=state["done"],
        adam=state["adam"],
    )


def resume(trainer: Trainer, checkpoint: Checkpoint) -> None:
    """Bring a trainer that was made with `checkpoint.learned` to where the checkpoint stands."""
    try:
        trainer.adam.load_state_dict(checkpoint.adam)
    except (AssertionError, LookupError, TypeError, AttributeError, ValueError) as error:
        raise MacrosplatError(
            "The checkpoint is damaged: its optimizer state is of another scene; reconstruct into a new folder."
        ) from error
    trainer.start, trainer.done = checkpoint.start, checkpoint.done
