"""Model: how a photo is formed: camera, scene, backdrop, lens, exposure; the only room that knows the chain.

model      camera -> render over a backdrop -> lens -> exposure
rig        the cameras: poses, focal length, what a lens adds of each photo
start      where all of it begins, from sparse points and photos
"""
