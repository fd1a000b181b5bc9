"""Output: what a run leaves for people and other programs.

In: renders as sRGB floats, maps in scene units and px, the trained scene (linear light), the learned lens.
Out: sharp photos (8 bit PNG), scene.ply (sRGB colours, for viewers), maps (16 bit PNG and colours), lens.json.
"""
