"""Peak memory of training: a few steps with made-up photos, in a process of their own.

    python benchmarks/memory.py [PHOTOS WIDTH HEIGHT GAUSSIANS]

Without arguments 30 photos of 1600 x 1200 and 300,000 Gaussians of SH degree 2. Prints the peak beside the estimate
that a run makes before it starts.
"""

import multiprocessing
import sys

STEPS, SAMPLES = 6, 8  # of the aperture, as the standard quality has at the end


def measure(photos: int, width: int, height: int, gaussians: int) -> tuple[float, float]:
    """Bytes at the peak, and bytes as estimated."""
    from macrosplat.bench import Size, make_setting, make_trainer, peak_memory
    from macrosplat.train.effort import estimate

    trainer = make_trainer(make_setting(Size(gaussians, width, height, 2)), samples=SAMPLES, photos=photos)
    for photo in range(photos):  # every target stays once it has been made
        trainer.targets.at(photo, 1.0)
    for _ in range(STEPS):
        trainer.step()
    return peak_memory(), estimate(trainer.model.rig.frames, gaussians, SAMPLES)


def main() -> None:
    photos, width, height, gaussians = map(int, sys.argv[1:5]) if len(sys.argv) > 4 else (30, 1600, 1200, 300_000)
    # A fresh process: the peak of this one would stay.
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        peak, estimated = pool.apply(measure, (photos, width, height, gaussians))
        pool.close()  # it ends by itself: pycolmap answers a signal with a page of addresses
        pool.join()
    print(f"{photos} photos of {width} x {height}, {gaussians:,} Gaussians: {peak / 1e9:.2f} GB at the peak, ", end="")
    print(f"{estimated / 1e9:.2f} GB estimated")


if __name__ == "__main__":
    main()
