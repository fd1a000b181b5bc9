"""The folder RUN: what a run was asked to do (`config.json`), and whether it may be gone on with."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from macrosplat.options import Options
from macrosplat.photos.records import Photo
from macrosplat.support.errors import MacrosplatError
from macrosplat.support.files import write_json

# What a resumed run may change: where it computes and how results are stored do not change what is learned.
FREE = ("device", "sharp_format", "detail")


def open_run(run: Path, capture: Path, photos: tuple[Photo, ...], options: Options, resume: bool) -> dict[str, Any]:
    """Begin a run, or check that it may be gone on with. Returns the content of `config.json`.

    Raises:
        MacrosplatError: RUN holds something and `resume` is off; or it is a run of other photos or options.
    """
    asked = {
        "capture": str(capture.resolve()),
        # Cameras number their photos alike: names and sizes in pixels do not tell two captures apart, bytes do.
        "photos": [[photo.name, photo.width, photo.height, photo.path.stat().st_size] for photo in photos],
        "options": asdict(options),
    }
    path = run / "config.json"
    if not path.is_file():
        if run.is_dir() and any(run.iterdir()):
            raise MacrosplatError(f"{run} exists and holds no run of macrosplat; give --out a new or an empty folder.")
        config = {**asked, "command": sys.argv}
        write_json(path, config)
        return config
    if not resume:
        raise MacrosplatError(f"{run} holds a run already; add --resume to go on with it, or choose another --out.")
    config = read_config(run)
    if config.get("photos") != asked["photos"]:
        raise MacrosplatError(
            f"{run} is a run of other photos ({config.get('capture')}); give --resume the same capture, "
            "or choose another --out."
        )
    refuse_other_options(run, config.get("options", {}), asked["options"])
    return config


def refuse_other_options(run: Path, begun: dict[str, Any], asked: dict[str, Any]) -> None:
    """Check that a run was begun with the options that are asked for now (both as `asdict` gives them).

    Raises:
        MacrosplatError: it was not; says which option differs.
    """
    before = _flat(begun)
    for name, value in _flat(asked).items():
        if name not in FREE and before.get(name) != value:
            raise MacrosplatError(
                f"{run} was begun with --{name.replace('_', '-')} {before.get(name)} and cannot go on with {value}; "
                "give the same options, or choose another --out."
            )


def _flat(options: dict[str, Any]) -> dict[str, Any]:
    """Options of options by their names on the command line: `blurnet.layers`."""
    out: dict[str, Any] = {}
    for name, value in options.items():
        out |= {f"{name}.{inner}": v for inner, v in value.items()} if isinstance(value, dict) else {name: value}
    return out


def update_config(run: Path, config: dict[str, Any], **found: Any) -> None:
    """Add what became known on the way (width, camera_source, held_out, ...)."""
    config.update(found)
    write_json(run / "config.json", config)


def read_config(run: Path) -> dict[str, Any]:
    """Read `config.json`.

    Raises:
        MacrosplatError: there is none, or it is damaged.
    """
    path = run / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise MacrosplatError(f"{run} is not a run of macrosplat: {path} cannot be read ({error.strerror}).") from error
    except ValueError as error:
        raise MacrosplatError(f"{path} is damaged ({error}); reconstruct into a new folder.") from error
    if not isinstance(config, dict):
        raise MacrosplatError(f"{path} is not a configuration of macrosplat; reconstruct into a new folder.")
    return config
