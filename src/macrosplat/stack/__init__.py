"""Focus stacks: one pose alone, its slices differing in focus only; one all-in-focus picture and a depth map.

In: the slices of a bracket without any other view. No parallax, so no cameras and no 3D scene; what there is, is which
slice each pixel is sharp in, and how fast blur grows from slice to slice. Out: RUN with one picture in sharp/, the
place of every pixel between the nearest and the farthest slice in maps/, and lens.json. Places are counted in slices
from the first one; blurs are standard deviations in px of the picture.
"""

from macrosplat.stack.reconstruct import StackSummary as StackSummary
from macrosplat.stack.reconstruct import is_stack as is_stack
from macrosplat.stack.reconstruct import reconstruct_stack as reconstruct_stack
