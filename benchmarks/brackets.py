"""What focus brackets are worth: all slices with the lens, against one slice a pose, against stacking first.

    python benchmarks/brackets.py CAPTURE OUT [--width PX] [--quality Q] [--device D] [--seeds N] [--only WAY ...]

CAPTURE: brackets with their truth (sharp/, novel.json) and `transforms.json`. Ways: `all` (every slice, lens `lens`),
`one` (the middle slice of each pose, `lens`), `stack` (each pose stacked first, then `plain`), `one-plain` (the middle
slices, `plain`). A run that is there already is evaluated as it is. Prints a table, and writes OUT/brackets.json.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

from macrosplat import Options, loaded, reconstruct
from macrosplat.brackets.recognise import poses_of
from macrosplat.capture.open import open_capture

WAYS = {
    "all": ("every slice, --lens thin", False, {}),
    "one": ("the middle slice of each pose, --lens thin", True, {}),
    "stack": ("--deblur-first stack --lens plain", False, {"lens": "plain", "deblur_first": "stack"}),
    "one-plain": ("the middle slice of each pose, --lens plain", True, {"lens": "plain"}),
}
SECTIONS = ("deblurred photos", "novel views")


def one_slice_each(capture: Path, folder: Path) -> Path:
    """A capture of the middle slices of `capture`, with their cameras."""
    photos = open_capture(capture).photos
    kept = [photos[group[len(group) // 2]] for group in poses_of(photos)]
    (folder / "photos").mkdir(parents=True, exist_ok=True)
    for photo in kept:
        shutil.copyfile(photo.path, folder / "photos" / photo.name)
    cameras = json.loads((capture / "transforms.json").read_text())
    names = {photo.name for photo in kept}
    cameras["frames"] = [frame for frame in cameras["frames"] if Path(frame["file_path"]).name in names]
    (folder / "transforms.json").write_text(json.dumps(cameras))
    return folder


def figures(run: Path, truth: Path) -> dict[str, dict[str, float | None]]:
    """PSNR, SSIM and FLIP of a run by section, on the mask where there is one."""
    loaded.evaluate(run, truth)
    means = json.loads((run / "evaluation.json").read_text())["means"]
    return {name: {"frame": means[name]["frame"], "mask": means[name]["mask"]} for name in SECTIONS}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("capture", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--width", type=int)
    parser.add_argument("--quality", default="standard")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--only", nargs="*", default=list(WAYS))
    asked = parser.parse_args()
    single = one_slice_each(asked.capture, asked.out / "one_slice")
    table: dict[str, list] = {}
    for way in asked.only:
        about, alone, more = WAYS[way]
        for seed in range(asked.seeds):
            run = asked.out / f"{way}-{seed}"
            options = Options(width=asked.width, quality=asked.quality, device=asked.device, seed=seed, **more)
            if not (run / "scene.ply").is_file():
                reconstruct(single if alone else asked.capture, run, options, resume=run.is_dir())
            found = figures(run, asked.capture)
            table.setdefault(way, []).append(found)
            (asked.out / "brackets.json").write_text(json.dumps(table, indent=1))
            cells = "  ".join(
                f"{name} {found[name]['frame']['psnr']:.2f} (mask {(found[name]['mask'] or {}).get('psnr', 0):.2f}) dB"
                for name in SECTIONS
            )
            print(f"{way:10} seed {seed}  {cells}  [{about}]", flush=True)


if __name__ == "__main__":
    main()
