"""Files of Gaussian splats: written for viewers, read back from any of them. Colours there are sRGB."""
