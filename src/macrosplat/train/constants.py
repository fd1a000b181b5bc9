"""Numbers of density control that its kernels share."""

DEAD = 0.005  # opacity below which a Gaussian draws less than two 8-bit steps
NOISE_SHARPNESS = 100.0  # how fast the noise fades with opacity
