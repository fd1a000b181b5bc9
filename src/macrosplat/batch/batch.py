"""The driver of a collection: what is left to do, who does it, and the page and table of all of it.

In: a manifest, DIR, what to do. Out: a run of each specimen, index.html, collection.csv, and a sentence.
"""

from __future__ import annotations

import fnmatch
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import msgspec

from macrosplat.batch import cluster, estimate, local, store
from macrosplat.batch.local import Outcome
from macrosplat.batch.manifest import Specimen, read_manifest
from macrosplat.batch.page import write_page
from macrosplat.batch.state import Place, State
from macrosplat.batch.table import write_table
from macrosplat.batch.work import Task
from macrosplat.options import Options
from macrosplat.support.errors import MacrosplatError
from macrosplat.support.gpus import gpus
from macrosplat.support.progress import Progress

SECONDS_BETWEEN_PAGES = 10.0
PAGES_SHARE = 0.02  # of the time that may go into writing them: a large collection's are written less often
COMMAND = (sys.executable, "-m", "macrosplat", "reconstruct")


@dataclass(frozen=True)
class Ways:
    """What of a collection is done, and by whom."""

    only: tuple[str, ...] = ()  # names of specimens, or patterns; none: all
    shard: str | None = None  # "i/n", from 1: every n-th specimen
    retry: Literal["none", "failed"] = "none"
    workers: int | None = None  # at a time; None: one for each GPU
    collect: bool = False  # do nothing, write page and table
    cameras_from: Path | None = None  # a run of a fixed rig
    ray: str | None = None  # address of a Ray cluster
    share: cluster.Share = field(default_factory=cluster.Share)  # of it, for each specimen
    store: str | None = None  # address that runs are kept at, too


def batch(
    manifest: Path,
    out: Path,
    options: Options | None = None,
    ways: Ways | None = None,
    command: Sequence[str] = COMMAND,
) -> str:
    """Reconstruct every specimen of a collection; see `macrosplat batch --help`. Returns what came of it.

    Args:
        command: what is run for a specimen; it takes the words of `macrosplat reconstruct`.

    Raises:
        MacrosplatError: the manifest is wrong, there is no room, or specimens failed (the page names all of them).
        KeyboardInterrupt: interrupted; the same call goes on.
    """
    ways = ways or Ways()
    if ways.workers is not None and ways.workers < 1:
        raise MacrosplatError(f"--workers is {ways.workers}; it has to be at least 1.")
    specimens = read_manifest(manifest, options or Options())
    chosen = _chosen(specimens, ways)
    if ways.store is not None:
        store.states(ways.store, [Place(out / one.key) for one in specimens])
    states = {one.name: Place(out / one.key).read(one.name) for one in specimens}
    for one in chosen:
        _refuse_other(one, states[one.name], out)
    skipped = ("done",) if ways.retry == "failed" else ("done", "failed")
    left = [] if ways.collect else [one for one in chosen if states[one.name].state not in skipped]
    title = manifest.resolve().stem if manifest.is_file() else manifest.resolve().name
    collection = Collection(out, title, specimens)
    if left:
        workers = ways.workers or max(1, len(gpus()))
        said = estimate.check(left, out, min(workers, len(left)) if ways.ray is None else 1)
        tasks = [_task(one, out, command, ways) for one in left]
        _work(tasks, len(specimens), workers, ways, collection, said)
    collection.write()
    if ways.store is not None:
        store.send(ways.store, [collection.page, collection.table])
    return _sentence(chosen, collection)


class Collection:
    """Page and table of a collection, written anew now and then."""

    def __init__(self, out: Path, title: str, specimens: Sequence[Specimen]) -> None:
        self._out, self._title, self._specimens = out, title, specimens
        self.page, self.table = out / "index.html", out / "collection.csv"
        self._next = 0.0
        self.broken: dict[str, str] = {}  # specimens whose state cannot be written, and why

    def rows(self) -> list[tuple[Specimen, State]]:
        """Where every specimen stands, whoever works on it."""
        rows = []
        for one in self._specimens:
            try:
                state = Place(self._out / one.key).read(one.name)
            except MacrosplatError as error:
                state = State(one.name, "failed", sentence=str(error))
            if one.name in self.broken:
                state = msgspec.structs.replace(state, state="failed", sentence=self.broken[one.name])
            rows.append((one, state))
        return rows

    def write(self) -> None:
        rows = self.rows()
        write_table(self.table, rows)
        write_page(self.page, self._title, rows)

    def now_and_then(self) -> None:
        began = time.monotonic()
        if began >= self._next:
            self.write()
            took = time.monotonic() - began
            self._next = time.monotonic() + max(SECONDS_BETWEEN_PAGES, took / PAGES_SHARE)


def _work(tasks: list[Task], of: int, workers: int, ways: Ways, collection: Collection, said: str) -> None:
    with Progress() as progress:
        progress.note(said)
        progress.stage("specimens", of, of - len(tasks))

        def seen(task: Task, outcome: Outcome) -> None:
            if isinstance(outcome, MacrosplatError):
                collection.broken[task.specimen] = str(outcome)
                progress.note(f"{task.specimen} failed: {outcome}")
            elif outcome.state == "failed":
                progress.note(f"{task.specimen} failed: {outcome.sentence}")
            if not isinstance(outcome, State) or outcome.state != "interrupted":
                progress.advance(text=task.specimen)

        try:
            if ways.ray is not None:
                cluster.run(tasks, ways.ray, ways.share, seen, collection.now_and_then)
            else:
                local.run(tasks, min(workers, len(tasks)), seen, collection.now_and_then)
        except KeyboardInterrupt:
            collection.write()
            raise


def _chosen(specimens: Sequence[Specimen], ways: Ways) -> list[Specimen]:
    """Those that --only and --shard leave."""
    chosen = list(specimens)
    if ways.only:
        for pattern in ways.only:
            if not any(fnmatch.fnmatchcase(one.name, pattern) for one in specimens):
                raise MacrosplatError(
                    f"--only {pattern} is no specimen of the manifest; its first is {specimens[0].name}."
                )
        chosen = [one for one in chosen if any(fnmatch.fnmatchcase(one.name, pattern) for pattern in ways.only)]
    if ways.shard is not None:
        part, _, of = ways.shard.partition("/")
        if not (part.isdecimal() and of.isdecimal() and 1 <= int(part) <= int(of)):
            raise MacrosplatError(f"--shard {ways.shard} is none; write 1/8 for the first of eight, up to 8/8.")
        chosen = chosen[int(part) - 1 :: int(of)]
    return chosen


def _refuse_other(specimen: Specimen, state: State, out: Path) -> None:
    """What is done stays done: asked for with other options, or of other photos, it is said before the work."""
    if state.state == "waiting" or state.state == "failed":
        return
    if state.folder != specimen.folder or state.options != tuple(specimen.words()):
        there, asked = (" ".join(words) or "no options" for words in (state.options, specimen.words()))
        raise MacrosplatError(
            f"{specimen.name} was begun in {out} as {state.folder} with {there}, and is asked for as {specimen.folder} "
            f"with {asked}; choose another --out, or remove {out / specimen.key}."
        )


def _task(specimen: Specimen, out: Path, command: Sequence[str], ways: Ways) -> Task:
    return Task(
        specimen=specimen.name,
        place=(out / specimen.key).resolve(),
        folder=specimen.folder,
        options=tuple(specimen.words()),
        command=tuple(command),
        cameras_from=str(ways.cameras_from.resolve()) if ways.cameras_from else None,
        store=ways.store,
    )


def _sentence(chosen: Sequence[Specimen], collection: Collection) -> str:
    """What came of those that were chosen.

    Raises:
        MacrosplatError: some of them failed.
    """
    names = {one.name for one in chosen}
    rows = [(specimen, state) for specimen, state in collection.rows() if specimen.name in names]
    counts = Counter(state.state for _, state in rows)
    told = ", ".join(f"{count:,} {state}" for state, count in counts.items())
    failed = [(specimen, state) for specimen, state in rows if state.state == "failed"]
    if failed:
        specimen, state = failed[0]
        more = f" (and {len(failed) - 1:,} more)" if len(failed) > 1 else ""
        raise MacrosplatError(
            f"{specimen.name}{more} failed: {state.sentence} All in all {told}: {collection.page}; --retry failed "
            "tries again."
        )
    return f"{told}\n{collection.page}\n{collection.table}"
