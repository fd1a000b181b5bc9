"""The lens: sharp renders in, the photo that the camera would take out (linear light, px of the current resolution).

Lens models share one interface (`model.Lens`) and are chosen by name; the blur itself is `blur.variable_blur`.
"""

from collections.abc import Callable

from macrosplat.lens.blurnet import BlurNet
from macrosplat.lens.covariance import CovarianceLens
from macrosplat.lens.focus import FocusLens
from macrosplat.lens.model import Draw as Draw
from macrosplat.lens.model import Lens as Lens
from macrosplat.lens.model import LensEstimate as LensEstimate
from macrosplat.lens.model import LensPlan as LensPlan
from macrosplat.lens.model import LensStart as LensStart
from macrosplat.lens.model import PhotoIndex as PhotoIndex
from macrosplat.lens.model import Reshape as Reshape
from macrosplat.lens.model import Sampling as Sampling
from macrosplat.lens.model import Sharp as Sharp
from macrosplat.lens.plain import PlainLens
from macrosplat.lens.thin import ThinLens

LENSES: dict[str, Callable[[LensStart], Lens]] = {
    "thin": ThinLens,
    "plain": PlainLens,
    "focus": FocusLens,
    "covariance": CovarianceLens,
    "blurnet": BlurNet,
}
