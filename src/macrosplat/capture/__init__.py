"""Capture: what was photographed, and from where.

In: a folder of photos (JPEG, PNG, TIFF, RAW, HEIC), with masks and cameras if there are any.
Out: `Capture`: checked `Photo` records; `Cameras` (world to camera, OpenCV axes, px, pinhole) and `SparsePoints`, or
None where SfM has to find them. Pixels are read when needed, in any width: sRGB bytes or linear light (0 to 1),
upright, straightened. Lengths are the given cameras' unit (mm where they were given in mm).
"""

import contextlib
import signal

from macrosplat.capture.colmap import read_colmap as read_colmap
from macrosplat.capture.colmap import write_colmap as write_colmap
from macrosplat.capture.focal import camera_key as camera_key
from macrosplat.capture.focal import focal_px as focal_px
from macrosplat.capture.focal import focals_px as focals_px
from macrosplat.capture.open import open_capture as open_capture
from macrosplat.capture.photos import find_photos as find_photos
from macrosplat.capture.photos import read_linear as read_linear
from macrosplat.capture.photos import read_mask as read_mask
from macrosplat.capture.photos import read_photo as read_photo
from macrosplat.capture.records import Cameras as Cameras
from macrosplat.capture.records import Capture as Capture
from macrosplat.capture.records import Distortion as Distortion
from macrosplat.capture.records import Exif as Exif
from macrosplat.capture.records import Photo as Photo
from macrosplat.capture.records import SparsePoints as SparsePoints
from macrosplat.capture.resample import area_average as area_average
from macrosplat.capture.shelf import Shelf as Shelf
from macrosplat.capture.transforms import read_cameras_file as read_cameras_file
from macrosplat.capture.transforms import read_transforms as read_transforms
from macrosplat.capture.transforms import write_transforms as write_transforms

# pycolmap, once imported, answers SIGTERM with a page of addresses and ends: the answer from before is put back. Only
# the main thread may do so, and the command line imports there.
with contextlib.suppress(ValueError):
    signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGTERM) or signal.SIG_DFL)
