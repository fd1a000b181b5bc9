"""A campaign of damaged files against every reader: what each of some thousands of inputs comes to, by kind.

    python benchmarks/fuzz.py [--inputs 2400] [--seed 0] [--only WORD] [--keep FOLDER] [--base FOLDER]

Every input is a good file (of a capture and a run that are made first) with something changed: bytes, header numbers,
or an entry of its JSON. It is read in a process of its own, and has to be read or refused in one sentence, without a
traceback, a warning or a signal, within 10 s more and 1.5 times the memory of the good file. What fell is kept in
FOLDER, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import collections
import gzip
import json
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fuzz_services
from damage import damaged, damaged_json, damaged_member

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

SLOWER, FATTER = 10.0, 1.5  # s beyond a good input's, and times its memory
GIVE_UP = 60  # s: it hangs


# --------------------------------------------------------------------------------------------------------- readers


@dataclass
class Reader:
    """What is damaged, and who reads it."""

    name: str
    folder: Path  # a good one
    files: list[str]  # of which one is damaged
    read: Callable[[Path], Any]  # of a copy of the folder
    share: float = 1.0  # of the inputs, relative to the others'

    def damage(self, copy_of: Path, rng: random.Random) -> None:
        path = copy_of / rng.choice(self.files)
        data = path.read_bytes()
        if path.suffix == ".csv":
            path.write_bytes(fuzz_services.damaged_csv(data, rng) if rng.random() < 0.8 else damaged(data, rng))
        elif path.suffix == ".jsonl":
            path.write_bytes(fuzz_services.damaged_lines(data, rng, damaged_json))
        elif path.suffix == ".json":
            path.write_bytes(damaged_json(data, rng))
        elif path.suffix == ".spz" and rng.random() < 0.6:  # below the packing, too
            path.write_bytes(gzip.compress(damaged(gzip.decompress(data), rng, 16), 1))
        elif path.suffix == ".sog" and rng.random() < 0.75:
            path.write_bytes(damaged_member(data, rng))
        else:
            path.write_bytes(damaged(data, rng))


def finite(scene: Any) -> None:
    import numpy as np

    assert all(bool(np.isfinite(t).all()) for t in scene.tensors().values()), "numbers that are not finite"


NAMES = [f"{n}.png" for n in range(6)]  # of the photos of `making_captures`
FORMATS = {"JPEG": (".jpg", {}), "TIFF": (".tif", {"compression": "tiff_lzw"}), "WEBP": (".png", {})}


def make_good(base: Path) -> None:
    """Good files of every kind: captures, a run, its scene in every format, weights."""
    import gsply
    import pycolmap
    import torch
    from PIL import Image

    from macrosplat import pipeline
    from macrosplat.options import Options
    from macrosplat.scene.formats.read import read_scene
    from macrosplat.scene.formats.sog import write_sog
    from macrosplat.scene.formats.splat import write_splat
    from macrosplat.scene.formats.spz import write_spz
    from making_captures import make, write_capture

    made = make(6)
    capture = write_capture(base / "capture", made)
    (capture / "masks").mkdir()
    for name in NAMES:
        Image.new("L", (96, 72), 255).save(capture / "masks" / name)
    given = write_capture(base / "given", made, colmap=False)
    photos = [{"photo": name, "focus_mm": 6.0} for name in NAMES]
    (given / "truth.json").write_text(json.dumps({"pupil_diameter_mm": 1.5, "photos": photos}))
    pipeline.reconstruct(capture, base / "run", Options(steps=20, width=96, max_gaussians=300, device="cpu"))
    (base / "scenes").mkdir()
    shutil.copy(base / "run/scene.ply", base / "scenes/a.ply")
    scene = read_scene(base / "scenes/a.ply")
    write_spz(base / "scenes/a.spz", scene)
    write_sog(base / "scenes/a.sog", scene)
    write_splat(base / "scenes/a.splat", scene)
    with zipfile.ZipFile(base / "scenes/a.sog") as archive:
        archive.extractall(base / "sog")
    g = dict(scene.tensors())
    theirs = gsply.GSData(g["means"], g["log_scales"], g["quats"], g["opacity_logits"], g["sh0"], g["sh_rest"])
    gsply.plywrite(base / "scenes/a.compressed.ply", theirs, compressed=True)
    model = shutil.copytree(capture, base / "text") / "sparse/0"
    pycolmap.Reconstruction(str(model)).write_text(str(model))
    for path in model.glob("*.bin"):
        path.unlink()
    for kind, (suffix, options) in FORMATS.items():
        (base / kind / "photos").mkdir(parents=True)
        for n, pixels in enumerate(made.photos):
            Image.fromarray(pixels).save(base / kind / "photos" / f"{n}{suffix}", kind, **options)
    brackets = shutil.copytree(given, base / "brackets")
    (brackets / "brackets.json").write_text(json.dumps({"a": ["0.png", "1.png"], "b": ["2.png", "3.png"]}))
    (base / "weights").mkdir()
    fuzz_services.make(base)
    torch.save({"features.0.weight": torch.zeros(64, 3, 11, 11)}, base / "weights/w.pth")


def readers(base: Path) -> Iterator[Reader]:
    """Every reader, with the good files of `make_good`."""
    import numpy as np

    from macrosplat import loaded
    from macrosplat.cameras.transforms import read_cameras_file
    from macrosplat.capture.open import open_capture
    from macrosplat.evaluate.lpips import load_lpips
    from macrosplat.evaluate.truth import open_truth
    from macrosplat.photos.masks import read_mask
    from macrosplat.photos.read import read_photo
    from macrosplat.scene.formats.read import read_scene
    from macrosplat.scene.formats.spz import to_spz
    from macrosplat.web.page import html_of_run

    def scene_of(name: str) -> Callable[[Path], Any]:
        def read(folder: Path) -> None:
            scene = read_scene(folder / name)
            finite(scene)
            to_spz(scene)

        return read

    def capture_of(folder: Path) -> None:
        opened = open_capture(folder)
        if opened.cameras is not None:
            for values in (opened.cameras.views, opened.cameras.intrinsics):
                assert np.isfinite(values).all(), "cameras that are not finite"
        for photo in opened.photos:
            read_photo(photo, 64)
            if photo.mask is not None:
                read_mask(photo, 64)

    def files(folder: str, *patterns: str) -> list[str]:
        return sorted(p.relative_to(base / folder).as_posix() for one in patterns for p in (base / folder).glob(one))

    for name in files("scenes", "*"):
        yield Reader(f"scene {name[2:]}", base / "scenes", [name], scene_of(name), 1.5)
    yield Reader("scene sog, unpacked", base / "sog", ["meta.json"], scene_of("meta.json"), 1.5)
    yield Reader("transforms.json", base / "given", ["transforms.json"], capture_of, 2.0)
    yield Reader("cameras of render", base / "given", ["novel.json"], lambda f: read_cameras_file(f / "novel.json"))
    yield Reader("truth", base / "given", ["truth.json", "novel.json", "transforms.json"], open_truth)
    yield Reader("COLMAP, binary", base / "capture", files("capture", "sparse/0/*"), capture_of, 2.0)
    yield Reader("COLMAP, text", base / "text", files("text", "sparse/0/*"), capture_of)
    for form in fuzz_services.FORMS_ELSEWHERE:
        names = files(form, "*.xml", "*.csv", "*.npy")
        yield Reader(f"cameras, {form}", base / form, names, capture_of)
    for kind in ("capture", *FORMATS):
        yield Reader(f"photos, {kind}", base / kind, files(kind, "photos/*"), capture_of)
    yield Reader("masks", base / "capture", files("capture", "masks/*"), capture_of)
    yield Reader("brackets.json", base / "brackets", ["brackets.json"], capture_of)
    yield Reader("run, JSON", base / "run", files("run", "*.json", "maps/*.json"), html_of_run, 2.0)
    yield Reader("run, the rest", base / "run", files("run", "*.ply", "sharp/*.png", "maps/*/*.png"), html_of_run)
    yield Reader("run, checkpoint", base / "run", ["checkpoint"], loaded.load_run)
    more = fuzz_services
    for name in ("a.csv", "a.jsonl"):
        yield Reader(f"manifest {name[2:]}", base / "tables", [name], more.manifest_of(name), 1.5)
    states = [*files("collection", "*/status.json"), *files("collection", "fly/run/*.json")]
    yield Reader("collection", base / "collection", states, more.collection_of)
    yield Reader("masks made", base / "made", files("made", "made-masks/*"), more.made_masks_of)
    rig = files("rig", "run/config.json", "run/transforms.json", "run/lens.json")
    yield Reader("rig", base / "rig", rig, more.rig_of)
    yield Reader("targets", base / "targets", ["sizes.json", "targets.json"], more.targets_of)
    yield Reader("run, older", base / "older", ["config.json"], html_of_run, 0.5)
    yield Reader("studio", base / "studio", ["requests.json"], more.studio_of)
    yield Reader("words", base / "words", ["words.json"], more.words_of)
    yield Reader("weights", base / "weights", ["w.pth"], lambda f: load_lpips([f / "w.pth"]), 0.5)


# ------------------------------------------------------------------------------------------------------ one reading


def tried(reader: Reader, folder: Path) -> dict[str, Any]:
    """Read in a child of this process; what it came to, in seconds and bytes."""
    ours, theirs = os.pipe()
    began = time.monotonic()
    child = os.fork()
    if child == 0:
        os.close(ours)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(GIVE_UP)
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1), os.dup2(quiet, 2)
        os.write(theirs, json.dumps(_outcome(reader, folder)).encode())
        os._exit(0)
    os.close(theirs)
    said = b""
    while piece := os.read(ours, 1 << 16):
        said += piece
    os.close(ours)
    _, status, used = os.wait4(child, 0)
    found = json.loads(said) if said else {"kind": "fell", "text": f"signal {os.waitstatus_to_exitcode(status)}"}
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGALRM:
        found = {"kind": "hung", "text": f"more than {GIVE_UP} s"}
    return found | {"seconds": time.monotonic() - began, "bytes": used.ru_maxrss * 1024}


def _outcome(reader: Reader, folder: Path) -> dict[str, str]:
    from macrosplat.support.errors import MacrosplatError
    from macrosplat.support.terminal import shortened

    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        try:
            reader.read(folder)
            found = {"kind": "read", "text": ""}
        except MacrosplatError as error:
            said = shortened(str(error))  # as the command prints it
            found = {"kind": "refused", "text": said}
            bad = "\n" in said or len(said) > 700 or re.search(r"\[Errno|0x[0-9a-f]{6}| object at ", said)
            if bad:
                found["kind"] = "unclear"
        except BaseException as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            inside = [f for f in traceback.extract_tb(error.__traceback__) if "macrosplat" in f.filename]
            frame = inside[-1] if inside else where
            text = f"{type(error).__name__}: {str(error)[:120]} at {Path(frame.filename).name}:{frame.lineno}"
            return {"kind": "fell", "text": text}
    if heard and found["kind"] != "fell":
        return {"kind": "noise", "text": f"{heard[0].category.__name__}: {heard[0].message}"[:200]}
    return found


# --------------------------------------------------------------------------------------------------------- campaign

GOOD = ("read", "refused")


def main() -> int:
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--inputs", type=int, default=2400)
    words.add_argument("--seed", type=int, default=0)
    words.add_argument("--only", default="")
    words.add_argument("--keep", type=Path)
    words.add_argument("--base", type=Path, help="where good files are made, or lie from before")
    asked = words.parse_args()
    with tempfile.TemporaryDirectory(prefix="fuzz-") as scratch:
        base = asked.base or Path(scratch) / "base"
        if not (base / "weights/w.pth").is_file():
            base.mkdir(parents=True)
            make_good(base)
        chosen = [reader for reader in readers(base) if asked.only in reader.name]
        total = sum(reader.share for reader in chosen)
        table: dict[str, collections.Counter] = {}
        fallen: collections.Counter = collections.Counter()
        for reader in chosen:
            good = tried(reader, reader.folder)
            if good["kind"] not in GOOD or (good["kind"] == "refused" and reader.name not in ("weights", "words")):
                print(f"{reader.name}: the good file itself: {good}")
            counts = table[reader.name] = collections.Counter()
            for n in range(round(asked.inputs * reader.share / total)):
                folder = Path(scratch) / "one"
                shutil.rmtree(folder, ignore_errors=True)
                shutil.copytree(reader.folder, folder)
                rng = random.Random(f"{asked.seed} {reader.name} {n}")
                reader.damage(folder, rng)
                found = tried(reader, folder)
                kind = found["kind"]
                if kind in GOOD and found["seconds"] > good["seconds"] + SLOWER:
                    kind = "slow"
                elif kind in GOOD and found["bytes"] > FATTER * good["bytes"]:
                    kind = "fat"
                counts[kind] += 1
                if kind not in GOOD:
                    fallen[f"{reader.name}: {kind}: {re.sub(re.escape(str(folder)), '', found['text'])}"] += 1
                    if asked.keep:
                        kept = asked.keep / re.sub(r"\W+", "_", f"{reader.name}_{n}")
                        shutil.rmtree(kept, ignore_errors=True)
                        shutil.copytree(folder, kept)
        kinds = [*GOOD, *sorted({kind for counts in table.values() for kind in counts} - set(GOOD))]
        print(f"{'':20}{'inputs':>8}" + "".join(f"{kind:>9}" for kind in kinds))
        for name, counts in [*table.items(), ("all", sum(table.values(), collections.Counter()))]:
            print(f"{name:20}{sum(counts.values()):8}" + "".join(f"{counts[kind]:9}" for kind in kinds))
        for text, count in fallen.most_common():
            print(f"{count:5} x {text}")
    return 1 if fallen else 0


if __name__ == "__main__":
    sys.exit(main())
