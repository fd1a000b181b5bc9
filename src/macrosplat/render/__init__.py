"""Rendering: Gaussians and a pinhole in, sharp colour, alpha and depth out (linear light, before any lens).

project -> rasterize, each a differentiable stage with a fast CPU kernel and a plain torch reference beside it.
"""

from macrosplat.render.pinhole import Pinhole as Pinhole
from macrosplat.render.render import Render as Render
from macrosplat.render.render import render as render
