"""Compare: captures with their truth, methods and seeds in; a run of each, tables and a figure out.

    methods   a method's name -> `Options`
    cells     what they are, and which of them are finished
    grid      runs the others, some of them at the same time
    cell      one cell, in a process of its own: reconstruct, evaluate
    tables    comparison.md and comparison.csv
    figure    comparison.png

A cell is a run like any other, DIR/CAPTURE/METHOD/SEED, and `cell.json` in it says that it is finished. It stands above
every other room: it calls what the commands `reconstruct` and `evaluate` call.
"""

from macrosplat.compare.grid import compare as compare
from macrosplat.compare.methods import options_of as options_of
