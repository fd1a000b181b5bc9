"""The scene: Gaussians in world space, in linear light, made from the sparse points.

In: sparse points of the capture. Out: `Gaussians`, that `render` draws and `train` improves. Lengths in scene units.
"""

from macrosplat.scene.gaussians import Gaussians as Gaussians
