"""Files that are called otherwise than they are."""

import io
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from macrosplat.photos.find import find_photos
from macrosplat.photos.kinds import is_picture, kind_of
from macrosplat.photos.read import read_photo
from making_photos import texture

PHOTO = texture(48, 32)


def written(form: str) -> bytes:
    file = io.BytesIO()
    if form.startswith("tiff"):
        deep = PHOTO.astype(np.uint16) * 257 if "16" in form else PHOTO
        tifffile.imwrite(file, deep, photometric="rgb", bigtiff="big" in form)
    else:
        Image.fromarray(PHOTO).save(file, form, quality=98, lossless=True)
    return file.getvalue()


@pytest.mark.parametrize("form", ["jpeg", "png", "webp", "tiff", "tiff 16", "tiff big", "tiff big 16"])
@pytest.mark.parametrize("suffix", [".jpg", ".tif", ".jfif", ".HEIC", ".dng"])
def test_photos_are_read_by_what_they_are(tmp_path: Path, form: str, suffix: str) -> None:
    """A phone's JPEG that is called .HEIC, a JPEG in .tif, a TIFF in .jpg: all the same photo."""
    if suffix == ".dng" and form != "jpeg":
        pytest.skip("a RAW file is a TIFF underneath, and read as RAW")
    if suffix == ".HEIC":
        pytest.importorskip("pillow_heif")
    path = tmp_path / f"a{suffix}"
    path.write_bytes(written(form))
    assert is_picture(path) and (kind_of(path) == "tiff") == form.startswith("tiff")
    found = find_photos(tmp_path)
    assert not found.damaged and not found.notes
    off = np.abs(read_photo(found.photos[0]).astype(int) - PHOTO)
    assert off.mean() < 3 if form == "jpeg" else off.max() <= 1
