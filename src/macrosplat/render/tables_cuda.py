"""Tables with a row per Gaussian, in a kernel with a thread per Gaussian.

Neighbouring threads that each read along a row of their own touch as many lines of memory as there are threads. A table
is therefore read or written in pieces of 16 columns by all threads together, and turned about in shared memory.
"""

# Triton's own types do not know what its compiler accepts.
# pyright: reportArgumentType=false, reportCallIssue=false, reportAttributeAccessIssue=false
# pyright: reportOperatorIssue=false, reportGeneralTypeIssues=false, reportReturnType=false

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def columns(piece, BLOCK: tl.constexpr):
    """The sixteen columns [BLOCK] of a piece [BLOCK, 16]."""
    even, odd = tl.split(piece.reshape(BLOCK, 2, 2, 2, 2))
    e0, e2 = tl.split(even)
    o1, o3 = tl.split(odd)
    e00, e04 = tl.split(e0)
    e02, e06 = tl.split(e2)
    o01, o05 = tl.split(o1)
    o03, o07 = tl.split(o3)
    c0, c8 = tl.split(e00)
    c4, c12 = tl.split(e04)
    c2, c10 = tl.split(e02)
    c6, c14 = tl.split(e06)
    c1, c9 = tl.split(o01)
    c5, c13 = tl.split(o05)
    c3, c11 = tl.split(o03)
    c7, c15 = tl.split(o07)
    return c0, c1, c2, c3, c4, c5, c6, c7, c8, c9, c10, c11, c12, c13, c14, c15


@triton.jit
def piece(c0, c1, c2, c3, c4, c5, c6, c7, c8, c9, c10, c11, c12, c13, c14, c15, BLOCK: tl.constexpr):
    """The backward pass: [BLOCK, 16] of sixteen columns."""
    e0 = tl.join(tl.join(c0, c8), tl.join(c4, c12))
    e2 = tl.join(tl.join(c2, c10), tl.join(c6, c14))
    o1 = tl.join(tl.join(c1, c9), tl.join(c5, c13))
    o3 = tl.join(tl.join(c3, c11), tl.join(c7, c15))
    return tl.join(tl.join(e0, e2), tl.join(o1, o3)).reshape(BLOCK, 16)


@triton.jit
def load_columns(table, i, on, FIRST: tl.constexpr, WIDTH: tl.constexpr, USED: tl.constexpr, BLOCK: tl.constexpr):
    """Sixteen columns [BLOCK] from the FIRST on of the rows `i` of a table of so many columns; zeros where not `on` and
    from column USED on."""
    column = FIRST + tl.arange(0, 16)
    place = table + i[:, None] * WIDTH + column[None, :]
    return columns(tl.load(place, mask=on[:, None] & (column < USED)[None, :], other=0.0), BLOCK)


@triton.jit
def store_piece(table, i, on, values, FIRST: tl.constexpr, WIDTH: tl.constexpr):
    """A piece [BLOCK, 16] into the columns from the FIRST on, as far as there are such."""
    column = FIRST + tl.arange(0, 16)
    place = table + i[:, None] * WIDTH + column[None, :]
    tl.store(place, values, mask=on[:, None] & (column < WIDTH)[None, :])
