"""Output: what a run leaves for people and other programs.

In: renders as sRGB floats, maps in scene units and px, the trained scene (linear light), the learned lens.
Out: sharp photos (8 bit PNG), scene.ply (sRGB colours, for viewers), maps (16 bit PNG and colours), lens.json.
"""

from macrosplat.output.lens_report import LensReport as LensReport
from macrosplat.output.lens_report import read_lens as read_lens
from macrosplat.output.lens_report import write_lens as write_lens
from macrosplat.output.maps import PhotoMaps as PhotoMaps
from macrosplat.output.maps import write_maps as write_maps
from macrosplat.output.ply import read_ply as read_ply
from macrosplat.output.ply import write_ply as write_ply
from macrosplat.output.sharp import write_sharp as write_sharp
from macrosplat.output.viewer_fit import fit_for_viewers as fit_for_viewers
