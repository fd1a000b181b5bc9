"""Focus brackets: which photos are slices of one pose, how they lie over each other, one composite picture of each."""
