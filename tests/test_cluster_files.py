"""The files for clusters in examples/: what they run, with stand-ins for srun, snakemake and the program."""

import os
import re
import shlex
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import tyro

from macrosplat.cli.collection import Batch
from macrosplat.cli.commands import Command

EXAMPLES = Path(__file__).parents[1] / "examples"


def taken(words: list[str]) -> Batch:
    """The words as the program takes them; more than that is not done here."""
    command = tyro.cli(Command, prog="macrosplat", args=words, console_outputs=False)  # type: ignore[arg-type]
    assert isinstance(command, Batch)
    return command


def test_the_jobs_of_a_slurm_array_are_the_parts(tmp_path: Path) -> None:
    for name, text in {"srun": 'exec "$@"', "macrosplat": f'printf "%s\\n" "$*" >> {tmp_path}/words'}.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod((tmp_path / name).stat().st_mode | stat.S_IXUSR)
    script = EXAMPLES / "slurm" / "collection.sbatch"
    first, last = map(int, re.search(r"--array=(\d+)-(\d+)", script.read_text()).groups())  # type: ignore[union-attr]
    for task in range(first, last + 1):
        where = {"SLURM_ARRAY_TASK_ID": str(task), "SLURM_ARRAY_TASK_COUNT": str(last)}
        where["PATH"] = f"{tmp_path}:{os.environ['PATH']}"
        words = ["bash", str(script), "my drawer.csv", "/shared/out", "--width", "320"]
        subprocess.run(words, env=os.environ | where, check=True)
    lines = (tmp_path / "words").read_text().splitlines()
    assert [shlex.split(line)[-3] for line in lines] == [f"{n}/{last}" for n in range(1, last + 1)]
    command = taken(["batch", "my drawer.csv", *lines[0].split()[3:]])
    assert (command.shard, command.options.width, str(command.out)) == (f"1/{last}", 320, "/shared/out")


def test_the_rules_of_snakemake_are_the_parts_and_the_page() -> None:
    text = (EXAMPLES / "snakemake" / "Snakefile").read_text()
    lines = re.findall(r'shell:\s+"(.*)"', text)
    for name, value in {
        "{MANIFEST}": "drawer.csv",
        "{OUT}": "out",
        "{OPTIONS}": "--width 320",
        "{wildcards.part}": "2",
        "{PARTS}": "4",
    }.items():
        lines = [line.replace(name, value) for line in lines]
    page, part = (taken(shlex.split(line)[1:]) for line in lines)
    assert page.collect and part.shard == "2/4" and part.options.width == 320


def test_snakemake_runs_every_part_once(tmp_path: Path) -> None:
    """With the real one, where it is installed."""
    pytest.importorskip("snakemake")
    (tmp_path / "macrosplat").write_text(
        '#!/bin/sh\necho "$*" >> words\ncase "$*" in *--collect*) touch out/index.html out/collection.csv;; esac\n'
    )
    (tmp_path / "macrosplat").chmod(0o755)
    (tmp_path / "drawer.csv").write_text("specimen,folder\na,b\n")
    (tmp_path / "out").mkdir()
    words = ["snakemake", "--snakefile", str(EXAMPLES / "snakemake" / "Snakefile"), "--cores", "2"]
    words += ["--config", "manifest=drawer.csv", "out=out", "parts=3"]
    where = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    subprocess.run([sys.executable, "-m", *words], cwd=tmp_path, env=where, check=True, capture_output=True)
    said = (tmp_path / "words").read_text().splitlines()
    assert sorted(line.split()[5] for line in said if "--shard" in line) == ["1/3", "2/3", "3/3"]
    assert sum("--collect" in line for line in said) == 1
