"""Numbers that all kernels of a render stage share."""

# Variance [px^2] of the pixel's own footprint, added to every projected covariance. 1/12 is a box of one pixel; 0.1 as
# in Mip-Splatting. Opacity is scaled so that a splat's light stays the same (Mip-Splatting, eq. 9).
PIXEL_VARIANCE = 0.1
# Below one 8-bit step a splat is nothing: this is what bounds its extent.
ALPHA_MIN = 1.0 / 255.0
# Above this a splat would end the light path, and 1 / (1 - alpha) the precision of the backward pass.
ALPHA_MAX = 0.999
# A light path with less than this left is finished.
TRANSMITTANCE_MIN = 1e-4
# |x / z| is clamped to the field of view plus this share of it where the projection is linearised: outside, the
# linearisation explodes (as in gsplat).
FOV_MARGIN = 0.3
# A squared opacity compensation below this belongs to a splat far below a pixel: clamped, and without gradient.
COMPENSATION_MIN = 1e-6
# Columns of the [N, 10] table that project hands to rasterize.
MX, MY, CA, CB, CC, OPACITY, RED, GREEN, BLUE, DEPTH = range(10)
SPLAT = 10
# Alpha that an expected depth is divided by at the least.
ALPHA_LEAST = 1e-6
