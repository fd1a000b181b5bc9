"""Batch: a manifest of specimens in, a run of each, a page and a table of the collection out.

    manifest    CSV, JSONL or a folder of folders -> `Specimen`s, checked against `Options`
    state       DIR/SPECIMEN/status.json: where a specimen stands, and what its run came to
    estimate    disk and memory, before the work begins
    work        one specimen: locked, reconstructed in a process of its own, its state written
    local       several of them on this machine; `cluster`: on the nodes of a Ray cluster
    store       runs kept in an object store, too (fsspec)
    table       collection.csv
    page        index.html
    batch       all of it: `macrosplat batch`

A specimen is DIR/SPECIMEN: `run/` is what `macrosplat reconstruct` makes, `events.jsonl` and `log.txt` what it said,
`thumbnail.jpg` and `status.json` what the collection shows. Whoever holds the lock of that folder works on it: several
processes, machines or shards may share DIR. No torch here: the driver stays small however large the collection is.
"""

from macrosplat.batch.batch import Ways as Ways
from macrosplat.batch.batch import batch as batch
from macrosplat.batch.cluster import Share as Share
