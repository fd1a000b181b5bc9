"""Checkpoints: all that a run has learned and needs to go on, to the same bits, in one file.

Random numbers are functions of (seed, step, purpose), so no generator's state has to be kept.
"""

from __future__ import annotations

import io
import pickle
import zipfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from macrosplat.lens import LENSES, LensStart
from macrosplat.model.backdrop import Backdrop
from macrosplat.model.exposure import Exposure
from macrosplat.model.model import Model
from macrosplat.model.rig import Rig
from macrosplat.render import Frame
from macrosplat.scene.gaussians import Gaussians
from macrosplat.support.errors import MacrosplatError
from macrosplat.support.files import write_whole
from macrosplat.train.older import VERSION, upgraded
from macrosplat.train.trainer import Trainer
from macrosplat.train.trusted import check_archive, check_state


@dataclass
class Checkpoint:
    """What a run stands at."""

    model: Model
    names: tuple[str, ...]  # V photos, in the order of the rig, focus, backdrop and exposure
    pixel: float  # scene units of one px of the training width at the object
    start: int  # Gaussians at the first step
    done: int  # steps
    adam: dict
    lens_start: LensStart


def save(path: Path, trainer: Trainer, names: tuple[str, ...], lens_start: LensStart) -> None:
    """Write all of a trainer's state, atomically."""
    trainer.settle()
    model, rig = trainer.model, trainer.model.rig
    state = {
        "version": VERSION,
        "done": trainer.done,
        "start": trainer.start,
        "pixel": trainer.pixel,
        "names": list(names),
        "gaussians": {name: t.detach() for name, t in model.gaussians.tensors().items()},
        "lens": {"name": model.lens.name, "start": asdict(lens_start)},
        "lens_parameters": {name: t.detach() for name, t in model.lens.parameters.items()},
        "rig": {
            "views": rig.views,
            "intrinsics": rig.start,
            "frames": [asdict(frame) for frame in rig.frames],
            "pivot_depth": rig.pivot_depth,
            "pixel": rig.pixel,
            "leader": list(rig.leader),
            "moves": rig.moves,
        },
        "rig_parameters": {name: t.detach() for name, t in rig.parameters.items()},
        "backdrop": model.backdrop.grids.detach(),
        "exposure": model.exposure.log_gains.detach(),
        "adam": trainer.adam.state_dict(),
    }
    # Through memory: of a full disk torch's own writer only says "unexpected pos".
    content = io.BytesIO()
    torch.save(state, content)
    write_whole(path, lambda part: part.write_bytes(content.getbuffer()))


def load(path: Path) -> Checkpoint:
    """Read a checkpoint.

    Raises:
        MacrosplatError: the file is missing, damaged, or of a version that cannot be read.
    """
    if not path.is_file():
        raise MacrosplatError(f"{path} does not exist: this folder holds no run (or one that has not begun to train).")
    try:
        check_archive(path)
        state = torch.load(path, weights_only=True, map_location="cpu")
        state, checkpoint = upgraded(state), None
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
    rig = Rig(**{**state["rig"], "frames": [Frame(**frame) for frame in state["rig"]["frames"]]})
    rig.parameters.update(state["rig_parameters"])
    model = Model(
        gaussians=Gaussians(**state["gaussians"]),
        rig=rig,
        lens=lens,
        backdrop=Backdrop(state["backdrop"]),
        exposure=Exposure(state["exposure"]),
    )
    return Checkpoint(
        model=model,
        names=tuple(state["names"]),
        pixel=state["pixel"],
        start=state["start"],
        done=state["done"],
        adam=state["adam"],
        lens_start=start,
    )


def resume(trainer: Trainer, checkpoint: Checkpoint) -> None:
    """Bring a trainer that was made with `checkpoint.model` to where the checkpoint stands."""
    try:
        trainer.adam.load_state_dict(checkpoint.adam)
    except (AssertionError, LookupError, TypeError, AttributeError, ValueError) as error:
        raise MacrosplatError(
            "The checkpoint is damaged: its optimizer state is of another scene; reconstruct into a new folder."
        ) from error
    trainer.start, trainer.done = checkpoint.start, checkpoint.done
