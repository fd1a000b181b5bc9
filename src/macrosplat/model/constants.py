"""Numbers that all kernels of this room share."""

# Rows and columns of a backdrop: smooth enough that it cannot draw an object's edge, fine enough for a light fall-off.
GRID = (3, 4)
