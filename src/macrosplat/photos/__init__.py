"""Photos: pixels as taken, and what the camera wrote about them. Knows no camera model.

In: a folder of photos (JPEG, PNG, TIFF, RAW, HEIC), with masks if there are any. Out: `Photo` records; pixels when they
are needed, in any width: sRGB bytes or linear light (0 to 1), upright.
"""
