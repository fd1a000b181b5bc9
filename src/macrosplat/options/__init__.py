"""Options: every default and every help text of the command line. No torch: it answers before that is loaded."""

from macrosplat.options.options import Detail as Detail
from macrosplat.options.options import Device as Device
from macrosplat.options.options import Lens as Lens
from macrosplat.options.options import Options as Options
from macrosplat.options.options import Quality as Quality
from macrosplat.options.options import SharpFormat as SharpFormat
