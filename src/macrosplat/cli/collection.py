"""The command `batch`: a collection of specimens."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import FlagCreatePairsOff, Positional, arg

from macrosplat.options import Options


@dataclass(frozen=True)
class Batch:
    """Reconstruct a collection: every specimen of a table, or of a folder of folders, a run of its own.

    MANIFEST is CSV or JSONL with the columns
    - specimen, folder: its name, and where its photos are (a path, or an address like s3://bucket/photos)
    - options: as of `reconstruct`, like --width 640
    - scale, mask, targets: as --scale-mm, --masks, --targets
    - any others, which are passed through to the page and the table

    In DIR then:
    - index.html: the collection to look at; collection.csv: the same for a database
    - SPECIMEN/run/: what `reconstruct` makes; SPECIMEN/status.json: where it stands

    A specimen that fails is a line. The same command goes on where it stopped; nothing is done twice, though several
    processes work in one DIR.
    """

    manifest: Annotated[Positional[Path], arg(metavar="MANIFEST")]
    """A table (.csv, .jsonl), or a folder that holds a folder of photos for each specimen."""

    out: Annotated[Path, arg(metavar="DIR")]
    """The folder to write to."""

    options: Annotated[Options, arg(name="")] = field(default_factory=Options)

    cameras_from: Annotated[Path | None, arg(metavar="RUN", help_behavior_hint="(default: none)")] = None
    """A fixed rig: cameras and lens begin as those of this run, photo by photo in the order of names."""

    only: Annotated[tuple[str, ...], arg(metavar="NAME")] = ()
    """These specimens; * stands for anything."""

    shard: Annotated[str | None, arg(metavar="I/N", help_behavior_hint="(default: all)")] = None
    """The I-th of N parts, from 1: for Slurm arrays, Kubernetes and Snakemake."""

    retry: Literal["none", "failed"] = "none"
    """`failed`: try those again that failed."""

    workers: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: one for each GPU)")] = None
    """Specimens at a time on this machine."""

    ray: Annotated[str | None, arg(metavar="ADDRESS", help_behavior_hint="(default: this machine)")] = None
    """Work on a Ray cluster: its address, or auto; DIR is shared by its nodes. pip install 'macrosplat[cluster]'."""

    cpus: Annotated[float, arg(metavar="N")] = 4
    """Of a Ray cluster, for each specimen."""

    gpus: Annotated[float, arg(metavar="N")] = 1
    """Likewise; 0 for clusters without."""

    store: Annotated[str | None, arg(metavar="ADDRESS", help_behavior_hint="(default: nowhere else)")] = None
    """Keep the runs here, too, like s3://bucket/runs, and go on with those that are there."""

    collect: FlagCreatePairsOff[bool] = False
    """Run nothing: write the page and the table."""

    def run(self) -> None:
        from macrosplat.batch import Share, Ways, batch

        ways = Ways(
            only=self.only,
            shard=self.shard,
            retry=self.retry,
            workers=self.workers,
            collect=self.collect,
            cameras_from=self.cameras_from,
            ray=self.ray,
            share=Share(self.cpus, self.gpus),
            store=self.store,
        )
        print(batch(self.manifest, self.out, self.options, ways))
