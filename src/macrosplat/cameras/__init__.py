"""Cameras: from where the photos were taken, read from files of other programs or found from the photos (`sfm`).

In: `Photo` records. Out: `Cameras` (world to camera, OpenCV axes, px) and `SparsePoints`. Lengths are the given
cameras' unit (mm where they were given in mm).
"""
