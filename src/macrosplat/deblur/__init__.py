"""Deblurring before anything else: photos in, deblurred photos out, one by one, by someone else's idea of sharp.

In: `--deblur-first` and its options; photos [H, W, 3] sRGB bytes at the training width. Out: the same, deblurred, and
kept as RUN/deblurred/<photo>.png, from where a resumed run takes them.
"""

from macrosplat.deblur.first import check_deblur as check_deblur
from macrosplat.deblur.first import deblurred as deblurred
