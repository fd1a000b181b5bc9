"""Rendering: Gaussians and a camera in, sharp colour, alpha and depth out (linear light, before any lens).

project -> rasterize, each a differentiable stage with a fast CPU kernel and a plain torch reference beside it.
"""

from macrosplat.render.camera import Camera as Camera
from macrosplat.render.camera import Frame as Frame
from macrosplat.render.camera import Pinhole as Pinhole
from macrosplat.render.camera import Plane as Plane
from macrosplat.render.render import Render as Render
from macrosplat.render.render import render as render
