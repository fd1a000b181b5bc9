"""Sharp photos and a sharp scene from a folder of blurred photos, in one call.

python examples/1_reconstruct.py [CAPTURE] [RUN]

Without a CAPTURE the photos that come with the package are taken. Called again after an interruption, it goes on.
"""

import sys
from pathlib import Path

import macrosplat
from macrosplat import demo


def main() -> None:
    capture = Path(sys.argv[1]) if len(sys.argv) > 1 else demo.FOLDER
    run = Path(sys.argv[2]) if len(sys.argv) > 2 else Path("runs/first")

    # Every choice has a default; `macrosplat reconstruct --help` explains them all.
    options = macrosplat.Options(quality="draft", width=320)

    try:
        summary = macrosplat.reconstruct(capture, run, options, resume=run.exists())
    except macrosplat.MacrosplatError as error:
        sys.exit(str(error))  # one sentence: what is wrong with which file, and what to do

    print(summary)
    print(f"The deblurred photos are in {run / 'sharp'}, the scene is {run / 'scene.ply'}.")


# Work that may start processes has to stand behind this line on macOS and Windows.
if __name__ == "__main__":
    main()
