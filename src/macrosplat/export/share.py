"""What one passes on of a run, in one file: the page with its pictures, the sharp photos, the scene, lens and cameras.

In: a finished RUN. Out: a ZIP that holds a folder of RUN's name. What only training needs (checkpoint, log) stays here.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

from macrosplat.run import Run
from macrosplat.support.errors import MacrosplatError
from macrosplat.support.files import write_whole

STORED = (".png", ".jpg", ".spz", ".mp4", ".glb")  # packed already


def write_zip(folder: Path, out: Path) -> None:
    """Write it atomically.

    Raises:
        MacrosplatError: RUN is not finished.
    """
    run = Run(folder)
    if run.manifest.summary is None and run.manifest.stack is None:
        raise MacrosplatError(f"{folder} is not finished; `macrosplat continue {folder}` goes on with it.")
    single = (run.page, run.scene, run.lens, run.coverage, run.transforms)
    files = [path for path in single if path.is_file()]
    for below in (run.sharp_folder, folder / "page"):
        files += sorted(path for path in below.rglob("*") if path.is_file() and not path.is_symlink())
    name = folder.resolve().name

    def write(part: Path) -> None:
        with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in files:
                kind = zipfile.ZIP_STORED if path.suffix in STORED else None
                archive.write(path, f"{name}/{path.relative_to(folder).as_posix()}", kind)

    write_whole(out, write)
